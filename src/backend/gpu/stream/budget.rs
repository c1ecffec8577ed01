//! The memory budget for batches of several callers at the same time.

use std::sync::{Condvar, Mutex, PoisonError};

use crate::backend::gpu::sync::lock;

/// Maximum bytes of all batches in flight. Further batches wait, in the order of their arrival.
///
/// A batch reserves all its memory at once. So a waiting batch holds no memory that another batch
/// waits for.
pub(crate) struct Budget {
    total: u64,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    free: u64,
    /// The ticket of the next batch that arrives, and of the next batch that gets its memory.
    next_ticket: u64,
    next_served: u64,
}

/// A part of a budget, returned when dropped.
pub(crate) struct Reservation<'a> {
    budget: &'a Budget,
    bytes: u64,
}

impl Budget {
    pub(crate) fn new(total: u64) -> Self {
        let state = State { free: total, next_ticket: 0, next_served: 0 };
        Self { total, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Waits until this number of bytes is free, or the whole budget if `bytes` is larger.
    pub(crate) fn reserve(&self, bytes: u64) -> Reservation<'_> {
        let bytes = bytes.min(self.total);
        let mut state = lock(&self.state);
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        let must_wait = |state: &mut State| state.next_served != ticket || state.free < bytes;
        let mut state = self.changed.wait_while(state, must_wait).unwrap_or_else(PoisonError::into_inner);
        state.next_served += 1;
        state.free -= bytes;
        self.changed.notify_all();
        Reservation { budget: self, bytes }
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        lock(&self.budget.state).free += self.bytes;
        self.budget.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::mpsc, thread, time::Duration};

    #[test]
    fn reservations_get_memory_in_order() {
        let budget = Budget::new(10);
        let (first, second) = (budget.reserve(6), budget.reserve(4));
        let (sender, served) = mpsc::channel();
        thread::scope(|scope| {
            for (ticket, name, bytes) in [(2, "more than there is", 11), (3, "little", 1)] {
                let (budget, sender) = (&budget, sender.clone());
                scope.spawn(move || {
                    let _reservation = budget.reserve(bytes);
                    sender.send(name).expect("the test listens");
                });
                while lock(&budget.state).next_ticket == ticket {
                    thread::yield_now();
                }
            }
            drop(second);
            assert!(
                served.recv_timeout(Duration::from_millis(50)).is_err(),
                "the first waiting reservation needs the whole budget"
            );
            drop(first);
            assert_eq!(served.recv(), Ok("more than there is"));
            assert_eq!(served.recv(), Ok("little"));
        });
        assert_eq!(lock(&budget.state).free, 10);
    }
}
