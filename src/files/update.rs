//! An update: tensors in one file or in several shards.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsStr,
    path::{Path, PathBuf},
    sync::Arc,
};

use ndarray::Array1;
use safetensors::Dtype;

use super::{
    Error, Float, FloatType, IntegerType, Reader, index,
    safetensors::{Entry, SafetensorsFile},
};

/// One client's update, with headers that were valid when it was opened. No values are in memory.
#[derive(Clone, Debug)]
pub struct UpdateFile {
    path: PathBuf,
    pub(super) shards: Vec<SafetensorsFile>,
    tensors: Vec<TensorInfo>,
}

/// A tensor's entry in the header of its file.
#[derive(Clone, Debug)]
pub struct TensorInfo {
    /// Shared by the updates of a round, like the shape.
    name: Arc<str>,
    dtype: Dtype,
    shape: Arc<[usize]>,
    /// The index of its file in the update.
    pub(super) shard: usize,
    /// The offset of its first byte in the file.
    pub(super) start: u64,
    bytes: u64,
}

impl TensorInfo {
    fn new(entry: Entry, shard: usize) -> Self {
        let Entry { name, dtype, shape, start, bytes } = entry;
        Self { name: name.into(), dtype, shape: shape.into(), shard, start, bytes }
    }

    /// The name. It comes from a file: print it through [`Printable`](super::Printable).
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Lengths of its dimensions.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of values. A complex number counts as two.
    pub fn values(&self) -> usize {
        let elements: usize = self.shape.iter().product();
        elements * self.float().map_or(1, FloatType::values_per_element)
    }

    /// Bytes of its values.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The type, if it is a floating-point type.
    pub fn float(&self) -> Option<FloatType> {
        FloatType::of(self.dtype)
    }

    /// The type, if it is an integer type.
    pub fn integer(&self) -> Option<IntegerType> {
        IntegerType::of(self.dtype)
    }

    /// The name of its type in headers. Types that are neither floating-point nor integer are parts
    /// of block formats: 4 and 6 bits (`F4`, `F6_E2M3`, `F6_E3M2`) and scales (`F8_E8M0`). They
    /// have no meaning alone.
    pub fn type_name(&self) -> String {
        self.dtype.to_string()
    }

    pub(super) fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn signature(&self) -> String {
        format!("{} {:?}", self.dtype, self.shape)
    }
}

