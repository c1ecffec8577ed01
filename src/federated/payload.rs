//! Values of any type as messages.

use core::{any::type_name, fmt};

use serde::{Serialize, de::DeserializeOwned};

use super::message::{Message, sealed};
use crate::{Error, Result};

/// A value that travels as it is: a model for the clients, a client's number, the settings of a round.
///
/// It is encoded by [postcard](https://docs.rs/postcard), compactly and the same on every machine, and nothing but the channel
/// protects it.
///
/// ```
/// use cipherfold::federated::{Message, Payload};
///
/// let message = Payload(vec![(1_u32, "first".to_owned()), (2, "second".to_owned())]);
/// let bytes = message.to_bytes()?;
/// assert_eq!(Payload::from_bytes(&bytes), Ok(message));
/// assert!(Payload::<Vec<(u32, String)>>::from_bytes(&bytes[1..]).is_err());
/// # Ok::<(), cipherfold::Error>(())
/// ```
///
/// A secret key is no value that travels, since it does not implement `Serialize`:
///
/// ```compile_fail,E0277
/// use cipherfold::{federated::Payload, paillier::{Bits2048, SecretKey}};
///
/// fn leak(message: impl cipherfold::federated::Message) {}
///
/// fn with(key: SecretKey<Bits2048>) {
///     leak(Payload(key));
/// }
/// ```
///
/// `Debug` shows the type, never the value.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Payload<T>(pub T);

impl<T> sealed::MessageOfTheProtocol for Payload<T> {}

impl<T: Serialize + DeserializeOwned + Send> Message for Payload<T> {
    fn ciphertexts(&self) -> usize {
        0 // whatever it holds, no contribution to a sum
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        encode(&self.0)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        decode(bytes).map(Self)
    }
}

/// The bytes of a value as a [`Payload`].
pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let failed = |error: postcard::Error| Error::PayloadEncoding {
        type_name: type_name::<T>(),
        reason: error.to_string(),
    };
    // Room for all from the start: growing would leave copies behind.
    let len = postcard::experimental::serialized_size(value).map_err(failed)?;
    postcard::to_extend(value, Vec::with_capacity(len)).map_err(failed)
}

/// The value of a [`Payload`] with these bytes.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let failed = |reason| Error::PayloadDecoding { type_name: type_name::<T>(), reason };
    let (value, rest) = postcard::take_from_bytes(bytes).map_err(|error| failed(error.to_string()))?;
    if rest.is_empty() { Ok(value) } else { Err(failed(format!("{} bytes are left", rest.len()))) }
}

impl<T> fmt::Debug for Payload<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload<{}>(..)", type_name::<T>())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::federated::Structure;
    use ndarray::{ArrayD, array};

    fn round_trip<T: Serialize + DeserializeOwned + Send + PartialEq + fmt::Debug>(value: T) {
        let message = Payload(value);
        let bytes = message.to_bytes().unwrap();
        assert_eq!(Payload::<T>::from_bytes(&bytes).as_ref(), Ok(&message));
        for len in 0..bytes.len() {
            let error = Payload::<T>::from_bytes(&bytes[..len]).unwrap_err();
            assert!(matches!(error, Error::PayloadDecoding { .. }), "{len} of {}: {error}", bytes.len());
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(matches!(Payload::<T>::from_bytes(&longer), Err(Error::PayloadDecoding { .. })));
    }

    #[test]
    fn from_bytes_inverts_to_bytes_and_refuses_what_is_shorter_or_longer() {
        round_trip(7_u64);
        round_trip((i128::MIN, u128::MAX, -1.5_f32, true));
        round_trip("text".to_owned());
        round_trip(array![[1.5_f32, -2.0], [0.0, 3.25]]);
        round_trip(BTreeMap::from([("w".to_owned(), array![1_i64, -2])]));
        let structure =
            [("w", Structure::leaf(ArrayD::<u8>::zeros(vec![2, 3]))), ("b", Structure::tuple([]).unwrap())];
        round_trip(Structure::named(structure).unwrap());
    }

    #[test]
    fn arrays_whose_shape_and_elements_disagree_are_refused() {
        // ndarray's own form: version, shape, elements.
        let bytes = postcard::to_allocvec(&(1_u8, [2_usize, 2], vec![1_u8, 2, 3])).unwrap();
        assert!(Payload::<ndarray::Array2<u8>>::from_bytes(&bytes).is_err());
        let bytes = postcard::to_allocvec(&(1_u8, [usize::MAX, 2], vec![1_u8, 2, 3])).unwrap();
        assert!(Payload::<ndarray::Array2<u8>>::from_bytes(&bytes).is_err());
        let bytes = postcard::to_allocvec(&(1_u8, [1_usize, 3], vec![1_u8, 2, 3])).unwrap();
        assert_eq!(Payload::from_bytes(&bytes), Ok(Payload(array![[1_u8, 2, 3]])));
    }

    #[test]
    fn what_postcard_cannot_encode_is_an_error() {
        #[derive(serde::Deserialize)]
        struct Unwritable;

        impl Serialize for Unwritable {
            fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(serde::ser::Error::custom("no"))
            }
        }

        assert!(matches!(Payload(Unwritable).to_bytes(), Err(Error::PayloadEncoding { .. })));
    }

    #[test]
    fn debug_shows_the_type_only() {
        assert_eq!(format!("{:?}", Payload(41_i32)), "Payload<i32>(..)");
    }
}
