//! Values of cases: tensors in structures, read from JSON by their type, compared and printed.

use core::fmt::{self, Display};

use cipherfold::federated::tensor::{Structure, Tensor as CrateTensor};
use ndarray::{ArrayD, Zip};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::{
    number::{Element, Number, Operator, Tolerance, with_type},
    refusal::Stop,
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

impl Display for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.elements.fmt(f)
    }
}

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

    pub fn zeros(Leaf { dtype, shape }: &Leaf) -> Self {
        Self { dtype: *dtype, elements: ArrayD::from_elem(shape.as_slice(), Number::zero(*dtype)) }
    }

    /// The crate's tensor, if the crate computes with its elements.
    pub fn to_crate(&self) -> Result<CrateTensor, Stop> {
        with_type!(numbers self.dtype, T => Ok(self.array::<T>().into()))
    }

    /// The crate's result of a sum.
    pub fn from_crate(tensor: CrateTensor) -> Self {
        match tensor {
            CrateTensor::I64(array) => Self::of(&array),
            CrateTensor::I128(array) => Self::of(&array),
            CrateTensor::U64(array) => Self::of(&array),
            CrateTensor::U128(array) => Self::of(&array),
            CrateTensor::F32(array) => Self::of(&array),
            CrateTensor::F64(array) => Self::of(&array),
            other => panic!("{other:?} is no result of a sum"),
        }
    }
}

/// Reads a value of a type: lists by index, objects by name.
pub fn read(json: &Json, shape: &Shape) -> Option<Tree> {
    read_with(json, shape, &|json, dtype| Number::read(json)?.cast(dtype))
}

fn read_with(json: &Json, shape: &Shape, number: &impl Fn(&Json, Dtype) -> Option<Number>) -> Option<Tree> {
    fit(json, shape, &|json, Leaf { dtype, shape }| {
        let numbers = flat(json, shape)?.into_iter().map(|json| number(json, *dtype));
        let elements = ArrayD::from_shape_vec(shape.as_slice(), numbers.collect::<Option<Vec<_>>>()?).ok()?;
        Some(Tensor { dtype: *dtype, elements })
    })
}

/// Reads a structure like this one. `read` reads its leaves.
pub fn fit<L, T>(
    json: &Json,
    like: &Structure<L>,
    read: &impl Fn(&Json, &L) -> Option<T>,
) -> Option<Structure<T>> {
    let Some(members) = like.members() else { return Some(read(json, like.as_leaf()?)?.into()) };
    let values: Vec<&Json> = match json {
        Json::Array(list) if list.len() == members.len() => list.iter().collect(),
        Json::Object(map) if map.len() == members.len() => {
            members.iter().map(|(name, _)| map.get(name.as_deref()?)).collect::<Option<_>>()?
        }
        _ => return None,
    };
    let values = values.into_iter().zip(members);
    let values = values.map(|(json, (name, member))| Some((name.clone(), fit(json, member, read)?)));
    Structure::from_members(values.collect::<Option<Vec<_>>>()?).ok()
}

/// The elements of nested lists, row by row.
fn flat<'j>(json: &'j Json, shape: &[usize]) -> Option<Vec<&'j Json>> {
    let Some((len, inner)) = shape.split_first() else { return Some(vec![json]) };
    let rows = json.as_array().filter(|rows| rows.len() == *len)?.iter().map(|row| flat(row, inner));
    Some(rows.collect::<Option<Vec<_>>>()?.concat())
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
    let expected = read_with(expected, &type_of(found), &|json, _| Number::read(json));
    expected.is_some_and(|expected| found.zip_with(&expected, agree).is_ok_and(|all| all.iter().all(|x| *x)))
}

/// The clients' values, with elements of one Rust type.
pub fn arrays<T: Element>(clients: &[Tree]) -> Vec<Tensors<T>> {
    clients.iter().map(|client| client.as_ref().map(Tensor::array)).collect()
}

