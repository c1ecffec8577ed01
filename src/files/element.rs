//! Types of the numbers in files, and their conversions.

use core::fmt;

use half::{bf16, f16};
use safetensors::Dtype;

use super::minifloat::Minifloat;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// A floating-point type of Rust for values of files. Sealed: `f32` and `f64`.
///
/// `f32` holds the values of every [`FloatType`] except `F64` exactly.
pub trait Float: sealed::Sealed + Copy + Default + Send + Sync + 'static {
    /// The nearest value of this type.
    fn from_f64(x: f64) -> Self;

    /// The same value.
    fn to_f64(self) -> f64;
}

impl Float for f32 {
    #[expect(clippy::cast_possible_truncation, reason = "rounds to nearest, as documented")]
    fn from_f64(x: f64) -> Self {
        x as Self
    }

    fn to_f64(self) -> f64 {
        self.into()
    }
}

impl Float for f64 {
    fn from_f64(x: f64) -> Self {
        x
    }

    fn to_f64(self) -> f64 {
        self
    }
}

/// Floating-point types that a file may hold.
///
/// Numbers are written to the nearest value of the type, ties to even, and never to an infinity:
/// larger numbers become the maximum.
///
/// | type | significant bits | maximum | smallest positive |
/// | :-- | --: | --: | --: |
/// | `F64` | 53 | 1.8e308 | 2^-1074 |
/// | `F32`, and the parts of `C64` | 24 | 3.4e38 | 2^-149 |
/// | `F16` | 11 | 65504 | 2^-24 |
/// | `BF16` | 8 | 3.4e38 | 2^-133 |
/// | `F8_E4M3` | 4 | 448 | 2^-9 |
/// | `F8_E5M2` | 3 | 57344 | 2^-16 |
/// | `F8_E4M3FNUZ` | 4 | 240 | 2^-10 |
/// | `F8_E5M2FNUZ` | 3 | 57344 | 2^-17 |
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FloatType {
    /// 64 bits.
    F64,
    /// 32 bits.
    F32,
    /// Complex numbers: two values of 32 bits each.
    C64,
    /// 16 bits, 5 of them for the exponent.
    F16,
    /// 16 bits, 8 of them for the exponent.
    BF16,
    /// 8 bits, 4 of them for the exponent, without infinities.
    F8E4M3,
    /// 8 bits, 5 of them for the exponent.
    F8E5M2,
    /// 8 bits, 4 of them for the exponent, without infinities and without a negative zero.
    F8E4M3Fnuz,
    /// 8 bits, 5 of them for the exponent, without infinities and without a negative zero.
    F8E5M2Fnuz,
}

impl FloatType {
    pub(super) fn of(dtype: Dtype) -> Option<Self> {
        Some(match dtype {
            Dtype::F64 => Self::F64,
            Dtype::F32 => Self::F32,
            Dtype::C64 => Self::C64,
            Dtype::F16 => Self::F16,
            Dtype::BF16 => Self::BF16,
            Dtype::F8_E4M3 => Self::F8E4M3,
            Dtype::F8_E5M2 => Self::F8E5M2,
            Dtype::F8_E4M3FNUZ => Self::F8E4M3Fnuz,
            Dtype::F8_E5M2FNUZ => Self::F8E5M2Fnuz,
            _ => return None,
        })
    }

