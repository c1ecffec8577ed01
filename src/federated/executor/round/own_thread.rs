//! Threads for the batches of single clients, and the size of batches that need no other thread.

use core::cell::OnceCell;

use rayon::ThreadPool;

use crate::wipe::wipe_stack;

/// A thread for the batches of consecutive clients, made when it is first needed.
///
/// If as many clients work at a time as there are threads, it is faster to run each on its own
/// thread than all of them on all threads: they share nothing and do not wait.
#[derive(Default)]
pub(super) struct OwnThread(OnceCell<Option<ThreadPool>>);

impl OwnThread {
    /// The thread, or `None` if the system cannot start one.
    pub(super) fn get(&self) -> Option<&ThreadPool> {
        let start = || {
            // The pool's own structures copy parts of this stack into their padding.
            wipe_stack();
            rayon::ThreadPoolBuilder::new().num_threads(1).build().ok()
        };
        self.0.get_or_init(start).as_ref()
    }
}

/// Maximum number of ciphertexts in a chunk that one thread sums.
pub(super) const SUMMED_ALONE: usize = 1024;
