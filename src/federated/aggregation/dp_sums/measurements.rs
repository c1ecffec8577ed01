//! The measurements of sums with noise.

use serde::{Deserialize, Serialize};

/// The measurements of a private sum.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DpSumMeasurements {
    /// The L2 norm to which this round clipped.
    pub clipping_norm: f64,
    /// Standard deviation of the noise in each element of the result.
    pub noise_stddev: f64,
}

impl DpSumMeasurements {
    pub(super) const fn new(clipping_norm: f64, noise_stddev: f64) -> Self {
        Self { clipping_norm, noise_stddev }
    }
}