    /// Its name in the headers of files.
    pub fn name(self) -> &'static str {
        match self {
            Self::F64 => "F64",
            Self::F32 => "F32",
            Self::C64 => "C64",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::F8E4M3 => "F8_E4M3",
            Self::F8E5M2 => "F8_E5M2",
            Self::F8E4M3Fnuz => "F8_E4M3FNUZ",
            Self::F8E5M2Fnuz => "F8_E5M2FNUZ",
        }
    }

    /// Bytes of a value; for complex numbers, of one part.
    pub fn bytes(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 | Self::C64 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::F8E4M3 | Self::F8E5M2 | Self::F8E4M3Fnuz | Self::F8E5M2Fnuz => 1,
        }
    }

    /// Values of an element: two for complex numbers, otherwise one.
    pub(super) fn values_per_element(self) -> usize {
        if self == Self::C64 { 2 } else { 1 }
    }

    fn minifloat(self) -> Option<Minifloat> {
        Some(match self {
            Self::F8E4M3 => Minifloat::e4m3(),
            Self::F8E5M2 => Minifloat::e5m2(),
            Self::F8E4M3Fnuz => Minifloat::e4m3_fnuz(),
            Self::F8E5M2Fnuz => Minifloat::e5m2_fnuz(),
            _ => return None,
        })
    }

    /// The maximum finite value.
    pub fn maximum(self) -> f64 {
        match self {
            Self::F64 => f64::MAX,
            Self::F32 | Self::C64 => f32::MAX.into(),
            Self::F16 => f16::MAX.into(),
            Self::BF16 => bf16::MAX.into(),
            Self::F8E4M3 => 448.0,
            Self::F8E4M3Fnuz => 240.0,
            Self::F8E5M2 | Self::F8E5M2Fnuz => 57344.0,
        }
    }

    /// Rounds a number that is not NaN to a value of this type: the nearest one, and never an
    /// infinity.
    pub fn round(self, x: f64) -> f64 {
        let x = x.clamp(-self.maximum(), self.maximum());
        match self {
            Self::F64 => x,
            Self::F32 | Self::C64 => f32::from_f64(x).into(),
            Self::F16 => round_to_f16(x).into(),
            Self::BF16 => round_to_bf16(x).into(),
            _ => self.minifloat().map_or(x, |minifloat| minifloat.decode(minifloat.encode(x))),
        }
    }

    /// The maximum error of [`round`](Self::round) for numbers of at most this magnitude, within
    /// the range of the type: half a unit in the last place, or half the smallest positive value
    /// near zero. `F16` and `BF16` are rounded through `F32`, which adds its error.
    pub fn rounding_error(self, magnitude: f64) -> f64 {
        let (places, smallest) = match self {
            Self::F64 => (53, -1074),
            Self::F32 | Self::C64 => (24, -149),
            Self::F16 => (11, -24),
            Self::BF16 => (8, -133),
            Self::F8E4M3 => (4, -9),
            Self::F8E5M2 => (3, -16),
            Self::F8E4M3Fnuz => (4, -10),
            Self::F8E5M2Fnuz => (3, -17),
        };
        let error = magnitude * 2_f64.powi(-places) + 2_f64.powi(smallest - 1);
        match self {
            Self::F16 | Self::BF16 => error + Self::F32.rounding_error(magnitude),
            _ => error,
        }
    }

    pub(super) fn decode<T: Float>(self, bytes: &[u8], out: &mut [T]) {
        match self {
            Self::F64 => decode_each(bytes, out, |b| f64::from_le_bytes(*b)),
            Self::F32 | Self::C64 => decode_each(bytes, out, |b| f32::from_le_bytes(*b).into()),
            Self::F16 => decode_each(bytes, out, |b| f16::from_le_bytes(*b).into()),
            Self::BF16 => decode_each(bytes, out, |b| bf16::from_le_bytes(*b).into()),
            _ => {
                let minifloat = self.minifloat().expect("all other types have 8 bits");
                decode_each(bytes, out, |[byte]| minifloat.decode(*byte));
            }
        }
    }

    /// Appends the bytes of values, each rounded as by [`round`](Self::round).
    pub(super) fn encode<T: Float>(self, values: &[T], out: &mut Vec<u8>) {
        let largest = self.maximum();
        let values = values.iter().map(|x| x.to_f64().clamp(-largest, largest));
        match self {
            Self::F64 => values.for_each(|x| out.extend(x.to_le_bytes())),
            Self::F32 | Self::C64 => values.for_each(|x| out.extend(f32::from_f64(x).to_le_bytes())),
            Self::F16 => values.for_each(|x| out.extend(round_to_f16(x).to_le_bytes())),
            Self::BF16 => values.for_each(|x| out.extend(round_to_bf16(x).to_le_bytes())),
            _ => {
                let minifloat = self.minifloat().expect("all other types have 8 bits");
                out.extend(values.map(|x| minifloat.encode(x)));
            }
        }
    }
}

/// Through `f32` on every processor, because some have no direct conversion.
fn round_to_f16(x: f64) -> f16 {
    f16::from_f32(f32::from_f64(x))
}

/// Through `f32`, as for `F16`.
fn round_to_bf16(x: f64) -> bf16 {
    bf16::from_f32(f32::from_f64(x))
}

fn decode_each<T: Float, const BYTES: usize>(
    bytes: &[u8],
    out: &mut [T],
    decode: impl Fn(&[u8; BYTES]) -> f64,
) {
    for (x, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
        *x = T::from_f64(decode(bytes));
    }
}

impl fmt::Display for FloatType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Integer types that a file may hold. `BOOL` counts as 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum IntegerType {
    /// One byte: 0 or 1.
    Bool,
    /// 8 bits, not negative.
    U8,
    /// 8 bits.
    I8,
    /// 16 bits, not negative.
    U16,
    /// 16 bits.
    I16,
    /// 32 bits, not negative.
    U32,
    /// 32 bits.
    I32,
    /// 64 bits, not negative.
    U64,
    /// 64 bits.
    I64,
}

impl IntegerType {
    pub(super) fn of(dtype: Dtype) -> Option<Self> {
        Some(match dtype {
            Dtype::BOOL => Self::Bool,
            Dtype::U8 => Self::U8,
            Dtype::I8 => Self::I8,
            Dtype::U16 => Self::U16,
            Dtype::I16 => Self::I16,
            Dtype::U32 => Self::U32,
            Dtype::I32 => Self::I32,
            Dtype::U64 => Self::U64,
            Dtype::I64 => Self::I64,
            _ => return None,
        })
    }

