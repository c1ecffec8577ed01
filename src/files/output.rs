//! A file that is written completely or not at all.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use safetensors::tensor::{Metadata, TensorInfo as HeaderEntry};
use tempfile::NamedTempFile;

use super::{
    BLOCK, Error, Float, OutputProblem, Reader, TensorInfo, UpdateFile, index, safetensors::is_same_file,
};

/// Maximum number of symbolic links in a chain, as on Linux.
const MAX_LINKS: usize = 40;

/// Headers are padded with spaces, so that values begin at a multiple of this number of bytes.
const ALIGNMENT: usize = 8;

/// A checked name for a new file.
#[derive(Clone, Debug)]
pub struct Output {
    /// The name as given.
    path: PathBuf,
    /// The file to write: the target if the name is a symbolic link.
    target: PathBuf,
}

/// A file during writing. [`finish`](Self::finish) gives it its name. A writer that is dropped
/// earlier removes its file.
#[derive(Debug)]
pub struct Writer {
    output: Output,
    file: BufWriter<NamedTempFile>,
    /// The remaining tensors of the header, in order.
    tensors: VecDeque<TensorInfo>,
    /// The current tensor, and the number of its remaining bytes.
    current: Option<(TensorInfo, u64)>,
    bytes: Vec<u8>,
}

impl Output {
    /// Checks that a file can be created under a name, and that it replaces none of the inputs.
    /// Leaves no file.
    ///
    /// Writing replaces an existing file and keeps its permissions. A symbolic link stays, and its
    /// target is replaced or created.
    ///
    /// # Errors
    ///
    /// [`Error::Output`] for a directory, a device and a name that no file can have;
    /// [`Error::OutputIsInput`]; [`Error::Io`] with the system's reason if a file cannot be created
    /// or replaced there.
    pub fn check<'u>(
        path: impl AsRef<Path>,
        inputs: impl IntoIterator<Item = &'u UpdateFile>,
    ) -> Result<Self, Error> {
        let path = path.as_ref();
        let output = Self { path: path.to_owned(), target: resolve(path)? };
        let io = Error::io(path);
        match fs::metadata(&output.target) {
            Ok(status) if status.is_dir() => return Err(output.problem(OutputProblem::Directory)),
            Ok(status) if !status.is_file() => return Err(output.problem(OutputProblem::NotAFile)),
            Ok(status) => {
                for input in inputs {
                    output.check_input(input, &status)?;
                }
                // A read-only file is not replaced, although its directory would allow that.
                OpenOptions::new().append(true).open(&output.target).map_err(&io)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // The name itself may be impossible: for example too long, or with characters that
                // the file system does not support.
                File::create_new(&output.target).map_err(&io)?;
                fs::remove_file(&output.target).map_err(&io)?;
            }
            Err(error) => return Err(io(error)),
        }
        // Replacing also needs a temporary file in the same directory.
        tempfile::tempfile_in(directory(&output.target)).map_err(&io)?;
        Ok(output)
    }

    fn problem(&self, reason: OutputProblem) -> Error {
        Error::Output { path: self.path.clone(), reason }
    }

    /// Fails if an update, its index or one of its shards is the file with this metadata.
    fn check_input(&self, update: &UpdateFile, status: &fs::Metadata) -> Result<(), Error> {
        let resolved = self.target.canonicalize().ok();
        let is_output = |input: &Path| {
            let same = |input: fs::Metadata| is_same_file(&input, status);
            resolved.is_some() && input.canonicalize().ok() == resolved || fs::metadata(input).is_ok_and(same)
        };
        let own = Some(update.path()).filter(|path| !path.is_dir()).map(Path::to_owned);
        let index = update.path().is_dir().then(|| index::model_in(update.path()).ok()).flatten();
        let files = update.files().map(Path::to_owned);
        for input in own.into_iter().chain(index).chain(files) {
            if is_output(&input) {
                return Err(Error::OutputIsInput { path: self.path.clone(), input });
            }
        }
        Ok(())
    }

    /// The name as given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file to write: the target if the name is a symbolic link.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Creates a file with a header for these tensors. Write their values next, in order.
    ///
    /// # Errors
    ///
    /// [`Error::Output`] for more bytes than a header can state on this machine;
    /// [`Error::Io`].
    pub fn create(
        &self,
        tensors: &[TensorInfo],
        metadata: &BTreeMap<String, String>,
    ) -> Result<Writer, Error> {
        let io = Error::io(&self.path);
        let header = header(tensors, metadata).ok_or_else(|| self.problem(OutputProblem::TooLarge))?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(".cipherfold-").suffix(".tmp");
        #[cfg(unix)] // as for any new file: the user's mask decides
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let temporary = builder.tempfile_in(directory(&self.target)).map_err(&io)?;
        if let Ok(old) = fs::metadata(&self.target) {
            temporary.as_file().set_permissions(old.permissions()).map_err(&io)?;
        }
        let mut file = BufWriter::new(temporary);
        file.write_all(&header).map_err(&io)?;
        let tensors = VecDeque::from(tensors.to_vec());
        Ok(Writer { output: self.clone(), file, tensors, current: None, bytes: Vec::new() })
    }
}

