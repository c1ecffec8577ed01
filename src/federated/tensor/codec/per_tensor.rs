//! Parameters for the tensors of an update: one for all, one for each, or a structure of them.

use std::collections::BTreeMap;

use crate::federated::tensor::error::{Error, Result};
use crate::federated::tensor::{Structure, TensorType, codec::sealed};

/// One parameter for all tensors of an update, one for each in order, or one for each in the
/// update's structure.
///
/// ```
/// use cipherfold::{federated::tensor::{PerTensor, Structure}, packing::IntegerRange};
///
/// let (bytes, words) = (IntegerRange::unsigned_bits(8)?, IntegerRange::unsigned_bits(16)?);
/// let for_all: PerTensor<_> = bytes.into();
/// let in_order: PerTensor<_> = [bytes, words].into();
/// let by_name: PerTensor<_> = Structure::named([("w", bytes.into()), ("b", words.into())])?.into();
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum PerTensor<P> {
    /// The same parameter for all tensors.
    All(P),
    /// One parameter for each tensor, in order.
    Each(Vec<P>),
    /// One parameter for each tensor, with the names, the order and the nesting of the update's
    /// tensors.
    Nested(Structure<P>),
}

impl<P: Clone> PerTensor<P> {
    /// One parameter for each leaf of an update, in order.
    ///
    /// # Errors
    ///
    /// [`Error::ParameterCount`], [`Error::ParameterStructure`].
    pub(in crate::federated) fn of(&self, update: &Structure<TensorType>) -> Result<Vec<P>> {
        let tensors = update.iter().count();
        match self {
            Self::All(parameter) => Ok(vec![parameter.clone(); tensors]),
            Self::Each(parameters) if parameters.len() == tensors => Ok(parameters.clone()),
            Self::Each(parameters) => Err(Error::ParameterCount { tensors, found: parameters.len() }),
            Self::Nested(parameters) => {
                let matched = update.zip_with(parameters, |_, parameter| parameter.clone());
                let matched = matched.map_err(|_| Error::ParameterStructure {
                    tensors: update.to_string(),
                    parameters: parameters.outline(),
                })?;
                Ok(matched.iter().cloned().collect())
            }
        }
    }
}

// Only codecs, so that the conversion of a list of codecs is unambiguous.
impl<P: sealed::Sealed> From<P> for PerTensor<P> {
    fn from(parameter: P) -> Self {
        Self::All(parameter)
    }
}

impl<P> From<Vec<P>> for PerTensor<P> {
    fn from(parameters: Vec<P>) -> Self {
        Self::Each(parameters)
    }
}

impl<P: Clone> From<&[P]> for PerTensor<P> {
    fn from(parameters: &[P]) -> Self {
        Self::Each(parameters.to_vec())
    }
}

impl<P, const N: usize> From<[P; N]> for PerTensor<P> {
    fn from(parameters: [P; N]) -> Self {
        Self::Each(parameters.into())
    }
}

impl<P> From<Structure<P>> for PerTensor<P> {
    fn from(parameters: Structure<P>) -> Self {
        Self::Nested(parameters)
    }
}

impl<P> From<BTreeMap<String, P>> for PerTensor<P> {
    fn from(parameters: BTreeMap<String, P>) -> Self {
        let members = parameters.into_iter().map(|(name, parameter)| (name, parameter.into()));
        Self::Nested(
            Structure::named(members).expect("names of a map are unique, and its members are leaves"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{federated::tensor::TensorTree as _, packing::IntegerRange};

    /// Distinct parameters.
    fn numbered<const N: usize>(numbers: [u64; N]) -> [IntegerRange; N] {
        numbers.map(IntegerRange::up_to)
    }

    fn leaves<const N: usize>(numbers: [u64; N]) -> [Structure<IntegerRange>; N] {
        numbered(numbers).map(Structure::leaf)
    }

    #[test]
    fn one_for_all_or_one_for_each() {
        let update = (1, 2, 3).structure().unwrap();
        let [one, two, three] = numbered([1, 2, 3]);
        assert_eq!(PerTensor::from(one).of(&update), Ok(vec![one; 3]));
        assert_eq!(PerTensor::from([one, two, three]).of(&update), Ok(vec![one, two, three]));
        assert_eq!(PerTensor::from(&[one, two, three][..]).of(&update), Ok(vec![one, two, three]));
        for found in [0, 1, 2, 4] {
            let error = Error::ParameterCount { tensors: 3, found };
            assert_eq!(PerTensor::from(vec![one; found]).of(&update), Err(error));
        }
    }

    #[test]
    fn nested_parameters_have_the_names_and_the_nesting_of_the_update() {
        let update = BTreeMap::from(["b", "w"].map(|name| (name.to_owned(), 1.5_f32))).structure().unwrap();
        let [one, two] = numbered([1, 2]);
        let named = |names: [&str; 2]| Structure::named(names.into_iter().zip(leaves([1, 2]))).unwrap();
        assert_eq!(PerTensor::from(named(["b", "w"])).of(&update), Ok(vec![one, two]));
        let error = PerTensor::from(named(["w", "b"])).of(&update).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the parameters have structure <w=_,b=_>, the tensors have structure <b=f32,w=f32>"
        );
        for wrong in [Structure::leaf(one), Structure::tuple(leaves([1, 2])).unwrap()] {
            let result = PerTensor::from(wrong).of(&update);
            assert!(matches!(result, Err(Error::ParameterStructure { .. })), "{result:?}");
        }
        // From a map, in the order of its names, which is also the order of the update.
        let from_map = PerTensor::from(BTreeMap::from([("w".to_owned(), two), ("b".to_owned(), one)]));
        assert_eq!(from_map.of(&update), Ok(vec![one, two]));

        let update = (1_u8, (2_u8, 3_u8)).structure().unwrap();
        let [first, second, third] = leaves([1, 2, 3]);
        let inner = Structure::tuple([second, third]).unwrap();
        let nested = Structure::tuple([first, inner]).unwrap();
        assert_eq!(PerTensor::from(nested).of(&update), Ok(numbered([1, 2, 3]).into()));
    }
}
