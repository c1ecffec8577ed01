//! Declared structures: what tensors clients will send, known at the server before a client works.

use super::erased::{Erased, reveal};
use crate::federated::{Error, Result, Structure, TensorTree, TensorType};

/// What a value's structure is, the value's type hidden.
pub(super) struct Declaration {
    shape: Shape,
    /// Gives a structure the element types of the value, where its type fixes them.
    retyped: fn(Structure<TensorType>) -> Structure<TensorType>,
}

enum Shape {
    Stated(Structure<TensorType>),
    /// That of a value at the server, which is the operation's second input.
    Like(fn(&Erased) -> Result<Structure<TensorType>>),
}

impl Declaration {
    pub(super) fn stated<T: TensorTree>(structure: Structure<TensorType>) -> Self {
        Self { shape: Shape::Stated(structure), retyped: T::retyped }
    }

    /// A value of type `T` that is shaped like one of type `M`.
    pub(super) fn like<T: TensorTree, M: TensorTree + 'static>() -> Self {
        Self { shape: Shape::Like(|template| reveal::<M>(template).structure()), retyped: T::retyped }
    }

    /// What the operation is called.
    pub(super) fn name(&self) -> &'static str {
        match self.shape {
            Shape::Stated(_) => "declare",
            Shape::Like(_) => "shaped_like",
        }
    }

    /// The structure, given the value at the server if there is one.
    pub(super) fn resolve(&self, template: Option<&Erased>) -> Result<Structure<TensorType>> {
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

/// The error of two declarations that contradict each other. Both are the server's.
pub(super) fn mismatch(expected: &Structure<TensorType>, found: &Structure<TensorType>) -> Error {
    let [expected, found] = [expected, found].map(ToString::to_string);
    Error::StructureMismatch { expected, found }
}
