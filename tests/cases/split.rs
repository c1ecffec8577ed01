//! Structures with leaves of several element types, as computations over tensors of one type each.

use cipherfold::federated::{
    Clients, Result, Server,
    computation::{Inputs, Value},
    tensor::Structure,
};
use ndarray::ArrayD;

use crate::{
    parties::Parties,
    types::{Dtype, Leaf, Shape},
    value::{Element, Tensor, Tree},
};

/// Runs the same code for the integer type of a dtype.
macro_rules! integers {
    ($dtype:expr, $type:ident => $body:expr, else $other:expr) => {
        match $dtype {
            Dtype::I8 => {
                type $type = i8;
                $body
            }
            Dtype::I16 => {
                type $type = i16;
                $body
            }
            Dtype::I32 => {
                type $type = i32;
                $body
            }
            Dtype::I64 => {
                type $type = i64;
                $body
            }
            Dtype::U8 => {
                type $type = u8;
                $body
            }
            Dtype::U16 => {
                type $type = u16;
                $body
            }
            Dtype::U32 => {
                type $type = u32;
                $body
            }
            Dtype::U64 => {
                type $type = u64;
                $body
            }
            _ => $other,
        }
    };
}

/// The same for a floating-point type.
macro_rules! floats {
    ($dtype:expr, $type:ident => $body:expr, else $other:expr) => {
        match $dtype {
            Dtype::F32 => {
                type $type = f32;
                $body
            }
            Dtype::F64 => {
                type $type = f64;
                $body
            }
            _ => $other,
        }
    };
}

pub(crate) use {floats, integers};

/// The leaves with one element type.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) dtype: Dtype,
    /// Their indices among all leaves.
    pub(crate) places: Vec<usize>,
    /// Whether these are all leaves.
    pub(crate) all: bool,
}

/// Leaves by element type.
pub(crate) fn groups(shape: &Shape) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (place, leaf) in shape.iter().enumerate() {
        match groups.iter_mut().find(|group| group.dtype == leaf.dtype) {
            Some(group) => group.places.push(place),
            None => groups.push(Group { dtype: leaf.dtype, places: vec![place], all: false }),
        }
    }
    let all = groups.len() == 1;
    for group in &mut groups {
        group.all = all;
    }
    groups
}

impl Group {
    /// These leaves of a value: in its own structure if these are all leaves, otherwise one after
    /// the other.
    pub(crate) fn of<T: Element>(&self, tree: &Tree) -> Structure<ArrayD<T>> {
        if self.all {
            return tree.as_ref().map(Tensor::array);
        }
        let leaves: Vec<_> = tree.iter().collect();
        let members = self.places.iter().map(|place| Structure::leaf(leaves[*place].array()));
        Structure::tuple(members).expect("one level")
    }
}

/// A builder of a computation of one result from the clients' values, group by group.
pub(crate) struct Draft<'c> {
    shape: &'c Shape,
    groups: Vec<Group>,
    clients: &'c [Tree],
    bindings: Vec<Binding<'c>>,
    /// Of each group, in order.
    outputs: Vec<Value<Tree, Server>>,
}

/// Binds one input.
type Binding<'c> = Box<dyn Fn(Inputs<'static>) -> Inputs<'static> + 'c>;

impl<'c> Draft<'c> {
    pub(crate) fn new(shape: &'c Shape, clients: &'c [Tree]) -> Self {
        Self { shape, groups: groups(shape), clients, bindings: Vec::new(), outputs: Vec::new() }
    }

    /// Every leaf separately.
    pub(crate) fn leaf_by_leaf(shape: &'c Shape, clients: &'c [Tree]) -> Self {
        let group =
            |(place, leaf): (usize, &Leaf)| Group { dtype: leaf.dtype, places: vec![place], all: false };
        Self { groups: shape.iter().enumerate().map(group).collect(), ..Self::new(shape, clients) }
    }

    pub(crate) fn groups(&self) -> Vec<Group> {
        self.groups.clone()
    }

    /// The clients' values of a group.
    pub(crate) fn input<T: Element>(&mut self, group: &Group) -> Value<Structure<ArrayD<T>>, Clients> {
        let input = Value::input("values");
        let values: Vec<_> = self.clients.iter().map(|client| group.of::<T>(client)).collect();
        self.bind(&input, values);
        input
    }

    /// One more number for each client.
    pub(crate) fn numbers<T: Clone + Send + Sync + 'static>(&mut self, numbers: Vec<T>) -> Value<T, Clients> {
        let input = Value::input("numbers");
        self.bind(&input, numbers);
        input
    }

    fn bind<T: Clone + Send + Sync + 'static>(&mut self, input: &Value<T, Clients>, values: Vec<T>) {
        let input = input.clone();
        self.bindings.push(Box::new(move |inputs| inputs.clients(&input, values.clone())));
    }

    /// The server's result of the current group.
    pub(crate) fn output<T: Element>(&mut self, value: &Value<Structure<ArrayD<T>>, Server>) {
        self.outputs.push(value.map(|found| found.as_ref().map(Tensor::of)));
    }

    /// The server's result, in the structure of the clients' values. It must have their names and
    /// nesting.
    pub(crate) fn run(self, parties: &Parties) -> Result<Result<Tree>, String> {
        let inputs = || self.bindings.iter().fold(Inputs::new(), |inputs, bind| bind(inputs));
        let found = match parties.run(Value::all(self.outputs.clone()), inputs)? {
            Ok(found) => found,
            Err(error) => return Ok(Err(error)),
        };
        if let ([whole], [Group { all: true, .. }]) = (found.as_slice(), self.groups.as_slice()) {
            let same = self.shape.zip_with(whole, |_, _| ()).map_err(|error| error.to_string());
            return same.map(|_| Ok(whole.clone()));
        }
        let mut leaves: Vec<Option<Tensor>> = vec![None; self.shape.iter().count()];
        for (group, found) in self.groups.iter().zip(found) {
            for (place, tensor) in group.places.iter().zip(found.iter()) {
                leaves[*place] = Some(tensor.clone());
            }
        }
        let mut leaves = leaves.into_iter();
        let next = |_| leaves.next().flatten().expect("a group for each leaf");
        Ok(Ok(self.shape.as_ref().map(next)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Type;

    #[test]
    fn leaves_are_grouped_by_element_type() {
        let shape = Type::parse("<a=int32,b=<float32,c=int32>>").unwrap().member;
        let groups = groups(&shape);
        let places: Vec<_> =
            groups.iter().map(|group| (group.dtype, group.places.clone(), group.all)).collect();
        assert_eq!(places, [(Dtype::I32, vec![0, 2], false), (Dtype::F32, vec![1], false)]);
        let tree = shape.map(|leaf| Tensor::zeros(&leaf));
        assert_eq!(groups[0].of::<i32>(&tree).iter().count(), 2);
    }
}
