//! Something timed in turns, so that what else the machine does hits all that is compared alike.

use std::time::{Duration, Instant};

/// An operation or a yardstick, and its best time so far.
pub struct Subject<'a> {
    /// Elements of a call.
    pub elements: usize,
    /// Calls so far.
    pub calls: u64,
    routine: Box<dyn FnMut() + 'a>,
    /// Nanoseconds for one element, in the best turn.
    pub best: f64,
    /// Time of all turns.
    pub spent: Duration,
}

impl<'a> Subject<'a> {
    /// A routine that works on so many elements at each call.
    pub fn new(elements: usize, routine: impl FnMut() + 'a) -> Self {
        Self { elements, calls: 0, routine: Box::new(routine), best: f64::INFINITY, spent: Duration::ZERO }
    }

    /// Calls the routine for as long as a turn, and at least once.
    #[allow(clippy::cast_precision_loss, reason = "there are few elements")]
    pub fn take_turn(&mut self, turn: Duration) {
        let start = Instant::now();
        let mut calls = 0_u32;
        loop {
            (self.routine)();
            calls += 1;
            let elapsed = start.elapsed();
            if elapsed >= turn {
                let ns = elapsed.as_secs_f64() * 1e9 / (f64::from(calls) * self.elements as f64);
                self.best = self.best.min(ns);
                self.spent += elapsed;
                self.calls += u64::from(calls);
                return;
            }
        }
    }
}
