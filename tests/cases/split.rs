//! Values with leaves of several element types, as values with one element type each.

use cipherfold::federated::{
    Clients, Server,
    computation::{Inputs, Value},
    tensor::{PerTensor, Structure},
};

use crate::{
    number::Element,
    parameter::of_leaf,
    parties::Parties,
    refusal::Stop,
    types::{Dtype, Shape},
    value::{Tensor, Tensors, Tree},
};

/// The leaves of a type, in groups of one element type.
pub struct Split<'s> {
    shape: &'s Shape,
    pub groups: Vec<Group>,
}

/// Leaves of one element type.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    pub dtype: Dtype,
    /// Their indices among all leaves.
    pub places: Vec<usize>,
    /// Whether these are all leaves, in their structure.
    whole: bool,
}

impl<'s> Split<'s> {
    /// One group for each element type.
    pub fn by_type(shape: &'s Shape) -> Self {
        let mut groups: Vec<Group> = Vec::new();
        for leaf in Self::by_leaf(shape).groups {
            match groups.iter_mut().find(|group| group.dtype == leaf.dtype) {
                Some(group) => group.places.extend(leaf.places),
                None => groups.push(leaf),
            }
        }
        if let [group] = &mut groups[..] {
            group.whole = true;
        }
        Self { shape, groups }
    }

    /// Every leaf separately.
    pub fn by_leaf(shape: &'s Shape) -> Self {
        let group = |(place, dtype)| Group { dtype, places: vec![place], whole: false };
        let groups = shape.iter().map(|leaf| leaf.dtype).enumerate().map(group).collect();
        Self { shape, groups }
    }

    /// The value of these groups of leaves. It must have the structure of the type.
    pub fn join(&self, found: &[Tree]) -> Result<Tree, Stop> {
        if let ([Group { whole: true, .. }], [whole]) = (&self.groups[..], found) {
            let same = self.shape.zip_with(whole, |_, tensor| tensor.clone());
            return same.map_err(|error| Stop::Failed(error.to_string()));
        }
        let places = self.groups.iter().flat_map(|group| &group.places);
        let mut leaves: Vec<_> = places.zip(found.iter().flat_map(Tree::iter)).collect();
        leaves.sort_by_key(|(place, _)| **place);
        let mut leaves = leaves.into_iter().map(|(_, tensor)| tensor.clone());
        Ok(self.shape.as_ref().map(|_| leaves.next().expect("a group for each leaf")))
    }

    /// The server's result of an operation on all groups, in one computation.
    pub fn compute<'c>(
        &self,
        parties: &Parties,
        clients: &'c [Tree],
        mut operation: impl FnMut(&mut Draft<'c>, &Group) -> Result<Value<Tree, Server>, Stop>,
    ) -> Result<Tree, Stop> {
        let mut draft = Draft { clients, bindings: Vec::new() };
        let outputs = self.groups.iter().map(|group| operation(&mut draft, group));
        let outputs = outputs.collect::<Result<Vec<_>, _>>()?;
        let inputs = || draft.bindings.iter().fold(Inputs::new(), |inputs, bind| bind(inputs));
        self.join(&parties.run(Value::all(outputs), inputs)?)
    }
}

impl Group {
    /// These leaves of all clients' values: in their structure if these are all leaves, otherwise
    /// one after the other.
    pub fn arrays<T: Element>(&self, clients: &[Tree]) -> Vec<Tensors<T>> {
        let arrays = |client: &Tree| {
            if self.whole {
                return client.as_ref().map(Tensor::array);
            }
            let leaves: Vec<_> = client.iter().collect();
            let members = self.places.iter().map(|place| Structure::leaf(leaves[*place].array::<T>()));
            Structure::tuple(members).expect("one level")
        };
        clients.iter().map(arrays).collect()
    }

    /// The parameters of these leaves.
    pub fn parameters<P: Clone>(&self, parameter: &PerTensor<P>) -> PerTensor<P> {
        match parameter {
            PerTensor::Nested(_) if !self.whole => {
                let each = self.places.iter().filter_map(|place| of_leaf(parameter, *place).cloned());
                PerTensor::Each(each.collect())
            }
            parameter => parameter.clone(),
        }
    }
}

/// The inputs of a computation, and their values.
pub struct Draft<'c> {
    clients: &'c [Tree],
    bindings: Vec<Binding<'c>>,
}

/// Binds one input.
type Binding<'c> = Box<dyn Fn(Inputs<'static>) -> Inputs<'static> + 'c>;

impl Draft<'_> {
    /// An input of one number or value for each client.
    pub fn input<T: Clone + Send + Sync + 'static>(&mut self, values: Vec<T>) -> Value<T, Clients> {
        let input = Value::input("values");
        let bound = input.clone();
        self.bindings.push(Box::new(move |inputs| inputs.clients(&bound, values.clone())));
        input
    }

    /// The clients' values of a group.
    pub fn values<T: Element>(&mut self, group: &Group) -> Value<Tensors<T>, Clients> {
        self.input(group.arrays(self.clients))
    }
}

/// The server's value of these tensors.
pub fn tree<T: Element>(value: &Value<Tensors<T>, Server>) -> Value<Tree, Server> {
    value.map(|found| found.as_ref().map(Tensor::of))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{types::Type, value};

    #[test]
    fn leaves_are_grouped_by_element_type() {
        let shape = Type::try_from("<a=int32,b=<float32,c=int32>>".to_owned()).unwrap().member;
        let split = Split::by_type(&shape);
        let group = |dtype, places: &[usize]| Group { dtype, places: places.to_vec(), whole: false };
        assert_eq!(split.groups, [group(Dtype::Int32, &[0, 2]), group(Dtype::Float32, &[1])]);
        let client = value::read(&json!([1, [2.5, 3]]), &shape).unwrap();
        let clients = [client];
        let integers = split.groups[0].arrays::<i32>(&clients).remove(0);
        let floats = split.groups[1].arrays::<f32>(&clients).remove(0);
        assert_eq!(integers.iter().map(|x| x[[].as_slice()]).collect::<Vec<_>>(), [1, 3]);
        let found = [integers.as_ref().map(Tensor::of), floats.as_ref().map(Tensor::of)];
        assert_eq!(split.join(&found), Ok(clients[0].clone()));
        let parameters = PerTensor::Nested(shape.as_ref().map(|leaf| leaf.dtype));
        assert_eq!(split.groups[0].parameters(&parameters), PerTensor::Each(vec![Dtype::Int32; 2]));
    }
}