impl Writer {
    /// The path of the unfinished file, for programs that remove it when they are interrupted.
    pub fn temporary_path(&self) -> &Path {
        self.file.get_ref().path()
    }

    /// Moves to the next tensor of the header, and returns it; `None` after the last one.
    ///
    /// # Errors
    ///
    /// [`Error::Written`] if values of the previous tensor are missing.
    pub fn next_tensor(&mut self) -> Result<Option<TensorInfo>, Error> {
        if let Some((tensor, left)) = self.current.take()
            && left > 0
        {
            return Err(self.written(tensor.bytes(), tensor.bytes() - left));
        }
        let next = self.tensors.pop_front();
        self.current = next.clone().map(|tensor| {
            let bytes = tensor.bytes();
            (tensor, bytes)
        });
        Ok(next)
    }

    /// Writes values of a floating-point tensor, each rounded to its type
    /// ([`FloatType`](super::FloatType)). Several calls may write one tensor.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; [`Error::Written`] for more values than the tensor has.
    ///
    /// # Panics
    ///
    /// If the tensor is of another type, or before the first [`next_tensor`](Self::next_tensor).
    pub fn write_floats<T: Float>(&mut self, values: &[T]) -> Result<(), Error> {
        let float = self.tensor().float().expect("a floating-point tensor");
        for block in values.chunks(BLOCK) {
            self.write(|bytes| float.encode(block, bytes))?;
        }
        Ok(())
    }

    /// Writes values of an integer tensor, given as distances from the minimum of their type.
    /// Several calls may write one tensor.
    ///
    /// # Errors
    ///
    /// Those of [`write_floats`](Self::write_floats).
    ///
    /// # Panics
    ///
    /// If the tensor is of another type, or before the first [`next_tensor`](Self::next_tensor).
    pub fn write_integers(&mut self, values: &[u64]) -> Result<(), Error> {
        let integer = self.tensor().integer().expect("an integer tensor");
        for block in values.chunks(BLOCK) {
            self.write(|bytes| integer.encode(block, bytes))?;
        }
        Ok(())
    }

    /// Copies the whole tensor of an update, unchanged. **This reveals that client's values**,
    /// unless all clients have the same.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], [`Error::Changed`]; [`Error::Written`] unless that tensor has the same number
    /// of bytes.
    ///
    /// # Panics
    ///
    /// Before the first [`next_tensor`](Self::next_tensor).
    pub fn copy(&mut self, from: &mut Reader<'_>, tensor: usize) -> Result<(), Error> {
        let (expected, found) = (self.tensor().bytes(), from.tensor(tensor).bytes());
        if found != expected {
            return Err(self.written(expected, found));
        }
        from.copy(tensor, &self.output.path, &mut self.file)?;
        self.current = None;
        Ok(())
    }

    /// Gives the file its name. All tensors must have been written.
    ///
    /// # Errors
    ///
    /// [`Error::Written`] if values are missing; [`Error::Io`].
    pub fn finish(mut self) -> Result<(), Error> {
        while let Some(tensor) = self.next_tensor()? {
            if tensor.bytes() > 0 {
                return Err(self.written(tensor.bytes(), 0));
            }
        }
        let path = self.output.path.clone();
        let io = Error::io(&path);
        let temporary = self.file.into_inner().map_err(|error| io(error.into_error()))?;
        temporary.as_file().sync_all().map_err(&io)?;
        temporary.persist(&self.output.target).map_err(|error| io(error.error))?;
        // The new name is on the disk once its directory is. Not every system supports that.
        #[cfg(unix)]
        let _ = File::open(directory(&self.output.target)).and_then(|directory| directory.sync_all());
        Ok(())
    }

    /// The current tensor.
    fn tensor(&self) -> &TensorInfo {
        &self.current.as_ref().expect("a tensor is being written").0
    }

