//! The Python package `cipherfold`: the roles of a round of secure sums, with NumPy arrays as input
//! and output.
//!
//! Each class wraps a role of [`cipherfold::federated::round`]. It copies its input, works detached
//! from Python, and returns bytes and arrays. Memory that Python code can change is never borrowed
//! while other Python code runs.
//!
//! Each module uses only those above it:
//!
//! ```text
//! party_name, error, convert   names, numbers and errors between Rust and Python
//! work                         pools of threads, detached from Python
//! secrets                      random numbers, files, refusals of copies
//! arrays                       arrays and their codecs
//! channel, keys, spec          what parties agree on before a round
//! roles, simulate              the rounds
//! ```

mod arrays;
mod channel;
mod convert;
mod error;
mod keys;
mod party_name;
mod roles;
mod secrets;
mod simulate;
mod spec;
mod work;

use pyo3::prelude::*;

/// The compiled part of the package.
#[pymodule]
mod _cipherfold {
    use pyo3::{prelude::*, types::PyDict};

    #[pymodule_export]
    use crate::{
        arrays::{Integers, Modular, Quantizer},
        channel::{Channel, Identity, Roster},
        keys::{
            PublicKey, SecretKey,
            paillier::{decrypt, encrypt},
        },
        roles::{
            Aggregator, Answers, Client, EncryptedSum, EncryptedUpdate, KeyHolder, MessageIterator,
            Questions, Server,
        },
        simulate::simulate,
        spec::RoundSpec,
        work::{after_fork, before_fork},
    };

    use crate::{convert::number::Number, error, work};

    /// Names of backends, each with None if it can run on this machine, or with the reason why it
    /// cannot.
    ///
    /// ``"auto"`` selects the fastest backend for the processor, or the one in the environment
    /// variable ``CIPHERFOLD_BACKEND``. A GPU is used only if it is named.
    #[pyfunction]
    fn backends(py: Python<'_>) -> error::Result<Bound<'_, PyDict>> {
        let backends = PyDict::new(py);
        for name in cipherfold::backend::BackendChoice::NAMES {
            backends.set_item(name, work::reason_against(py, name))?;
        }
        Ok(backends)
    }

    /// Sets the number of threads for roles without their own number. The default is the machine's
    /// number of parallel threads.
    ///
    /// Raises:
    ///     ConfigError: For a number below 1, or above eight times the machine's number of parallel
    ///         threads.
    #[pyfunction]
    #[pyo3(signature = (threads))]
    fn set_threads(threads: Number<'_>) -> error::Result<()> {
        work::set_threads(threads.usize("threads")?)
    }

    /// The kinds of all errors of the core that this package knows, for its own tests.
    #[pyfunction]
    fn _error_kinds() -> Vec<String> {
        error::known_kinds()
    }

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
