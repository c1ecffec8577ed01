//! The Python package `cipherfold`: roles of a round of secure sums, with NumPy arrays in and out.
//!
//! Classes are thin: each holds a role of [`cipherfold::federated::round`], copies what Python lends, works detached from
//!     Python, and
//! hands bytes and arrays back. What Python code can write to is never borrowed while other Python code runs.

mod aggregator;
mod arrays;
mod channel;
mod client;
mod codec;
mod entropy;
mod error;
mod files;
mod framing;
mod integer;
mod journal;
mod key_holder;
mod keys;
mod number;
mod paillier;
mod party;
mod progress;
mod secrets;
mod server;
mod simulate;
mod spec;
mod sum;
mod work;

use pyo3::prelude::*;

/// The compiled half of the package.
#[pymodule]
mod _cipherfold {
    use pyo3::{prelude::*, types::PyDict};

    #[pymodule_export]
    use crate::{
        aggregator::Aggregator,
        channel::{Channel, Identity, Roster},
        client::{Client, EncryptedUpdate, MessageIterator},
        codec::{Integers, Modular, Quantizer},
        key_holder::KeyHolder,
        keys::{PublicKey, SecretKey},
        paillier::{decrypt, encrypt},
        server::Server,
        simulate::simulate,
        spec::RoundSpec,
        sum::{Answers, EncryptedSum, Questions},
        work::{after_fork, before_fork},
    };

    use crate::{error, number::Number, work};

    /// Names of backends, each with None if it runs here, or with the reason why it cannot.
    ///
    /// ``"auto"`` stands for the fastest that runs on the processor, or for what the environment variable
    /// ``CIPHERFOLD_BACKEND`` names. A GPU is used only where it is named.
    #[pyfunction]
    fn backends(py: Python<'_>) -> error::Result<Bound<'_, PyDict>> {
        let backends = PyDict::new(py);
        for name in cipherfold::backend::Choice::NAMES {
            backends.set_item(name, work::reason_against(py, name))?;
        }
        Ok(backends)
    }

    /// Sets how many threads roles work on that have no number of their own. By default as many as the machine runs in parallel.
    ///
    /// Raises:
    ///     ConfigError: For a number below 1, or above eight times what the machine runs in parallel.
    #[pyfunction]
    #[pyo3(signature = (threads))]
    fn set_threads(threads: Number<'_>) -> error::Result<()> {
        work::set_threads(threads.usize("threads")?)
    }

    /// The kinds of all errors of the core that this package knows: for its own tests.
    #[pyfunction]
    fn _error_kinds() -> Vec<String> {
        error::known_kinds()
    }

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
