//! What keeps secrets from being copied by accident.

use pyo3::{PyResult, exceptions::PyTypeError};

/// Refuses `pickle` and everything that builds on it.
pub(crate) fn refuse_pickle(class: &str, instead: &str) -> PyResult<()> {
    Err(PyTypeError::new_err(format!("a {class} is secret, and is not pickled: {instead}")))
}

/// Refuses `copy`.
pub(crate) fn refuse_copy(class: &str) -> PyResult<()> {
    Err(PyTypeError::new_err(format!("a {class} is secret, and is not copied: share the object")))
}
