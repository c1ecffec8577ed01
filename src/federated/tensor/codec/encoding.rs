//! Encodings as values: the form of codecs in a round's specification.

use serde::{Deserialize, Serialize};

use crate::packing::{self, IntegerRange, Modular, QuantizedSum, Quantizer, Rounding};

/// How the elements of a tensor become small integers at a client, and how the server decodes their
/// sums.
///
/// It is a [`Codec`](crate::federated::tensor::Codec) as a value. It is public, and the same for
/// every party of a round.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Encoding {
    /// Integers of 8 to 64 bits, refused where out of range. The server gets their exact sum, in a
    /// wider type.
    Integers(IntegerRange),
    /// `f32` or `f64`, clipped and rounded to a grid. The server gets their mean.
    Mean(Quantizer),
    /// `f32` or `f64`, clipped and rounded to a grid. The server gets their sum.
    Sum(Quantizer),
    /// Integers of 8 to 64 bits. The server gets the residue of their sum, as `i64`.
    Modular(Modular),
    /// `i32` in 2³² levels. The server gets their sum, as `i64`.
    QuantizedI32(QuantizedSum<i32>),
    /// `i64` in 2³² levels. The server gets their sum, as `i128`.
    QuantizedI64(QuantizedSum<i64>),
    /// `f32` in 2³² levels. The server gets their sum.
    QuantizedF32(QuantizedSum<f32>),
    /// `f64` in 2³² levels. The server gets their sum.
    QuantizedF64(QuantizedSum<f64>),
}

/// Conversions from codecs whose sums have one meaning. A [`Quantizer`] could have two: as a codec
/// it is [`Encoding::Mean`].
macro_rules! from_codecs {
    ($($codec:ty: $variant:ident),*) => {$(
        impl From<$codec> for Encoding {
            fn from(codec: $codec) -> Self {
                Self::$variant(codec)
            }
        }
    )*};
}

from_codecs!(
    IntegerRange: Integers, Modular: Modular, QuantizedSum<i32>: QuantizedI32, QuantizedSum<i64>: QuantizedI64,
    QuantizedSum<f32>: QuantizedF32, QuantizedSum<f64>: QuantizedF64
);

/// Sums of `f32` or `f64` on a [`Quantizer`]'s grid. Values are clipped and rounded as for a mean,
/// in the quantizer's number of bits. The server gets their sum.
///
/// [`Quantizer`] itself is the codec of the mean, [`QuantizedSum`] that of sums in 32 bits.
///
/// ```
/// use cipherfold::{federated::{LocalExecutor, tensor::FloatSum}, packing::Quantizer, paillier::Bits2048};
///
/// let executor = LocalExecutor::<Bits2048>::builder().build()?;
/// let energy = [2.5_f64, 4.0, 1.5];
/// let sum = executor.secure_aggregate(energy, FloatSum::new(Quantizer::new(0.0, 10.0, 20)?))?;
/// assert!((sum.value - 8.0).abs() < 1e-4);
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FloatSum(Quantizer);

impl FloatSum {
    /// Sums on the grid of this quantizer.
    pub const fn new(quantizer: Quantizer) -> Self {
        Self(quantizer)
    }

    /// The grid.
    pub const fn quantizer(&self) -> &Quantizer {
        &self.0
    }
}

impl From<FloatSum> for Encoding {
    fn from(sum: FloatSum) -> Self {
        Self::Sum(sum.0)
    }
}

impl Encoding {
    /// Bits of an encoded element, 1 to 64.
    pub fn value_bits(&self) -> u32 {
        match self {
            Self::Integers(range) => range.value_bits(),
            Self::Mean(quantizer) | Self::Sum(quantizer) => quantizer.bits(),
            Self::Modular(modular) => modular.value_bits(),
            Self::QuantizedI32(_) | Self::QuantizedI64(_) | Self::QuantizedF32(_) | Self::QuantizedF64(_) => {
                32
            }
        }
    }

