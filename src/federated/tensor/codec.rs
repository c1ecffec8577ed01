//! Codecs: the encoding of elements in the slots of a plaintext, and the decoding of their sums.

mod codecs;
mod encoding;
pub(in crate::federated) mod erased;
mod per_tensor;

pub use codecs::Codecs;
pub(in crate::federated) use encoding::EncodingParameters;
pub use encoding::{Encoding, FloatSum};
pub use per_tensor::PerTensor;

use core::any::Any;

use rand_core::CryptoRng;

use super::Scalar;
use crate::{
    federated::tensor::error::{Error, Result},
    packing::{self, Float, Integer, IntegerRange, Modular, Quantized, QuantizedSum, Quantizer},
};

pub(in crate::federated) mod sealed {
    pub trait Sealed {}
}

/// The encoding of elements of type `T` as small integers at a client, and the decoding of their
/// sum at the server.
///
/// | codec | elements | result at the server |
/// | :-- | :-- | :-- |
/// | [`IntegerRange`] | integers of 8 to 64 bits, refused where out of range | the exact sum, in a wider type |
/// | [`Quantizer`] | floating-point numbers, clipped and rounded to a grid | the mean |
/// | [`FloatSum`] | floating-point numbers, clipped and rounded to a [`Quantizer`]'s grid, in its number of bits | the sum |
/// | [`QuantizedSum`] | `i32`, `i64`, `f32`, `f64`, clipped, in 32 bits | the sum, of integers in a wider type |
/// | [`Modular`] | integers of 8 to 64 bits | the sum's residue, as `i64` |
///
/// Public, and the same for every party. Sealed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not encode elements of type `{T}`",
    label = "not for elements of type `{T}`",
    note = "integers are summed exactly in an `IntegerRange` and modulo a number by a `Modular`; floating-point \
            numbers have a mean by a `Quantizer` and a sum by a `FloatSum`; `QuantizedSum<{T}>` takes `i32`, `i64`, `f32` and `f64`"
)]
pub trait Codec<T: Scalar>: sealed::Sealed + Clone + Send + Sync + 'static {
    /// The type of each decoded sum.
    type Output: Scalar;

    /// Bits of an encoded element, 1 to 64.
    fn value_bits(&self) -> u32;

    /// The maximum encoding of an honest client.
    fn max_encoding(&self) -> u64;

    /// Checks that all elements can be encoded.
    ///
    /// # Errors
    ///
    /// An error with the index of the first element that cannot be encoded.
    fn check(&self, values: &[T]) -> Result<()>;

    /// Writes the encoding of `values[i]`, at most [`max_encoding`](Self::max_encoding),
    /// to `out[i]`. Returns the number of clipped elements. Only stochastic rounding uses `rng`.
    ///
    /// # Errors
    ///
    /// Those of [`check`](Self::check).
    ///
    /// # Panics
    ///
    /// Unless both slices have the same length.
    fn encode(&self, values: &[T], out: &mut [u64], rng: &mut dyn CryptoRng) -> Result<usize>;

    /// The codec as an [`Encoding`].
    #[doc(hidden)]
    fn encoding(&self) -> Encoding;

    /// The decoded sum of a slot, or `None` if honest clients cannot reach this sum.
    ///
    /// `weight` is the total weight of the clients. Without weights, it is their number.
    fn decode(&self, sum: u128, weight: u64) -> Option<Self::Output>;
}

/// Whether encodings up to `max` can have this sum.
///
/// The maximum is below 2^127, as encodings have at most 64 bits and the total weight is at most
/// 2^63.
fn is_reachable(sum: u128, max: u64, weight: u64) -> bool {
    sum <= u128::from(max) * u128::from(weight)
}

impl sealed::Sealed for IntegerRange {}

impl<T: Scalar + Integer<Sum: Scalar>> Codec<T> for IntegerRange {
    type Output = T::Sum;

    fn value_bits(&self) -> u32 {
        self.value_bits()
    }

    fn max_encoding(&self) -> u64 {
        u64::try_from(self.max() - self.min()).expect("a range spans at most 64 bits")
    }

    fn check(&self, values: &[T]) -> Result<()> {
        // No branches and no early stop while all values are in range.
        let is_outside = |value: T| {
            let value = value.to_i128();
            (value < self.min()) | (value > self.max())
        };
        if !values.iter().fold(false, |any, &value| any | is_outside(value)) {
            return Ok(());
        }
        let index = values.iter().position(|&value| is_outside(value));
        let index = index.expect("one of the values is out of range");
        Err(packing::Error::ValueOutOfRange { index, min: self.min(), max: self.max() }.into())
    }

    fn encode(&self, values: &[T], out: &mut [u64], _: &mut dyn CryptoRng) -> Result<usize> {
        self.encode(values, out)?;
        Ok(0)
    }

    fn encoding(&self) -> Encoding {
        Encoding::Integers(*self)
    }

    fn decode(&self, sum: u128, weight: u64) -> Option<T::Sum> {
        let reachable = is_reachable(sum, Codec::<T>::max_encoding(self), weight);
        if reachable { T::sum_from_i128(self.decode_sum(sum, weight)) } else { None }
    }
}

impl sealed::Sealed for Quantizer {}

