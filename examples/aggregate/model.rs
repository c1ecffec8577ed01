//! Updates in safetensors files: opened, checked against each other, read and written a block at a time.

use std::{
    collections::HashMap,
    fmt,
    fs::{self, File},
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
    ops::Range,
    path::{Path, PathBuf},
    time::SystemTime,
};

use half::{bf16, f16};
use safetensors::{Dtype, tensor::Metadata};

/// Values that are converted at a time: a quarter of a megabyte of F32.
const BLOCK: usize = 1 << 16;

/// What safetensors allows for a header.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// What can be wrong with a file. Every message begins with its path.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{}: not a regular file, and an update is read more than once", path.display())]
    NotAFile { path: PathBuf },
    #[error("{}: no safetensors file: {reason}", path.display())]
    Header { path: PathBuf, reason: String },
    #[error("{}: has {found} bytes, its header tells of {expected}: cut short or corrupted", path.display())]
    Length { path: PathBuf, expected: u64, found: u64 },
    #[error("{}: has no tensors", path.display())]
    NoTensors { path: PathBuf },
    #[error("{}: tensor `{tensor}` is missing, which {} has", path.display(), first.display())]
    Missing { path: PathBuf, tensor: String, first: PathBuf },
    #[error("{}: tensor `{tensor}` is one that {} does not have", path.display(), first.display())]
    Unexpected { path: PathBuf, tensor: String, first: PathBuf },
    #[error("{}: tensor `{tensor}` is {found}, but {expected} in {}", path.display(), first.display())]
    Differs { path: PathBuf, tensor: String, found: String, expected: String, first: PathBuf },
    #[error("{}: tensor `{tensor}` has {value} at index {index}, which has no mean", path.display())]
    NotFinite { path: PathBuf, tensor: String, index: usize, value: f32 },
    #[error(
        "{}: tensor `{tensor}` is {dtype}; F32, F16 and BF16 are averaged, and --other-types says what else to do",
        path.display()
    )]
    OtherType { path: PathBuf, tensor: String, dtype: Dtype },
    #[error(
        "{}: tensor `{tensor}` is {dtype} and not the same as in {}, so it cannot be kept",
        path.display(),
        first.display()
    )]
    OtherDiffers { path: PathBuf, tensor: String, dtype: Dtype, first: PathBuf },
    #[error("{}: was changed while this ran", path.display())]
    Changed { path: PathBuf },
}

fn io_at(path: &Path) -> impl Fn(io::Error) -> Problem {
    move |source| Problem::Io { path: path.to_owned(), source }
}

/// The types that are averaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FloatType {
    F32,
    F16,
    BF16,
}

impl FloatType {
    fn of(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F32 => Some(Self::F32),
            Dtype::F16 => Some(Self::F16),
            Dtype::BF16 => Some(Self::BF16),
            _ => None,
        }
    }

    fn bytes(self) -> usize {
        if self == Self::F32 { 4 } else { 2 }
    }

    /// The value that a file of this type keeps: the nearest, and none that is infinite.
    pub(crate) fn round(self, x: f32) -> f32 {
        match self {
            Self::F32 => x.clamp(f32::MIN, f32::MAX),
            Self::F16 => f16::from_f32(x.clamp(f16::MIN.to_f32(), f16::MAX.to_f32())).to_f32(),
            Self::BF16 => bf16::from_f32(x.clamp(bf16::MIN.to_f32(), bf16::MAX.to_f32())).to_f32(),
        }
    }

    /// The most by which [`round`](Self::round) moves a number of at most this magnitude: half a unit in the last of
    /// 24, 11 or 8 places, and half the least positive number near zero.
    pub(crate) fn rounding_error(self, magnitude: f64) -> f64 {
        let (places, least) = match self {
            Self::F32 => (24, -149),
            Self::F16 => (11, -24),
            Self::BF16 => (8, -133),
        };
        magnitude * 2_f64.powi(-places) + 2_f64.powi(least - 1)
    }

    fn decode(self, bytes: &[u8], out: &mut [f32]) {
        match self {
            Self::F32 => {
                for (x, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
                    *x = f32::from_le_bytes(*bytes);
                }
            }
            Self::F16 => {
                for (x, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
                    *x = f16::from_le_bytes(*bytes).to_f32();
                }
            }
            Self::BF16 => {
                for (x, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
                    *x = bf16::from_le_bytes(*bytes).to_f32();
                }
            }
        }
    }

    fn encode(self, values: &[f32], out: &mut Vec<u8>) {
        out.clear();
        for x in values.iter().map(|x| self.round(*x)) {
            match self {
                Self::F32 => out.extend(x.to_le_bytes()),
                Self::F16 => out.extend(f16::from_f32(x).to_le_bytes()),
                Self::BF16 => out.extend(bf16::from_f32(x).to_le_bytes()),
            }
        }
    }
}

