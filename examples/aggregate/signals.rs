//! The temporary file goes away when a signal ends the program.

use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use cipherfold::files::{Error, Writer};

/// The file to remove. Locked while it is made, and while it is removed.
static TEMPORARY: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Makes a temporary file that signals remove.
pub(crate) fn guarded(create: impl FnOnce() -> Result<Writer, Error>) -> Result<Writer, Error> {
    let mut temporary = TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner);
    let writer = create()?;
    *temporary = Some(writer.temporary_path().to_owned());
    Ok(writer)
}

/// The file has its name, or is gone.
pub(crate) fn done() {
    *TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// Begins to watch for signals that end a program, except those that are ignored (as after `nohup`).
#[cfg(unix)]
pub(crate) fn watch() {
    use signal_hook::{iterator::Signals, low_level::emulate_default_handler};

    let ignored = ignored();
    let mut signals = ending_signals();
    signals.retain(|signal| (ignored >> (signal - 1)) & 1 == 0);
    // Without a watch all else works: a signal then leaves the temporary file behind.
    let Ok(mut signals) = Signals::new(signals) else { return };
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            // Held to the end, so that no file is made any more.
            let temporary = TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(path) = &*temporary {
                let _ = std::fs::remove_file(path);
            }
            // The signal's own effect, so that the parent process sees the cause.
            let _ = emulate_default_handler(signal);
            std::process::exit(128 + signal);
        }
    });
}

#[cfg(not(unix))]
pub(crate) fn watch() {}

/// Signals that end a program and can be caught, but for faults of the program itself.
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

/// One bit for each signal that is ignored, where the system says so.
#[cfg(unix)]
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
