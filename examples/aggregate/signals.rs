//! Removes the temporary file when a signal ends the program.

use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use cipherfold::files::{Error, Writer};

/// The file to remove. Locked during creation and removal.
static TEMPORARY: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Makes a temporary file that signals remove.
pub(crate) fn guarded(create: impl FnOnce() -> Result<Writer, Error>) -> Result<Writer, Error> {
    let mut temporary = TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner);
    let writer = create()?;
    *temporary = Some(writer.temporary_path().to_owned());
    Ok(writer)
}

/// Forgets the file: it has its final name, or is removed.
pub(crate) fn done() {
    *TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// Starts to watch for signals that end a program, except ignored ones (as after `nohup`).
#[cfg(unix)]
pub(crate) fn watch() {
    use signal_hook::{iterator::Signals, low_level::emulate_default_handler};

    let ignored = ignored();
    let mut signals = ending_signals();
    signals.retain(|signal| (ignored >> (signal - 1)) & 1 == 0);
    // The program also works without a watch. A signal then leaves the temporary file.
    let Ok(mut signals) = Signals::new(signals) else { return };
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            // Held until the program ends, so that no further file is created.
            let temporary = TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(path) = &*temporary {
                let _ = std::fs::remove_file(path);
            }
            // The signal's default effect, so that the parent process sees the cause.
            let _ = emulate_default_handler(signal);
            std::process::exit(128 + signal);
        }
    });
}

#[cfg(not(unix))]
pub(crate) fn watch() {}

/// Signals that end a program and can be caught, except for faults of the program itself.
#[cfg(unix)]
fn ending_signals() -> Vec<i32> {
    let mut signals = vec![
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGQUIT,
        libc::SIGTRAP,
        libc::SIGABRT,
        libc::SIGBUS,
        libc::SIGSYS,
        libc::SIGPIPE,
        libc::SIGALRM,
        libc::SIGTERM,
        libc::SIGXCPU,
        libc::SIGXFSZ,
        libc::SIGVTALRM,
        libc::SIGPROF,
        libc::SIGUSR1,
        libc::SIGUSR2,
    ];
    #[cfg(target_os = "linux")]
    {
        signals.extend([libc::SIGIO, libc::SIGPWR, libc::SIGSTKFLT]);
        signals.extend(libc::SIGRTMIN()..=libc::SIGRTMAX());
    }
    signals
}

/// One bit for each ignored signal, on systems that report this.
#[cfg(unix)]
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
