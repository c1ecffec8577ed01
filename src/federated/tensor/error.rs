//! The errors of this layer.

use crate::{packing, printable::printable};

/// The result of every fallible function of this layer.
pub(super) type Result<T, E = Error> = core::result::Result<T, E>;

/// Every error of a tensor, a structure, a codec or a weight.
///
/// Errors of [`packing`] are wrapped. [`federated::Error`](crate::federated::Error) wraps this
/// type.
///
/// Fields hold public sizes, names and types, never a value of a client. `Display` escapes control
/// characters in names.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Values or their ranges do not fit into plaintexts.
    #[error(transparent)]
    Packing(#[from] packing::Error),

    /// One tensor of an update has an error.
    #[error("tensor {tensor}: {source}")]
    Tensor {
        /// The tensor's index in the update, from zero.
        tensor: usize,
        /// The cause.
        source: Box<Error>,
    },

    /// An update has another number of tensors than the first client's.
    #[error("the update has {found} tensors, expected {expected}")]
    TensorCount {
        /// Tensors of the first client.
        expected: usize,
        /// Tensors of this one.
        found: usize,
    },

    /// A tensor has another shape or element type than the first client's.
    #[error("tensor {tensor} is {found}, expected {expected}")]
    TensorShape {
        /// The tensor's index in the update, from zero.
        tensor: usize,
        /// Element type and shape at the first client.
        expected: String,
        /// Element type and shape of this tensor.
        found: String,
    },

    /// Two structures differ in names, order or nesting. Leaves are written as `_` or as their
    /// types.
    #[error("the structure is {found}, expected {expected}")]
    StructureMismatch {
        /// The expected structure, for example that of the first client.
        expected: String,
        /// The structure found.
        found: String,
    },

    /// Two members of one structure have the same name.
    #[error("two members of a structure are called `{}`", printable(name))]
    DuplicateName {
        /// The name.
        name: String,
    },

    /// Lists of a structure are nested too deeply.
    #[error("the structure nests lists in more than {maximum} levels")]
    StructureDepth {
        /// The maximum number of levels.
        maximum: usize,
    },

    /// The number of parameters is neither one nor the number of tensors.
    #[error("{found} parameters for {tensors} tensors: one for all or one for each is needed")]
    ParameterCount {
        /// Tensors of an update.
        tensors: usize,
        /// Parameters given.
        found: usize,
    },

    /// The structure of parameters is not that of the tensors. Each parameter is written as `_`.
    #[error("the parameters have structure {parameters}, the tensors have structure {tensors}")]
    ParameterStructure {
        /// Structure and types of an update.
        tensors: String,
        /// Structure of the parameters.
        parameters: String,
    },

    /// A weight is negative or not finite. The error does not show the weight.
    #[error("a weight is negative or not a finite number")]
    Weight,

    /// The total weight is zero, or noise has made it negative. There is no mean.
    #[error("there is no mean: the total weight is zero, or negative with noise")]
    ZeroTotalWeight,

    /// A sum or a mean of floating-point numbers is infinite or not a number.
    #[error("a sum or a mean is not finite: it overflows, or a client's value is not finite")]
    NotFiniteSum,
}

impl Error {
    /// The same error, with the tensor of the update in which it occurred.
    pub(in crate::federated) fn of_tensor(self, tensor: usize) -> Self {
        Self::Tensor { tensor, source: Box::new(self) }
    }

    /// The innermost error, without the tensor in which it occurred.
    pub(in crate::federated) fn root(&self) -> &Self {
        if let Self::Tensor { source, .. } = self { source.root() } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{HOSTILE_TEXT, HOSTILE_TEXT_ESCAPED};

    #[test]
    fn texts_of_callers_and_peers_are_displayed_without_control_characters() {
        let error = Error::DuplicateName { name: HOSTILE_TEXT.to_owned() };
        assert!(error.to_string().contains(HOSTILE_TEXT_ESCAPED), "{error}");
        let error = error.of_tensor(3);
        assert!(error.to_string().contains(HOSTILE_TEXT_ESCAPED), "{error}");
    }
}
