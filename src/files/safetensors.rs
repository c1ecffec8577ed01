//! One safetensors file: its header, checked against its length.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    time::SystemTime,
};

use safetensors::{
    Dtype,
    tensor::{Metadata, TensorInfo},
};

use super::{Error, Format, format::EXAMINED_BYTES};

/// The maximum length of a safetensors header.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// A file that had a valid header when it was opened.
#[derive(Clone, Debug)]
pub(super) struct SafetensorsFile {
    pub(super) path: PathBuf,
    pub(super) metadata: HashMap<String, String>,
    stamp: Stamp,
}

/// A tensor's position in its file.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    pub(super) start: u64,
    pub(super) bytes: u64,
}

/// Distinguishes a file from a later version of itself, and from other files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
    /// Device and inode number, on systems that have them.
    identity: [u64; 2],
}

impl Stamp {
    fn of(status: &fs::Metadata) -> Self {
        Self { len: status.len(), modified: status.modified().ok(), identity: identity(status) }
    }
}

/// Device and inode number. All hard links to a file share them.
#[cfg(unix)]
fn identity(status: &fs::Metadata) -> [u64; 2] {
    use std::os::unix::fs::MetadataExt;
    [status.dev(), status.ino()]
}

/// Unknown on this system.
#[cfg(not(unix))]
fn identity(_: &fs::Metadata) -> [u64; 2] {
    [0; 2]
}

/// Whether two names are known to refer to one file.
pub(super) fn is_same_file(a: &fs::Metadata, b: &fs::Metadata) -> bool {
    cfg!(unix) && identity(a) == identity(b)
}

impl SafetensorsFile {
    /// Reads a file's header and checks it against the file's length. Tensors are in the order of
    /// their values.
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<Entry>), Error> {
        let io = Error::io(path);
        let header_problem = |reason: String| Error::Header { path: path.to_owned(), reason };
        // Opening a pipe would block until a writer opens it.
        if !fs::metadata(path).map_err(&io)?.is_file() {
            return Err(Error::NotAFile { path: path.to_owned() });
        }
        let mut file = File::open(path).map_err(&io)?;
        let stamp = Stamp::of(&file.metadata().map_err(&io)?);
        let mut start = Vec::new();
        (&file).take(EXAMINED_BYTES as u64).read_to_end(&mut start).map_err(&io)?;
        if let Some(format) = Format::of(&start) {
            return Err(Error::Format { path: path.to_owned(), format });
        }
        let Some((length, rest)) = start.split_first_chunk() else {
            return Err(header_problem(format!("{} bytes are too few", start.len())));
        };
        let header_bytes = u64::from_le_bytes(*length);
        if header_bytes > MAX_HEADER_BYTES {
            let reason =
                "it does not begin with the length of a header (up to 100 MB), and its format is not known";
            return Err(header_problem(reason.to_owned()));
        }
        let length = |expected| Error::Length { path: path.to_owned(), expected, found: stamp.len };
        if header_bytes > stamp.len.saturating_sub(8) {
            return Err(length(8 + header_bytes));
        }
        let mut header = rest.to_vec();
        let read = rest.len() as u64;
        if read < header_bytes {
            (&mut file).take(header_bytes - read).read_to_end(&mut header).map_err(&io)?;
        }
        header.truncate(usize::try_from(header_bytes).unwrap_or(usize::MAX));
        let metadata: Metadata =
            serde_json::from_slice(&header).map_err(|error| header_problem(error.to_string()))?;
        let start = 8 + header_bytes;
        let expected = start + metadata.data_len() as u64;
        if stamp.len != expected {
            return Err(length(expected));
        }
        let entries = metadata.offset_keys().into_iter().map(|name| {
            let info = metadata.info(&name).expect("the name is one of the header's");
            let TensorInfo { dtype, ref shape, data_offsets: (from, to) } = *info;
            Entry { name, dtype, shape: shape.clone(), start: start + from as u64, bytes: (to - from) as u64 }
        });
        let entries = entries.collect();
        let metadata = metadata.metadata().clone().unwrap_or_default();
        Ok((Self { path: path.to_owned(), metadata, stamp }, entries))
    }

    /// Opens the file again. It must not have changed. Does not read the header again.
    pub(super) fn reopen(&self) -> Result<File, Error> {
        let io = Error::io(&self.path);
        let file = File::open(&self.path).map_err(&io)?;
        if Stamp::of(&file.metadata().map_err(&io)?) != self.stamp {
            return Err(Error::Changed { path: self.path.clone() });
        }
        Ok(file)
    }
}
