//! File formats that users pass instead of safetensors files.

use core::fmt;

/// A format other than safetensors, recognised by the file's first bytes.
///
/// ```
/// use cipherfold::files::{Error, Format, UpdateFile};
///
/// # let folder = tempfile::tempdir()?;
/// let path = folder.path().join("model.safetensors");
/// std::fs::write(&path, "<!DOCTYPE html><html>404</html>")?;
/// let refused = UpdateFile::open(&path).unwrap_err();
/// assert_eq!(refused, Error::Format { path, format: Format::Html });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// An empty file.
    Empty,
    /// Zeros at the beginning, for example of an incomplete download.
    Zeros,
    /// A text file that represents a large file in Git.
    GitLfsPointer,
    /// The list of a sharded model's files.
    ShardIndex,
    /// Any other JSON text.
    Json,
    /// A web page.
    Html,
    /// An XML document, such as the error messages of object stores.
    Xml,
    /// A checkpoint of `PyTorch`: a zip archive around a pickle.
    TorchZip,
    /// Arrays of `NumPy` in a zip archive.
    Npz,
    /// A model of Keras: a zip archive.
    Keras,
    /// Any other zip archive.
    Zip,
    /// A serialised object of Python.
    Pickle,
    /// One array of `NumPy`.
    Npy,
    /// A model of llama.cpp.
    Gguf,
    /// A model of old versions of llama.cpp and whisper.cpp.
    Ggml,
    /// An HDF5 file, for example of Keras.
    Hdf5,
    /// A model of TensorFlow Lite.
    TfLite,
    /// A model in ONNX.
    Onnx,
    /// A tar archive.
    Tar,
    /// Compressed by the program of this name.
    Compressed(&'static str),
    /// An Apache Parquet file.
    Parquet,
    /// An Apache Arrow file.
    Arrow,
    /// An `SQLite` database.
    Sqlite,
    /// Any other text.
    Text,
}

/// Bytes at the beginning of a file that [`Format::of`] examines.
pub(super) const EXAMINED_BYTES: usize = 1024;

/// Formats with their own first bytes.
const MAGIC: [(&[u8], Format); 26] = [
    (b"version https://git-lfs.github.com/spec/", Format::GitLfsPointer),
    (b"version https://hawser.github.com/spec/", Format::GitLfsPointer),
    (b"GGUF", Format::Gguf),
    (b"FUGG", Format::Gguf), // from big-endian machines
    (b"lmgg", Format::Ggml),
    (b"fmgg", Format::Ggml),
    (b"tjgg", Format::Ggml),
    (b"algg", Format::Ggml),
    (b"\x89HDF\r\n\x1a\n", Format::Hdf5),
    (b"\x93NUMPY", Format::Npy),
    (b"\x80\x02", Format::Pickle),
    (b"\x80\x03", Format::Pickle),
    (b"\x80\x04\x95", Format::Pickle),
    (b"\x80\x05\x95", Format::Pickle),
    (b"\x1f\x8b", Format::Compressed("gzip")),
    (b"\x28\xb5\x2f\xfd", Format::Compressed("zstd")),
    (b"\xfd7zXZ\x00", Format::Compressed("xz")),
    (b"BZh", Format::Compressed("bzip2")),
    (b"\x04\x22\x4d\x18", Format::Compressed("lz4")),
    (b"7z\xbc\xaf\x27\x1c", Format::Compressed("7-Zip")),
    (b"Rar!\x1a\x07", Format::Compressed("RAR")),
    (b"PAR1", Format::Parquet),
    (b"ARROW1\0\0", Format::Arrow),
    (b"SQLite format 3\0", Format::Sqlite),
    (b"<?xml", Format::Xml),
    (b"\xef\xbb\xbf<?xml", Format::Xml),
];

impl Format {
    /// The format of a file that begins with these bytes, if it is a known one other than
    /// safetensors.
    pub(super) fn of(start: &[u8]) -> Option<Self> {
        let start = &start[..start.len().min(EXAMINED_BYTES)];
        if start.is_empty() {
            return Some(Self::Empty);
        }
        // A safetensors file has the length of its header in 8 bytes, and then the header.
        if start.get(8) == Some(&b'{') && start[6..8] == [0, 0] {
            return None;
        }
        if let Some((_, format)) = MAGIC.iter().find(|(magic, _)| start.starts_with(magic)) {
            return Some(*format);
        }
        if [&b"PK\x03\x04"[..], b"PK\x05\x06", b"PK\x07\x08"].iter().any(|magic| start.starts_with(magic)) {
            return Some(Self::of_zip(start));
        }
        if start.get(4..8) == Some(b"TFL3") {
            return Some(Self::TfLite);
        }
        if start.get(257..262) == Some(b"ustar") {
            return Some(Self::Tar);
        }
        // Field 1 (the version) and field 2 (the producer's name) of a protocol buffer.
        if start.len() > 4 && start[0] == 0x08 && start[1] < 0x20 && start[2] == 0x12 {
            return Some(Self::Onnx);
        }
        if start.len() >= 16 && start.iter().all(|byte| *byte == 0) {
            return Some(Self::Zeros);
        }
        Self::of_text(start)
    }

    /// Uses the name of the first file in an archive.
    fn of_zip(start: &[u8]) -> Self {
        let name_bytes =
            start.get(26..28).map_or(0, |bytes| usize::from(u16::from_le_bytes([bytes[0], bytes[1]])));
        let name = start.get(30..start.len().min(30 + name_bytes)).unwrap_or_default();
        if name.ends_with(b".npy") {
            Self::Npz
        } else if [&b"/data.pkl"[..], b"/.data/", b"/version", b"/byteorder", b".format_version"]
            .iter()
            .any(|part| name.ends_with(part))
            || name.starts_with(b"archive/")
        {
            Self::TorchZip
        } else if name == b"metadata.json" || name == b"config.json" {
            Self::Keras
        } else {
            Self::Zip
        }
    }

