//! Values with leaves of several element types, as values with one element type each.

use cipherfold::federated::{
    Clients, Inputs, Server, Value,
    tensor::{PerTensor, Structure},
};

use crate::{
    case::of_leaf,
    number::Element,
    parties::Parties,
    refusal::Stop,
    types::{Dtype, Shape},
    value::{Tensor, Tensors, Tree},
};

/// A part of a value that has one element type: the whole value, or one leaf.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    pub dtype: Dtype,
    /// The index of the leaf.
    leaf: Option<usize>,
}

/// The whole value if it has one element type, otherwise leaf by leaf.
pub fn parts(shape: &Shape) -> Vec<Part> {
    let leaves = leaves(shape);
    match leaves.first() {
        Some(first) if leaves.iter().all(|leaf| leaf.dtype == first.dtype) => {
            vec![Part { leaf: None, ..*first }]
        }
        _ => leaves,
    }
}

/// Leaf by leaf.
pub fn leaves(shape: &Shape) -> Vec<Part> {
    shape.iter().enumerate().map(|(i, leaf)| Part { dtype: leaf.dtype, leaf: Some(i) }).collect()
}

impl Part {
    /// This part of a value.
    pub fn of<T: Element>(self, tree: &Tree) -> Tensors<T> {
        match self.leaf {
            None => tree.as_ref().map(Tensor::array),
            Some(i) => Structure::leaf(tree.iter().nth(i).expect("a leaf of the type").array()),
        }
    }

    /// This part of all clients' values.
    pub fn of_each<T: Element>(self, clients: &[Tree]) -> Vec<Tensors<T>> {
        clients.iter().map(|client| self.of(client)).collect()
    }

    /// This part of a value in a computation.
    pub fn of_value<T: Element>(self, value: &Value<Tree, Clients>) -> Value<Tensors<T>, Clients> {
        value.map(move |tree| self.of(tree))
    }

    /// The parameters of this part.
    pub fn parameter<P: Clone>(self, parameter: &PerTensor<P>) -> PerTensor<P> {
        match self.leaf {
            None => parameter.clone(),
            Some(i) => PerTensor::All(of_leaf(parameter, i).expect("a parameter for each leaf").clone()),
        }
    }
}

/// The value with these parts, which must have the structure of a type.
pub fn joined(shape: &Shape, parts: &[Part], found: &[Tree]) -> Result<Tree, Stop> {
    if let ([Part { leaf: None, .. }], [whole]) = (parts, found) {
        return Ok(shape.zip_with(whole, |_, tensor| tensor.clone())?);
    }
    let mut leaves = found.iter().flat_map(Tree::iter).cloned();
    Ok(shape.as_ref().map(|_| leaves.next().expect("a part for each leaf")))
}

/// The server's value of these tensors.
pub fn tree<T: Element>(value: &Value<Tensors<T>, Server>) -> Value<Tree, Server> {
    value.map(|tensors| tensors.as_ref().map(Tensor::of))
}

/// One more number for each client.
pub type Weights<'w> = Option<(&'w Value<f64, Clients>, &'w [f64])>;

/// The server's result of an operation on each part of the clients' values, in one computation.
pub fn run_parts(
    parties: &Parties,
    shape: &Shape,
    parts: &[Part],
    clients: &[Tree],
    weights: Weights<'_>,
    operation: impl Fn(&Value<Tree, Clients>, Part) -> Result<Value<Tree, Server>, Stop>,
) -> Result<Tree, Stop> {
    let values = Value::input("values");
    let outputs = parts.iter().map(|part| operation(&values, *part)).collect::<Result<Vec<_>, _>>()?;
    let inputs = || match weights {
        // An empty structure has no part that reads an input.
        _ if parts.is_empty() => Inputs::new(),
        None => Inputs::new().clients(&values, clients.to_vec()),
        Some((input, weights)) => {
            Inputs::new().clients(&values, clients.to_vec()).clients(input, weights.to_vec())
        }
    };
    joined(shape, parts, &parties.run(Value::all(outputs), inputs)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Type;

    #[test]
    fn a_value_of_several_element_types_is_run_leaf_by_leaf() {
        let shape = |text: &str| Type::try_from(text.to_owned()).unwrap().member;
        let mixed = shape("<a=int32,b=<float32,c=int32>>");
        let mixed_parts = parts(&mixed);
        let dtypes: Vec<_> = mixed_parts.iter().map(|part| part.dtype).collect();
        assert_eq!(dtypes, [Dtype::Int32, Dtype::Float32, Dtype::Int32]);
        let tree = mixed.as_ref().map(Tensor::zeros);
        let leaves: Vec<_> = tree.iter().map(|tensor| Structure::leaf(tensor.clone())).collect();
        assert_eq!(joined(&mixed, &mixed_parts, &leaves), Ok(tree));
        let same = shape("<a=int32,b=int32>");
        let tree = same.as_ref().map(Tensor::zeros);
        let [whole] = parts(&same)[..] else { panic!("one part") };
        assert_eq!(whole.of::<i32>(&tree).to_string(), "<a=0,b=0>");
        let unnamed = Structure::tuple(leaves[..2].iter().cloned()).unwrap();
        assert!(joined(&same, &[whole], &[unnamed]).is_err(), "names belong to the structure");
    }
}
