//! Aggregation processes: TensorFlow Federated's cases, compositions, states, and differential privacy.

mod cases;
mod compositions;
mod estimations;
mod leaks;
mod privacy;
mod refusals;
mod states;
mod support;
