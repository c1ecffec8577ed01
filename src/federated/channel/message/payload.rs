//! Values of any type as messages.

use core::{any::type_name, fmt};

use postcard::ser_flavors::Flavor;
use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::federated::channel::error::{Error, Result};
use crate::federated::channel::message::{Message, sealed};

/// A value in a message: for example a model for the clients, a client's number, the settings of a
/// round.
///
/// [postcard](https://docs.rs/postcard) encodes it compactly and identically on every machine. Only
/// the channel protects it.
///
/// A value has one encoding: [`from_bytes`](Message::from_bytes) refuses bytes that
/// [`to_bytes`](Message::to_bytes) does not write for the value in them. Examples are repeated or
/// unsorted keys of a `BTreeMap`, or integers with unneeded bytes.
///
/// A `HashMap` or `HashSet` has no order, so each order of its elements is an encoding. All of them
/// are accepted, and repeated keys are refused. A hash map with a fixed hasher is refused if its
/// order depends on its history; send a `BTreeMap` instead.
///
/// ```
/// use cipherfold::federated::channel::{Message, Payload};
///
/// let message = Payload(vec![(1_u32, "first".to_owned()), (2, "second".to_owned())]);
/// let bytes = message.to_bytes()?;
/// assert_eq!(Payload::from_bytes(&bytes), Ok(message));
/// assert!(Payload::<Vec<(u32, String)>>::from_bytes(&bytes[1..]).is_err());
/// # Ok::<(), cipherfold::Error>(())
/// ```
///
/// A secret key cannot be sent, since it does not implement `Serialize`:
///
/// ```compile_fail,E0277
/// use cipherfold::{federated::channel::Payload, paillier::{Bits2048, SecretKey}};
///
/// fn leak(message: impl cipherfold::federated::channel::Message) {}
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
        0 // a payload is never a contribution to a sum
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        encode(&self.0)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        decode(bytes).map(Self)
    }
}

/// The bytes of a value as a [`Payload`].
pub(in crate::federated) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let failed = |error: postcard::Error| Error::PayloadEncoding {
        type_name: type_name::<T>(),
        reason: error.to_string(),
    };
    // The full capacity is reserved first: growing would leave copies behind.
    let len = postcard::experimental::serialized_size(value).map_err(failed)?;
    postcard::to_extend(value, Vec::with_capacity(len)).map_err(failed)
}

/// The value of a [`Payload`] with these bytes.
pub(in crate::federated) fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let failed = |reason| Error::PayloadDecoding { type_name: type_name::<T>(), reason };
    let value = read(bytes).map_err(failed)?;
    if is_encoding(&value, bytes) || is_one_of_many_encodings(&value, bytes) {
        Ok(value)
    } else {
        Err(failed("the bytes are not the canonical encoding of the value".to_owned()))
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let (value, rest) = postcard::take_from_bytes(bytes).map_err(|error| error.to_string())?;
    if rest.is_empty() { Ok(value) } else { Err(format!("{} bytes are left", rest.len())) }
}

/// Whether [`encode`] writes these bytes for the value. Allocates nothing.
fn is_encoding<T: Serialize>(value: &T, bytes: &[u8]) -> bool {
    postcard::serialize_with_flavor(value, Comparison { rest: bytes }).is_ok()
}

/// Whether the type has no order, so that any order of the elements is an encoding. This check is
/// slow and rarely needed.
///
/// Every hash map of the standard library has its own hasher and so its own order. Copies of such a
/// value therefore have different orders. Copies of a value with an order are all the same. The
/// probability that two elements have the same order in all of these copies is 2⁻³².
fn is_one_of_many_encodings<T: Serialize + DeserializeOwned>(value: &T, bytes: &[u8]) -> bool {
    const COPIES: usize = 32;
    // Repeated keys and integers with unneeded bytes make the message longer, whatever the order.
    if postcard::experimental::serialized_size(value) != Ok(bytes.len()) {
        return false;
    }
    let Ok(expected) = encode(value).map(Zeroizing::new) else { return false };
    (0..COPIES).any(|_| read::<T>(bytes).is_ok_and(|copy| !is_encoding(&copy, &expected)))
}

/// Compares bytes with the expected ones as they are written.
struct Comparison<'a> {
    rest: &'a [u8],
}

impl Flavor for Comparison<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.rest = self.rest.strip_prefix(bytes).ok_or(postcard::Error::SerializeBufferFull)?;
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(postcard::Error::SerializeBufferFull) }
    }
}

