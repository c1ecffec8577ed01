//! Pools of threads, by process and number of threads.

use std::{
    mem, process,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use arc_swap::ArcSwapOption;
use cipherfold::federated;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{Own, Result};

/// The pools of the process that made them. There is no lock, because a fork could leave it locked.
static POOLS: ArcSwapOption<Pools> = ArcSwapOption::const_empty();

/// The number from `set_threads`; zero if it was not called.
static THREADS: AtomicUsize = AtomicUsize::new(0);

#[derive(Clone)]
struct Pools {
    process: u32,
    pools: Vec<Arc<ThreadPool>>,
}

/// A pool of this process with this number of threads, or with the default.
pub(super) fn of_this_process(threads: Option<usize>) -> Result<Arc<ThreadPool>> {
    let threads = threads.unwrap_or_else(default_threads);
    let process = process::id();
    let known = POOLS.load_full();
    let ours = known.as_ref().filter(|pools| pools.process == process);
    let find = |pools: &Pools| pools.pools.iter().find(|pool| pool.current_num_threads() == threads).cloned();
    if let Some(pool) = ours.and_then(|pools| find(pools)) {
        return Ok(pool);
    }
    let pool = ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|i| format!("cipherfold-{i}"))
        .build()
        .map_err(|error| federated::Error::ThreadPool { reason: error.to_string() })?;
    let pool = Arc::new(pool);
    let mut pools = ours.map_or_else(Vec::new, |pools| pools.pools.clone());
    pools.push(Arc::clone(&pool));
    let previous = POOLS.swap(Some(Arc::new(Pools { process, pools })));
    if let Some(previous) = previous.filter(|previous| previous.process != process) {
        // The parent's pools are leaked: their threads do not exist in this process, so a drop
        // would wait forever.
        mem::forget((previous, known));
    }
    Ok(pool)
}

/// Number of threads that this machine runs in parallel.
fn available_threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn default_threads() -> usize {
    stated_threads().unwrap_or_else(available_threads)
}

/// The number from [`set_threads`], if it was called.
pub(crate) fn stated_threads() -> Option<usize> {
    Some(THREADS.load(Ordering::Relaxed)).filter(|threads| *threads > 0)
}

/// Sets the number of threads for roles without their own number.
pub(crate) fn set_threads(threads: usize) -> Result<()> {
    check(threads)?;
    THREADS.store(threads, Ordering::Relaxed);
    Ok(())
}

pub(super) fn check(threads: usize) -> Result<()> {
    let largest = available_threads().saturating_mul(MAX_THREADS_PER_CORE);
    if (1..=largest).contains(&threads) {
        return Ok(());
    }
    let allowed = format!("from 1 to {largest} on this machine");
    Err(Own::Setting { setting: "threads".to_owned(), found: threads.to_string(), allowed }.into())
}

/// Maximum threads for each parallel thread of the machine. More would only wait for each other.
const MAX_THREADS_PER_CORE: usize = 8;
