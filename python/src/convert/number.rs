//! Small Python integers. A number that does not fit is an error with the setting's name.

use pyo3::prelude::*;

use crate::error::{Own, Result};

/// An integer argument, as a Python object.
pub(crate) struct Number<'py>(Bound<'py, PyAny>);

impl<'py> FromPyObject<'_, 'py> for Number<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        // Accepts the objects of `operator.index`: Python and NumPy integers, but no floats.
        Ok(Self(object.py().import("operator")?.call_method1("index", (object,))?))
    }
}

impl Number<'_> {
    /// The number, from 0 to 2³² − 1.
    ///
    /// # Errors
    ///
    /// [`Own::Setting`].
    pub(crate) fn u32(&self, name: &str) -> Result<u32> {
        self.0.extract().map_err(|_| self.refuse(name, "from 0 to 2**32 - 1"))
    }

    /// The number, from 0 to 2⁶⁴ − 1.
    ///
    /// # Errors
    ///
    /// [`Own::Setting`].
    pub(crate) fn u64(&self, name: &str) -> Result<u64> {
        self.0.extract().map_err(|_| self.refuse(name, "from 0 to 2**64 - 1"))
    }

    /// The number, from 1, as `usize`.
    ///
    /// # Errors
    ///
    /// [`Own::Setting`].
    pub(crate) fn usize(&self, name: &str) -> Result<usize> {
        self.0.extract().map_err(|_| self.refuse(name, "a number from 1"))
    }

    fn refuse(&self, name: &str, allowed: &str) -> crate::error::Error {
        let found = self.0.str().map_or_else(|_| "a very large number".to_owned(), |text| text.to_string());
        Own::Setting { setting: name.to_owned(), found, allowed: allowed.to_owned() }.into()
    }
}