    /// The maximum error that the encoding's rounding adds to an element of the result, for a total
    /// weight of the clients (their number, if they have no weights). Zero for exact sums. Clipping
    /// does not count as an error.
    ///
    /// The element's own type rounds once more.
    #[expect(clippy::cast_precision_loss, reason = "a bound")]
    pub fn error_bound(&self, total_weight: u64) -> f64 {
        let steps = f64::from(u32::MAX);
        let weight = total_weight as f64;
        match self {
            Self::Integers(_) | Self::Modular(_) | Self::QuantizedI32(_) => 0.0,
            Self::Mean(quantizer) => quantizer.error_bound(),
            Self::Sum(quantizer) => quantizer.error_bound() * weight,
            Self::QuantizedI64(sum) => {
                let span = i128::from(sum.upper()) - i128::from(sum.lower());
                let step = span / i128::from(u32::MAX) + 1;
                (step - 1) as f64 * weight
            }
            Self::QuantizedF32(sum) => f64::from(sum.upper() - sum.lower()) / steps / 2.0 * weight,
            Self::QuantizedF64(sum) => (sum.upper() - sum.lower()) / steps / 2.0 * weight,
        }
    }
}

/// The parameters of an [`Encoding`] in their encoded form.
#[derive(Serialize, Deserialize)]
pub(in crate::federated) enum EncodingParameters {
    Integers { min: i128, max: i128 },
    Mean { lower: f64, upper: f64, bits: u32, stochastic: bool },
    Sum { lower: f64, upper: f64, bits: u32, stochastic: bool },
    Modular { modulus: u64, symmetric: bool },
    QuantizedI32 { lower: i32, upper: i32 },
    QuantizedI64 { lower: i64, upper: i64 },
    QuantizedF32 { lower: f32, upper: f32 },
    QuantizedF64 { lower: f64, upper: f64 },
}

impl From<&Encoding> for EncodingParameters {
    fn from(encoding: &Encoding) -> Self {
        let grid = |quantizer: &Quantizer| {
            let stochastic = quantizer.rounding() == Rounding::Stochastic;
            (quantizer.lower(), quantizer.upper(), quantizer.bits(), stochastic)
        };
        match encoding {
            Encoding::Integers(range) => Self::Integers { min: range.min(), max: range.max() },
            Encoding::Mean(quantizer) => {
                let (lower, upper, bits, stochastic) = grid(quantizer);
                Self::Mean { lower, upper, bits, stochastic }
            }
            Encoding::Sum(quantizer) => {
                let (lower, upper, bits, stochastic) = grid(quantizer);
                Self::Sum { lower, upper, bits, stochastic }
            }
            Encoding::Modular(modular) => {
                Self::Modular { modulus: modular.modulus(), symmetric: modular.is_symmetric() }
            }
            Encoding::QuantizedI32(sum) => Self::QuantizedI32 { lower: sum.lower(), upper: sum.upper() },
            Encoding::QuantizedI64(sum) => Self::QuantizedI64 { lower: sum.lower(), upper: sum.upper() },
            Encoding::QuantizedF32(sum) => Self::QuantizedF32 { lower: sum.lower(), upper: sum.upper() },
            Encoding::QuantizedF64(sum) => Self::QuantizedF64 { lower: sum.lower(), upper: sum.upper() },
        }
    }
}

impl TryFrom<EncodingParameters> for Encoding {
    type Error = packing::Error;

    fn try_from(parameters: EncodingParameters) -> Result<Self, packing::Error> {
        let grid = |lower, upper, bits, stochastic| {
            let quantizer = Quantizer::new(lower, upper, bits)?;
            Ok::<_, packing::Error>(if stochastic { quantizer.stochastic() } else { quantizer })
        };
        Ok(match parameters {
            EncodingParameters::Integers { min, max } => Self::Integers(IntegerRange::new(min, max)?),
            EncodingParameters::Mean { lower, upper, bits, stochastic } => {
                Self::Mean(grid(lower, upper, bits, stochastic)?)
            }
            EncodingParameters::Sum { lower, upper, bits, stochastic } => {
                Self::Sum(grid(lower, upper, bits, stochastic)?)
            }
            EncodingParameters::Modular { modulus, symmetric: true } => {
                Self::Modular(Modular::symmetric(modulus)?)
            }
            EncodingParameters::Modular { modulus, symmetric: false } => {
                Self::Modular(Modular::new(modulus)?)
            }
            EncodingParameters::QuantizedI32 { lower, upper } => {
                Self::QuantizedI32(QuantizedSum::new(lower, upper)?)
            }
            EncodingParameters::QuantizedI64 { lower, upper } => {
                Self::QuantizedI64(QuantizedSum::new(lower, upper)?)
            }
            EncodingParameters::QuantizedF32 { lower, upper } => {
                Self::QuantizedF32(QuantizedSum::new(lower, upper)?)
            }
            EncodingParameters::QuantizedF64 { lower, upper } => {
                Self::QuantizedF64(QuantizedSum::new(lower, upper)?)
            }
        })
    }
}
