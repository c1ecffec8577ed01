//! What a round sums: tensors in their structure, each with its encoding, and weights.

use crate::federated::{Codec, DType, Encoding, MaxWeight, PerTensor, Result, Scalar, Structure, TensorType};

/// One secure sum of a round: the tensors of a client, and its weight.
#[derive(Clone, Debug, PartialEq)]
pub struct SumSpec {
    pub(super) tensors: Structure<TensorSpec>,
    pub(super) max_weight: Option<MaxWeight>,
    pub(super) max_clients: Option<u32>,
}

/// One tensor of a sum: element type, shape, and how it travels.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorSpec {
    /// Element type and shape.
    pub tensor: TensorType,
    /// How elements become small integers, and what becomes of their sums.
    pub encoding: Encoding,
}

impl TensorSpec {
    /// A tensor with elements of this type, this shape and this encoding.
    pub fn new(dtype: DType, shape: impl Into<Vec<usize>>, encoding: impl Into<Encoding>) -> Self {
        Self { tensor: TensorType { dtype, shape: shape.into() }, encoding: encoding.into() }
    }

    /// Number of elements, if it can be counted.
    pub(super) fn len(&self) -> Option<usize> {
        // A length of zero makes up for all others.
        if self.tensor.shape.contains(&0) {
            return Some(0);
        }
        self.tensor.shape.iter().try_fold(1_usize, |product, len| product.checked_mul(*len))
    }
}

impl SumSpec {
    /// A sum of tensors in this structure. Every client counts once.
    pub fn new(tensors: impl Into<Structure<TensorSpec>>) -> Self {
        Self { tensors: tensors.into(), max_weight: None, max_clients: None }
    }

    /// The same sum with weights of clients: each multiplies its values by an integer weight, and sends the weight along.
    /// The server learns the total weight.
    #[must_use]
    pub fn weighted(self, max_weight: impl Into<MaxWeight>) -> Self {
        Self { max_weight: Some(max_weight.into()), ..self }
    }

    /// The sum of updates of this type, each tensor with its codec.
    ///
    /// # Errors
    ///
    /// [`Error::ParameterCount`](crate::federated::Error::ParameterCount), [`Error::ParameterStructure`](crate::federated::Error::ParameterStructure).
    pub fn of<T: Scalar, C: Codec<T>>(
        structure: &Structure<TensorType>,
        codecs: &PerTensor<C>,
    ) -> Result<Self> {
        let mut codecs = codecs.of(structure)?.into_iter();
        let spec = |tensor: &TensorType| {
            let encoding = codecs.next().expect("one for each tensor").encoding();
            TensorSpec { tensor: tensor.clone(), encoding }
        };
        Ok(Self::new(structure.as_ref().map(spec)))
    }

    /// The same sum, with weights if there is a maximum.
    #[must_use]
    pub(in crate::federated) fn with_weights(self, max_weight: Option<MaxWeight>) -> Self {
        Self { max_weight, ..self }
    }

    /// The same sum for a result that is sized for a number of clients: with more, nothing is opened.
    #[must_use]
    pub(in crate::federated) fn of_at_most(self, max_clients: Option<u32>) -> Self {
        Self { max_clients, ..self }
    }

    /// The tensors.
    pub fn tensors(&self) -> &Structure<TensorSpec> {
        &self.tensors
    }

    /// The largest weight of a client, if clients have weights.
    pub fn max_weight(&self) -> Option<MaxWeight> {
        self.max_weight
    }

    /// Names, nesting, element types and shapes.
    pub fn structure(&self) -> Structure<TensorType> {
        self.tensors.as_ref().map(|tensor| tensor.tensor.clone())
    }
}
