//! Types in TensorFlow Federated's compact notation: `<a=float32[3],b=<int32,int32>>`,
//! `{int32}@CLIENTS`, `int32*`.

use core::fmt::{self, Display};

use cipherfold::federated::tensor::Structure;
use serde::{Deserialize, Serialize};

macro_rules! dtypes {
    ($($variant:ident: $name:literal),* $(,)?) => {
        /// An element type, by TensorFlow's names.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub(crate) enum Dtype {
            $($variant),*
        }

        impl Dtype {
            pub(crate) const ALL: &[Self] = &[$(Self::$variant),*];

            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),*
                }
            }
        }
    };
}

// The first two integers are types of sums, not dtypes of TensorFlow.
dtypes! {
    I128: "int128", U128: "uint128", Bool: "bool", I8: "int8", I16: "int16", I32: "int32", I64: "int64", U8: "uint8",
    U16: "uint16", U32: "uint32", U64: "uint64", F16: "float16", BF16: "bfloat16", F32: "float32", F64: "float64",
    C64: "complex64", C128: "complex128", Text: "string",
}

impl Dtype {
    pub(crate) fn of(name: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().skip(2).find(|dtype| dtype.name() == name);
        found.copied().ok_or_else(|| format!("no element type is called `{name}`"))
    }

    /// Bits and sign of an integer.
    pub(crate) fn integer(self) -> Option<(u32, bool)> {
        Some(match self {
            Self::I8 => (8, true),
            Self::I16 => (16, true),
            Self::I32 => (32, true),
            Self::I64 => (64, true),
            Self::U8 => (8, false),
            Self::U16 => (16, false),
            Self::U32 => (32, false),
            Self::U64 => (64, false),
            _ => return None,
        })
    }

    pub(crate) fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::BF16 | Self::F32 | Self::F64)
    }

    /// Minimum and maximum of an integer.
    pub(crate) fn range(self) -> Option<(i128, i128)> {
        let (bits, signed) = self.integer()?;
        Some(if signed { (-1 << (bits - 1), (1 << (bits - 1)) - 1) } else { (0, (1 << bits) - 1) })
    }

    /// TensorFlow's result for an integer that does not fit: its low bits.
    pub(crate) fn wrap(self, x: i128) -> i128 {
        let Some((min, max)) = self.range() else { return x };
        min + (x - min).rem_euclid(max - min + 1)
    }
}

/// A member of a structure of leaves: its name, if it has one, and its own structure.
pub(crate) type Member = (Option<String>, Structure<Leaf>);

/// A leaf of a type: elements and shape, with `None` for an unstated length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<Option<usize>>,
}

impl Display for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.dtype.name())?;
        if self.shape.is_empty() {
            return Ok(());
        }
        let lengths: Vec<_> =
            self.shape.iter().map(|len| len.map_or("?".to_owned(), |len| len.to_string())).collect();
        write!(f, "[{}]", lengths.join(","))
    }
}

/// A type without placement.
pub(crate) type Shape = Structure<Leaf>;

/// A type, perhaps with a placement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Type {
    pub(crate) member: Shape,
    /// Whether it is a sequence of such members.
    pub(crate) sequence: bool,
    /// `CLIENTS`, `SERVER`, …
    pub(crate) placement: Option<String>,
    /// Whether the braces are missing: every member has the same value.
    pub(crate) all_equal: bool,
}

impl Type {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { text, rest: text };
        let found = parser.placed()?;
        if parser.rest.trim_start().is_empty() { Ok(found) } else { Err(parser.refuse("its end")) }
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

struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn placed(&mut self) -> Result<Type, String> {
        let braces = self.takes("{");
        let member = self.member()?;
        let sequence = self.takes("*");
        if braces {
            self.expect("}")?;
        }
        let placement = if self.takes("@") { Some(self.word()?.to_owned()) } else { None };
        if braces && placement.is_none() {
            return Err(self.refuse("a placement"));
        }
        Ok(Type { member, sequence, placement, all_equal: !braces })
    }

