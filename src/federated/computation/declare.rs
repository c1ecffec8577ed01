//! Declared structures: what tensors clients will send, known at the server before a client works.

use super::erased::{Erased, reveal};
use crate::federated::{DType, Error, Result, Scalar, Structure, TensorType, Tensors};

/// What a value's structure is, the value's type hidden.
pub(super) struct Declaration {
    shape: Shape,
    /// Type of the value's elements.
    dtype: DType,
}

enum Shape {
    Stated(Structure<TensorType>),
    /// That of a value at the server, which is the operation's second input.
    Like(fn(&Erased) -> Result<Structure<TensorType>>),
}

impl Declaration {
    pub(super) fn stated<T: Tensors>(structure: Structure<TensorType>) -> Self {
        Self { shape: Shape::Stated(structure), dtype: T::Scalar::DTYPE }
    }

    /// The structure with elements of the type that `T` has.
    pub(super) fn typed<T: Tensors>(structure: Structure<TensorType>) -> Structure<TensorType> {
        retyped(structure, T::Scalar::DTYPE)
    }

    /// A value of type `T` that is shaped like one of type `M`.
    pub(super) fn like<T: Tensors, M: Tensors + 'static>() -> Self {
        Self { shape: Shape::Like(|template| reveal::<M>(template).structure()), dtype: T::Scalar::DTYPE }
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
                let expected = retyped(structure.clone(), self.dtype);
                if expected == *structure { Ok(expected) } else { Err(mismatch(&expected, structure)) }
            }
            (Shape::Like(structure), Some(template)) => Ok(retyped(structure(template)?, self.dtype)),
            (Shape::Like(_), None) => unreachable!("a template is an input of its operation"),
        }
    }
}

/// The structure with elements of one type.
pub(super) fn retyped(structure: Structure<TensorType>, dtype: DType) -> Structure<TensorType> {
    structure.map(|tensor| TensorType { dtype, ..tensor })
}

/// The error of two declarations that contradict each other. Both are the server's.
pub(super) fn mismatch(expected: &Structure<TensorType>, found: &Structure<TensorType>) -> Error {
    let [expected, found] = [expected, found].map(ToString::to_string);
    Error::StructureMismatch { expected, found }
}
