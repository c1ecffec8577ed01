//! Where work runs: detached from Python, on threads of this package, and never while the process forks.
//!
//! ```text
//!  Python thread ── copies what it needs ──▶ detached ── gate ──▶ pool of this process ──▶ attached again ── result
//! ```
//!
//! A pool belongs to the process that made it. After a fork its threads are gone, so that the child makes a pool of its own. A
//! fork waits until no work is under way: no lock of the core is held in the child by a thread that is not there.

mod gate;
mod gpu;
mod pool;

use pyo3::Python;

use crate::error::Result;

pub(crate) use gate::{after_fork, before_fork};
pub(crate) use gpu::{check as check_gpu, opened as gpu_opened, reason_against, remember as remember_gpu};
pub(crate) use pool::{set_threads, stated_threads};

/// Threads for a role's work: its own number, or what [`set_threads`] says.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Threads(Option<usize>);

impl Threads {
    /// So many threads, or the default of the process.
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

    /// Runs a batch on a pool, while other Python threads go on.
    pub(crate) fn run<T: Send>(self, py: Python<'_>, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        detached(py, || self.install(work))
    }

    /// Runs a batch on a pool, on a thread that is detached from Python.
    ///
    /// Locks are taken outside: a thread of a pool that waits for the rest of its batch takes up the next one meanwhile,
    /// which would wait for the lock that its own thread holds.
    pub(crate) fn install<T: Send>(self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        pool::of_this_process(self.0)?.install(work)
    }
}

/// Runs something short on this thread, while other Python threads go on.
pub(crate) fn detached<T: Send>(py: Python<'_>, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    py.detach(|| {
        let _pass = gate::pass();
        work()
    })
}
