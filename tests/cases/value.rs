//! Values of the cases: tensors in structures, read from JSON by their type, compared and printed.

use cipherfold::federated::tensor::{Scalar, Structure};
use ndarray::{ArrayD, IxDyn};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::types::{Dtype, Leaf, Member, Shape};

/// One tensor, row by row.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Tensor {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) elements: Elements,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Elements {
    /// Also 0 and 1 for `bool`.
    Integers(Vec<i128>),
    /// Rounded to the element type.
    Floats(Vec<f64>),
}

/// Tensors in a structure.
pub(crate) type Tree = Structure<Tensor>;

/// Equality to the last bit.
impl PartialEq for Tensor {
    fn eq(&self, other: &Self) -> bool {
        let bits = |floats: &[f64]| floats.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        (self.dtype, &self.shape) == (other.dtype, &other.shape)
            && match (&self.elements, &other.elements) {
                (Elements::Integers(a), Elements::Integers(b)) => a == b,
                (Elements::Floats(a), Elements::Floats(b)) => bits(a) == bits(b),
                _ => false,
            }
    }
}

impl Tensor {
    pub(crate) fn of<T: Element>(array: &ArrayD<T>) -> Self {
        let elements = T::to_elements(array.iter().copied());
        Self { dtype: T::NAMED, shape: array.shape().to_vec(), elements }
    }

    /// # Panics
    ///
    /// If the tensor holds no elements of this type.
    pub(crate) fn array<T: Element>(&self) -> ArrayD<T> {
        let elements = T::from_elements(&self.elements);
        ArrayD::from_shape_vec(IxDyn(&self.shape), elements).expect("as many elements as the shape has")
    }

    pub(crate) fn leaf(&self) -> Leaf {
        Leaf { dtype: self.dtype, shape: self.shape.iter().copied().map(Some).collect() }
    }

    pub(crate) fn len(&self) -> usize {
        match &self.elements {
            Elements::Integers(elements) => elements.len(),
            Elements::Floats(elements) => elements.len(),
        }
    }

    /// Zeros of this type. An unstated length is 2.
    pub(crate) fn zeros(leaf: &Leaf) -> Self {
        let shape: Vec<_> = leaf.shape.iter().map(|len| len.unwrap_or(2)).collect();
        let len = shape.iter().product();
        let elements = if leaf.dtype.is_float() {
            Elements::Floats(vec![0.0; len])
        } else {
            Elements::Integers(vec![0; len])
        };
        Self { dtype: leaf.dtype, shape, elements }
    }

    /// The same tensor with other integers.
    pub(crate) fn map_integers(&self, dtype: Dtype, function: impl Fn(i128) -> i128) -> Option<Self> {
        let Elements::Integers(elements) = &self.elements else { return None };
        let elements = Elements::Integers(elements.iter().copied().map(function).collect());
        Some(Self { dtype, shape: self.shape.clone(), elements })
    }

    /// Reads a tensor. With `wide`, integers may be out of the type's range, and may be written
    /// `3.0`.
    fn read(json: &Json, leaf: &Leaf, wide: bool) -> Result<Self, String> {
        let mut flat = Vec::new();
        let mut shape = Vec::new();
        flatten(json, 0, leaf.shape.len(), &mut shape, &mut flat)?;
        let fits =
            leaf.shape.iter().zip(&shape).all(|(expected, found)| expected.is_none_or(|len| len == *found));
        // The lengths inside an empty list are unknown.
        let empty = flat.is_empty() && shape.len() < leaf.shape.len();
        if empty {
            shape.extend(leaf.shape[shape.len()..].iter().map(|len| len.unwrap_or(0)));
        }
        if !fits || shape.len() != leaf.shape.len() {
            return Err(format!("{json} is no {leaf}"));
        }
        let refuse = |x: &Json| format!("{x} is no {}", leaf.dtype.name());
        let elements = if leaf.dtype.is_float() {
            let read = |x: &&Json| float(x).map(|x| rounded(x, leaf.dtype)).ok_or_else(|| refuse(x));
            Elements::Floats(flat.iter().map(read).collect::<Result<_, _>>()?)
        } else {
            let read = |x: &&Json| {
                let found = match leaf.dtype {
                    Dtype::Bool => x.as_bool().map(i128::from),
                    _ if wide => integer(x).or_else(|| whole(x)),
                    _ => integer(x)
                        .filter(|x| leaf.dtype.range().is_some_and(|(min, max)| (min..=max).contains(x))),
                };
                found.ok_or_else(|| refuse(x))
            };
            Elements::Integers(flat.iter().map(read).collect::<Result<_, _>>()?)
        };
        Ok(Self { dtype: leaf.dtype, shape, elements })
    }

