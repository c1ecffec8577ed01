//! The clients' values: the values of their files, or the differences to a base.

use cipherfold::files::{Error, Float, Reader, UpdateFile};
use ndarray::Array1;

/// All clients' files, and the model from which they started.
#[derive(Clone, Copy)]
pub(crate) struct Updates<'a> {
    pub(crate) models: &'a [UpdateFile],
    pub(crate) base: Option<&'a UpdateFile>,
}

/// Reads one client's values.
pub(crate) struct Source<'a> {
    reader: Reader<'a>,
    base: Option<Reader<'a>>,
    /// Values before the subtraction of the base.
    scratch: [Vec<f64>; 2],
}

impl<'a> Updates<'a> {
    pub(crate) fn source(&self, client: usize) -> Source<'a> {
        let base = self.base.map(UpdateFile::reader);
        Source { reader: self.models[client].reader(), base, scratch: Default::default() }
    }

    /// All floating-point tensors of a client, in memory.
    pub(crate) fn read<T: Float>(&self, client: usize) -> Result<Vec<Array1<T>>, Error> {
        if self.base.is_none() {
            return self.models[client].floats();
        }
        let mut source = self.source(client);
        let tensors = self.models[client].tensors().iter().enumerate();
        let floats = tensors.filter(|(_, tensor)| tensor.float().is_some()).map(|(place, tensor)| {
            let mut values = vec![T::default(); tensor.values()];
            for (block, values) in values.chunks_mut(BLOCK).enumerate() {
                source.read(place, block * BLOCK, values)?;
            }
            Ok(values.into())
        });
        floats.collect()
    }
}

/// Number of values that are read at a time.
pub(crate) const BLOCK: usize = 1 << 16;

impl Source<'_> {
    /// Reads values of a floating-point tensor.
    pub(crate) fn read<T: Float>(&mut self, tensor: usize, from: usize, out: &mut [T]) -> Result<(), Error> {
        let Some(base) = &mut self.base else {
            return self.reader.read_floats(tensor, from, out);
        };
        let [values, origin] = &mut self.scratch;
        values.resize(out.len(), 0.0);
        origin.resize(out.len(), 0.0);
        self.reader.read_floats(tensor, from, values)?;
        base.read_floats(tensor, from, origin)?;
        for ((out, value), origin) in out.iter_mut().zip(values).zip(origin) {
            *out = T::from_f64(*value - *origin);
        }
        Ok(())
    }
}
