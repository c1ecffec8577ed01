//! What a long command tells while it runs.

use std::fmt::Display;

/// Takes notes and counts of work. All of it is public: names of parties, sizes, numbers of objects.
pub trait Progress: Sync {
    /// Something happened that people may want to know.
    fn note(&self, text: &dyn Display);

    /// So much of a piece of work is done.
    fn work(&self, what: &'static str, done: u64, total: u64) {
        let _ = (what, done, total);
    }
}

/// Tells nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn note(&self, _: &dyn Display) {}
}
