//! Values of cases: tensors in structures, read from JSON by their type, compared and printed.

use cipherfold::federated::{Member, tensor::Structure};
use ndarray::{ArrayD, ArrayViewD, Axis, IxDyn, Zip, arr0};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::{
    number::{Element, Number, Operator, Tolerance},
    types::{Dtype, Leaf, Shape},
};

/// One tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tensor {
    pub dtype: Dtype,
    pub elements: ArrayD<Number>,
}

/// Tensors in a structure.
pub type Tree = Structure<Tensor>;

/// The same with elements of one Rust type.
pub type Tensors<T> = Structure<ArrayD<T>>;

impl Tensor {
    pub fn of<T: Element>(array: &ArrayD<T>) -> Self {
        Self { dtype: T::DTYPE, elements: array.mapv(T::to_number) }
    }

    /// # Panics
    ///
    /// If the tensor has another element type.
    pub fn array<T: Element>(&self) -> ArrayD<T> {
        self.elements.mapv(T::from_number)
    }

    /// A tensor of this shape with other elements.
    ///
    /// # Panics
    ///
    /// If the number of elements differs.
    pub fn reshaped<T: Element>(&self, elements: Vec<T>) -> Self {
        let array = ArrayD::from_shape_vec(self.elements.raw_dim(), elements);
        Self::of(&array.expect("as many elements as the shape has"))
    }

    pub fn leaf(&self) -> Leaf {
        Leaf { dtype: self.dtype, shape: self.elements.shape().iter().copied().map(Some).collect() }
    }

    /// Zeros of this type. An unstated length is 2.
    pub fn zeros(leaf: &Leaf) -> Self {
        let zero = match leaf.dtype {
            Dtype::Bool => Number::Bool(false),
            dtype => Number::Integer(0).cast(dtype).unwrap_or(Number::Integer(0)),
        };
        let shape: Vec<_> = leaf.shape.iter().map(|len| len.unwrap_or(2)).collect();
        Self { dtype: leaf.dtype, elements: ArrayD::from_elem(shape, zero) }
    }

    /// The same tensor with other elements, if the function has a result for each.
    pub fn try_map(&self, function: impl Fn(Number) -> Option<Number>) -> Option<Self> {
        let elements = self.elements.iter().map(|x| function(*x)).collect::<Option<_>>()?;
        let elements = ArrayD::from_shape_vec(self.elements.raw_dim(), elements).ok()?;
        Some(Self { dtype: self.dtype, elements })
    }
}

/// The clients' values, with elements of one Rust type.
///
/// # Panics
///
/// If a tensor has another element type.
pub fn arrays<T: Element>(clients: &[Tree]) -> Vec<Tensors<T>> {
    clients.iter().map(|client| client.as_ref().map(Tensor::array)).collect()
}

/// A structure of one number.
pub fn scalar(x: f64) -> Tree {
    Structure::leaf(Tensor { dtype: Dtype::Float64, elements: arr0(Number::Float(x)).into_dyn() })
}

/// Reads a value of a type: lists by index, objects by name.
pub fn read(json: &Json, shape: &Shape) -> Option<Tree> {
    let Some(members) = shape.members() else {
        let Leaf { dtype, shape } = shape.as_leaf()?;
        return Some(Structure::leaf(Tensor { dtype: *dtype, elements: array(json, *dtype, shape)? }));
    };
    let values = members_of(json, members)?.into_iter().zip(members);
    let values = values.map(|(json, (name, member))| Some((name.clone(), read(json, member)?)));
    Structure::from_members(values.collect::<Option<Vec<_>>>()?).ok()
}

/// The JSON of each member of a structure.
fn members_of<'j, T>(json: &'j Json, members: &[Member<T>]) -> Option<Vec<&'j Json>> {
    match json {
        Json::Array(list) if list.len() == members.len() => Some(list.iter().collect()),
        Json::Object(map) if map.len() == members.len() => {
            members.iter().map(|(name, _)| map.get(name.as_deref()?)).collect()
        }
        _ => None,
    }
}

/// Reads a tensor whose shape follows from its nesting.
pub fn read_inferred(json: &Json, dtype: Dtype) -> Option<Tensor> {
    let rank = core::iter::successors(Some(json), |json| json.as_array()?.first()).count() - 1;
    Some(Tensor { dtype, elements: array(json, dtype, &vec![None; rank])? })
}