impl UpdateFile {
    /// Opens an update: a safetensors file, the index of a sharded model (its name ends in
    /// `.json`), or a directory with either. Reads headers only.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], [`Error::NotAFile`]; [`Error::Format`] for a file of another format;
    /// [`Error::Header`], [`Error::Length`] and [`Error::NoTensors`]; [`Error::Directory`];
    /// [`Error::Index`], [`Error::ShardPath`] and [`Error::ShardTensor`] for sharded models.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        if path.is_dir() {
            let model = index::model_in(path)?;
            return Ok(Self { path: path.to_owned(), ..Self::open(model)? });
        }
        let is_index = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
        let update = if is_index { Self::open_sharded(path)? } else { Self::open_single(path)? };
        if update.tensors.is_empty() {
            return Err(Error::NoTensors { path: path.to_owned() });
        }
        Ok(update)
    }

    fn open_single(path: &Path) -> Result<Self, Error> {
        let (file, entries) = SafetensorsFile::open(path)?;
        let tensors = entries.into_iter().map(|entry| TensorInfo::new(entry, 0)).collect();
        Ok(Self { path: path.to_owned(), shards: vec![file], tensors })
    }

    fn open_sharded(index: &Path) -> Result<Self, Error> {
        let mut update = Self { path: index.to_owned(), shards: Vec::new(), tensors: Vec::new() };
        for (path, mut expected) in index::shards(index)? {
            let problem = |tensor: String, expected| Error::ShardTensor {
                path: path.clone(),
                tensor,
                expected,
                index: index.to_owned(),
            };
            let (file, entries) = SafetensorsFile::open(&path)?;
            for entry in entries {
                if !expected.remove(&entry.name) {
                    return Err(problem(entry.name, false));
                }
                update.tensors.push(TensorInfo::new(entry, update.shards.len()));
            }
            if let Some(tensor) = expected.pop_first() {
                return Err(problem(tensor, true));
            }
            update.shards.push(file);
        }
        Ok(update)
    }

    /// The path with which it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files that hold its tensors.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.shards.iter().map(|shard| &*shard.path)
    }

    /// All tensors, in the order of the files, or after [`arrange_like`](Self::arrange_like) in the
    /// order of the other update.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// Names and texts that describe the file. A name with different texts in different shards is
    /// omitted.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        in_common(self.shards.iter().map(|shard| &shard.metadata))
    }

    /// Puts the tensors into the order of `first`, which must have the same tensors.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`], [`Error::Differs`], [`Error::Unexpected`].
    pub fn arrange_like(&mut self, first: &Self) -> Result<(), Error> {
        let (path, of) = (|| self.path.clone(), || first.path.clone());
        let mut known: HashMap<&str, &TensorInfo> =
            self.tensors.iter().map(|tensor| (&*tensor.name, tensor)).collect();
        let mut arranged = Vec::with_capacity(self.tensors.len());
        for expected in &first.tensors {
            let tensor = expected.name.to_string();
            let Some(found) = known.remove(&*tensor) else {
                let shards = is_shard(&self.path) && is_shard(&first.path);
                return Err(Error::Missing { path: path(), tensor, first: of(), shards });
            };
            if (found.dtype, &found.shape) != (expected.dtype, &expected.shape) {
                let (found, expected) = (found.signature(), expected.signature());
                return Err(Error::Differs { path: path(), tensor, found, expected, first: of() });
            }
            let (name, shape) = (Arc::clone(&expected.name), Arc::clone(&expected.shape));
            arranged.push(TensorInfo { name, shape, ..found.clone() });
        }
        if let Some(tensor) = known.into_keys().min() {
            return Err(Error::Unexpected { path: path(), tensor: tensor.to_owned(), first: of() });
        }
        self.tensors = arranged;
        Ok(())
    }

    /// A reader of the values. It opens files when they are needed, one at a time.
    pub fn reader(&self) -> Reader<'_> {
        Reader::new(self)
    }

    /// All floating-point tensors, in memory. Numbers of type `F64` are rounded if `T` is `f32`.
    ///
    /// # Errors
    ///
    /// Those of [`Reader::read_floats`].
    pub fn floats<T: Float>(&self) -> Result<Vec<Array1<T>>, Error> {
        let mut reader = self.reader();
        let floats = self.tensors.iter().enumerate().filter(|(_, tensor)| tensor.float().is_some());
        let floats = floats.map(|(place, tensor)| {
            let mut values = vec![T::default(); tensor.values()];
            reader.read_floats(place, 0, &mut values)?;
            Ok(values.into())
        });
        floats.collect()
    }
}

/// The metadata that all updates share: names with the same text in every update.
///
/// Other metadata belongs to single clients and is not part of the result.
pub fn common_metadata(updates: &[UpdateFile]) -> BTreeMap<String, String> {
    in_common(updates.iter().flat_map(|update| update.shards.iter().map(|shard| &shard.metadata)))
}

fn in_common<'a>(
    mut metadata: impl Iterator<Item = &'a HashMap<String, String>>,
) -> BTreeMap<String, String> {
    let mut common: BTreeMap<_, _> =
        metadata.next().into_iter().flatten().map(|(name, text)| (name.clone(), text.clone())).collect();
    for other in metadata {
        common.retain(|name, text| other.get(name) == Some(text));
    }
    common
}

/// Whether a file has the name of a shard: `…-00001-of-00003.safetensors`.
fn is_shard(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let parts: Vec<_> = name.trim_end_matches(".safetensors").rsplit('-').take(3).collect();
    let number = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    matches!(&*parts, [of, "of", shard] if number(of) && number(shard))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_known_by_their_names() {
        assert!(is_shard(Path::new("x/model-00001-of-00002.safetensors")));
        for other in ["model.safetensors", "a-b-c.safetensors", "model-1-of-2.safetensors", ""] {
            assert!(!is_shard(Path::new(other)), "{other}");
        }
    }
}
