//! One tensor of a client's update together with how its elements travel, both types hidden.

use rand_core::CryptoRng;

use super::update::{Assembler, Decode, Leaf, Parameter, PerTensor, Update};
use crate::Result;

/// One tensor of a client's update with its parameter.
pub(super) trait Column: Send + Sync {
    fn dtype(&self) -> &'static str;
    fn shape(&self) -> &[usize];
    fn len(&self) -> usize;
    fn value_bits(&self) -> u32;
    /// Whether all values can be encoded.
    fn check(&self) -> Result<()>;
    /// Encodes the values from an index on, as many as `out` has, and returns how many were clipped.
    fn encode(&self, from: usize, out: &mut [u64], rng: &mut dyn CryptoRng) -> Result<usize>;
    fn decoder(&self) -> Box<dyn Decode>;
}

struct Bound<'a, P> {
    leaf: Box<dyn Leaf<P> + 'a>,
    parameter: P,
}

impl<P: Parameter> Column for Bound<'_, P> {
    fn dtype(&self) -> &'static str {
        self.leaf.dtype()
    }

    fn shape(&self) -> &[usize] {
        self.leaf.shape()
    }

    fn len(&self) -> usize {
        self.leaf.len()
    }

    fn value_bits(&self) -> u32 {
        self.parameter.value_bits()
    }

    fn check(&self) -> Result<()> {
        self.leaf.check(&self.parameter)
    }

    fn encode(&self, from: usize, out: &mut [u64], rng: &mut dyn CryptoRng) -> Result<usize> {
        self.leaf.encode(from, &self.parameter, out, rng)
    }

    fn decoder(&self) -> Box<dyn Decode> {
        self.leaf.decoder(&self.parameter)
    }
}

/// The tensors of an update, in order.
pub(super) fn columns<'a, U: Update + ?Sized>(
    update: &'a U,
    parameters: &PerTensor<U::Parameter>,
) -> Result<Vec<Box<dyn Column + 'a>>> {
    let mut leaves = Vec::new();
    update.leaves(&mut leaves);
    let parameters = parameters.of(leaves.len())?;
    let bind = |(leaf, parameter)| Box::new(Bound { leaf, parameter }) as Box<dyn Column + 'a>;
    Ok(leaves.into_iter().zip(parameters).map(bind).collect())
}

/// What puts decoded tensors together to the structure of an update.
pub(super) fn assembler<U: Update + ?Sized>(update: &U) -> Assembler<U::Output> {
    update.assembler()
}
