//! Lists of messages between aggregator, server and key holder.

use std::sync::Arc;

use cipherfold::federated::channel::HpkeChannel;
use pyo3::{
    prelude::*,
    types::{PyBytes, PyIterator, PyList},
};

use crate::{
    error::{Own, Result},
    roles::framing::{Frame, Kind},
};

/// The encrypted sum of a round, for the server: messages, and the names of the clients in it.
///
/// The names come from the aggregator and are not authenticated. The server relies on the numbers
/// in the sealed messages.
#[pyclass(frozen, module = "cipherfold")]
pub(crate) struct EncryptedSum {
    pub(crate) frame: Frame,
    /// The channel of a sum that does not leave this process.
    pub(crate) local_channel: Option<Arc<HpkeChannel>>,
}

#[pymethods]
impl EncryptedSum {
    /// Reads the bytes of :meth:`to_bytes`.
    ///
    /// Raises:
    ///     MessageError: For bytes that are not in this form.
    #[staticmethod]
    #[pyo3(signature = (data))]
    fn from_bytes(data: &Bound<'_, PyAny>) -> Result<Self> {
        Ok(Self::new(Frame::from_bytes(data, Kind::Sum)?, None))
    }

    /// The sum as one byte string, for the server.
    ///
    /// Raises:
    ///     ConfigError: If the sum was made for a server in the same process, because the
    ///         aggregator's channel does not have the server's key.
    fn to_bytes<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyBytes>> {
        if self.local_channel.is_some() {
            return Err(Own::LocalSum { participants: self.frame.names.len() as u64 }.into());
        }
        self.frame.to_bytes(py, Kind::Sum)
    }

    /// Names of the clients in the sum, in ascending order of their numbers.
    #[getter]
    fn participants(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        self.frame.names.iter().map(|(_, name)| name.to_python(py)).collect()
    }

    /// Bytes of all messages.
    #[getter]
    fn nbytes(&self, py: Python<'_>) -> u64 {
        self.frame.size(py)
    }

    fn __len__(&self) -> usize {
        self.frame.len()
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        iterate(py, &self.frame)
    }

    fn __repr__(&self) -> String {
        format!(
            "<cipherfold.EncryptedSum over {} clients, {} messages>",
            self.frame.names.len(),
            self.frame.len()
        )
    }
}

impl EncryptedSum {
    pub(crate) fn new(frame: Frame, local_channel: Option<Arc<HpkeChannel>>) -> Self {
        Self { frame, local_channel }
    }
}

fn iterate<'py>(py: Python<'py>, frame: &Frame) -> PyResult<Bound<'py, PyIterator>> {
    let messages = (0..frame.len()).map(|number| frame.get(py, number).expect("below their number"));
    PyList::new(py, messages.collect::<Vec<_>>())?.try_iter()
}

macro_rules! lists {
    ($($(#[$doc:meta])* $class:ident, $kind:ident, $name:literal;)*) => {$(
        $(#[$doc])*
        #[pyclass(frozen, module = "cipherfold")]
        pub(crate) struct $class {
            pub(crate) frame: Frame,
        }

        #[pymethods]
        impl $class {
            /// The messages that :meth:`to_bytes` has written.
            ///
            /// Raises:
            ///     MessageError: For bytes that are not in this form.
            #[staticmethod]
            #[pyo3(signature = (data))]
            fn from_bytes(data: &Bound<'_, PyAny>) -> Result<Self> {
                Ok(Self { frame: Frame::from_bytes(data, Kind::$kind)? })
            }

            /// All messages as one byte string.
            fn to_bytes<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyBytes>> {
                self.frame.to_bytes(py, Kind::$kind)
            }

            /// Bytes of all messages.
            #[getter]
            fn nbytes(&self, py: Python<'_>) -> u64 {
                self.frame.size(py)
            }

            fn __len__(&self) -> usize {
                self.frame.len()
            }

            fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
                iterate(py, &self.frame)
            }

            fn __repr__(&self) -> String {
                format!(concat!("<cipherfold.", $name, " of {} messages>"), self.frame.len())
            }
        }
    )*};
}

lists!(
    /// The server's questions to the key holder: masked sums.
    Questions, Questions, "Questions";
    /// The key holder's answers: masked totals.
    Answers, Answers, "Answers";
);