/// The common element type of all leaves, if there is one.
pub fn one_dtype(shape: &Shape) -> Option<Dtype> {
    let mut dtypes = shape.iter().map(|leaf| leaf.dtype);
    let first = dtypes.next()?;
    dtypes.all(|other| other == first).then_some(first)
}

/// The server's result of an operation on each leaf of the clients' values, because the operation
/// takes one element type. It gets the index of the leaf.
pub fn each_leaf(
    shape: &Shape,
    clients: &[Tree],
    operation: impl Fn(usize, Dtype, &[Tree]) -> Result<Tree, Stop>,
) -> Result<Tree, Stop> {
    let mut places = 0..;
    shape.as_ref().try_map(|leaf| {
        let place = places.next().expect("without end");
        let of_client = |client: &Tree| client.iter().nth(place).expect("a leaf of the type").clone().into();
        let found = operation(place, leaf.dtype, &clients.iter().map(of_client).collect::<Vec<_>>())?;
        found.into_leaf().ok_or_else(|| "a structure is the result of a tensor".into())
    })
}

/// The results of `function` for all leaves, with their indices.
pub fn try_map_leaves<E>(
    tree: &Tree,
    mut function: impl FnMut(usize, &Tensor) -> Result<Tensor, E>,
) -> Result<Tree, E> {
    let mut places = 0..;
    tree.as_ref().try_map(|tensor| function(places.next().expect("without end"), tensor))
}

/// The results of a function for all elements of an array.
pub fn try_each<T, U, E>(
    array: &ArrayD<T>,
    function: impl FnMut(&T) -> Result<U, E>,
) -> Result<ArrayD<U>, E> {
    let elements = array.iter().map(function).collect::<Result<Vec<_>, _>>()?;
    Ok(ArrayD::from_shape_vec(array.raw_dim(), elements).expect("as many elements as before"))
}

/// The same value with other numbers, if `function` has a result for each number. It takes the index
/// and the element type of the leaf.
pub fn try_map(tree: &Tree, function: impl Fn(usize, Dtype, Number) -> Option<Number>) -> Option<Tree> {
    let tensor = |place, Tensor { dtype, elements }: &Tensor| {
        let elements = try_each(elements, |x| function(place, *dtype, *x).ok_or(()))?;
        Ok::<_, ()>(Tensor { dtype: *dtype, elements })
    };
    try_map_leaves(tree, tensor).ok()
}

/// The same value with the results of `function` for all numbers.
pub fn map(tree: &Tree, function: impl Fn(usize, Dtype, Number) -> Number) -> Tree {
    try_map(tree, |place, dtype, x| Some(function(place, dtype, x))).expect("a number for each")
}

/// The same for every integer. Other numbers do not change.
pub fn map_integers(tree: &Tree, function: impl Fn(usize, i128) -> i128) -> Tree {
    map(tree, |place, _, x| x.integer().map_or(x, |x| Number::Integer(function(place, x))))
}

/// The same value, with integers wrapped in the types of a structure.
pub fn wrapped(tree: &Tree, shape: &Shape) -> Tree {
    let dtypes: Vec<Dtype> = shape.iter().map(|leaf| leaf.dtype).collect();
    map_integers(tree, |place, x| dtypes[place].wrap(x))
}

/// The result of an operator for each pair of elements. Both values have one type.
pub fn combine(operator: Operator, a: &Tree, b: &Tree) -> Tree {
    let tensors = |a: &Tensor, b: &Tensor| {
        let number =
            |x: &Number, y: &Number| x.apply(operator, *y, a.dtype).expect("the operator has a result");
        Tensor { dtype: a.dtype, elements: Zip::from(&a.elements).and(&b.elements).map_collect(number) }
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
    let leaf = |Tensor { dtype, elements }: &Tensor| Leaf { dtype: *dtype, shape: elements.shape().to_vec() };
    tree.as_ref().map(leaf)
}