    fn difference(&self, expected: &Self, tolerance: Tolerance) -> Option<String> {
        if self.shape != expected.shape {
            return Some(format!("shape {:?} instead of {:?}", self.shape, expected.shape));
        }
        let differs = match (&self.elements, &expected.elements) {
            (Elements::Integers(a), Elements::Integers(b)) => {
                a.iter().zip(b).any(|(a, b)| a != b && !tolerance.admits(to_float(*a), to_float(*b)))
            }
            (Elements::Floats(a), Elements::Floats(b)) => {
                a.iter().zip(b).any(|(a, b)| !tolerance.admits(*a, *b))
            }
            _ => true,
        };
        differs.then(|| format!("{} instead of {}", self.json(), expected.json()))
    }

    fn json(&self) -> Json {
        let mut elements: Vec<Json> = match &self.elements {
            Elements::Integers(elements) if self.dtype == Dtype::Bool => {
                elements.iter().map(|x| (*x != 0).into()).collect()
            }
            Elements::Integers(elements) => {
                let json = |x: &i128| i64::try_from(*x).map_or_else(|_| x.to_string().into(), Json::from);
                elements.iter().map(json).collect()
            }
            Elements::Floats(elements) => {
                let json = |x: &f64| if x.is_finite() { (*x).into() } else { x.to_string().into() };
                elements.iter().map(json).collect()
            }
        };
        for len in self.shape.iter().rev().filter(|_| self.len() > 0) {
            elements = elements.chunks(*len).map(|row| row.to_vec().into()).collect();
        }
        elements.into_iter().next().unwrap_or_else(|| Json::Array(Vec::new()))
    }
}

/// An element type of the crate, as a type and as a value.
pub(crate) trait Element: Scalar {
    const NAMED: Dtype;
    fn from_elements(elements: &Elements) -> Vec<Self>;
    fn to_elements(elements: impl Iterator<Item = Self>) -> Elements;
}

macro_rules! elements {
    ($($variant:ident($from:expr, $to:expr): $($type:ident $dtype:ident),*);*) => {$($(
        impl Element for $type {
            const NAMED: Dtype = Dtype::$dtype;

            fn from_elements(elements: &Elements) -> Vec<Self> {
                let Elements::$variant(elements) = elements else { panic!("not of type {}", stringify!($type)) };
                let convert: fn(_) -> $type = $from;
                elements.iter().copied().map(convert).collect()
            }

            fn to_elements(elements: impl Iterator<Item = Self>) -> Elements {
                let convert: fn($type) -> _ = $to;
                Elements::$variant(elements.map(convert).collect())
            }
        }
    )*)*};
}

elements! {
    Integers(|x: i128| x.try_into().expect("in range"), |x| x.into()):
        i8 I8, i16 I16, i32 I32, i64 I64, u8 U8, u16 U16, u32 U32, u64 U64;
    Integers(|x: i128| x, |x| x): i128 I128;
    Integers(|x: i128| x.try_into().expect("in range"), |x| x.try_into().expect("sums stay below 2^127")): u128 U128;
    Integers(|x: i128| x != 0, |x| x.into()): bool Bool;
    Floats(|x: f64| x as f32, |x| x.into()): f32 F32;
    Floats(|x: f64| x, |x| x): f64 F64
}

/// The tolerance of a result.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tolerance {
    pub(crate) absolute: f64,
    pub(crate) relative: f64,
}

impl Tolerance {
    fn admits(self, found: f64, expected: f64) -> bool {
        if found == expected || found.is_nan() && expected.is_nan() {
            return true;
        }
        (found - expected).abs() <= self.absolute + self.relative * expected.abs()
    }
}

/// Reads a value of a type: lists by index, objects by name.
pub(crate) fn read(json: &Json, shape: &Shape) -> Result<Tree, String> {
    read_tree(json, shape, false)
}

/// The same for an expectation: integers may be out of range, or have a decimal point.
pub(crate) fn read_expected(json: &Json, shape: &Shape) -> Result<Tree, String> {
    read_tree(json, shape, true)
}

fn read_tree(json: &Json, shape: &Shape, wide: bool) -> Result<Tree, String> {
    if let Some(leaf) = shape.as_leaf() {
        return Tensor::read(json, leaf, wide).map(Structure::leaf);
    }
    let members = shape.members().expect("a structure that is no leaf");
    let refuse = || format!("{json} is no {shape}");
    let read = |(name, member): &Member, json: &Json| Ok((name.clone(), read_tree(json, member, wide)?));
    let found: Result<Vec<_>, String> = match json {
        Json::Array(list) if list.len() == members.len() => {
            members.iter().zip(list).map(|(member, json)| read(member, json)).collect()
        }
        Json::Object(map) if map.len() == members.len() => {
            let by_name = |member: &Member| {
                let json = member.0.as_ref().and_then(|name| map.get(name)).ok_or_else(refuse)?;
                read(member, json)
            };
            members.iter().map(by_name).collect()
        }
        _ => Err(refuse()),
    };
    Structure::from_members(found?).map_err(|error| error.to_string())
}

