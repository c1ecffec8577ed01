//! Aggregation processes through the public API: TensorFlow Federated's cases, compositions,
//! states, differential privacy. The key is short, for tests only. Seeds are fixed.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::float_cmp,
    reason = "small test numbers, exact in floating point"
)]

mod bits;
mod cases;
mod compositions;
mod costs;
mod estimations;
mod leaks;
mod learned;
mod means;
mod privacy;
mod refusals;
mod sized;
mod states;
mod support;
