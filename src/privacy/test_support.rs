//! Functions that the tests of this layer share.

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::check::to_float;

pub(super) fn rng(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}

/// Mean and variance of a sample.
pub(super) fn moments(sample: &[f64]) -> (f64, f64) {
    let count = to_float(sample.len());
    let mean = sample.iter().sum::<f64>() / count;
    (mean, sample.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (count - 1.0))
}
