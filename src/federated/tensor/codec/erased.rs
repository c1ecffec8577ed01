//! Encoders and decoders of one tensor, independent of its type.

use core::{marker::PhantomData, ops::Deref};

use ndarray::{ArrayD, ArrayViewD, IxDyn};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{Codec, Encoding, FloatSum, at};
use crate::federated::tensor::{DType, Scalar, Tensor, TensorView, dtype::Erase, error::Result};

/// One tensor of a client's update with its codec, both type-erased.
pub(in crate::federated) trait Encode: Send + Sync {
    /// Checks that all elements can be encoded.
    fn check(&self) -> Result<()>;
    /// Encodes elements from index `from` on. Returns the number of clipped elements.
    fn encode(&self, from: usize, out: &mut [u64], rng: &mut dyn CryptoRng) -> Result<usize>;
}

/// Collects a tensor's elements from the sums of its slots.
pub(in crate::federated) trait Decode: Send + Sync {
    /// Decodes the sums of the elements from index `from` on. `Err(i)` if the i-th of them is out
    /// of range.
    fn put(&mut self, from: usize, sums: &[u128], weight: u64) -> Result<(), usize>;
    /// The tensor. Elements without a decoded sum are zero.
    fn finish(self: Box<Self>) -> Tensor;
}

/// A tensor's values with its codec.
pub(super) struct TensorEncoder<'a, T: Scalar, C> {
    values: RowMajor<'a, T>,
    codec: C,
}

impl<'a, T: Scalar, C> TensorEncoder<'a, T, C> {
    pub(super) fn new(view: &ArrayViewD<'a, T>, codec: C) -> Self {
        Self { values: RowMajor::of(view), codec }
    }
}

/// Values in row-major order. They are copied only if the array has another order; the copy is
/// wiped.
enum RowMajor<'a, T: Scalar> {
    InPlace(&'a [T]),
    Copied(Zeroizing<Vec<T>>),
}

impl<'a, T: Scalar> RowMajor<'a, T> {
    fn of(view: &ArrayViewD<'a, T>) -> Self {
        if let Some(values) = view.to_slice() {
            return Self::InPlace(values);
        }
        // The full capacity is reserved first: growing would leave copies behind.
        let mut values = Zeroizing::new(Vec::with_capacity(view.len()));
        values.extend(view.iter().copied());
        Self::Copied(values)
    }
}

impl<T: Scalar> Deref for RowMajor<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::InPlace(values) => values,
            Self::Copied(values) => values,
        }
    }
}

impl<T: Scalar, C: Codec<T>> Encode for TensorEncoder<'_, T, C> {
    fn check(&self) -> Result<()> {
        self.codec.check(&self.values)
    }

    fn encode(&self, from: usize, out: &mut [u64], rng: &mut dyn CryptoRng) -> Result<usize> {
        let values = &self.values[from..from + out.len()];
        self.codec.encode(values, out, rng).map_err(|error| at(error, from))
    }
}

/// The decoded elements of a tensor so far.
pub(super) struct TensorDecoder<T: Scalar, C: Codec<T>> {
    shape: Vec<usize>,
    codec: C,
    /// Has its full length after the first call of `put`.
    values: Vec<C::Output>,
    element: PhantomData<fn() -> T>,
}

impl<T: Scalar, C: Codec<T>> TensorDecoder<T, C> {
    pub(super) fn new(shape: Vec<usize>, codec: C) -> Self {
        Self { shape, codec, values: Vec::new(), element: PhantomData }
    }

    fn all(&mut self) -> &mut [C::Output] {
        let len = self.shape.iter().product();
        self.values.resize(len, C::Output::default());
        &mut self.values
    }
}