/// Nested lists as an array. The lengths inside an empty list are unknown, and zero unless stated.
fn array(json: &Json, dtype: Dtype, shape: &[Option<usize>]) -> Option<ArrayD<Number>> {
    let Some((len, inner)) = shape.split_first() else {
        return Some(arr0(Number::read(json)?.cast(dtype)?).into_dyn());
    };
    let rows = json.as_array()?.iter().map(|row| array(row, dtype, inner));
    let rows: Vec<_> = rows.collect::<Option<_>>()?;
    if len.is_some_and(|len| len != rows.len()) {
        return None;
    }
    if rows.is_empty() {
        let shape: Vec<_> = shape.iter().map(|len| len.unwrap_or(0)).collect();
        return Some(ArrayD::from_elem(shape, Number::Integer(0)));
    }
    let rows: Vec<_> = rows.iter().map(|row| row.view()).collect();
    ndarray::stack(Axis(0), &rows).ok()
}

/// Whether a value is the expected one.
pub fn agrees(found: &Tree, expected: &Json, tolerance: Tolerance) -> bool {
    let Some(members) = found.members() else {
        return found.iter().all(|Tensor { dtype, elements }| {
            array_agrees(&elements.view(), expected, &|x, json| x.agrees(json, *dtype, tolerance))
        });
    };
    members_of(expected, members).is_some_and(|expected| {
        members.iter().zip(expected).all(|((_, member), expected)| agrees(member, expected, tolerance))
    })
}

fn array_agrees(
    found: &ArrayViewD<'_, Number>,
    expected: &Json,
    number: &impl Fn(Number, &Json) -> bool,
) -> bool {
    if found.ndim() == 0 {
        return number(found[IxDyn(&[])], expected);
    }
    expected.as_array().is_some_and(|expected| {
        expected.len() == found.len_of(Axis(0))
            && found.outer_iter().zip(expected).all(|(row, expected)| array_agrees(&row, expected, number))
    })
}

/// The results of `function` for all leaves, with their indices.
pub fn map_leaves<U>(tree: &Tree, function: impl Fn((usize, &Tensor)) -> U) -> Structure<U> {
    let mut places = 0..;
    tree.as_ref().map(|tensor| function((places.next().expect("without end"), tensor)))
}

/// Applies `function` to every integer, with the index of its leaf. Other numbers do not change.
pub fn map_integers(tree: &Tree, function: impl Fn(usize, i128) -> i128) -> Tree {
    map_leaves(tree, |(place, Tensor { dtype, elements })| {
        let map = |x: Number| x.integer().map_or(x, |x| Number::Integer(function(place, x)));
        Tensor { dtype: *dtype, elements: elements.mapv(map) }
    })
}

/// The same value, with integers wrapped in the types of a structure.
pub fn wrapped(tree: &Tree, shape: &Shape) -> Tree {
    let dtypes: Vec<Dtype> = shape.iter().map(|leaf| leaf.dtype).collect();
    map_integers(tree, |place, x| dtypes[place].wrap(x))
}

/// The result of an operator for each pair of elements. Both values have one type.
pub fn combine(operator: Operator, a: &Tree, b: &Tree) -> Tree {
    let tensors = |a: &Tensor, b: &Tensor| {
        let number = |x: &Number, y: &Number| x.apply(operator, *y).expect("numbers of cases are small");
        let elements = Zip::from(&a.elements).and(&b.elements).map_collect(number);
        Tensor { dtype: a.dtype, elements: elements.mapv(|x| x.rounded(a.dtype)) }
    };
    a.zip_with(b, tensors).expect("both values have one type")
}

/// The exact sum of integers, if there is at least one client.
pub fn total(clients: &[Tree]) -> Option<Tree> {
    clients.iter().cloned().reduce(|a, b| combine(Operator::Add, &a, &b))
}

/// All numbers of the clients, each with the index of its leaf.
pub fn numbers(clients: &[Tree]) -> impl Iterator<Item = (usize, Number)> {
    let leaves = clients.iter().flat_map(|client| client.iter().enumerate());
    leaves.flat_map(|(place, tensor)| tensor.elements.iter().map(move |x| (place, *x)))
}

/// The type of a value.
pub fn type_of(tree: &Tree) -> Shape {
    tree.as_ref().map(Tensor::leaf)
}

