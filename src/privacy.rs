//! Differential privacy: noise for sums, and what it promises.
//!
//! A secure sum hides the summands, not what the sum itself tells about each of them. Differential privacy bounds that:
//! every update is clipped to a known length, and noise as wide as that length, times a multiplier, covers what any one of
//! them can change. This module has the mathematics alone, over slices; it knows neither keys nor parties.
//!
//! | | what it does |
//! | :-- | :-- |
//! | [`DistributedGaussian`] | the whole way of one update into a noisy integer vector, and of the sum back |
//! | [`clip_l2`], [`Rotation`], [`ConditionalRounding`], [`DiscreteGaussian`], [`ModularRange`] | its five steps |
//! | [`Accountant`] | adds up what rounds have spent, and states it as (ε, δ) |
//! | [`Gaussian`], [`SummedDiscreteGaussian`] | what one round spends: central noise, and the sum of the clients' noises |
//! | [`noise_for`] | the minimum noise that keeps a budget |
//! | [`QuantileEstimator`] | learns where to clip, from noisy counts |
//!
//! # What is promised to whom
//!
//! With [central](Gaussian) noise all bounds hold against everyone who sees what the server publishes. With
//! [distributed](DistributedGaussian) noise they hold against the server as well, for it sees the noisy sum only; but a client
//! that knows its own noise can take it off, so that against a coalition the noise of the others is what counts
//! ([`DistributedGaussian::mechanism`] takes their number).
//!
//! # Who is protected
//!
//! All bounds compare two data sets that differ in one client, whose whole update is replaced by zero ("zero-out"). The same
//! clients take part in both, because the parties of a secure sum always know who does. So, with the update clipped to a norm
//! c,
//!
//! - a sum of vectors changes by a vector of norm c at most, because zeros contribute zero;
//! - a count of clients that answer yes changes by 1 at most, because the answer of a client with zeros may be the other
//!   one. (Where participation itself is protected, and an absent client counts as half an answer, the change is ½, as in Andrew
//!   et al., arXiv:1905.03871. Both at once would mix two relations.)
//! - the number of participants does not change at all, and is released exactly without a price;
//! - distributed noise is that of all participants, the one whose update is replaced included.
//!
//! An update that is replaced by any other one is two steps away: twice the change in sums, and 1 in counts again.
//! `federated::aggregation::Neighbours` names both. A client that is left out by
//! [random choice](Gaussian::sampled) contributes zeros as well, and its answer counts as a no: choice amplifies this
//! relation, provided that nothing released tells who takes part, or how many.
//!
//! Accounting is in `f64`. Bounds by loss distributions include bounds on their rounding errors; otherwise no claim is made
//! about the last digits. Discrete noise is drawn in exact integer
//! arithmetic, so that its low-order bits tell nothing (Mironov, "On significance of the least significant bits for
//! differential privacy", CCS 2012). Its time is another matter: rejection sampling takes as long as it takes, and says so
//! in its names.
//!
//! # Example
//!
//! ```
//! use cipherfold::privacy::{Accountant, DistributedGaussian, DistributedParameters};
//! use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
//!
//! let mut rng = ChaCha20Rng::from_seed([7; 32]); // a program takes a seed from the system
//!
//! // 20 clients, updates of 3 numbers clipped to a length of 1, and together noise of 0.01 in each coordinate.
//! let parameters = DistributedParameters { clip: 1.0, noise_multiplier: 0.01, clients: 20, dimension: 3, ..DistributedParameters::DEFAULTS };
//! let mechanism = DistributedGaussian::new(parameters)?;
//! let rotation = mechanism.rotation(&[1; 32], 0); // a seed that all know, and the number of the round
//!
//! // The sum is, in reality, formed under encryption.
//! let mut sum = vec![0; mechanism.encoded_len()];
//! for _ in 0..20 {
//!     let encoded = mechanism.encode_vartime(&[0.5, -0.25, 0.125], &rotation, &mut rng)?;
//!     sum.iter_mut().zip(encoded.iter()).for_each(|(sum, value)| *sum += value);
//! }
//! let total = mechanism.decode(&sum, 20, &rotation)?;
//! assert!((total[0] - 10.0).abs() < 0.1 && (total[1] + 5.0).abs() < 0.1);
//!
//! // So little noise promises next to nothing; 100 times as much, in one round, something.
//! let parameters = DistributedParameters { noise_multiplier: 1.0, ..parameters };
//! let mut accountant = Accountant::new();
//! accountant.compose(&DistributedGaussian::new(parameters)?.mechanism(20)?, 1);
//! assert!((accountant.epsilon(1e-5)? - 4.4).abs() < 0.1);
//! # Ok::<(), cipherfold::Error>(())
//! ```

mod accountant;
mod discrete_gaussian;
mod distributed;
mod error;
mod gaussian;
mod loss;
mod mechanism;
mod modular;
mod noise;
mod norm;
mod normal;
mod quantile;
mod rotation;
mod rounding;
mod summed;

pub use accountant::Accountant;
pub use discrete_gaussian::DiscreteGaussian;
pub(crate) use distributed::SMALLEST_CLIP;
pub use distributed::{DistributedGaussian, DistributedParameters};
pub use error::{Error, Result};
pub use gaussian::Gaussian;
pub use mechanism::{DominatingGaussian, Mechanism};
pub use modular::{ModularRange, modular_clip};
pub use noise::{Budget, noise_for};
pub(crate) use norm::in_units_of;
pub use norm::{clip_l2, l2_norm};
pub use quantile::{
    AffineMap, QuantileEstimator, QuantileNoise, QuantileParameters, QuantileUpdate, split_noise,
};
pub use rotation::{Rotation, RotationParameters};
pub use rounding::{ConditionalRounding, RoundingParameters, inflated_l2_bound};
pub use summed::SummedDiscreteGaussian;

/// `value` if it is as it must be, or else the error that says how it must be. Callers write `good` so that it is false
/// for what is not a number.
fn checked(name: &'static str, value: f64, good: bool, allowed: &'static str) -> Result<f64> {
    if good { Ok(value) } else { Err(Error::Parameter { name, value, allowed }) }
}

/// Reads a number that must be finite. JSON writes other numbers as `null`, which is no number when it is read.
fn finite<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    use serde::{Deserialize, de::Error as _};

    let value = f64::deserialize(deserializer)?;
    let refused = || D::Error::custom(format_args!("{value}: a finite number is needed"));
    if value.is_finite() { Ok(value) } else { Err(refused()) }
}

/// A length or a count as a float: exact below 2⁵³, and no slice is as long.
#[expect(clippy::cast_precision_loss, reason = "see above")]
const fn to_float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    pub(super) fn rng(seed: u8) -> ChaCha20Rng {
        ChaCha20Rng::from_seed([seed; 32])
    }

    /// Mean and variance of a sample.
    pub(super) fn moments(sample: &[f64]) -> (f64, f64) {
        let count = super::to_float(sample.len());
        let mean = sample.iter().sum::<f64>() / count;
        (mean, sample.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (count - 1.0))
    }
}