/// Reads a tensor whose shape follows from its nesting.
pub(crate) fn read_inferred(json: &Json, dtype: Dtype) -> Result<Tensor, String> {
    let rank = core::iter::successors(Some(json), |json| json.as_array()?.first()).count() - 1;
    Tensor::read(json, &Leaf { dtype, shape: vec![None; rank] }, false)
}

/// The first difference between a result and its expectation, if there is one.
pub(crate) fn difference(found: &Tree, expected: &Tree, tolerance: Tolerance) -> Option<String> {
    let differences = match found.zip_with(expected, |found, expected| found.difference(expected, tolerance))
    {
        Ok(differences) => differences,
        Err(error) => return Some(error.to_string()),
    };
    differences.leaves().find_map(|(path, difference)| {
        let (path, difference) = (path.to_string(), difference.clone()?);
        Some(if path.is_empty() { difference } else { format!("at `{path}`: {difference}") })
    })
}

/// Applies `function` to every integer, with the index of its leaf. Numbers with a point do not
/// change.
pub(crate) fn map_integers(tree: &Tree, function: impl Fn(usize, i128) -> i128) -> Tree {
    let mut places = 0..;
    tree.as_ref().map(|tensor| {
        let place = places.next().expect("without end");
        tensor.map_integers(tensor.dtype, |x| function(place, x)).unwrap_or_else(|| tensor.clone())
    })
}

/// The exact sum of integers, if there is at least one client.
pub(crate) fn total(clients: &[Tree]) -> Option<Tree> {
    let (first, others) = clients.split_first()?;
    let add = |a: &Tensor, b: &Tensor| match (&a.elements, &b.elements) {
        (Elements::Integers(x), Elements::Integers(y)) => {
            let elements = Elements::Integers(x.iter().zip(y).map(|(x, y)| x + y).collect());
            Tensor { elements, ..a.clone() }
        }
        _ => unreachable!("integers only"),
    };
    let sum = |sum: Tree, client: &Tree| sum.zip_with(client, add).expect("all clients have one structure");
    Some(others.iter().fold(first.clone(), sum))
}

/// The same value, with integers wrapped in the types of a structure.
pub(crate) fn wrapped(tree: &Tree, shape: &Shape) -> Tree {
    let dtypes: Vec<Dtype> = shape.iter().map(|leaf| leaf.dtype).collect();
    map_integers(tree, |place, x| dtypes[place].wrap(x))
}

/// A value in the notation of the cases.
pub(crate) fn text(tree: &Tree) -> String {
    // Values without a JSON number have quotation marks.
    let text = json(tree).to_string().replace('"', "");
    if text.len() <= LONGEST {
        text
    } else {
        format!("{}…", text.chars().take(LONGEST).collect::<String>())
    }
}

fn json(tree: &Tree) -> Json {
    match tree.members() {
        None => tree.as_leaf().expect("a structure without members").json(),
        Some(members) => members.iter().map(|(_, member)| json(member)).collect(),
    }
}

/// Its type.
pub(crate) fn type_of(tree: &Tree) -> Shape {
    tree.as_ref().map(Tensor::leaf)
}

/// An integer as JSON has it, without a decimal point.
pub(crate) fn integer(json: &Json) -> Option<i128> {
    json.as_i64().map(i128::from).or_else(|| json.as_u64().map(i128::from))
}

/// An integer with a decimal point.
fn whole(json: &Json) -> Option<i128> {
    let x = json.as_f64()?;
    (x == x.round() && x.abs() < 2.0_f64.powi(53)).then_some(x as i128)
}

/// A number, or its name if JSON cannot represent it.
pub(crate) fn float(json: &Json) -> Option<f64> {
    match json {
        Json::String(name) => match name.to_lowercase().as_str() {
            "nan" => Some(f64::NAN),
            "inf" | "infinity" => Some(f64::INFINITY),
            "-inf" | "-infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        json => json.as_f64(),
    }
}

/// The nearest number of an element type.
pub(crate) fn rounded(x: f64, dtype: Dtype) -> f64 {
    match dtype {
        Dtype::F16 => half::f16::from_f64(x).to_f64(),
        Dtype::BF16 => half::bf16::from_f64(x).to_f64(),
        Dtype::F32 => f64::from(x as f32),
        _ => x,
    }
}

pub(crate) fn to_float(x: i128) -> f64 {
    x as f64
}

/// Flattens `rank` levels of lists, row by row, and records their lengths.
fn flatten<'a>(
    json: &'a Json,
    level: usize,
    rank: usize,
    shape: &mut Vec<usize>,
    flat: &mut Vec<&'a Json>,
) -> Result<(), String> {
    let Json::Array(list) = json else {
        if level < rank {
            return Err(format!("{json} where a list is expected"));
        }
        flat.push(json);
        return Ok(());
    };
    if level == rank {
        return Err(format!("{json} where a number is expected"));
    }
    if shape.len() == level {
        shape.push(list.len());
    } else if shape[level] != list.len() {
        return Err(format!("a list of {} beside one of {}", list.len(), shape[level]));
    }
    list.iter().try_for_each(|json| flatten(json, level + 1, rank, shape, flat))
}

