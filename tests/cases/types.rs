//! Types in TensorFlow Federated's compact notation: `<a=float32[3],b=<int32,int32>>`,
//! `{int32}@CLIENTS`, `int32*`.

use core::{
    fmt::{self, Display},
    ops::RangeInclusive,
};

use cipherfold::federated::tensor::Structure;
use serde::{Deserialize, Serialize};

use crate::scanner::Scanner;

/// An element type, by TensorFlow's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    Bool,
    Int8,
    Int16,
    Int32,
    Int64,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    Float16,
    BFloat16,
    Float32,
    Float64,
    Complex64,
    Complex128,
    String,
    /// A type of sums. TensorFlow does not have it.
    Int128,
    /// The same.
    UInt128,
}

impl Dtype {
    /// The element type of this name, if TensorFlow has it.
    pub fn named(name: &str) -> Option<Self> {
        let found = serde_json::from_value(name.into()).ok()?;
        (!matches!(found, Self::Int128 | Self::UInt128)).then_some(found)
    }

    /// Minimum and maximum of an integer of TensorFlow.
    pub fn range(self) -> Option<RangeInclusive<i128>> {
        Some(match self {
            Self::Int8 => i8::MIN.into()..=i8::MAX.into(),
            Self::Int16 => i16::MIN.into()..=i16::MAX.into(),
            Self::Int32 => i32::MIN.into()..=i32::MAX.into(),
            Self::Int64 => i64::MIN.into()..=i64::MAX.into(),
            Self::UInt8 => 0..=u8::MAX.into(),
            Self::UInt16 => 0..=u16::MAX.into(),
            Self::UInt32 => 0..=u32::MAX.into(),
            Self::UInt64 => 0..=u64::MAX.into(),
            _ => return None,
        })
    }

    pub fn is_integer(self) -> bool {
        self.range().is_some()
    }

    pub fn is_float(self) -> bool {
        matches!(self, Self::Float16 | Self::BFloat16 | Self::Float32 | Self::Float64)
    }

    /// Whether the crate has floating-point elements of this type.
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
            Self::Float16 => half::f16::from_f64(x).to_f64(),
            Self::BFloat16 => half::bf16::from_f64(x).to_f64(),
            Self::Float32 => f64::from(x as f32),
            _ => x,
        }
    }
}

impl Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{self:?}").to_lowercase())
    }
}

/// A leaf of a type: elements and shape, with `None` for an unstated length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    pub dtype: Dtype,
    pub shape: Vec<Option<usize>>,
}

impl Display for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.dtype)?;
        for (i, len) in self.shape.iter().enumerate() {
            f.write_str(if i == 0 { "[" } else { "," })?;
            f.write_str(&len.map_or("?".to_owned(), |len| len.to_string()))?;
        }
        f.write_str(if self.shape.is_empty() { "" } else { "]" })
    }
}

/// A type without placement.
pub type Shape = Structure<Leaf>;

/// A place of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Placement {
    Clients,
    Server,
    Aggregator,
}

impl Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{self:?}").to_uppercase())
    }
}

/// A type, perhaps with a placement.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Type {
    pub member: Shape,
    /// Whether it is a sequence of such members.
    pub sequence: bool,
    pub placement: Option<Placement>,
    /// Whether the braces are missing: every member has the same value.
    pub all_equal: bool,
}

impl Type {
    /// The type of one value at the server.
    pub fn at_server(member: Shape) -> Self {
        Self { member, sequence: false, placement: Some(Placement::Server), all_equal: true }
    }
}

impl Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let member = format!("{}{}", self.member, if self.sequence { "*" } else { "" });
        match &self.placement {
            Some(placement) if self.all_equal => write!(f, "{member}@{placement}"),
            Some(placement) => write!(f, "{{{member}}}@{placement}"),
            None => f.write_str(&member),
        }
    }
}

impl TryFrom<String> for Type {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Scanner::read_all(&text, placed).ok_or_else(|| format!("the type `{text}`"))
    }
}

fn placed(text: &mut Scanner<'_>) -> Option<Type> {
    let braces = text.skip("{");
    let member = member(text)?;
    let sequence = text.skip("*");
    if braces && !text.skip("}") {
        return None;
    }
    let placement = if text.skip("@") {
        Some(serde_json::from_value(text.word()?.into()).ok()?)
    } else if braces {
        return None;
    } else {
        None
    };
    Some(Type { member, sequence, placement, all_equal: !braces })
}

fn member(text: &mut Scanner<'_>) -> Option<Shape> {
    if text.skip("<") {
        let members = text.list(">", |text| Some((text.name().map(str::to_owned), member(text)?)))?;
        return Structure::from_members(members).ok();
    }
    let dtype = Dtype::named(text.word()?)?;
    let len = |text: &mut Scanner<'_>| {
        if text.skip("?") { Some(None) } else { text.word()?.parse().ok().map(Some) }
    };
    let shape = if text.skip("[") { text.list("]", len)? } else { Vec::new() };
    Some(Structure::leaf(Leaf { dtype, shape }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Type, String> {
        text.to_owned().try_into()
    }

    #[test]
    fn types_print_as_they_were_written() {
        let plain = ["int32", "float32[2,3,4]", "uint8[?]", "int32*", "<>", "<int32=float32>"];
        let structs = ["<a=float32[3],b=<int32,int32>>", "<a=<b=<c=bool>>,bfloat16[1,2]>"];
        let placed = ["int32@SERVER", "{<x=int64,y=string>}@CLIENTS", "{float32*}@CLIENTS"];
        for text in [&plain[..], &structs, &placed].concat() {
            assert_eq!(parse(text).map(|found| found.to_string()).as_deref(), Ok(text));
        }
        let spaces = parse(" < a = int32 [ 2 , ? ] > @ SERVER ").unwrap();
        assert_eq!(spaces.to_string(), "<a=int32[2,?]>@SERVER");
    }

    #[test]
    fn invalid_types_are_refused() {
        let unknown = ["", "int", "int128", "(int32 -> int32)", "int32@ELSEWHERE"];
        let unfinished = ["<int32", "int32>", "int32[", "int32[-1]", "int32[x]", "{int32}", "int32@"];
        let members = ["<a=>", "<a=int32,a=int32>", "<int32,,int32>"];
        for text in [&unknown[..], &unfinished, &members].concat() {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn integers_wrap_as_their_types_do() {
        assert_eq!(
            [i128::from(i32::MAX), 1 << 31].map(|x| Dtype::Int32.wrap(x)),
            [i32::MAX, i32::MIN].map(i128::from)
        );
        assert_eq!(
            [Dtype::Int8.wrap(-129), Dtype::UInt8.wrap(-1), Dtype::UInt64.wrap(1 << 64)],
            [127, 255, 0]
        );
    }
}