    fn member(&mut self) -> Result<Shape, String> {
        if !self.takes("<") {
            return self.leaf().map(Structure::leaf);
        }
        let mut members: Vec<Member> = Vec::new();
        while !self.takes(">") {
            if !members.is_empty() {
                self.expect(",")?;
            }
            let before = self.rest;
            let name = match self.word() {
                Ok(word) if self.takes("=") => Some(word.to_owned()),
                _ => {
                    self.rest = before;
                    None
                }
            };
            members.push((name, self.member()?));
        }
        Structure::from_members(members).map_err(|error| error.to_string())
    }

    fn leaf(&mut self) -> Result<Leaf, String> {
        let dtype = Dtype::of(self.word()?)?;
        let mut shape = Vec::new();
        if self.takes("[") {
            while !self.takes("]") {
                if !shape.is_empty() {
                    self.expect(",")?;
                }
                let unknown = self.takes("?");
                shape.push(if unknown {
                    None
                } else {
                    Some(self.word()?.parse().map_err(|_| self.refuse("a length"))?)
                });
            }
        }
        Ok(Leaf { dtype, shape })
    }

    fn word(&mut self) -> Result<&'a str, String> {
        let rest = self.rest.trim_start();
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        if end == 0 {
            return Err(self.refuse("a word"));
        }
        let (word, rest) = rest.split_at(end);
        self.rest = rest;
        Ok(word)
    }

    fn takes(&mut self, token: &str) -> bool {
        let rest = self.rest.trim_start().strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.takes(token) { Ok(()) } else { Err(self.refuse(token)) }
    }

    fn refuse(&self, expected: &str) -> String {
        format!("in the type `{}`: expected {expected} before `{}`", self.text, self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_print_as_they_were_written() {
        for text in [
            "int32",
            "int32[10]",
            "float32[2,3,4]",
            "uint8[?]",
            "<int32[10],int32>",
            "<a=float32[3],b=<int32,int32>>",
            "<a=<b=<c=bool>>,bfloat16[1,2]>",
            "<>",
            "int32@SERVER",
            "{int32}@CLIENTS",
            "{<x=int64,y=string>}@CLIENTS",
            "<uint8[32],uint8[32]>@AGGREGATOR",
            "{float32*}@CLIENTS",
            "int32*",
        ] {
            assert_eq!(Type::parse(text).map(|found| found.to_string()).as_deref(), Ok(text));
        }
        assert_eq!(
            Type::parse(" < a = int32 [ 2 , ? ] > @ SERVER ").unwrap().to_string(),
            "<a=int32[2,?]>@SERVER"
        );
        // A member may have the name of an element type.
        assert_eq!(Type::parse("<int32=float32>").unwrap().to_string(), "<int32=float32>");
    }

    #[test]
    fn invalid_types_are_refused() {
        for text in [
            "",
            "int",
            "int128",
            "<int32",
            "int32>",
            "int32[",
            "int32[-1]",
            "int32[x]",
            "{int32}",
            "int32@",
            "<a=>",
            "<a=int32,a=int32>",
            "<int32,,int32>",
            "(int32 -> int32)",
        ] {
            assert!(Type::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn integers_wrap_as_their_types_do() {
        for (dtype, x, expected) in [
            (Dtype::I32, (1 << 31) - 1, i32::MAX.into()),
            (Dtype::I32, 1 << 31, i32::MIN.into()),
            (Dtype::I8, -129, 127),
            (Dtype::U8, -1, 255),
            (Dtype::U16, 65536 + 7, 7),
            (Dtype::I64, 1 << 63, i64::MIN.into()),
            (Dtype::U64, 1 << 64, 0),
        ] {
            assert_eq!(dtype.wrap(x), expected, "{} {x}", dtype.name());
        }
    }
}
