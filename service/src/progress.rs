//! Progress of long commands.

use std::fmt::Display;

/// Receives notes and progress. All data in them are public: names of parties, sizes, numbers of
/// objects.
pub trait Progress: Sync {
    /// A note for people.
    fn note(&self, text: &dyn Display);

    /// The finished part of a piece of work.
    fn work(&self, what: &'static str, done: u64, total: u64) {
        let _ = (what, done, total);
    }
}

/// Ignores all reports.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn note(&self, _: &dyn Display) {}
}