/// A value in the notation of the cases.
pub fn text(tree: &Tree) -> String {
    // Values without a JSON number have quotation marks.
    let text = json(tree).to_string().replace('"', "");
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The same as JSON. Numbers that JSON lacks are texts.
pub fn json(tree: &Tree) -> Json {
    fn rows(array: &ArrayViewD<'_, Number>) -> Json {
        match array.ndim() {
            0 => array[IxDyn(&[])].json(),
            _ => array.outer_iter().map(|row| rows(&row)).collect(),
        }
    }
    match tree.members() {
        Some(members) => members.iter().map(|(_, member)| json(member)).collect(),
        None => rows(&tree.as_leaf().expect("a structure without members").elements.view()),
    }
}

/// Maximum characters of a printed value.
const LONGEST: usize = 160;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::types::Type;

    fn of_type(text: &str, json: &Json) -> Option<Tree> {
        read(json, &Type::try_from(text.to_owned()).unwrap().member)
    }

    #[test]
    fn values_are_read_as_their_types_say() {
        for (text, value) in [
            ("int32", json!(5)),
            ("int8[2,1]", json!([[1], [-128]])),
            ("int32[?]", json!([1, 2, 3])),
            ("bool[2]", json!([true, false])),
            ("<int32[2],<float64,uint32>>", json!([[1, 2], [0.25, u32::MAX]])),
            ("int32[2,0]", json!([[], []])),
        ] {
            assert_eq!(of_type(text, &value).map(|tree| json(&tree)), Some(value), "{text}");
        }
        let named = |json| of_type("<a=float32[3],b=<int32,int32>>", &json).unwrap();
        assert_eq!(
            named(json!({"b": [1, 2], "a": [0.0, 1.0, 2.0]})),
            named(json!([[0.0, 1.0, 2.0], [1, 2]]))
        );
        for (text, values) in [
            ("int32", vec![json!(1.5), json!(1.0), json!(1_u64 << 31), json!([1]), json!("1")]),
            ("int32[2]", vec![json!([1]), json!([1, [2]])]),
            ("int32[?,?]", vec![json!([[1, 2], [3]])]),
            ("uint8", vec![json!(-1)]),
            ("bool", vec![json!(1)]),
            ("float32", vec![json!("x"), json!(true)]),
            ("<int32,int32>", vec![json!([1])]),
            ("<a=int32>", vec![json!({"b": 1}), json!({"a": 1, "b": 1})]),
            ("string", vec![json!("text")]),
        ] {
            assert!(values.iter().all(|value| of_type(text, value).is_none()), "{text} {values:?}");
        }
    }

    #[test]
    fn differences_are_found_within_the_tolerance_only() {
        let is = |text: &str, found: Json, expected: Json, [absolute, relative]: [f64; 2]| {
            agrees(&of_type(text, &found).unwrap(), &expected, Tolerance { absolute, relative })
        };
        let pair =
            |expected, tolerance| is("<float32[2],int32>", json!([[1.0, 2.0], 7]), expected, tolerance);
        for (b, tolerance, agrees) in [
            (2.0, [0.0, 0.0], true),
            (2.5, [0.0, 0.0], false),
            (2.5, [0.5, 0.0], true),
            (2.5, [0.0, 0.1], false),
            (2.5, [0.0, 0.2], true),
        ] {
            assert_eq!(pair(json!([[1.0, b], 7]), tolerance), agrees, "{b} {tolerance:?}");
        }
        for other in
            [json!([[1.0, 2.0], 8]), json!([[1.0], 7]), json!([1.0, 7]), json!({"a": [1.0, 2.0], "b": 7})]
        {
            assert!(!pair(other, [0.0, 0.0]));
        }
        assert!(is("float32", json!("nan"), json!("NaN"), [0.0, 0.0]));
        assert!(is("float32", json!("-inf"), json!("-Infinity"), [0.0, 0.0]));
        assert!(!is("float32", json!("nan"), json!(0.0), [9.0, 9.0]));
        // An expected integer may have a decimal point, and may be out of the type's range.
        for (expected, agrees) in [(json!(3.0), true), (json!(3.5), false), (json!(1_u64 << 31), false)] {
            assert_eq!(is("int32", json!(3), expected, [0.0, 0.0]), agrees);
        }
    }
}
