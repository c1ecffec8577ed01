//! The host's threads for transfers.

use std::thread;

use rayon::{ThreadPool, ThreadPoolBuilder};

/// Maximum number of threads. More threads do not make transfers faster.
const MAX_THREADS: usize = 16;

/// Threads that fill and read buffers.
///
/// They are a separate pool. In the caller's pool, a thread that waits here might start another
/// batch, which could then wait for this one.
pub(crate) struct Threads(ThreadPool);

impl Threads {
    pub(crate) fn new() -> Result<Self, String> {
        let count = thread::available_parallelism().map_or(1, |threads| threads.get().min(MAX_THREADS));
        ThreadPoolBuilder::new()
            .num_threads(count)
            .thread_name(|i| format!("cipherfold-gpu-{i}"))
            .build()
            .map(Self)
            .map_err(|error| format!("threads for transfers cannot be started: {error}"))
    }

    /// Does some work on these threads, and waits for it. The waiting thread does no other work.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        if rayon::current_thread_index().is_none() {
            return self.0.install(work);
        }
        // A thread of a pool would do other work while it waits, so a thread outside all pools
        // waits instead.
        thread::scope(|scope| scope.spawn(|| self.0.install(work)).join())
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}
