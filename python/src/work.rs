//! The threads of this package. Work on them is detached from Python, and never runs while the
//! process forks.
//!
//! ```text
//!  Python thread ── copies what it needs ──▶ detached ── gate ──▶ pool of this process ──▶ attached again ── result
//! ```
//!
//! A pool belongs to the process that made it. After a fork the child has no threads of the pool,
//! so it makes its own. A fork waits until no work runs. Otherwise a lock of the core could stay
//! locked in the child by a thread that does not exist there.

mod gate;
mod gpu;
mod pool;

use pyo3::Python;

use crate::error::Result;

pub(crate) use gate::{after_fork, before_fork};
pub(crate) use gpu::{check as check_gpu, opened as gpu_opened, reason_against, remember as remember_gpu};
pub(crate) use pool::{set_threads, stated_threads};

/// Threads for a role's work: its own number, or that of [`set_threads`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Threads(Option<usize>);

impl Threads {
    /// This number of threads, or the default of the process.
    ///
    /// # Errors
    ///
    /// [`Own::Setting`](crate::error::Own::Setting).
    pub(crate) fn new(threads: Option<usize>) -> Result<Self> {
        if let Some(threads) = threads {
            pool::check(threads)?;
        }
        Ok(Self(threads))
    }

    /// Runs a batch on a pool. Other Python threads continue.
    pub(crate) fn run<T: Send>(self, py: Python<'_>, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        detached(py, || self.install(work))
    }

    /// Runs a batch on a pool, on a thread that is detached from Python.
    ///
    /// Callers take locks before this call. A pool thread that waits for the rest of its batch may
    /// start another batch, which would wait for a lock that the same thread holds.
    pub(crate) fn install<T: Send>(self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        pool::of_this_process(self.0)?.install(work)
    }
}

/// Runs short work on this thread. Other Python threads continue.
pub(crate) fn detached<T: Send>(py: Python<'_>, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    py.detach(|| {
        let _pass = gate::pass();
        work()
    })
}
