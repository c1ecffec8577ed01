//! Types in TensorFlow Federated's compact notation: `<a=float32[3],b=<int32,int32>>`,
//! `{int32}@CLIENTS`.

use core::fmt::{self, Display};

use cipherfold::federated::tensor::Structure;
use serde::{Deserialize, Serialize};

use crate::notation::split;

/// An element type, by TensorFlow's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[rustfmt::skip]
pub enum Dtype {
    Bool, Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64, BFloat16, Float32, Float64,
    /// Types of sums. TensorFlow does not have them.
    #[serde(skip_deserializing)]
    Int128,
    #[serde(skip_deserializing)]
    UInt128,
}

impl Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{self:?}").to_lowercase())
    }
}

/// A leaf of a type: elements and shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
}

impl Display for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = if self.shape.is_empty() { String::new() } else { format!("{:?}", self.shape) };
        write!(f, "{}{}", self.dtype, shape.replace(' ', ""))
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

/// A type, perhaps with a placement.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Type {
    pub member: Shape,
    pub placement: Option<Placement>,
    /// Whether it has no braces: all members of the placement have the same value.
    pub all_equal: bool,
}

impl Type {
    /// The type of one value at the server.
    pub fn at_server(member: Shape) -> Self {
        Self { member, placement: Some(Placement::Server), all_equal: true }
    }
}

impl TryFrom<String> for Type {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        placed(&text).ok_or_else(|| format!("the type `{text}`"))
    }
}

fn placed(text: &str) -> Option<Type> {
    let (value, placement) = match text.split_once('@') {
        Some((value, placement)) => (value.trim(), Some(named(placement.trim())?)),
        None => (text.trim(), None),
    };
    let in_braces = value.strip_prefix('{').and_then(|value| value.strip_suffix('}'));
    let all_equal = in_braces.is_none();
    let member = member(in_braces.unwrap_or(value).trim())?;
    (placement.is_some() || all_equal).then_some(Type { member, placement, all_equal })
}

fn member(text: &str) -> Option<Shape> {
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    let named_member = |part| match split(part, '=')[..] {
        [value] => Some((None, member(value)?)),
        [name, value] if is_name(name) => Some((Some(name.to_owned()), member(value)?)),
        _ => None,
    };
    if let Some(inner) = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')) {
        let parts = if inner.trim().is_empty() { Vec::new() } else { split(inner, ',') };
        return Structure::from_members(parts.into_iter().map(named_member).collect::<Option<Vec<_>>>()?)
            .ok();
    }
    let (dtype, shape) = match text.strip_suffix(']') {
        Some(text) => text.split_once('[')?,
        None => (text, ""),
    };
    let lengths = shape.split(',').filter(|_| text.ends_with(']')).map(|len| len.trim().parse().ok());
    Some(Leaf { dtype: named(dtype.trim())?, shape: lengths.collect::<Option<_>>()? }.into())
}

/// The variant of this name, if there is one.
fn named<T: for<'de> Deserialize<'de>>(name: &str) -> Option<T> {
    serde_json::from_value(name.into()).ok()
}