/// Maximum characters of a printed value.
const LONGEST: usize = 160;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::types::Type;

    fn shape(text: &str) -> Shape {
        Type::parse(text).unwrap().member
    }

    #[test]
    fn values_are_read_as_their_types_say() {
        for (text, value) in [
            ("int32", json!(5)),
            ("float32[2]", json!([0.5, 1.5])),
            ("int8[2,1]", json!([[1], [-128]])),
            ("int32[?]", json!([1, 2, 3])),
            ("bool[2]", json!([true, false])),
            ("<int32[2],<float64,uint64>>", json!([[1, 2], [0.25, u64::MAX]])),
            ("int32[2,0]", json!([[], []])),
        ] {
            let tree = read(&value, &shape(text)).unwrap();
            assert_eq!(read(&value, &shape(text)).unwrap(), tree);
            if text != "int32[2,0]" && !text.contains("uint64") {
                assert_eq!(json(&tree), value, "{text}");
            }
        }
        let named = shape("<a=float32[3],b=<int32,int32>>");
        let by_name = read(&json!({"b": [1, 2], "a": [0.0, 1.0, 2.0]}), &named).unwrap();
        assert_eq!(by_name, read(&json!([[0.0, 1.0, 2.0], [1, 2]]), &named).unwrap());
        assert_eq!(type_of(&by_name), named);
    }

    #[test]
    fn values_that_do_not_fit_their_type_are_refused() {
        for (text, value) in [
            ("int32", json!(1.5)),
            ("int32", json!(1.0)),
            ("int32", json!(1_u64 << 31)),
            ("int32", json!([1])),
            ("int32", json!("1")),
            ("int32[2]", json!([1])),
            ("int32[2]", json!([1, [2]])),
            ("int32[2,2]", json!([[1, 2], [3]])),
            ("uint8", json!(-1)),
            ("bool", json!(1)),
            ("float32", json!("x")),
            ("<int32,int32>", json!([1])),
            ("<a=int32>", json!({"b": 1})),
            ("<a=int32>", json!({"a": 1, "b": 1})),
            ("string", json!("text")),
        ] {
            assert!(read(&value, &shape(text)).is_err(), "{text} {value}");
        }
        // An expectation may exceed the int32 range.
        assert!(read_expected(&json!(1_u64 << 31), &shape("int32")).is_ok());
        assert!(read_expected(&json!(3.0), &shape("int32")).is_ok());
        assert!(read_expected(&json!(3.5), &shape("int32")).is_err());
    }

    #[test]
    fn differences_are_found_within_the_tolerance_only() {
        let of = |json: Json| read(&json, &shape("<float32[2],int32>")).unwrap();
        let (a, b) = (of(json!([[1.0, 2.0], 7])), of(json!([[1.0, 2.5], 7])));
        let exact = Tolerance::default();
        assert_eq!(difference(&a, &a, exact), None);
        assert!(difference(&a, &b, exact).unwrap().starts_with("at `0`"));
        assert_eq!(difference(&a, &b, Tolerance { absolute: 0.5, relative: 0.0 }), None);
        assert!(difference(&a, &b, Tolerance { absolute: 0.0, relative: 0.1 }).is_some());
        assert_eq!(difference(&a, &b, Tolerance { absolute: 0.0, relative: 0.2 }), None);
        let other = read(&json!([[1.0, 2.0], 7]), &shape("<a=float32[2],b=int32>")).unwrap();
        assert!(difference(&a, &other, exact).is_some(), "names belong to the structure");

        let float = |json: Json| read(&json, &shape("float32")).unwrap();
        assert_eq!(difference(&float(json!("nan")), &float(json!("NaN")), exact), None);
        assert!(
            difference(&float(json!("nan")), &float(json!(0.0)), Tolerance { absolute: 9.0, relative: 9.0 })
                .is_some()
        );
        assert_eq!(difference(&float(json!("-inf")), &float(json!("-Infinity")), exact), None);
    }
}
