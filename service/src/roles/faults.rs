//! Points at which a test can kill the process.

/// Kills the process with SIGKILL if the environment variable `CIPHERFOLD_KILL_AT` names this
/// point, as `name` or as `name:times` for the point's nth passing. Only with the feature
/// `fault-injection`: without it this does nothing.
#[inline]
pub fn point(name: &str) {
    #[cfg(feature = "fault-injection")]
    injected::point(name);
    #[cfg(not(feature = "fault-injection"))]
    let _ = name;
}

#[cfg(feature = "fault-injection")]
mod injected {
    use std::sync::atomic::{AtomicU64, Ordering};

    static PASSED: AtomicU64 = AtomicU64::new(0);

    pub(super) fn point(name: &str) {
        let Ok(wanted) = std::env::var("CIPHERFOLD_KILL_AT") else { return };
        let (wanted, times) = wanted.split_once(':').unwrap_or((&wanted, "1"));
        let times: u64 = times.parse().expect("CIPHERFOLD_KILL_AT is name:times");
        if wanted == name && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == times {
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
                .expect("a process can kill itself");
            loop {
                std::thread::park(); // until the signal arrives
            }
        }
    }
}
