//! Secure operations of a computation: a client's contribution, and the result from the sums.

use std::sync::Arc;

use crate::federated::{
    Error, Result,
    computation::erased::{Erased, reveal},
    round::{SumResult, SumSpec, Update},
    tensor::{MaxWeight, Structure, Summand, TensorType, summand::assemble},
};

/// An operation whose values leave the clients encrypted, with their types erased.
pub(in crate::federated::computation) trait SecureOperation:
    Send + Sync
{
    fn name(&self) -> &'static str;

    /// The structure with the element types of the clients' values, where their type fixes them.
    fn retyped(&self, structure: Structure<TensorType>) -> Structure<TensorType>;

    /// Whether the structure of the clients' values determines their nesting.
    fn nests_in_one_way(&self) -> bool;

    /// The structure of the clients' values, if their type has only one.
    fn fixed_structure(&self) -> Option<Structure<TensorType>>;

    /// Whether a client with these inputs has the declared structure. The error shows nothing of
    /// the client's structure.
    fn check_structure(&self, inputs: &[Erased], declared: &Structure<TensorType>) -> Result<()>;

    /// The contribution of a client with these inputs.
    fn update<'a>(&self, inputs: &'a [Erased]) -> Result<Update<'a>>;

    /// The sum of updates of this type. If the operation has no codecs, the server's codecs are
    /// given.
    fn declare(&self, structure: &Structure<TensorType>, codecs: Option<&Erased>) -> Result<SumSpec>;

    /// Builds the result from the sums, for clients like the one with these inputs.
    fn assembler(&self, inputs: &[Erased]) -> Assemble;
}

/// Builds a result with the structure of the clients' values from the sums.
pub(in crate::federated::computation) type Assemble = Box<dyn FnOnce(SumResult) -> Erased + Send>;

/// Tensors of type `T` with codecs `C`. The second input, if any, is either the clients' weights or
/// the server's codecs.
pub(in crate::federated::computation) struct SecureAggregate<T: Summand<C>, C, R> {
    pub(in crate::federated::computation) name: &'static str,
    /// `None` if the codecs come from the server, as a second input of type `C`.
    pub(in crate::federated::computation) codecs: Option<C>,
    pub(in crate::federated::computation) max_weight: Option<MaxWeight>,
    /// The maximum number of clients for which the result is sized, if there is one.
    pub(in crate::federated::computation) max_clients: Option<u32>,
    /// Makes the result from the decoded sums and the total weight.
    pub(in crate::federated::computation) report: fn(T::Output, u64) -> R,
}

impl<T, C, R> SecureOperation for SecureAggregate<T, C, R>
where
    T: Summand<C> + 'static,
    C: Send + Sync + 'static,
    R: Send + Sync + 'static,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn retyped(&self, structure: Structure<TensorType>) -> Structure<TensorType> {
        T::retyped(structure)
    }

    fn nests_in_one_way(&self) -> bool {
        T::nests_in_one_way()
    }

    fn fixed_structure(&self) -> Option<Structure<TensorType>> {
        T::fixed_structure()
    }

    fn check_structure(&self, inputs: &[Erased], declared: &Structure<TensorType>) -> Result<()> {
        if reveal::<T>(&inputs[0]).structure()? == *declared {
            Ok(())
        } else {
            Err(Error::NotAsDeclared { declared: declared.to_string() })
        }
    }

    fn update<'a>(&self, inputs: &'a [Erased]) -> Result<Update<'a>> {
        let update = Update::new(reveal::<T>(&inputs[0]))?;
        Ok(if self.max_weight.is_some() { update.weighted(*reveal(&inputs[1])) } else { update })
    }

    fn declare(&self, structure: &Structure<TensorType>, codecs: Option<&Erased>) -> Result<SumSpec> {
        let codecs = self.codecs.as_ref().or_else(|| codecs.map(reveal));
        let codecs = codecs.expect("an operation without codecs has an input at the server for them");
        let sum = SumSpec::of::<T, C>(structure, codecs)?;
        Ok(sum.with_weights(self.max_weight).of_at_most(self.max_clients))
    }

    fn assembler(&self, inputs: &[Erased]) -> Assemble {
        let assembler = reveal::<T>(&inputs[0]).assembler();
        let report = self.report;
        Box::new(move |sum| Arc::new(report(assemble(assembler, sum.tensors), sum.total_weight)))
    }
}
