//! Secure operations of a computation: what a client contributes, and what the server makes of the sums.

use core::marker::PhantomData;
use std::sync::Arc;

use super::node::{Erased, reveal};
use crate::federated::{
    Codec, PerTensor, Tensors,
    column::assembler,
    plan::{Group, Weight},
    server::GroupSum,
};

/// An operation whose values leave the clients encrypted, their types hidden.
pub(super) trait Secure: Send + Sync {
    fn name(&self) -> &'static str;

    /// What a client with these inputs contributes.
    fn group<'a>(&self, inputs: &'a [Erased]) -> Group<'a>;

    /// What turns the sums into the result, for clients like the one with these inputs.
    fn assembler(&self, inputs: &[Erased]) -> Assemble;
}

/// Takes the sums, and builds a result of the structure that the clients' values have.
pub(super) type Assemble = Box<dyn FnOnce(GroupSum) -> Erased + Send>;

/// Tensors that travel by codecs. Codecs or weights that each client has, one of the two, are the second input.
pub(super) struct SecureSum<T, C> {
    pub(super) name: &'static str,
    /// `None` if they come from the server, as a second input of type `PerTensor<C>`.
    pub(super) codecs: Option<PerTensor<C>>,
    pub(super) max_weight: Option<u32>,
    pub(super) values: PhantomData<fn(T)>,
}

impl<T, C> Secure for SecureSum<T, C>
where
    T: Tensors + 'static,
    C: Codec<T::Scalar>,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn group<'a>(&self, inputs: &'a [Erased]) -> Group<'a> {
        let weight = self.max_weight.map(|max| Weight { value: *reveal(&inputs[1]), max });
        let codecs = self.codecs.as_ref().unwrap_or_else(|| reveal(&inputs[1]));
        Group::new(reveal::<T>(&inputs[0]), codecs, weight)
    }

    fn assembler(&self, inputs: &[Erased]) -> Assemble {
        let assemble = assembler::<T, C>(reveal(&inputs[0]));
        Box::new(|sum| Arc::new(assemble(&mut sum.tensors.into_iter())))
    }
}
