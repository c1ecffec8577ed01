//! What the two private sums have in common: a state that knows what has been spent.

use serde::{Deserialize, Serialize};

use crate::{Result, privacy::Accountant};

/// State of a [`CentralGaussian`](super::CentralGaussian) or a [`DistributedGaussian`](super::DistributedGaussian).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PrivateState<N> {
    /// State of the norm's estimation.
    pub norm: N,
    /// What all rounds together have spent.
    pub accountant: Accountant,
}

impl<N> PrivateState<N> {
    /// The ε for which all rounds so far were (ε, δ)-differentially private. Infinite if nothing is promised.
    ///
    /// # Errors
    ///
    /// Those of [`Accountant::epsilon`].
    pub fn epsilon(&self, delta: f64) -> Result<f64> {
        self.accountant.epsilon(delta)
    }
}

/// What a private sum measures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PrivateMeasurements {
    /// The L2 norm to which this round clipped.
    pub clipping_norm: f64,
    /// Standard deviation of the noise in each element of the result.
    pub noise_stddev: f64,
}
