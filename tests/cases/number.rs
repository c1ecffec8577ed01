//! Numbers of any element type: read from JSON, compared, and converted to Rust's types.

use core::{
    fmt::{self, Debug, Display},
    ops::RangeInclusive,
    str::FromStr,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value as Json;

use crate::{
    refusal::{Stop, not_understood},
    types::Dtype,
};

/// A number, or a truth value.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Number {
    Bool(bool),
    Integer(i128),
    Float(f64),
}

/// Equality to the last bit.
impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        match (*self, *other) {
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Integer(a), Self::Integer(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            _ => false,
        }
    }
}

/// An operator of expressions and reductions. Cases name all but the last two.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operator {
    Add,
    Mul,
    Min,
    Max,
    #[serde(skip)]
    Sub,
    #[serde(skip)]
    Div,
}

impl Number {
    pub fn zero(dtype: Dtype) -> Self {
        match dtype {
            Dtype::Bool => Self::Bool(false),
            dtype if dtype.is_float() => Self::Float(0.0),
            _ => Self::Integer(0),
        }
    }

    /// Reads a number of a type, in the notation of Rust.
    pub fn parse(text: &str, dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::Bool => text.parse().ok().map(Self::Bool),
            dtype if dtype.is_float() => text.parse().ok().map(|x| Self::Float(dtype.round(x))),
            _ => text.parse().ok().map(Self::Integer),
        }
    }

    /// Reads a number. An integer has no decimal point. Numbers that JSON lacks are names.
    pub fn read(json: &Json) -> Option<Self> {
        match json {
            Json::Bool(x) => Some(Self::Bool(*x)),
            Json::String(name) => name.parse().ok().filter(|x: &f64| !x.is_finite()).map(Self::Float),
            json => {
                let integer = json.as_i64().map(i128::from).or_else(|| json.as_u64().map(i128::from));
                integer.map(Self::Integer).or_else(|| json.as_f64().map(Self::Float))
            }
        }
    }

    /// This number as an element of a type, if the type has it.
    pub fn cast(self, dtype: Dtype) -> Option<Self> {
        match self {
            Self::Bool(_) => (dtype == Dtype::Bool).then_some(self),
            number if dtype.is_float() => Some(Self::Float(dtype.round(number.to_f64()))),
            Self::Integer(x) => dtype.range()?.contains(&x).then_some(self),
            Self::Float(_) => None,
        }
    }

    /// An integer, if this is one.
    pub fn integer(self) -> Option<i128> {
        if let Self::Integer(x) = self { Some(x) } else { None }
    }

    pub fn to_f64(self) -> f64 {
        match self {
            Self::Bool(x) => x.into(),
            Self::Integer(x) => x as f64,
            Self::Float(x) => x,
        }
    }

    /// The result of an operator for two numbers of a type, if it is defined for them.
    pub fn apply(self, operator: Operator, other: Self, dtype: Dtype) -> Option<Self> {
        use Operator::{Add, Div, Max, Min, Mul, Sub};
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => match operator {
                Add => a.checked_add(b),
                Sub => a.checked_sub(b),
                Mul => a.checked_mul(b),
                Min => Some(a.min(b)),
                Max => Some(a.max(b)),
                // No case defines the division of integers.
                Div => None,
            }
            .map(Self::Integer),
            (Self::Float(a), Self::Float(b)) => Some(Self::Float(dtype.round(match operator {
                Add => a + b,
                Sub => a - b,
                Mul => a * b,
                Div => a / b,
                Min => a.min(b),
                Max => a.max(b),
            }))),
            _ => None,
        }
    }

    /// Whether this number of an element type is the expected one. An expected integer may be out
    /// of the type's range, and may have a decimal point.
    pub fn agrees(self, expected: Self, dtype: Dtype, tolerance: Tolerance) -> bool {
        match (self, expected) {
            (Self::Bool(found), Self::Bool(expected)) => found == expected,
            (Self::Bool(_), _) | (_, Self::Bool(_)) => false,
            (Self::Integer(a), Self::Integer(b)) if tolerance == Tolerance::default() => a == b,
            (Self::Integer(_), Self::Float(x)) if x != x.round() || x.abs() >= 2.0_f64.powi(53) => false,
            (found, expected) => tolerance.admits(found.to_f64(), dtype.round(expected.to_f64())),
        }
    }
}

