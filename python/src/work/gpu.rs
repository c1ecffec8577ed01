//! A GPU belongs to the process that opened it, because its driver does not survive a fork.

use std::{
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use cipherfold::backend::BackendChoice;
use pyo3::prelude::*;

use super::threads::detached;
use crate::error::{Own, Result};

/// The process that opened the GPU; zero if none has.
static OPENED_BY: AtomicU32 = AtomicU32::new(0);

/// Records that this process has made a key for this backend, if it is a GPU.
pub(crate) fn remember(backend: &str) {
    if backend.starts_with("gpu") {
        // The first process stays recorded. Its children inherit the opened GPU.
        let _ = OPENED_BY.compare_exchange(0, process::id(), Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Refuses a backend that this process has inherited by a fork.
pub(crate) fn check(backend: &str) -> Result<()> {
    let (opened_by, process) = (OPENED_BY.load(Ordering::Relaxed), process::id());
    if !backend.starts_with("gpu") || opened_by == 0 || opened_by == process {
        return Ok(());
    }
    Err(Own::Forked { backend: backend.to_owned(), opened_by, process }.into())
}

/// Whether this process has inherited a GPU.
pub(crate) fn opened() -> bool {
    let opened_by = OPENED_BY.load(Ordering::Relaxed);
    opened_by != 0 && opened_by != process::id()
}

/// The reason why a backend cannot run in this process, if any.
pub(crate) fn reason_against(py: Python<'_>, name: &str) -> Option<String> {
    let found = || -> Result<()> {
        let choice: BackendChoice = name.parse()?;
        if name.starts_with("gpu") {
            check(name)?;
        }
        let backend = detached(py, || Ok(BackendChoice::backend_name(choice)?))?;
        remember(backend);
        Ok(())
    };
    found().err().map(|error| PyErr::from(error).value(py).to_string())
}
