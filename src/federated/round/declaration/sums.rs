//! The secure sums of a round: tensors in their structure, each with its encoding, and weights.

use crate::federated::{
    round::error::Result,
    tensor::{DType, Encoding, MaxWeight, Structure, Summand, TensorType},
};

/// One secure sum of a round: the tensors of a client, and the maximum weight of a client, if
/// weighted.
#[derive(Clone, Debug, PartialEq)]
pub struct SumSpec {
    pub(in crate::federated::round) tensors: Structure<TensorSpec>,
    pub(in crate::federated::round) max_weight: Option<MaxWeight>,
    pub(in crate::federated::round) max_clients: Option<u32>,
}

/// One tensor of a sum: element type, shape and encoding.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorSpec {
    /// Element type and shape.
    pub tensor: TensorType,
    /// How elements become small integers, and how their sums are decoded.
    pub encoding: Encoding,
}

impl TensorSpec {
    /// A tensor with elements of this type, this shape and this encoding.
    pub fn new(dtype: DType, shape: impl Into<Vec<usize>>, encoding: impl Into<Encoding>) -> Self {
        Self { tensor: TensorType { dtype, shape: shape.into() }, encoding: encoding.into() }
    }

    /// Number of elements, unless it overflows.
    pub(in crate::federated::round) fn len(&self) -> Option<usize> {
        // If one length is zero, the product of the others does not matter.
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

    /// The same sum with weights of clients. Each client multiplies its values by an integer
    /// weight, and sends the weight too. The server learns the total weight.
    #[must_use]
    pub fn weighted(self, max_weight: impl Into<MaxWeight>) -> Self {
        Self { max_weight: Some(max_weight.into()), ..self }
    }

    /// The sum of updates of type `T` and this structure, each tensor with its codec. Element types
    /// may differ: see [`Summand`].
    ///
    /// ```
    /// use cipherfold::federated::{round::SumSpec, tensor::{Encoding, TensorTree}};
    /// use cipherfold::packing::{IntegerRange, Quantizer};
    ///
    /// type Update = (Vec<f32>, u32);
    /// let structure = (vec![0.0_f32; 1000], 0_u32).structure()?;
    /// let sum = SumSpec::of::<Update, _>(&structure, &(Quantizer::symmetric(1.0, 16)?, IntegerRange::up_to(99)))?;
    /// assert_eq!(sum.structure(), structure);
    /// # Ok::<(), cipherfold::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`tensor::Error::ParameterCount`](crate::federated::tensor::Error::ParameterCount),
    /// [`tensor::Error::ParameterStructure`](crate::federated::tensor::Error::ParameterStructure);
    /// [`tensor::Error::StructureMismatch`](crate::federated::tensor::Error::StructureMismatch) if
    /// the members of a tuple or a struct are not those of the structure.
    pub fn of<T: Summand<C> + ?Sized, C>(structure: &Structure<TensorType>, codecs: &C) -> Result<Self> {
        let mut encodings = Vec::new();
        T::encodings(codecs, structure, &mut encodings)?;
        let mut encodings = encodings.into_iter();
        let spec = |tensor: &TensorType| {
            let encoding = encodings.next().expect("there is one encoding for each tensor");
            TensorSpec { tensor: tensor.clone(), encoding }
        };
        Ok(Self::new(structure.as_ref().map(spec)))
    }

    /// The same sum, with weights if there is a maximum.
    #[must_use]
    pub(in crate::federated) fn with_weights(self, max_weight: Option<MaxWeight>) -> Self {
        Self { max_weight, ..self }
    }

    /// The same sum, for a result that is sized for a maximum number of clients. With more clients,
    /// nothing is opened.
    #[must_use]
    pub(in crate::federated) fn of_at_most(self, max_clients: Option<u32>) -> Self {
        Self { max_clients, ..self }
    }

    /// The tensors.
    pub fn tensors(&self) -> &Structure<TensorSpec> {
        &self.tensors
    }

    /// The maximum weight of a client, if clients have weights.
    pub fn max_weight(&self) -> Option<MaxWeight> {
        self.max_weight
    }

    /// Names, nesting, element types and shapes.
    pub fn structure(&self) -> Structure<TensorType> {
        self.tensors.as_ref().map(|tensor| tensor.tensor.clone())
    }
}