impl Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(x) => write!(f, "{x}"),
            Self::Integer(x) => write!(f, "{x}"),
            Self::Float(x) => write!(f, "{x}"),
        }
    }
}

/// A floating-point number of a case: no truth value.
pub fn real(json: &Json) -> Result<f64, Stop> {
    let number = Number::read(json).filter(|number| !matches!(number, Number::Bool(_)));
    number.map(Number::to_f64).ok_or_else(|| not_understood(format!("{json} is no number")))
}

/// The tolerance of a result.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tolerance {
    pub absolute: f64,
    pub relative: f64,
}

impl Tolerance {
    pub fn admits(self, found: f64, expected: f64) -> bool {
        found == expected
            || found.is_nan() && expected.is_nan()
            || (found - expected).abs() <= self.absolute + self.relative * expected.abs()
    }
}

impl Dtype {
    /// Minimum and maximum of an integer of TensorFlow.
    pub fn range(self) -> Option<RangeInclusive<i128>> {
        with_type!(integers self, T => Ok::<_, Stop>(T::MIN.into()..=T::MAX.into())).ok()
    }

    pub fn is_integer(self) -> bool {
        self.range().is_some()
    }

    pub fn is_float(self) -> bool {
        matches!(self, Self::BFloat16 | Self::Float32 | Self::Float64)
    }

    /// Whether the crate computes with floating-point elements of this type.
    pub fn is_real(self) -> bool {
        matches!(self, Self::Float32 | Self::Float64)
    }

    /// TensorFlow's result for an integer that does not fit: its low bits.
    pub fn wrap(self, x: i128) -> i128 {
        let Some(range) = self.range() else { return x };
        range.start() + (x - range.start()).rem_euclid(range.end() - range.start() + 1)
    }

    /// The nearest number of a floating-point type.
    pub fn round(self, x: f64) -> f64 {
        match self {
            Self::BFloat16 => half::bf16::from_f64(x).to_f64(),
            Self::Float32 => f64::from(x as f32),
            _ => x,
        }
    }
}

/// A Rust type of elements. Numbers pass to and from it as text, which is exact.
pub trait Element:
    Copy + Debug + Display + FromStr<Err: Debug> + Send + Sync + Serialize + DeserializeOwned + 'static
{
    const DTYPE: Dtype;

    /// # Panics
    ///
    /// If the number is not of this type.
    fn from_number(number: Number) -> Self {
        number.to_string().parse().unwrap_or_else(|_| panic!("{number} is no {}", Self::DTYPE))
    }

    fn to_number(self) -> Number {
        Number::parse(&self.to_string(), Self::DTYPE).expect("sums stay below 2^127")
    }
}

macro_rules! elements {
    ($($type:ty = $dtype:ident),*) => {
        $(impl Element for $type { const DTYPE: Dtype = Dtype::$dtype; })*
    };
}

elements! {
    bool = Bool, i8 = Int8, i16 = Int16, i32 = Int32, i64 = Int64, i128 = Int128, u8 = UInt8, u16 = UInt16,
    u32 = UInt32, u64 = UInt64, u128 = UInt128, half::bf16 = BFloat16, f32 = Float32,
    f64 = Float64
}

/// The value of an expression with a Rust type in place of a `Dtype`, if it is one of a family.
/// Otherwise [`Rule::NoElement`](crate::refusal::Rule::NoElement).
macro_rules! with_type {
    (integers $($rest:tt)*) => { with_type!(@ [i8, i16, i32, i64, u8, u16, u32, u64] $($rest)*) };
    (floats $($rest:tt)*) => { with_type!(@ [f32, f64] $($rest)*) };
    (numbers $($rest:tt)*) => { with_type!(@ [i8, i16, i32, i64, u8, u16, u32, u64, f32, f64] $($rest)*) };
    (quantized $($rest:tt)*) => { with_type!(@ [i32, i64, f32, f64] $($rest)*) };
    (boxed $($rest:tt)*) => {
        with_type!(
            @ [i8, i16, i32, i64, u8, u16, u32, u64, f32, f64, bool, half::bf16] $($rest)*
        )
    };
    (@ [$($type:ty),*] $dtype:expr, $name:ident => $value:expr) => {{
        let dtype = $dtype;
        $(if dtype == <$type as $crate::number::Element>::DTYPE {
            type $name = $type;
            $value
        } else)* {
            Err($crate::refusal::Rule::NoElement.into())
        }
    }};
}

pub(crate) use with_type;