impl fmt::Display for FloatType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A tensor as its file's header describes it.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    /// Its place in the file.
    bytes: Range<u64>,
}

impl Tensor {
    /// The type, if it is one that is averaged.
    pub(crate) fn float(&self) -> Option<FloatType> {
        FloatType::of(self.dtype)
    }

    /// Number of values.
    pub(crate) fn values(&self) -> usize {
        self.shape.iter().product()
    }
}

/// What to do with tensors that are not averaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum OtherTypes {
    /// Refuse the files, and name the tensor
    Refuse,
    /// Keep them if they are the same in all files, refuse them otherwise
    Same,
    /// Take the first file's. They are not hidden then: whoever gets the mean sees what the first client had
    First,
}

/// An update that was found good when it was opened.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) path: PathBuf,
    /// Header and length before it, as they stand in the file.
    header: Vec<u8>,
    /// In the order of the file.
    pub(crate) tensors: Vec<Tensor>,
    stamp: Stamp,
}

/// What tells a file from a later version of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
}

/// An update that is being read.
pub(crate) struct Reader {
    model: Model,
    file: File,
    /// Bytes of a block.
    buffer: Vec<u8>,
}

impl Model {
    /// Reads a file's header and checks it against the file's length.
    pub(crate) fn open(path: &Path) -> Result<Reader, Problem> {
        let io = io_at(path);
        let header_problem = |reason: String| Problem::Header { path: path.to_owned(), reason };
        // A pipe would wait for its writer to be opened at all.
        if !fs::metadata(path).map_err(&io)?.is_file() {
            return Err(Problem::NotAFile { path: path.to_owned() });
        }
        let mut file = File::open(path).map_err(&io)?;
        let status = file.metadata().map_err(&io)?;
        let stamp = Stamp { len: status.len(), modified: status.modified().ok() };
        let mut length = [0; 8];
        if stamp.len < 8 {
            return Err(header_problem(format!("{} bytes are too few", stamp.len)));
        }
        file.read_exact(&mut length).map_err(&io)?;
        let header_bytes = u64::from_le_bytes(length);
        if header_bytes > MAX_HEADER_BYTES {
            return Err(header_problem(format!("a header of {header_bytes} bytes")));
        }
        if header_bytes > stamp.len - 8 {
            return Err(Problem::Length {
                path: path.to_owned(),
                expected: 8 + header_bytes,
                found: stamp.len,
            });
        }
        let mut header = length.to_vec();
        (&file).take(header_bytes).read_to_end(&mut header).map_err(&io)?;
        let metadata: Metadata =
            serde_json::from_slice(&header[8..]).map_err(|error| header_problem(error.to_string()))?;
        let start = 8 + header_bytes;
        let expected = start + metadata.data_len() as u64;
        if stamp.len != expected {
            return Err(Problem::Length { path: path.to_owned(), expected, found: stamp.len });
        }
        let tensors = metadata.offset_keys().into_iter().map(|name| {
            let info = metadata.info(&name).expect("the name is one of the header's");
            let (from, to) = info.data_offsets;
            let bytes = start + from as u64..start + to as u64;
            Tensor { dtype: info.dtype, shape: info.shape.clone(), bytes, name }
        });
        let tensors: Vec<_> = tensors.collect();
        if tensors.is_empty() {
            return Err(Problem::NoTensors { path: path.to_owned() });
        }
        let model = Self { path: path.to_owned(), header, tensors, stamp };
        Ok(Reader { model, file, buffer: Vec::new() })
    }

