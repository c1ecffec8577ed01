//! A quantile of the clients' numbers, such as a clipping norm, learned from counts.

mod count_noise;
mod estimator;

pub(crate) use self::count_noise::{CountNoise, split_noise};
pub use self::estimator::{AffineMap, QuantileEstimator, QuantileParameters};