impl<T: Scalar, C: Codec<T>> Decode for TensorDecoder<T, C> {
    fn put(&mut self, from: usize, sums: &[u128], weight: u64) -> Result<(), usize> {
        let codec = self.codec.clone();
        let values = &mut self.all()[from..from + sums.len()];
        for (i, (value, sum)) in values.iter_mut().zip(sums).enumerate() {
            *value = codec.decode(*sum, weight).ok_or(i)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Tensor {
        self.all();
        let array = ArrayD::from_shape_vec(IxDyn(&self.shape), self.values);
        <C::Output as Erase>::erase(array.expect("the number of elements fits the shape"))
    }
}

/// Runs an expression with the codec of an encoding, for the tensor variants that it supports.
macro_rules! dispatch {
    ($encoding:expr, $other:expr, $Other:ident, |$codec:ident, $value:tt, $T:ident| $body:expr) => {
        dispatch!(@arms $encoding, $other, $Other, $codec, $value, $T, $body,
            Integers: I8 i8, I16 i16, I32 i32, I64 i64, U8 u8, U16 u16, U32 u32, U64 u64;
            Modular: I8 i8, I16 i16, I32 i32, I64 i64, U8 u8, U16 u16, U32 u32, U64 u64;
            Mean: F32 f32, F64 f64;
            QuantizedI32: I32 i32;
            QuantizedI64: I64 i64;
            QuantizedF32: F32 f32;
            QuantizedF64: F64 f64)
    };
    (@arms $encoding:expr, $other:expr, $Other:ident, $codec:ident, $value:tt, $T:ident, $body:expr,
        $($kind:ident: $($variant:ident $scalar:ident),+);+) => {
        match $encoding {
            $(Encoding::$kind($codec) => match $other {
                $($Other::$variant $value => {
                    type $T = $scalar;
                    Some($body)
                })+
                _ => None,
            })+
            // The same grid, with another decoding of the sums.
            Encoding::Sum(quantizer) => {
                let $codec = FloatSum::new(quantizer);
                match $other {
                    $Other::F32 $value => {
                        type $T = f32;
                        Some($body)
                    }
                    $Other::F64 $value => {
                        type $T = f64;
                        Some($body)
                    }
                    _ => None,
                }
            }
        }
    };
}

impl Encoding {
    /// Whether this encoding supports elements of this type.
    pub fn takes(&self, dtype: DType) -> bool {
        self.decoder(dtype, Vec::new()).is_some()
    }

    /// A tensor ready to be encoded. `None` if the encoding does not support its element type.
    pub(in crate::federated) fn encoder<'a>(&self, tensor: &TensorView<'a>) -> Option<Box<dyn Encode + 'a>> {
        dispatch!(*self, tensor, TensorView, |codec, (view), T| {
            let encoder: Box<dyn Encode + 'a> = Box::new(TensorEncoder::<T, _>::new(view, codec));
            encoder
        })
    }