impl<T: Scalar + Float> Codec<T> for Quantizer {
    type Output = T;

    fn value_bits(&self) -> u32 {
        self.bits()
    }

    fn max_encoding(&self) -> u64 {
        self.intervals()
    }

    fn check(&self, values: &[T]) -> Result<()> {
        check_finite(values, |value| value.to_f64().is_finite())
    }

    fn encode(&self, values: &[T], out: &mut [u64], rng: &mut dyn CryptoRng) -> Result<usize> {
        Ok(self.encode(values, out, rng)?)
    }

    fn encoding(&self) -> Encoding {
        Encoding::Mean(*self)
    }

    fn decode(&self, sum: u128, weight: u64) -> Option<T> {
        let reachable = is_reachable(sum, self.intervals(), weight);
        // A total weight of zero arrives here only if the mean is defined as zero for it.
        let mean = || if weight == 0 { T::from_f64(0.0) } else { self.decode_mean_as(sum, weight) };
        reachable.then(mean)
    }
}

impl sealed::Sealed for FloatSum {}

impl<T: Scalar + Float> Codec<T> for FloatSum {
    type Output = T;

    fn value_bits(&self) -> u32 {
        self.quantizer().bits()
    }

    fn max_encoding(&self) -> u64 {
        self.quantizer().intervals()
    }

    fn check(&self, values: &[T]) -> Result<()> {
        Codec::check(self.quantizer(), values)
    }

    fn encode(&self, values: &[T], out: &mut [u64], rng: &mut dyn CryptoRng) -> Result<usize> {
        Ok(self.quantizer().encode(values, out, rng)?)
    }

    fn encoding(&self) -> Encoding {
        Encoding::Sum(*self.quantizer())
    }

    fn decode(&self, sum: u128, weight: u64) -> Option<T> {
        let reachable = is_reachable(sum, self.quantizer().intervals(), weight);
        let sum = T::from_f64(self.quantizer().sum_of_points(sum, weight));
        (reachable && sum.to_f64().is_finite()).then_some(sum)
    }
}

impl<T: Quantized> sealed::Sealed for QuantizedSum<T> {}

// Any codec as a value. It does not implement `Codec`, but is accepted like a codec.
impl sealed::Sealed for Encoding {}

impl<T: Scalar + Quantized<Sum: Scalar>> Codec<T> for QuantizedSum<T> {
    type Output = T::Sum;

    fn value_bits(&self) -> u32 {
        self.value_bits()
    }

    fn max_encoding(&self) -> u64 {
        self.max_encoding()
    }

    fn check(&self, values: &[T]) -> Result<()> {
        check_finite(values, |value| T::is_finite(value))
    }

    fn encode(&self, values: &[T], out: &mut [u64], _: &mut dyn CryptoRng) -> Result<usize> {
        Ok(self.encode(values, out)?)
    }

    fn encoding(&self) -> Encoding {
        let this: &dyn Any = self;
        None.or_else(|| this.downcast_ref().copied().map(Encoding::QuantizedI32))
            .or_else(|| this.downcast_ref().copied().map(Encoding::QuantizedI64))
            .or_else(|| this.downcast_ref().copied().map(Encoding::QuantizedF32))
            .or_else(|| this.downcast_ref().copied().map(Encoding::QuantizedF64))
            .expect("quantised sums support four types")
    }

    fn decode(&self, sum: u128, weight: u64) -> Option<T::Sum> {
        self.decode_sum(sum, weight).ok()
    }
}

impl sealed::Sealed for Modular {}

impl<T: Scalar + Integer> Codec<T> for Modular {
    type Output = i64;

    fn value_bits(&self) -> u32 {
        self.value_bits()
    }

    fn max_encoding(&self) -> u64 {
        self.max_encoding()
    }

    fn check(&self, _: &[T]) -> Result<()> {
        Ok(())
    }

    fn encode(&self, values: &[T], out: &mut [u64], _: &mut dyn CryptoRng) -> Result<usize> {
        self.encode(values, out);
        Ok(0)
    }

    fn encoding(&self) -> Encoding {
        Encoding::Modular(*self)
    }

    fn decode(&self, sum: u128, weight: u64) -> Option<i64> {
        is_reachable(sum, self.max_encoding(), weight).then(|| self.decode_sum(sum))
    }
}

/// No branches and no early stop while all values are finite.
fn check_finite<T: Copy>(values: &[T], is_finite: impl Fn(T) -> bool) -> Result<()> {
    if values.iter().fold(true, |all, &value| all & is_finite(value)) {
        return Ok(());
    }
    let index = values.iter().position(|&value| !is_finite(value));
    Err(packing::Error::NotFinite { index: index.expect("one of the values is not finite") }.into())
}

/// Changes the index in an error about a part into an index of the whole. `from` is the start of
/// the part.
pub(in crate::federated) fn at(error: Error, from: usize) -> Error {
    let Error::Packing(error) = error else { return error };
    Error::Packing(match error {
        packing::Error::ValueOutOfRange { index, min, max } => {
            packing::Error::ValueOutOfRange { index: from + index, min, max }
        }
        packing::Error::NotFinite { index } => packing::Error::NotFinite { index: from + index },
        other => other,
    })
}
