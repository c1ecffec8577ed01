//! A fork waits for work, and work for a fork.

use std::{
    cell::RefCell,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use pyo3::{Python, pyfunction};

/// What is going on in this process.
struct Gate {
    /// Pieces of work that are under way.
    working: usize,
    /// Threads that wait for their end, to fork. No further work begins until then.
    forking: usize,
}

static GATE: Mutex<Gate> = Mutex::new(Gate { working: 0, forking: 0 });
static CHANGED: Condvar = Condvar::new();

thread_local! {
    /// Held by the thread that forks, from before the fork until after it, in parent and child.
    static HELD: RefCell<Option<MutexGuard<'static, Gate>>> = const { RefCell::new(None) };
}

/// Leave to work, until it is dropped. Who has it takes locks, and who waits for it has none.
pub(super) struct Pass(());

/// Waits for forks that are under way.
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

/// Called by `os.fork` before it forks: waits for work that is under way in other threads.
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
        // Other threads that were about to fork are not in the child.
        gate.forking = if in_child { 0 } else { gate.forking - 1 };
    }
    CHANGED.notify_all();
}
