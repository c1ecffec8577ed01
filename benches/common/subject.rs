//! An operation under measurement. Measurements are short and alternate, so that other work on the
//! machine affects all operations alike.

use std::time::{Duration, Instant};

/// An operation or a baseline, and its best time so far.
pub struct Subject<'a> {
    /// Number of elements in a call.
    pub elements: usize,
    /// Calls so far.
    pub calls: u64,
    routine: Box<dyn FnMut() + 'a>,
    /// Nanoseconds for one element, in the best measurement.
    pub best: f64,
    /// Time of all measurements.
    pub spent: Duration,
}

impl<'a> Subject<'a> {
    /// A routine that works on `elements` elements at each call.
    pub fn new(elements: usize, routine: impl FnMut() + 'a) -> Self {
        Self { elements, calls: 0, routine: Box::new(routine), best: f64::INFINITY, spent: Duration::ZERO }
    }

    /// Calls the routine for this time, and at least once.
    #[allow(clippy::cast_precision_loss, reason = "there are few elements")]
    pub fn measure_for(&mut self, time: Duration) {
        let start = Instant::now();
        let mut calls = 0_u32;
        loop {
            (self.routine)();
            calls += 1;
            let elapsed = start.elapsed();
            if elapsed >= time {
                let ns = elapsed.as_secs_f64() * 1e9 / (f64::from(calls) * self.elements as f64);
                self.best = self.best.min(ns);
                self.spent += elapsed;
                self.calls += u64::from(calls);
                return;
            }
        }
    }
}
