//! Values of an update, read piece by piece.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
};

use super::{BLOCK, Error, Float, TensorInfo, UpdateFile, element::FloatType};

/// Reads the values of an [`UpdateFile`]. A tensor is given by its index in
/// [`UpdateFile::tensors`].
///
/// Keeps at most one file open, and one block of bytes.
#[derive(Debug)]
pub struct Reader<'f> {
    update: &'f UpdateFile,
    /// The open file, and its index in the update.
    open: Option<(usize, File)>,
    buffer: Vec<u8>,
}

impl<'f> Reader<'f> {
    pub(super) fn new(update: &'f UpdateFile) -> Self {
        Self { update, open: None, buffer: Vec::new() }
    }

    /// Reads `out.len()` values of a floating-point tensor from `from` on. All of them must be
    /// finite.
    ///
    /// # Errors
    ///
    /// [`Error::NotFinite`]; [`Error::Changed`] if a file has changed since it was opened first;
    /// [`Error::Io`].
    ///
    /// # Panics
    ///
    /// If the tensor is of another type or has fewer values.
    pub fn read_floats<T: Float>(&mut self, tensor: usize, from: usize, out: &mut [T]) -> Result<(), Error> {
        let (update, info) = (self.update, &self.update.tensors()[tensor]);
        let float = info.float().expect("a floating-point tensor");
        self.seek(info, from, out.len(), float.bytes())?;
        for (block, out) in out.chunks_mut(BLOCK).enumerate() {
            self.fill(info, out.len() * float.bytes())?;
            float.decode(&self.buffer, out);
            if let Some(index) = out.iter().position(|x| !x.to_f64().is_finite()) {
                let at = &self.buffer[index * float.bytes()..][..float.bytes()];
                return Err(Error::NotFinite {
                    path: update.path().to_owned(),
                    tensor: info.name().to_owned(),
                    index: from + block * BLOCK + index,
                    value: not_finite(float, at),
                });
            }
        }
        Ok(())
    }

    /// Reads `out.len()` values of an integer tensor from `from` on, as their distances from the
    /// minimum of their type.
    ///
    /// # Errors
    ///
    /// [`Error::NotBool`]; those of [`read_floats`](Self::read_floats).
    ///
    /// # Panics
    ///
    /// If the tensor is of another type or has fewer values.
    pub fn read_integers(&mut self, tensor: usize, from: usize, out: &mut [u64]) -> Result<(), Error> {
        let (update, info) = (self.update, &self.update.tensors()[tensor]);
        let integer = info.integer().expect("an integer tensor");
        self.seek(info, from, out.len(), integer.bytes())?;
        for (block, out) in out.chunks_mut(BLOCK).enumerate() {
            self.fill(info, out.len() * integer.bytes())?;
            integer.decode(&self.buffer, out).map_err(|index| Error::NotBool {
                path: update.path().to_owned(),
                tensor: info.name().to_owned(),
                index: from + block * BLOCK + index,
            })?;
        }
        Ok(())
    }

    /// Whether a tensor has the same bytes as one of another update.
    ///
    /// # Errors
    ///
    /// [`Error::Changed`], [`Error::Io`].
    pub fn same(&mut self, tensor: usize, other: &mut Reader<'_>, others: usize) -> Result<bool, Error> {
        let (mine, theirs) = (&self.update.tensors()[tensor], &other.update.tensors()[others]);
        if mine.bytes() != theirs.bytes() {
            return Ok(false);
        }
        self.seek(mine, 0, 0, 1)?;
        other.seek(theirs, 0, 0, 1)?;
        let mut left = mine.bytes();
        while left > 0 {
            let block = usize::try_from(left).map_or(BLOCK, |left| left.min(BLOCK));
            self.fill(mine, block)?;
            other.fill(theirs, block)?;
            if self.buffer != other.buffer {
                return Ok(false);
            }
            left -= block as u64;
        }
        Ok(true)
    }

    pub(super) fn tensor(&self, tensor: usize) -> &'f TensorInfo {
        &self.update.tensors()[tensor]
    }

    /// Copies a tensor's bytes to the file with this path.
    pub(super) fn copy(&mut self, tensor: usize, path: &Path, out: &mut impl Write) -> Result<(), Error> {
        let info = self.tensor(tensor);
        self.seek(info, 0, 0, 1)?;
        let mut left = info.bytes();
        while left > 0 {
            let block = usize::try_from(left).map_or(BLOCK, |left| left.min(BLOCK));
            self.fill(info, block)?;
            out.write_all(&self.buffer).map_err(Error::io(path))?;
            left -= block as u64;
        }
        Ok(())
    }

    /// Seeks to a value of a tensor.
    fn seek(&mut self, info: &TensorInfo, from: usize, values: usize, bytes: usize) -> Result<(), Error> {
        assert!(from + values <= info.values() || values == 0, "values of the tensor");
        let start = info.start + (from * bytes) as u64;
        let path = &self.update.shards[info.shard].path;
        self.file(info)?.seek(SeekFrom::Start(start)).map_err(Error::io(path))?;
        Ok(())
    }

    /// Reads the next bytes into the buffer.
    fn fill(&mut self, info: &TensorInfo, bytes: usize) -> Result<(), Error> {
        let mut buffer = core::mem::take(&mut self.buffer);
        buffer.resize(bytes, 0);
        let path = &self.update.shards[info.shard].path;
        let read = self.file(info)?.read_exact(&mut buffer);
        self.buffer = buffer;
        read.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Error::Changed { path: path.clone() },
            _ => Error::io(path)(error),
        })
    }

    /// The tensor's file. Closes any other file.
    fn file(&mut self, info: &TensorInfo) -> Result<&mut File, Error> {
        if self.open.as_ref().is_none_or(|(shard, _)| *shard != info.shard) {
            self.open = Some((info.shard, self.update.shards[info.shard].reopen()?));
        }
        Ok(&mut self.open.as_mut().expect("just opened").1)
    }
}

fn not_finite(float: FloatType, bytes: &[u8]) -> &'static str {
    let mut value = [0.0_f64];
    float.decode(bytes, &mut value);
    match value {
        [x] if x.is_nan() => "NaN",
        [f64::INFINITY] => "inf",
        [f64::NEG_INFINITY] => "-inf",
        _ => "a number beyond f32",
    }
}