    fn write(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> Result<(), Error> {
        self.bytes.clear();
        encode(&mut self.bytes);
        let (_, left) = self.current.as_mut().expect("a tensor is being written");
        let found = self.bytes.len() as u64;
        let Some(rest) = left.checked_sub(found) else {
            let expected = *left;
            return Err(self.written(expected, found));
        };
        *left = rest;
        self.file.write_all(&self.bytes).map_err(Error::io(&self.output.path))
    }

    fn written(&self, expected: u64, found: u64) -> Error {
        Error::Written { path: self.output.path.clone(), expected, found }
    }
}

/// A header of safetensors, with its length before it. `None` if an offset does not fit `usize`,
/// which is the type of offsets in `safetensors`: each input fits, but an output may join several.
fn header(tensors: &[TensorInfo], metadata: &BTreeMap<String, String>) -> Option<Vec<u8>> {
    let mut end = 0_usize;
    let entries = tensors.iter().map(|tensor| {
        let start = end;
        end = end.checked_add(usize::try_from(tensor.bytes()).ok()?)?;
        let (dtype, shape) = (tensor.dtype(), tensor.shape().to_vec());
        Some((tensor.name().to_owned(), HeaderEntry { dtype, shape, data_offsets: (start, end) }))
    });
    let entries = entries.collect::<Option<_>>()?;
    let entries = Metadata::new(None, entries).expect("tensors of good headers, one after the other");
    let mut text = serde_json::to_vec(&entries).expect("names and numbers are JSON");
    if !metadata.is_empty() {
        // Sorted by name, so that equal means give equal files. The order of safetensors' map is
        // random.
        let metadata = serde_json::to_string(metadata).expect("texts are JSON");
        let separator = if tensors.is_empty() { "" } else { "," };
        text.splice(1..1, format!("\"__metadata__\":{metadata}{separator}").into_bytes());
    }
    text.resize(text.len().next_multiple_of(ALIGNMENT), b' ');
    Some([&(text.len() as u64).to_le_bytes(), &*text].concat())
}

/// The target of a name. It need not exist.
fn resolve(path: &Path) -> Result<PathBuf, Error> {
    let problem = |reason| Error::Output { path: path.to_owned(), reason };
    let mut target = path.to_owned();
    for _ in 0..=MAX_LINKS {
        // `a/`, `a/.` and `..` always name directories.
        let ends_in_name = target
            .file_name()
            .is_some_and(|name| target.as_os_str().as_encoded_bytes().ends_with(name.as_encoded_bytes()));
        if !ends_in_name {
            let reason = if target.is_dir() { OutputProblem::Directory } else { OutputProblem::NoName };
            return Err(problem(reason));
        }
        match fs::read_link(&target) {
            Ok(next) => target = directory(&target).join(next),
            Err(_) => return Ok(target), // not a link, or does not exist
        }
    }
    Err(problem(OutputProblem::LinkLoop))
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(path: &Path) -> UpdateFile {
        let header = br#"{"e":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
        fs::write(path, [&(header.len() as u64).to_le_bytes()[..], header, &[0; 8]].concat()).unwrap();
        UpdateFile::open(path).unwrap()
    }

    #[test]
    fn a_file_is_written_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let update = update(&folder.path().join("a"));
        let output = Output::check(&path, [&update]).unwrap();
        assert!(!path.exists());
        let names = || fs::read_dir(&folder).unwrap().count();

        let mut writer = output.create(update.tensors(), &BTreeMap::new()).unwrap();
        assert_eq!(names(), 2);
        assert_eq!(writer.next_tensor().unwrap().unwrap().name(), "e");
        assert_eq!(writer.next_tensor().unwrap().unwrap().name(), "w");
        writer.write_floats(&[1.5_f32]).unwrap();
        assert!(matches!(writer.next_tensor(), Err(Error::Written { expected: 8, found: 4, .. })));
        drop(writer);
        assert_eq!(names(), 1);
        let writer = output.create(update.tensors(), &BTreeMap::new()).unwrap();
        assert!(matches!(writer.finish(), Err(Error::Written { expected: 8, found: 0, .. })));
        let mut writer = output.create(update.tensors(), &BTreeMap::new()).unwrap();
        writer.next_tensor().unwrap();
        assert!(matches!(writer.write_floats(&[0.0_f64]), Err(Error::Written { expected: 0, found: 4, .. })));
        drop(writer);
        assert_eq!(names(), 1);

        let metadata = BTreeMap::from([("format".to_owned(), "p\n".to_owned())]);
        let mut writer = output.create(update.tensors(), &metadata).unwrap();
        writer.next_tensor().unwrap();
        writer.next_tensor().unwrap();
        writer.write_floats(&[1.5_f32]).unwrap();
        writer.write_floats(&[-2.5_f64]).unwrap();
        writer.finish().unwrap();
        let written = UpdateFile::open(&path).unwrap();
        assert_eq!(written.metadata(), metadata);
        assert_eq!(written.floats::<f64>().unwrap()[1], ndarray::array![1.5, -2.5]);
        assert_eq!(names(), 2);
    }