    /// Opens the file once more, which must not have changed.
    pub(crate) fn reopen(&self) -> Result<Reader, Problem> {
        let changed = || Problem::Changed { path: self.path.clone() };
        let mut reader = Self::open(&self.path)?;
        if reader.model.stamp != self.stamp || reader.model.header != self.header {
            return Err(changed());
        }
        reader.model.tensors.clone_from(&self.tensors); // in the first file's order
        Ok(reader)
    }

    /// Puts the tensors into the order of `first`, which must have the same ones.
    fn arrange_like(&mut self, first: &Self) -> Result<(), Problem> {
        let (path, of) = (|| self.path.clone(), || first.path.clone());
        let mut known: HashMap<&str, &Tensor> =
            self.tensors.iter().map(|tensor| (&*tensor.name, tensor)).collect();
        let mut arranged = Vec::with_capacity(self.tensors.len());
        for expected in &first.tensors {
            let tensor = expected.name.clone();
            let Some(found) = known.remove(&*tensor) else {
                return Err(Problem::Missing { path: path(), tensor, first: of() });
            };
            if (found.dtype, &found.shape) != (expected.dtype, &expected.shape) {
                let [found, expected] = [found, expected].map(|t| format!("{} {:?}", t.dtype, t.shape));
                return Err(Problem::Differs { path: path(), tensor, found, expected, first: of() });
            }
            arranged.push(found.clone());
        }
        if let Some(tensor) = known.into_keys().min() {
            return Err(Problem::Unexpected { path: path(), tensor: tensor.to_owned(), first: of() });
        }
        self.tensors = arranged;
        Ok(())
    }

    /// Tensors that are averaged.
    pub(crate) fn floats(&self) -> impl Iterator<Item = (&Tensor, FloatType)> {
        self.tensors.iter().filter_map(|tensor| Some((tensor, tensor.float()?)))
    }

    /// All tensors that are averaged, in memory.
    pub(crate) fn read(&self) -> Result<Vec<ndarray::Array1<f32>>, Problem> {
        let mut reader = self.reopen()?;
        let floats = self.floats().map(|(tensor, _)| {
            let mut values = vec![0.0; tensor.values()];
            reader.read(tensor, 0, &mut values)?;
            Ok(values.into())
        });
        floats.collect()
    }
}

impl Reader {
    /// Reads some values of a tensor, which must be finite.
    pub(crate) fn read(&mut self, tensor: &Tensor, from: usize, out: &mut [f32]) -> Result<(), Problem> {
        let float = tensor.float().expect("only such tensors are read");
        let path = &self.model.path;
        let start = tensor.bytes.start + (from * float.bytes()) as u64;
        self.file.seek(SeekFrom::Start(start)).map_err(io_at(path))?;
        for (block, out) in out.chunks_mut(BLOCK).enumerate() {
            self.buffer.resize(out.len() * float.bytes(), 0);
            self.file.read_exact(&mut self.buffer).map_err(io_at(path))?;
            float.decode(&self.buffer, out);
            if let Some(index) = out.iter().position(|x| !x.is_finite()) {
                let (tensor, value) = (tensor.name.clone(), out[index]);
                let index = from + block * BLOCK + index;
                return Err(Problem::NotFinite { path: path.clone(), tensor, index, value });
            }
        }
        Ok(())
    }

    /// Whether a tensor has the same bytes in another file.
    fn same(&mut self, tensor: &Tensor, other: &mut Self, others: &Tensor) -> Result<bool, Problem> {
        let mut theirs = Vec::new();
        self.file.seek(SeekFrom::Start(tensor.bytes.start)).map_err(io_at(&self.model.path))?;
        other.file.seek(SeekFrom::Start(others.bytes.start)).map_err(io_at(&other.model.path))?;
        let mut left = tensor.bytes.end - tensor.bytes.start;
        while left > 0 {
            let block = usize::try_from(left).map_or(BLOCK, |left| left.min(BLOCK));
            self.buffer.resize(block, 0);
            theirs.resize(block, 0);
            self.file.read_exact(&mut self.buffer).map_err(io_at(&self.model.path))?;
            other.file.read_exact(&mut theirs).map_err(io_at(&other.model.path))?;
            if self.buffer != theirs {
                return Ok(false);
            }
            left -= block as u64;
        }
        Ok(true)
    }
}

