//! A fork waits for work, and work for a fork.

use std::{
    cell::RefCell,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use pyo3::{Python, pyfunction};

/// How many pieces of work are under way.
static UNDER_WAY: Mutex<usize> = Mutex::new(0);
static DONE: Condvar = Condvar::new();

thread_local! {
    /// Held by the thread that forks, from before the fork until after it, in parent and child.
    static FORKING: RefCell<Option<MutexGuard<'static, usize>>> = const { RefCell::new(None) };
}

/// Leave to work, until it is dropped.
pub(super) struct Pass(());

/// Waits for a fork that is under way.
pub(super) fn pass() -> Pass {
    *lock() += 1;
    Pass(())
}

impl Drop for Pass {
    fn drop(&mut self) {
        *lock() -= 1;
        DONE.notify_all();
    }
}

fn lock() -> MutexGuard<'static, usize> {
    UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Called by `os.fork` before it forks: waits for work that is under way in other threads.
#[pyfunction(name = "_before_fork")]
pub(crate) fn before_fork(py: Python<'_>) {
    py.detach(|| {
        let mut guard = lock();
        while *guard > 0 {
            guard = DONE.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        FORKING.with(|forking| forking.replace(Some(guard)));
    });
}

/// Called by `os.fork` in parent and child.
#[pyfunction(name = "_after_fork")]
pub(crate) fn after_fork() {
    FORKING.with(|forking| forking.replace(None));
}
