//! Python integers of any size, as big-endian bytes.

use pyo3::{
    prelude::*,
    types::{PyBytes, PyDict, PyInt},
};

use crate::error::{Own, Result};

/// The integer with these bytes.
pub(crate) fn from_be<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    py.get_type::<PyInt>().call_method1("from_bytes", (PyBytes::new(py, bytes), "big"))
}

/// The number of bits of the absolute value of a number.
pub(crate) fn bit_length(number: &Bound<'_, PyAny>) -> PyResult<u32> {
    number.call_method0("bit_length")?.extract()
}

/// The bytes of a number, without leading zeros.
///
/// # Errors
///
/// [`Own::Setting`] for a negative one.
pub(crate) fn to_be(name: &str, number: &Bound<'_, PyInt>) -> Result<Vec<u8>> {
    if number.lt(0)? {
        let (setting, found) = (name.to_owned(), "negative".to_owned());
        return Err(Own::Setting { setting, found, allowed: "an integer from 0".to_owned() }.into());
    }
    let length = bit_length(number)?.div_ceil(8);
    let arguments = PyDict::new(number.py());
    arguments.set_item("signed", false)?;
    let bytes = number.call_method("to_bytes", (length, "big"), Some(&arguments))?;
    Ok(bytes.cast::<PyBytes>().map_err(PyErr::from)?.as_bytes().to_vec())
}
