//! Conversion of errors to Python exceptions: one class for each group, with the fields of the Rust
//! error as attributes.

mod class;
mod facts;
mod of_core;
mod own;

use pyo3::{
    prelude::*,
    types::{PyDict, PyList},
};

use facts::quoted;
pub(crate) use facts::{Facts, Value};
pub(crate) use of_core::known_kinds;
pub(crate) use own::Own;

/// The result type of this crate.
pub(crate) type Result<T, E = Error> = core::result::Result<T, E>;

/// An error in a call from Python.
#[derive(Debug)]
pub(crate) enum Error {
    /// An error of the core.
    Core(cipherfold::Error),
    /// An error of the bindings.
    Own(Own),
    /// Python code has raised an exception.
    Python(PyErr),
}

macro_rules! from {
    ($($source:ty: |$error:ident| $made:expr),* $(,)?) => {$(
        impl From<$source> for Error {
            fn from($error: $source) -> Self {
                $made
            }
        }
    )*};
}

from!(
    cipherfold::Error: |error| Self::Core(error),
    cipherfold::federated::Error: |error| Self::Core(error.into()),
    cipherfold::federated::channel::Error: |error| Self::Core(error.into()),
    cipherfold::federated::tensor::Error: |error| Self::Core(error.into()),
    cipherfold::federated::round::Error: |error| Self::Core(error.into()),
    cipherfold::packing::Error: |error| Self::Core(error.into()),
    cipherfold::paillier::Error: |error| Self::Core(error.into()),
    cipherfold::backend::Error: |error| Self::Core(error.into()),
    Own: |error| Self::Own(error),
    PyErr: |error| Self::Python(error),
    pyo3::CastError<'_, '_>: |error| Self::Python(error.into()),
);

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        match error {
            Error::Python(error) => error,
            error => Python::attach(|py| error.facts().map_or_else(|error| error, |facts| raise(py, &facts))),
        }
    }
}

impl Error {
    /// The facts for a Python exception, or the exception itself if Python code has raised it.
    fn facts(self) -> Result<Facts, PyErr> {
        match self {
            Self::Core(error) => Ok(of_core::facts(&error)),
            Self::Own(error) => Ok(error.facts()),
            Self::Python(error) => Err(error),
        }
    }

    /// The same error, with the array's name.
    pub(crate) fn at_array(self, name: &str) -> PyErr {
        match self.facts() {
            Ok(mut facts) => {
                // The name is clearer than the tensor's number.
                let what = match facts.fields.iter().find(|(field, _)| *field == "source") {
                    Some((_, Value::Error(source))) if facts.kind == "federated.Tensor" => &source.message,
                    _ => &facts.message,
                };
                facts.message = format!("array {}: {what}", quoted(name));
                facts.set("array", Value::Text(name.to_owned()));
                Python::attach(|py| raise(py, &facts))
            }
            Err(error) => error,
        }
    }
}

/// The exception with these facts.
fn raise(py: Python<'_>, facts: &Facts) -> PyErr {
    exception(py, facts).map_or_else(|error| error, PyErr::from_value)
}

fn exception<'py>(py: Python<'py>, facts: &Facts) -> PyResult<Bound<'py, PyAny>> {
    let class = py.import("cipherfold.errors")?.getattr(facts.class.name())?;
    let exception = class.call1((&facts.message,))?;
    exception.setattr("kind", &facts.kind)?;
    for (name, value) in &facts.fields {
        exception.setattr(attribute(name), value.to_python(py)?)?;
    }
    Ok(exception)
}

/// The attribute of a field. `from` is a keyword of Python.
fn attribute(field: &str) -> &str {
    if field == "from" { "from_" } else { field }
}

impl Value {
    fn to_python<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(match self {
            Self::None => py.None().into_bound(py),
            Self::Integer(number) => number.into_pyobject(py)?.into_any(),
            Self::Number(number) => number.into_pyobject(py)?.into_any(),
            Self::Truth(truth) => truth.into_pyobject(py)?.to_owned().into_any(),
            Self::Text(text) => text.into_pyobject(py)?.into_any(),
            Self::List(values) => {
                let list = PyList::empty(py);
                for value in values {
                    list.append(value.to_python(py)?)?;
                }
                list.into_any()
            }
            Self::Record(fields) => {
                let record = PyDict::new(py);
                for (name, value) in fields {
                    record.set_item(name, value.to_python(py)?)?;
                }
                record.into_any()
            }
            Self::Error(facts) => exception(py, facts)?,
        })
    }
}
