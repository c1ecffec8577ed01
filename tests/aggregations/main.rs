//! Aggregation processes: TensorFlow Federated's cases, compositions, states, and differential privacy.

mod cases;
mod compositions;
mod estimations;
mod leaks;
mod refusals;
mod privacy;
mod states;
mod support;
