//! The threads of a role, and work that is detached from Python.

use pyo3::Python;

use super::{fork_lock, pool};
use crate::error::Result;

/// Threads for a role's work: its own number, or that of [`set_threads`](super::set_threads).
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
        let _permit = fork_lock::begin_work();
        work()
    })
}