impl<T> fmt::Debug for Payload<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload<{}>(..)", type_name::<T>())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeMap, BTreeSet, HashMap, HashSet},
        time::Duration,
    };

    use super::*;
    use crate::federated::tensor::Structure;
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
    fn from_bytes_inverts_to_bytes_and_refuses_other_lengths() {
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
        // ndarray's own encoding: version, shape, elements.
        let bytes = postcard::to_allocvec(&(1_u8, [2_usize, 2], vec![1_u8, 2, 3])).unwrap();
        assert!(Payload::<ndarray::Array2<u8>>::from_bytes(&bytes).is_err());
        let bytes = postcard::to_allocvec(&(1_u8, [usize::MAX, 2], vec![1_u8, 2, 3])).unwrap();
        assert!(Payload::<ndarray::Array2<u8>>::from_bytes(&bytes).is_err());
        let bytes = postcard::to_allocvec(&(1_u8, [1_usize, 3], vec![1_u8, 2, 3])).unwrap();
        assert_eq!(Payload::from_bytes(&bytes), Ok(Payload(array![[1_u8, 2, 3]])));
    }

    /// Asserts that `from_bytes` refuses bytes that decode to this type but are not its encoding.
    fn refuses<T: Serialize + DeserializeOwned + Send>(bytes: impl Serialize) {
        let bytes = postcard::to_allocvec(&bytes).unwrap();
        assert!(postcard::from_bytes::<T>(&bytes).is_ok(), "{bytes:?}: the format itself accepts it");
        let error = Payload::<T>::from_bytes(&bytes).err();
        assert!(matches!(error, Some(Error::PayloadDecoding { .. })), "{bytes:?}: {error:?}");
    }

    /// Bytes without a length prefix.
    struct Raw<const N: usize>([u8; N]);

    impl<const N: usize> Serialize for Raw<N> {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            use serde::ser::SerializeTuple;
            let mut tuple = serializer.serialize_tuple(N)?;
            self.0.iter().try_for_each(|byte| tuple.serialize_element(byte))?;
            tuple.end()
        }
    }

    #[test]
    fn maps_and_sets_with_an_order_have_one_encoding() {
        type Map = BTreeMap<u32, u32>;
        refuses::<Map>([(1, 10), (1, 20)].as_slice());
        refuses::<Map>([(1, 10), (1, 10)].as_slice());
        refuses::<Map>([(2, 20), (1, 10)].as_slice());
        refuses::<Vec<Map>>([[(1, 1), (2, 2)].as_slice(), &[(2, 2), (1, 1)]].as_slice());
        refuses::<BTreeMap<String, u8>>([("b", 1), ("a", 2)].as_slice());
        refuses::<BTreeSet<u32>>([1, 1].as_slice());
        refuses::<BTreeSet<u32>>([2, 1].as_slice());
        // Keys are ordered by their values, not by their bytes.
        round_trip(BTreeMap::from([(1_u32, 1_u8), (300, 2), (255, 3)]));
        round_trip(BTreeMap::from([(-1_i64, vec![1_u8]), (1, vec![]), (i64::MIN, vec![])]));
    }

    #[test]
    fn integers_have_one_encoding() {
        refuses::<u16>(Raw([0x81, 0]));
        refuses::<u32>(Raw([0x80, 0x80, 0x80, 0]));
        refuses::<u64>((Raw([0x80; 9]), 0_u8));
        refuses::<i128>(Raw([0x80, 0]));
        refuses::<usize>(Raw([0xff, 0x80, 0]));
        refuses::<Vec<u8>>(Raw([0x81, 0, 7]));
        refuses::<String>(Raw([0x81, 0, b'a']));
        refuses::<Result<u8, ()>>(Raw([0x80, 0, 7]));
        refuses::<ndarray::Array1<f32>>(Raw([1, 0x80, 0, 0]));
        refuses::<Structure<u8>>(Raw([1, 0, 0x80, 0, 7]));
        refuses::<Duration>((0_u64, 1_000_000_000_u32));
    }

    #[test]
    fn hash_maps_and_sets_are_accepted_in_any_order_without_repetitions() {
        for len in [0, 1, 2, 3, 100_u32] {
            for _ in 0..20 {
                round_trip((0..len).map(|i| (i, i * i)).collect::<HashMap<_, _>>());
                round_trip(vec![(0..len).map(|i| i.to_string()).collect::<HashSet<_>>()]);
            }
        }
        refuses::<HashMap<u32, u32>>([(1, 10), (2, 20), (1, 10)].as_slice());
        refuses::<HashSet<u32>>([1, 2, 1].as_slice());
        refuses::<HashSet<u16>>(Raw([2, 1, 0x82, 0]));
    }

    #[test]
    fn floats_keep_their_bits() {
        for bits in [0, 1 << 63, 0x7ff0_0000_0000_0000, 0x7ff0_0000_0000_0001, u64::MAX] {
            let bytes = Payload(f64::from_bits(bits)).to_bytes().unwrap();
            assert_eq!(Payload::<f64>::from_bytes(&bytes).unwrap().0.to_bits(), bits);
        }
    }

    #[test]
    fn an_unsupported_type_is_an_error() {
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