    /// A decoder for a tensor of this type and shape. `None` if the encoding does not support the
    /// type.
    pub(in crate::federated) fn decoder(&self, dtype: DType, shape: Vec<usize>) -> Option<Box<dyn Decode>> {
        dispatch!(*self, dtype, DType, |codec, {}, T| {
            let decoder: Box<dyn Decode> = Box::new(TensorDecoder::<T, _>::new(shape, codec));
            decoder
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        federated::tensor::{
            DType, Encoding, PerTensor, Structure, Summand, TensorView, Tensors, error::Error,
            summand::assemble,
        },
        packing::{self, IntegerRange, Modular, QuantizedSum, Quantizer},
    };
    use ndarray::{ArrayView2, array};
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    fn encoders<'a, U: Tensors + ?Sized, C: Codec<U::Scalar>>(
        update: &'a U,
        codecs: &PerTensor<C>,
    ) -> Result<Vec<Box<dyn Encode + 'a>>> {
        let codecs = codecs.of(&update.structure()?)?;
        let encoder = |(view, codec): (&TensorView<'a>, C)| codec.encoding().encoder(view).unwrap();
        Ok(update.erased().iter().zip(codecs).map(encoder).collect())
    }

    /// The server's result for these clients, in pieces of three elements, without encryption.
    fn round<U: Tensors, C: Codec<U::Scalar>>(
        clients: &[U],
        codecs: impl Into<PerTensor<C>>,
    ) -> Result<(U::With<C::Output>, usize)> {
        let codecs = codecs.into();
        let mut rng = ChaCha20Rng::from_seed([42; 32]);
        let encoders: Vec<_> =
            clients.iter().map(|client| encoders(client, &codecs)).collect::<Result<_>>()?;
        let mut clipped = 0;
        let mut results = Vec::new();
        let structure = clients[0].structure()?;
        for (tensor, (kind, codec)) in structure.iter().zip(codecs.of(&structure)?).enumerate() {
            let len: usize = kind.shape.iter().product();
            let mut decoder = codec.encoding().decoder(kind.dtype, kind.shape.clone()).unwrap();
            // Backwards: pieces may arrive in any order.
            for from in (0..len).step_by(3).rev() {
                let mut sums = vec![0; 3.min(len - from)];
                for client in &encoders {
                    client[tensor].check()?;
                    let mut encoded = vec![0; sums.len()];
                    clipped += client[tensor].encode(from, &mut encoded, &mut rng)?;
                    sums.iter_mut().zip(encoded).for_each(|(sum, value)| *sum += u128::from(value));
                }
                decoder.put(from, &sums, clients.len() as u64).expect("sums of honest clients are in range");
            }
            results.push(decoder.finish());
        }
        let mut results = results.into_iter();
        let tensors = structure.map(|_| results.next().unwrap());
        let assembler = Summand::<PerTensor<C>>::assembler(&clients[0]);
        Ok((assemble(assembler, tensors), clipped))
    }

    #[test]
    fn integers_are_summed_in_their_structure() {
        let client = |i: i16| (array![[i, -i, 3], [4, 5, i]], vec![array![i], array![]]);
        let range = IntegerRange::signed_bits(8).unwrap();
        let (sum, clipped) = round(&[client(1), client(10), client(-127)], range).unwrap();
        assert_eq!(sum.0, array![[-116_i64, 116, 9], [12, 15, -116]]);
        assert_eq!((sum.1, clipped), (vec![array![-116_i64], array![]], 0));
    }

    #[test]
    fn tensors_that_are_not_in_row_major_order_are_encoded_in_it() {
        let matrix = array![[1_u8, 2, 3], [4, 5, 6]];
        let clients: [ArrayView2<'_, u8>; 2] = [matrix.t(), matrix.t()];
        let (sum, _) = round(&clients, IntegerRange::of::<u8>()).unwrap();
        assert_eq!(sum, array![[2_u64, 8], [4, 10], [6, 12]]);
    }

    #[test]
    fn each_tensor_has_its_codec() {
        let client =
            |w: f32, b: f32| BTreeMap::from([("w".to_owned(), array![w, -w]), ("b".to_owned(), array![b])]);
        let fine = Quantizer::symmetric(1.0, 16).unwrap();
        let coarse = Quantizer::symmetric(100.0, 8).unwrap();
        let codecs = BTreeMap::from([("w".to_owned(), fine), ("b".to_owned(), coarse)]);
        let (mean, clipped) = round(&[client(0.5, 40.0), client(2.0, 60.0)], codecs).unwrap();
        assert_eq!(clipped, 2);
        assert!((mean["w"][0] - 0.75).abs() < 1e-4 && (mean["w"][1] + 0.75).abs() < 1e-4);
        assert!((f64::from(mean["b"][0]) - 50.0).abs() <= coarse.error_bound());
    }

    #[test]
    fn codecs_in_another_structure_are_refused() {
        let client = Structure::named([("w", 1_i32.into()), ("b", 2.into())]).unwrap();
        let codec = |max| Structure::leaf(IntegerRange::up_to(max));
        let codecs = Structure::named([("b", codec(1)), ("w", codec(2))]).unwrap();
        let error = round(std::slice::from_ref(&client), codecs).unwrap_err();
        let (tensors, parameters) = ("<w=i32,b=i32>".into(), "<b=_,w=_>".into());
        assert_eq!(error, Error::ParameterStructure { tensors, parameters });
        let codecs = vec![IntegerRange::up_to(1); 3];
        assert_eq!(round(&[client], codecs).unwrap_err(), Error::ParameterCount { tensors: 2, found: 3 });
    }

    #[test]
    fn quantised_and_modular_sums() {
        let clients = [(1.5_f64, array![0.25]), (9.0, array![-0.5])];
        let (sum, clipped) = round(&clients, QuantizedSum::new(-2.0, 2.0).unwrap()).unwrap();
        assert!((sum.0 - 3.5).abs() < 1e-8 && (sum.1[0] + 0.25).abs() < 1e-8);
        assert_eq!(clipped, 1);
        let moduli = [Modular::new(5).unwrap(), Modular::symmetric(7).unwrap()];
        let (sum, _) = round(&[(1_i8, -5_i8), (3, -4), (-7, 1)], moduli).unwrap();
        assert_eq!(sum, (2_i64, 5), "-3 modulo 5, and -8 modulo 13 from -6 to 6");
    }

    #[test]
    fn errors_name_the_index_of_an_element_that_cannot_be_encoded() {
        let encoder = |update| {
            let range = IntegerRange::up_to(9);
            encoders::<ndarray::Array1<i32>, _>(update, &range.into()).unwrap().remove(0)
        };
        let mut values = ndarray::Array1::zeros(1000);
        values[777] = 10;
        let error = Error::Packing(packing::Error::ValueOutOfRange { index: 777, min: 0, max: 9 });
        assert_eq!(encoder(&values).check().unwrap_err(), error);
        let mut rng = ChaCha20Rng::from_seed([42; 32]);
        assert_eq!(encoder(&values).encode(700, &mut [0; 100], &mut rng).unwrap_err(), error);
        assert_eq!(encoder(&values).encode(800, &mut [0; 100], &mut rng), Ok(0));
    }

    #[test]
    fn errors_name_the_index_of_a_sum_out_of_range() {
        let decoder = |encoding: Encoding| encoding.decoder(DType::I32, vec![3]).unwrap();
        let range = Encoding::Integers(IntegerRange::up_to(9));
        assert_eq!(decoder(range).put(0, &[0, 18, 19], 2), Err(2));
        assert_eq!(decoder(range).put(0, &[u128::MAX], 2), Err(0));
        let modular = Encoding::Modular(Modular::new(5).unwrap());
        assert_eq!(decoder(modular).put(1, &[8, 9], 2), Err(1));
    }
}
