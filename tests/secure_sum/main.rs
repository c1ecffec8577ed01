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

mod channels;
mod clear;
mod dropouts;
mod exact;
mod executor;
mod faults;
mod key_holder;
mod malicious;
mod means;
mod prototype;
mod report;
mod sessions;
mod stolen_keys;
mod support;
mod tasks;
