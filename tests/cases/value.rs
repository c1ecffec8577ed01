//! Values of cases: tensors in structures, read from JSON by their type, compared and printed.

use cipherfold::federated::tensor::Structure;
use ndarray::{ArrayD, ArrayViewD, IxDyn, Zip, arr0};
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
    pub fn reshaped<T: Element>(&self, elements: Vec<T>) -> Self {
        let array = ArrayD::from_shape_vec(self.elements.raw_dim(), elements);
        Self::of(&array.expect("as many elements as the shape has"))
    }

    pub fn zeros(Leaf { dtype, shape }: &Leaf) -> Self {
        Self { dtype: *dtype, elements: ArrayD::from_elem(shape.as_slice(), Number::zero(*dtype)) }
    }

    pub fn map(&self, function: impl FnMut(Number) -> Number) -> Self {
        Self { dtype: self.dtype, elements: self.elements.mapv(function) }
    }

    /// The same tensor with other elements, if the function has a result for each.
    pub fn try_map(&self, function: impl Fn(Number) -> Option<Number>) -> Option<Self> {
        self.elements.iter().all(|x| function(*x).is_some()).then(|| self.map(|x| function(x).unwrap_or(x)))
    }
}

/// A structure of one number.
pub fn scalar(x: f64) -> Tree {
    Tensor { dtype: Dtype::Float64, elements: arr0(Number::Float(x)).into_dyn() }.into()
}

/// Reads a value of a type: lists by index, objects by name.
pub fn read(json: &Json, shape: &Shape) -> Option<Tree> {
    read_by(json, shape, &|json, dtype| Number::read(json)?.cast(dtype))
}

fn read_by(json: &Json, shape: &Shape, number: &impl Fn(&Json, Dtype) -> Option<Number>) -> Option<Tree> {
    let Some(members) = shape.members() else {
        let Leaf { dtype, shape } = shape.as_leaf()?;
        let numbers = flat(json, shape)?.into_iter().map(|json| number(json, *dtype));
        let elements = ArrayD::from_shape_vec(shape.as_slice(), numbers.collect::<Option<Vec<_>>>()?).ok()?;
        return Some(Tensor { dtype: *dtype, elements }.into());
    };
    let values = members_of(json, members)?.into_iter().zip(members);
    let values = values.map(|(json, (name, member))| Some((name.clone(), read_by(json, member, number)?)));
    Structure::from_members(values.collect::<Option<Vec<_>>>()?).ok()
}

/// The elements of nested lists, row by row.
fn flat<'j>(json: &'j Json, shape: &[usize]) -> Option<Vec<&'j Json>> {
    let Some((len, inner)) = shape.split_first() else { return Some(vec![json]) };
    let rows = json.as_array().filter(|rows| rows.len() == *len)?.iter().map(|row| flat(row, inner));
    Some(rows.collect::<Option<Vec<_>>>()?.concat())
}

/// The JSON of each member of a structure.
fn members_of<'j, T>(json: &'j Json, members: &[(Option<String>, T)]) -> Option<Vec<&'j Json>> {
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
    let lengths = core::iter::successors(Some(json), |json| json.as_array()?.first());
    let shape = lengths.map_while(|json| Some(json.as_array()?.len())).collect();
    read(json, &Leaf { dtype, shape }.into())?.into_leaf()
}

/// Whether a value is the expected one.
pub fn agrees(found: &Tree, expected: &Json, tolerance: Tolerance) -> bool {
    let agree = |found: &Tensor, expected: &Tensor| {
        let mut pairs = found.elements.iter().zip(&expected.elements);
        pairs.all(|(x, expected)| x.agrees(*expected, found.dtype, tolerance))
    };
    let expected = read_by(expected, &type_of(found), &|json, _| Number::read(json));
    expected.is_some_and(|expected| found.zip_with(&expected, agree).is_ok_and(|all| all.iter().all(|x| *x)))
}

/// The clients' values, with elements of one Rust type.
pub fn arrays<T: Element>(clients: &[Tree]) -> Vec<Tensors<T>> {
    clients.iter().map(|client| client.as_ref().map(Tensor::array)).collect()
}

/// The results of `function` for all leaves, with their indices.
pub fn map_leaves<U>(tree: &Tree, mut function: impl FnMut(usize, &Tensor) -> U) -> Structure<U> {
    let mut places = 0..;
    tree.as_ref().map(|tensor| function(places.next().expect("without end"), tensor))
}

/// Applies `function` to every integer, with the index of its leaf. Other numbers do not change.
pub fn map_integers(tree: &Tree, function: impl Fn(usize, i128) -> i128) -> Tree {
    map_leaves(tree, |place, tensor| {
        tensor.map(|x| x.integer().map_or(x, |x| Number::Integer(function(place, x))))
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
        let number = |x: &Number, y: &Number| x.apply(operator, *y).expect("the operator has a result");
        let elements = Zip::from(&a.elements).and(&b.elements).map_collect(number);
        Tensor { dtype: a.dtype, elements }.map(|x| x.rounded(a.dtype))
    };
    a.zip_with(b, tensors).expect("both values have one type")
}

/// The exact sum of integers, if there is at least one client.
pub fn total(clients: &[Tree]) -> Option<Tree> {
    clients.iter().cloned().reduce(|a, b| combine(Operator::ADD, &a, &b))
}

/// All numbers of the clients, each with the index of its leaf.
pub fn numbers(clients: &[Tree]) -> impl Iterator<Item = (usize, Number)> {
    let leaves = clients.iter().flat_map(|client| client.iter().enumerate());
    leaves.flat_map(|(place, tensor)| tensor.elements.iter().map(move |x| (place, *x)))
}

/// The type of a value.
pub fn type_of(tree: &Tree) -> Shape {
    let leaf = |Tensor { dtype, elements }: &Tensor| Leaf { dtype: *dtype, shape: elements.shape().to_vec() };
    tree.as_ref().map(leaf)
}

/// A value in the notation of the cases. Numbers that JSON lacks are texts.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Type;

    fn read_as(text: &str, value: &Json) -> Option<Tree> {
        read(value, &Type::try_from(text.to_owned()).unwrap().member)
    }

    #[test]
    fn values_are_read_and_compared_by_index_and_by_name() {
        let named = "<a=float32[3],b=<int32,int32[2,0]>>";
        let by_index = serde_json::json!([[0.5, 1.5, 2.5], [7, [[], []]]]);
        let by_name = serde_json::json!({"b": [7, [[], []]], "a": [0.5, 1.5, 2.5]});
        let tree = read_as(named, &by_name).unwrap();
        assert_eq!(read_as(named, &by_index).as_ref(), Some(&tree));
        assert_eq!((json(&tree), type_of(&tree).to_string()), (by_index.clone(), named.to_owned()));
        for (other, same) in [
            (by_index, true),
            (by_name, true),
            (serde_json::json!({"a": [0.5, 1.5, 2.5], "c": [7, [[], []]]}), false),
            (serde_json::json!([[0.5, 1.5], [7, [[], []]]]), false),
            (serde_json::json!([[0.5, 1.5, 2.5], [8, [[], []]]]), false),
        ] {
            assert_eq!(agrees(&tree, &other, Tolerance::default()), same, "{other}");
        }
    }
}
