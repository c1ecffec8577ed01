//! A gate between forks and work: a fork waits for running work, and new work waits for a fork.

use std::{
    cell::RefCell,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use pyo3::{Python, pyfunction};

/// The state of the gate in this process.
struct Gate {
    /// Number of running pieces of work.
    working: usize,
    /// Number of threads that wait for running work to end, to fork. No further work starts before
    /// the fork.
    forking: usize,
}

static GATE: Mutex<Gate> = Mutex::new(Gate { working: 0, forking: 0 });
static CHANGED: Condvar = Condvar::new();

thread_local! {
    /// Held by the forking thread from before the fork until after it, in parent and child.
    static HELD: RefCell<Option<MutexGuard<'static, Gate>>> = const { RefCell::new(None) };
}

/// The permission to work, until it is dropped. A thread with a pass may take locks. A thread that
/// waits for a pass must not hold any.
pub(super) struct Pass(());

/// Waits for running forks.
pub(super) fn pass() -> Pass {
    let mut gate = lock();
    while gate.forking > 0 {
        gate = wait(gate);
    }
    gate.working += 1;
    Pass(())
}

impl Drop for Pass {
    fn drop(&mut self) {
        lock().working -= 1;
        CHANGED.notify_all();
    }
}

fn lock() -> MutexGuard<'static, Gate> {
    GATE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait(gate: MutexGuard<'static, Gate>) -> MutexGuard<'static, Gate> {
    CHANGED.wait(gate).unwrap_or_else(PoisonError::into_inner)
}

/// Called by `os.fork` before the fork. Waits for running work in other threads.
#[pyfunction(name = "_before_fork")]
pub(crate) fn before_fork(py: Python<'_>) {
    py.detach(|| {
        let mut gate = lock();
        gate.forking += 1;
        while gate.working > 0 {
            gate = wait(gate);
        }
        HELD.with(|held| held.replace(Some(gate)));
    });
}

/// Called by `os.fork` in parent and child.
#[pyfunction(name = "_after_fork")]
#[pyo3(signature = (in_child))]
pub(crate) fn after_fork(in_child: bool) {
    if let Some(mut gate) = HELD.with(RefCell::take) {
        // The child does not have the other threads that were about to fork.
        gate.forking = if in_child { 0 } else { gate.forking - 1 };
    }
    CHANGED.notify_all();
}