    /// Bits of a value: one for `BOOL`.
    pub fn bits(self) -> u32 {
        match self {
            Self::Bool => 1,
            Self::U8 | Self::I8 => 8,
            Self::U16 | Self::I16 => 16,
            Self::U32 | Self::I32 => 32,
            Self::U64 | Self::I64 => 64,
        }
    }

    /// Bytes of a value in a file.
    pub fn bytes(self) -> usize {
        match self {
            Self::Bool => 1,
            _ => self.bits() as usize / 8,
        }
    }

    /// The minimum.
    pub fn minimum(self) -> i128 {
        match self {
            Self::Bool | Self::U8 | Self::U16 | Self::U32 | Self::U64 => 0,
            Self::I8 | Self::I16 | Self::I32 | Self::I64 => -(1 << (self.bits() - 1)),
        }
    }

    /// The maximum.
    pub fn maximum(self) -> i128 {
        self.minimum() + (1 << self.bits()) - 1
    }

    /// Reads values as their distances from the minimum, which preserves their order. If a `BOOL`
    /// is neither 0 nor 1, the error is its index.
    pub(super) fn decode(self, bytes: &[u8], out: &mut [u64]) -> Result<(), usize> {
        // The distance from the minimum of a signed type is the value with its sign bit flipped.
        let sign = if self.minimum() < 0 { 1 << (self.bits() - 1) } else { 0 };
        for (i, (x, bytes)) in out.iter_mut().zip(bytes.chunks_exact(self.bytes())).enumerate() {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            *x = u64::from_le_bytes(word) ^ sign;
            if self == Self::Bool && *x > 1 {
                return Err(i);
            }
        }
        Ok(())
    }

    /// Appends the bytes of values, given as distances from the minimum.
    pub(super) fn encode(self, values: &[u64], out: &mut Vec<u8>) {
        let sign = if self.minimum() < 0 { 1 << (self.bits() - 1) } else { 0 };
        for x in values {
            out.extend(&(x ^ sign).to_le_bytes()[..self.bytes()]);
        }
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these tests compare for exact equality")]
mod tests {
    use super::*;

    const FLOATS: [FloatType; 9] = [
        FloatType::F64,
        FloatType::F32,
        FloatType::C64,
        FloatType::F16,
        FloatType::BF16,
        FloatType::F8E4M3,
        FloatType::F8E5M2,
        FloatType::F8E4M3Fnuz,
        FloatType::F8E5M2Fnuz,
    ];

    #[test]
    fn rounding_stays_within_its_bound_and_finite() {
        for float in FLOATS {
            let largest = float.maximum();
            for x in [0.0, 1e-9, 0.1, 1.0, 1.0 + 2_f64.powi(-9), 3.3, 100.7, 239.0, largest * 0.999, largest]
            {
                for x in [x, -x] {
                    let rounded = float.round(x);
                    assert!(
                        (rounded - x).abs() <= float.rounding_error(x.abs()),
                        "{float}: {x} to {rounded}"
                    );
                    assert_eq!(float.round(rounded), rounded, "{float}: {x}");
                    let (mut bytes, mut back) = (Vec::new(), [0.0_f64]);
                    float.encode(&[x], &mut bytes);
                    assert_eq!(bytes.len(), float.bytes());
                    float.decode(&bytes, &mut back);
                    assert_eq!(back, [rounded], "{float}: {x}");
                }
            }
            for beyond in [f64::MAX, f64::INFINITY] {
                assert_eq!(float.round(beyond), largest, "{float}");
                assert_eq!(float.round(-beyond), -largest, "{float}");
            }
        }
    }

    #[test]
    fn integers_keep_their_order_and_come_back() {
        for integer in [IntegerType::I8, IntegerType::U16, IntegerType::I64, IntegerType::U64] {
            let values =
                [integer.minimum(), integer.minimum() + 1, 7, integer.maximum() - 1, integer.maximum()];
            let bytes: Vec<u8> =
                values.iter().flat_map(|x| x.to_le_bytes()[..integer.bytes()].to_vec()).collect();
            let mut distances = [0; 5];
            integer.decode(&bytes, &mut distances).unwrap();
            for (value, distance) in values.iter().zip(distances) {
                assert_eq!(i128::from(distance), value - integer.minimum(), "{integer:?}");
            }
            let mut back = Vec::new();
            integer.encode(&distances, &mut back);
            assert_eq!(back, bytes, "{integer:?}");
        }
        assert_eq!(IntegerType::Bool.decode(&[0, 1, 2], &mut [0; 3]), Err(2));
    }
}
