//! Callbacks that report progress.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use pyo3::prelude::*;

/// A caller's function of the number of finished messages and the total. It is called at most ten
/// times a second, and once at the end.
pub(crate) struct Progress {
    function: Option<Py<PyAny>>,
    last: Mutex<Option<Instant>>,
}

impl Progress {
    pub(crate) fn new(function: Option<Py<PyAny>>) -> Self {
        Self { function, last: Mutex::new(None) }
    }

    /// The caller's function, for the garbage collector.
    pub(crate) fn function(&self) -> Option<&Py<PyAny>> {
        self.function.as_ref()
    }

    /// Calls the function, unless the last call was too recent.
    pub(crate) fn report(&self, py: Python<'_>, done: u64, all: u64) -> PyResult<()> {
        let Some(function) = &self.function else { return Ok(()) };
        {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            let just_now = last.is_some_and(|last| last.elapsed() < INTERVAL);
            if just_now && done < all {
                return Ok(());
            }
            *last = Some(Instant::now());
        }
        function.call1(py, (done, all)).map(drop)
    }
}

const INTERVAL: Duration = Duration::from_millis(100);
