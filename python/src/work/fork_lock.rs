//! A lock between forks and work: a fork waits for running work, and new work waits for a fork.

use std::{
    cell::RefCell,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use pyo3::{Python, pyfunction};

/// The forks and the work in this process.
struct ForkState {
    /// Number of running pieces of work.
    working: usize,
    /// Number of threads that wait for running work to end, to fork. No further work starts before
    /// the fork.
    forking: usize,
}

static STATE: Mutex<ForkState> = Mutex::new(ForkState { working: 0, forking: 0 });
static CHANGED: Condvar = Condvar::new();

thread_local! {
    /// Held by the forking thread from before the fork until after it, in parent and child.
    static FORK_GUARD: RefCell<Option<MutexGuard<'static, ForkState>>> = const { RefCell::new(None) };
}

/// The permission to work, until it is dropped. A thread with a permit may take locks. A thread
/// that waits for a permit must not hold any.
pub(super) struct WorkPermit(());

/// Waits for running forks, and prevents further ones until the permit is dropped.
pub(super) fn begin_work() -> WorkPermit {
    let mut state = lock();
    while state.forking > 0 {
        state = wait(state);
    }
    state.working += 1;
    WorkPermit(())
}

impl Drop for WorkPermit {
    fn drop(&mut self) {
        lock().working -= 1;
        CHANGED.notify_all();
    }
}

fn lock() -> MutexGuard<'static, ForkState> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait(state: MutexGuard<'static, ForkState>) -> MutexGuard<'static, ForkState> {
    CHANGED.wait(state).unwrap_or_else(PoisonError::into_inner)
}

/// Called by `os.fork` before the fork. Waits for running work in other threads.
#[pyfunction(name = "_before_fork")]
pub(crate) fn before_fork(py: Python<'_>) {
    py.detach(|| {
        let mut state = lock();
        state.forking += 1;
        while state.working > 0 {
            state = wait(state);
        }
        FORK_GUARD.with(|held| held.replace(Some(state)));
    });
}

/// Called by `os.fork` in parent and child.
#[pyfunction(name = "_after_fork")]
#[pyo3(signature = (in_child))]
pub(crate) fn after_fork(in_child: bool) {
    if let Some(mut state) = FORK_GUARD.with(RefCell::take) {
        // The child does not have the other threads that were about to fork.
        state.forking = if in_child { 0 } else { state.forking - 1 };
    }
    CHANGED.notify_all();
}
