//! The threads of this package. Work on them is detached from Python, and never runs while the
//! process forks.
//!
//! ```text
//!  Python thread ── copies what it needs ──▶ detached ── fork lock ──▶ pool of this process ──▶ attached again ── result
//! ```
//!
//! A pool belongs to the process that made it. After a fork the child has no threads of the pool,
//! so it makes its own. A fork waits until no work runs. Otherwise a lock of the core could stay
//! locked in the child by a thread that does not exist there.

mod fork_lock;
mod gpu;
mod pool;
mod threads;

pub(crate) use fork_lock::{after_fork, before_fork};
pub(crate) use gpu::{check as check_gpu, opened as gpu_opened, reason_against, remember as remember_gpu};
pub(crate) use pool::{set_threads, stated_threads};
pub(crate) use threads::{Threads, detached};