/// Reads all files once, header by header and then value by value, so that whatever is wrong with any of them is known
/// before the work begins.
pub(crate) fn check(paths: &[PathBuf], other_types: OtherTypes) -> Result<Vec<Model>, Problem> {
    let mut models: Vec<Model> = Vec::with_capacity(paths.len());
    for path in paths {
        let mut model = Model::open(path)?.model;
        match models.first() {
            Some(first) => model.arrange_like(first)?,
            None if other_types == OtherTypes::Refuse => {
                if let Some(tensor) = model.tensors.iter().find(|tensor| tensor.float().is_none()) {
                    let (tensor, dtype) = (tensor.name.clone(), tensor.dtype);
                    return Err(Problem::OtherType { path: path.clone(), tensor, dtype });
                }
            }
            None => {}
        }
        models.push(model);
    }
    let mut values = Vec::new();
    for model in &models {
        let mut reader = model.reopen()?;
        for (i, tensor) in model.tensors.iter().enumerate() {
            if tensor.float().is_some() {
                for from in (0..tensor.values()).step_by(BLOCK) {
                    values.resize(BLOCK.min(tensor.values() - from), 0.0);
                    reader.read(tensor, from, &mut values)?;
                }
            } else if other_types == OtherTypes::Same {
                let first = &models[0];
                if !reader.same(tensor, &mut first.reopen()?, &first.tensors[i])? {
                    let (path, first) = (model.path.clone(), first.path.clone());
                    let (tensor, dtype) = (tensor.name.clone(), tensor.dtype);
                    return Err(Problem::OtherDiffers { path, tensor, dtype, first });
                }
            }
        }
    }
    Ok(models)
}

/// Fails if no file can be made where `out` is to be, and leaves nothing there.
pub(crate) fn check_output(out: &Path, inputs: &[PathBuf]) -> Result<(), Problem> {
    let io = io_at(out);
    // Renaming over a directory fails late, and over a device it would succeed.
    if fs::metadata(out).is_ok_and(|out| !out.is_file()) {
        return Err(io(io::Error::other("exists, but is not a regular file")));
    }
    tempfile::tempfile_in(directory(out)).map_err(&io)?;
    // A path that cannot be resolved does not exist yet, and is no input.
    if let Ok(resolved) = out.canonicalize() {
        for input in inputs {
            if input.canonicalize().is_ok_and(|input| input == resolved) {
                let text = format!("is the input {}, and is not overwritten", input.display());
                return Err(io(io::Error::other(text)));
            }
        }
    }
    Ok(())
}

/// Writes a file with the header of `first` and these values. It takes its name at the end, when it is complete.
pub(crate) fn write(out: &Path, first: &Model, mean: &[ndarray::Array1<f32>]) -> Result<(), Problem> {
    let io = io_at(out);
    let mut source = first.reopen()?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".aggregate-").suffix(".tmp");
    #[cfg(unix)] // as for any new file: the user's mask decides
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let temporary = builder.tempfile_in(directory(out)).map_err(&io)?;
    let mut file = BufWriter::new(temporary.as_file());
    file.write_all(&first.header).map_err(&io)?;
    let mut mean = mean.iter();
    let mut bytes = Vec::new();
    for tensor in &first.tensors {
        if let Some(float) = tensor.float() {
            let values = mean.next().expect("a mean for each tensor that has one");
            for block in values.as_slice().expect("one dimension is contiguous").chunks(BLOCK) {
                float.encode(block, &mut bytes);
                file.write_all(&bytes).map_err(&io)?;
            }
        } else {
            source.file.seek(SeekFrom::Start(tensor.bytes.start)).map_err(io_at(&first.path))?;
            let len = tensor.bytes.end - tensor.bytes.start;
            io::copy(&mut (&source.file).take(len), &mut file).map_err(&io)?;
        }
    }
    file.flush().map_err(&io)?;
    drop(file);
    temporary.as_file().sync_all().map_err(&io)?;
    temporary.persist(out).map_err(|error| io(error.error))?;
    Ok(())
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
