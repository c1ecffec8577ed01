//! Secure sums and means through the public API, mostly under a short key for tests only.
//!
//! Seeds are fixed. The failure of a random case names its number.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "small test numbers, and random bits cut to size"
)]

/// Relays and parties that interfere, and keys that are stolen later.
mod attacks {
    mod malicious;
    mod stolen_keys;
}

/// Exact sums, means within the stated error, and the same numbers in the clear.
mod numbers {
    mod clear;
    mod exact;
    mod means;
}

/// The Python prototype: its own tests, and its known faults.
mod prototype {
    mod cases;
    mod faults;
}

/// Runs of the executor: its work, absent clients, key holders, channels, sessions and reports.
mod runs {
    mod channels;
    mod dropouts;
    mod executor;
    mod key_holder;
    mod report;
    mod sessions;
    mod tasks;
}

mod support;
