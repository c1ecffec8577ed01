//! Secrets: random numbers, files, and refusals that prevent accidental copies.

pub(crate) mod entropy;
pub(crate) mod files;

use pyo3::{PyResult, exceptions::PyTypeError};

/// Refuses `pickle` and all modules that use it.
pub(crate) fn refuse_pickle(class: &str, instead: &str) -> PyResult<()> {
    Err(PyTypeError::new_err(format!("a {class} is secret and cannot be pickled: {instead}")))
}

/// Refuses `copy`.
pub(crate) fn refuse_copy(class: &str) -> PyResult<()> {
    Err(PyTypeError::new_err(format!("a {class} is secret and cannot be copied: share the object")))
}
