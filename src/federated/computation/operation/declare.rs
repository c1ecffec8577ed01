//! Declared structures: the structure of the clients' tensors, known at the server before a client
//! works.

use crate::federated::{
    Result,
    computation::erased::{Erased, reveal},
    tensor::{self, Structure, TensorTree, TensorType},
};

/// The declared structure of a value, with the value's type erased.
pub(in crate::federated::computation) struct Declaration {
    shape: Shape,
    /// Replaces the element types of a structure by those of the value, where its type fixes them.
    retyped: fn(Structure<TensorType>) -> Structure<TensorType>,
}

enum Shape {
    Stated(Structure<TensorType>),
    /// The structure of a value at the server, which is the operation's second input.
    Like(fn(&Erased) -> Result<Structure<TensorType>, tensor::Error>),
}

impl Declaration {
    pub(in crate::federated::computation) fn stated<T: TensorTree>(structure: Structure<TensorType>) -> Self {
        Self { shape: Shape::Stated(structure), retyped: T::retyped }
    }

    /// A value of type `T` with the shape of a value of type `M`.
    pub(in crate::federated::computation) fn like<T: TensorTree, M: TensorTree + 'static>() -> Self {
        Self { shape: Shape::Like(|template| reveal::<M>(template).structure()), retyped: T::retyped }
    }

    /// The name of the operation.
    pub(in crate::federated::computation) fn name(&self) -> &'static str {
        match self.shape {
            Shape::Stated(_) => "declare",
            Shape::Like(_) => "shaped_like",
        }
    }

    /// The structure. The template is the value at the server, if there is one.
    pub(in crate::federated::computation) fn resolve(
        &self,
        template: Option<&Erased>,
    ) -> Result<Structure<TensorType>, tensor::Error> {
        match (&self.shape, template) {
            (Shape::Stated(structure), _) => {
                let expected = (self.retyped)(structure.clone());
                if expected == *structure { Ok(expected) } else { Err(mismatch(&expected, structure)) }
            }
            (Shape::Like(structure), Some(template)) => Ok((self.retyped)(structure(template)?)),
            (Shape::Like(_), None) => unreachable!("a template is an input of its operation"),
        }
    }
}

/// The error for two declarations of the server that contradict each other.
pub(in crate::federated::computation) fn mismatch(
    expected: &Structure<TensorType>,
    found: &Structure<TensorType>,
) -> tensor::Error {
    let [expected, found] = [expected, found].map(ToString::to_string);
    tensor::Error::StructureMismatch { expected, found }
}