    fn of_text(start: &[u8]) -> Option<Self> {
        let utf16 = start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff");
        let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
        let text = match core::str::from_utf8(start) {
            Ok(text) => text,
            // The text ends within a character.
            Err(error) if error.error_len().is_none() => {
                core::str::from_utf8(&start[..error.valid_up_to()]).unwrap_or_default()
            }
            Err(_) if utf16 => return Some(Self::Text),
            Err(_) => return None,
        };
        if text.chars().any(|c| c.is_control() && !c.is_whitespace()) {
            return None;
        }
        let text = text.trim_start().to_ascii_lowercase();
        Some(match text.as_bytes() {
            [] => return None,
            [b'<', ..] if text.starts_with("<?xml") || text.starts_with("<error") => Self::Xml,
            [b'<', ..] => Self::Html,
            [b'{', ..] if text.contains("\"weight_map\"") => Self::ShardIndex,
            [b'{' | b'[', ..] => Self::Json,
            _ => Self::Text,
        })
    }

    /// The remedy, if there is one: a part of a sentence.
    pub fn remedy(self) -> Option<&'static str> {
        Some(match self {
            Self::Empty | Self::Zeros => "fetch it again",
            Self::GitLfsPointer => "run `git lfs pull` to get the file itself",
            Self::ShardIndex => "its name must end in .json to be read as a sharded model",
            Self::Json | Self::Html | Self::Xml | Self::Text => "was it downloaded from the right address?",
            Self::TorchZip | Self::Pickle => {
                "convert it with safetensors.torch.save_file; load pickles only from those you trust"
            }
            Self::Npz | Self::Npy => "convert it with safetensors.numpy.save_file",
            Self::Keras | Self::Hdf5 | Self::Gguf | Self::Ggml | Self::TfLite | Self::Onnx => {
                "export the weights as safetensors"
            }
            Self::Zip | Self::Tar | Self::Compressed(_) => "unpack it first",
            Self::Parquet | Self::Arrow | Self::Sqlite => return None,
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "an empty file",
            Self::Zeros => "a file that begins with nothing but zeros",
            Self::GitLfsPointer => "a Git LFS pointer",
            Self::ShardIndex => "the JSON index of a sharded model",
            Self::Json => "JSON",
            Self::Html => "an HTML page",
            Self::Xml => "an XML document",
            Self::TorchZip => "a PyTorch checkpoint (a zip archive with a pickle)",
            Self::Npz => "a NumPy .npz archive",
            Self::Keras => "a Keras model (a zip archive)",
            Self::Zip => "a zip archive",
            Self::Pickle => "a Python pickle, as of an old PyTorch checkpoint",
            Self::Npy => "a NumPy .npy array",
            Self::Gguf => "a GGUF model",
            Self::Ggml => "a GGML model",
            Self::Hdf5 => "an HDF5 file",
            Self::TfLite => "a TensorFlow Lite model",
            Self::Onnx => "an ONNX model",
            Self::Tar => "a tar archive",
            Self::Compressed(program) => return write!(f, "a file compressed with {program}"),
            Self::Parquet => "a Parquet file",
            Self::Arrow => "an Arrow file",
            Self::Sqlite => "an SQLite database",
            Self::Text => "a text file",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zip(name: &[u8]) -> Vec<u8> {
        let mut bytes = b"PK\x03\x04".to_vec();
        bytes.resize(26, 0);
        bytes.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        bytes.extend([0, 0]);
        bytes.extend(name);
        bytes.extend([0xff; 40]);
        bytes
    }

    #[test]
    fn formats_are_recognised() {
        let mut tar = vec![b'a'; 257];
        tar.extend(b"ustar\0");
        let cases: [(Vec<u8>, Format); 20] = [
            (vec![], Format::Empty),
            (vec![0; 100], Format::Zeros),
            (
                b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n".to_vec(),
                Format::GitLfsPointer,
            ),
            (b"{\"metadata\": {}, \"weight_map\": {}}".to_vec(), Format::ShardIndex),
            (b"[1]".to_vec(), Format::Json),
            (b"\n<!DOCTYPE html><html>".to_vec(), Format::Html),
            (b"<?xml version=\"1.0\"?><Error>AccessDenied".to_vec(), Format::Xml),
            (zip(b"archive/data.pkl"), Format::TorchZip),
            (zip(b"model/data.pkl"), Format::TorchZip),
            (zip(b"w.npy"), Format::Npz),
            (zip(b"metadata.json"), Format::Keras),
            (zip(b"letter.txt"), Format::Zip),
            (b"\x80\x02\x8a\x0al\xfc\x9c".to_vec(), Format::Pickle),
            (b"\x93NUMPY\x01\0v\0{'descr'".to_vec(), Format::Npy),
            (b"GGUF\x03\0\0\0\x23".to_vec(), Format::Gguf),
            (b"\x89HDF\r\n\x1a\n\0".to_vec(), Format::Hdf5),
            (b"\x1f\x8b\x08\0\0\0".to_vec(), Format::Compressed("gzip")),
            (b"\x08\x07\x12\x07pytorch".to_vec(), Format::Onnx),
            (tar, Format::Tar),
            ("Entrée non trouvée".into(), Format::Text),
        ];
        for (bytes, format) in cases {
            assert_eq!(Format::of(&bytes), Some(format), "{}", bytes.escape_ascii());
        }
        assert_eq!(Format::of(b"\x10\0\0\0\0\0\0\0{\"w\":"), None);
        assert_eq!(Format::of(b"\x10\0\0\0\0\0\0\0\xff"), None);
    }
}
