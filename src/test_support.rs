//! Settings that unit tests of several layers share.

use proptest::test_runner::{Config, RngSeed};

/// The same cases on every run.
pub(crate) fn replayable(cases: u32) -> Config {
    Config {
        cases,
        max_global_rejects: 4 * cases,
        rng_seed: RngSeed::Fixed(42),
        failure_persistence: None,
        ..Config::default()
    }
}

/// A text that a terminal would execute.
pub(crate) const HOSTILE_TEXT: &str = "x\u{1b}[2J\r\nerror: y";

/// The same text as an error displays it.
pub(crate) const HOSTILE_TEXT_ESCAPED: &str = r"x\u{1b}[2J\r\nerror: y";
