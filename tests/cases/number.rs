//! Numbers of any element type: read from JSON, compared with it, and converted.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value as Json;

use crate::types::Dtype;

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

/// An operator of expressions and reductions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operator {
    Add,
    #[serde(skip)]
    Sub,
    #[serde(alias = "multiply")]
    Mul,
    #[serde(skip)]
    Div,
    #[serde(alias = "minimum")]
    Min,
    #[serde(alias = "maximum")]
    Max,
}

impl Number {
    /// Reads a number. An integer has no decimal point. Numbers that JSON lacks are names.
    pub fn read(json: &Json) -> Option<Self> {
        let integer = json.as_i64().map(i128::from).or_else(|| json.as_u64().map(i128::from));
        let named = || json.as_str()?.parse().ok().filter(|x: &f64| !x.is_finite());
        (integer.map(Self::Integer))
            .or_else(|| json.as_f64().or_else(named).map(Self::Float))
            .or_else(|| json.as_bool().map(Self::Bool))
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

    /// Rounded, if it is a number of a floating-point type.
    pub fn rounded(self, dtype: Dtype) -> Self {
        if let Self::Float(x) = self { Self::Float(dtype.round(x)) } else { self }
    }

    /// The result of an operator. Integers have no quotient.
    pub fn apply(self, operator: Operator, other: Self) -> Option<Self> {
        if let (Self::Integer(a), Self::Integer(b)) = (self, other) {
            return match operator {
                Operator::Add => a.checked_add(b),
                Operator::Sub => a.checked_sub(b),
                Operator::Mul => a.checked_mul(b),
                Operator::Div => None,
                Operator::Min => Some(a.min(b)),
                Operator::Max => Some(a.max(b)),
            }
            .map(Self::Integer);
        }
        let (a, b) = (self.to_f64(), other.to_f64());
        Some(Self::Float(match operator {
            Operator::Add => a + b,
            Operator::Sub => a - b,
            Operator::Mul => a * b,
            Operator::Div => a / b,
            Operator::Min => a.min(b),
            Operator::Max => a.max(b),
        }))
    }

    /// Whether this number of an element type is the expected one. An expected integer may be out
    /// of the type's range, and may have a decimal point.
    pub fn agrees(self, expected: &Json, dtype: Dtype, tolerance: Tolerance) -> bool {
        match (self, Self::read(expected)) {
            (Self::Bool(found), Some(Self::Bool(expected))) => found == expected,
            (Self::Integer(found), Some(Self::Integer(expected))) => {
                found.abs_diff(expected) as f64 <= tolerance.around(expected as f64)
            }
            (Self::Integer(_), Some(Self::Float(x))) if x != x.round() => false,
            (Self::Bool(_), _) | (_, Some(Self::Bool(_)) | None) => false,
            (found, Some(expected)) => tolerance.admits(found.to_f64(), dtype.round(expected.to_f64())),
        }
    }

    /// In the notation of the cases. Numbers that JSON lacks are texts.
    pub fn json(self) -> Json {
        match self {
            Self::Bool(x) => x.into(),
            Self::Integer(x) => i64::try_from(x).map_or_else(|_| x.to_string().into(), Json::from),
            Self::Float(x) if x.is_finite() => x.into(),
            Self::Float(x) => x.to_string().into(),
        }
    }
}

/// A finite number, or the name of one that JSON lacks.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "Json")]
pub struct Real(pub f64);

impl TryFrom<Json> for Real {
    type Error = String;

    fn try_from(json: Json) -> Result<Self, String> {
        match Number::read(&json) {
            None | Some(Number::Bool(_)) => Err(format!("{json} is no number")),
            Some(number) => Ok(Self(number.to_f64())),
        }
    }
}

/// The tolerance of a result.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tolerance {
    pub absolute: f64,
    pub relative: f64,
}

impl Tolerance {
    /// The maximum distance from an expected number.
    fn around(self, expected: f64) -> f64 {
        self.absolute + self.relative * expected.abs()
    }

    pub fn admits(self, found: f64, expected: f64) -> bool {
        found == expected
            || found.is_nan() && expected.is_nan()
            || (found - expected).abs() <= self.around(expected)
    }
}

/// A Rust type of elements.
pub trait Element:
    Copy + core::fmt::Debug + PartialEq + Send + Sync + Serialize + DeserializeOwned + 'static
{
    const DTYPE: Dtype;
    /// # Panics
    ///
    /// If the number is not of this type.
    fn from_number(number: Number) -> Self;
    fn to_number(self) -> Number;
}

macro_rules! elements {
    ($($type:ty: $dtype:ident, $variant:ident, $from:expr, $to:expr;)*) => {$(
        impl Element for $type {
            const DTYPE: Dtype = Dtype::$dtype;

            fn from_number(number: Number) -> Self {
                let Number::$variant(x) = number else { panic!("{number:?} is no {}", Self::DTYPE) };
                let convert: fn(_) -> $type = $from;
                convert(x)
            }

            fn to_number(self) -> Number {
                let convert: fn($type) -> _ = $to;
                Number::$variant(convert(self))
            }
        }
    )*};
}

macro_rules! integers {
    ($($type:ident $dtype:ident),*) => {
        elements! { $($type: $dtype, Integer, |x: i128| x.try_into().expect("in range"), small;)* }
    };
}

integers!(i8 Int8, i16 Int16, i32 Int32, i64 Int64, i128 Int128);
integers!(u8 UInt8, u16 UInt16, u32 UInt32, u64 UInt64, u128 UInt128);

elements! {
    bool: Bool, Bool, |x| x, |x| x;
    half::f16: Float16, Float, half::f16::from_f64, half::f16::to_f64;
    half::bf16: BFloat16, Float, half::bf16::from_f64, half::bf16::to_f64;
    f32: Float32, Float, |x: f64| x as f32, f64::from;
    f64: Float64, Float, |x| x, |x| x;
}

fn small<T: TryInto<i128, Error: core::fmt::Debug>>(x: T) -> i128 {
    x.try_into().expect("numbers of cases are below 2^127")
}

/// The value of an expression with a Rust type in place of a `Dtype`, if it is one of a family.
/// Otherwise [`Rule::NoElement`](crate::refusal::Rule::NoElement).
macro_rules! with_type {
    (integers $($rest:tt)*) => {
        with_type!(
            @ [Int8 i8, Int16 i16, Int32 i32, Int64 i64, UInt8 u8, UInt16 u16, UInt32 u32, UInt64 u64]
            $($rest)*
        )
    };
    (floats $($rest:tt)*) => {
        with_type!(@ [Float32 f32, Float64 f64] $($rest)*)
    };
    (quantized $($rest:tt)*) => {
        with_type!(@ [Int32 i32, Int64 i64, Float32 f32, Float64 f64] $($rest)*)
    };
    (halves_and_bool $($rest:tt)*) => {
        with_type!(@ [Bool bool, Float16 half::f16, BFloat16 half::bf16] $($rest)*)
    };
    (@ [$($variant:ident $type:ty),*] $dtype:expr, $name:ident => $value:expr) => {
        match $dtype {
            $(crate::types::Dtype::$variant => {
                type $name = $type;
                $value
            })*
            _ => Err(crate::refusal::Rule::NoElement.into()),
        }
    };
}

pub(crate) use with_type;
