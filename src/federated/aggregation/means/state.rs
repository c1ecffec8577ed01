//! The state of a mean.

use serde::{Deserialize, Serialize};

/// State of a mean, weighted or not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MeanState<V, W> {
    /// State of the sum of values, weighted or not.
    pub values: V,
    /// State of the sum of weights or of ones.
    pub weights: W,
}