    /// Two shards of 2.25 GiB each. Nothing of them is stored: their files have holes.
    #[test]
    fn an_output_may_be_too_large_for_a_machine_with_addresses_of_32_bits() {
        const TENSOR: u64 = 1 << 28;
        const TENSORS: u64 = 9;
        let folder = tempfile::tempdir().unwrap();
        let shard = |name: &str| {
            let entry = |i| {
                let (from, to) = (i * TENSOR, (i + 1) * TENSOR);
                format!(r#""{name}{i}":{{"dtype":"U8","shape":[{TENSOR}],"data_offsets":[{from},{to}]}}"#)
            };
            let header = format!("{{{}}}", (0..TENSORS).map(entry).collect::<Vec<_>>().join(","));
            let mut file = File::create(folder.path().join(name)).unwrap();
            let len = header.len() as u64;
            file.write_all(&[&len.to_le_bytes(), header.as_bytes()].concat()).unwrap();
            file.set_len(8 + len + TENSORS * TENSOR).unwrap();
            UpdateFile::open(folder.path().join(name)).unwrap()
        };
        let shards = [shard("a"), shard("b")];
        let tensors = [shards[0].tensors(), shards[1].tensors()].concat();
        let output = Output::check(folder.path().join("out"), &shards).unwrap();
        let created = output.create(&tensors, &BTreeMap::new());
        if usize::BITS == 32 {
            let refused = created.unwrap_err();
            assert!(matches!(refused, Error::Output { reason: OutputProblem::TooLarge, .. }), "{refused:?}");
            assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
        } else {
            assert!(created.is_ok());
        }
    }

    #[test]
    fn outputs_that_cannot_be_written_are_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let update = update(&folder.path().join("a"));
        let check = |name: &str| Output::check(folder.path().join(name), [&update]);
        for (name, reason) in
            [("", OutputProblem::Directory), ("x/", OutputProblem::NoName), ("..", OutputProblem::Directory)]
        {
            let refused = matches!(check(name), Err(Error::Output { reason: found, .. }) if found == reason);
            assert!(refused, "{name}: {:?}", check(name));
        }
        assert!(matches!(check("a"), Err(Error::OutputIsInput { .. })));
        for name in [&"n".repeat(300), "nowhere/x", "a/x"] {
            assert!(matches!(check(name), Err(Error::Io { .. })), "{name}: {:?}", check(name));
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn symbolic_links_stay_and_are_written_through() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let update = update(&at("a"));
        fs::create_dir(at("d")).unwrap();
        symlink("d/target", at("link")).unwrap();
        symlink("link", at("second")).unwrap();
        let output = Output::check(at("second"), [&update]).unwrap();
        let mut writer = output.create(update.tensors(), &BTreeMap::new()).unwrap();
        while let Some(tensor) = writer.next_tensor().unwrap() {
            writer.write_floats(&vec![0.5_f32; tensor.values()]).unwrap();
        }
        writer.finish().unwrap();
        assert!(fs::symlink_metadata(at("second")).unwrap().is_symlink());
        assert!(fs::symlink_metadata(at("d/target")).unwrap().is_file());
        assert_eq!(UpdateFile::open(at("second")).unwrap().tensors().len(), 2);

        symlink("loop", at("loop")).unwrap();
        symlink("d", at("folder")).unwrap();
        symlink("a", at("input")).unwrap();
        fs::hard_link(at("a"), at("hard")).unwrap();
        let check = |name| Output::check(at(name), [&update]);
        let problem = |name| match check(name) {
            Err(Error::Output { reason, .. }) => reason,
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(problem("loop"), OutputProblem::LinkLoop);
        assert_eq!(problem("folder"), OutputProblem::Directory);
        for name in ["input", "hard"] {
            assert!(matches!(check(name), Err(Error::OutputIsInput { .. })), "{name}");
        }
        assert!(matches!(
            Output::check("/dev/null", [&update]),
            Err(Error::Output { reason: OutputProblem::NotAFile, .. })
        ));
    }
}
