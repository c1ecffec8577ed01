//! Differential privacy: noise for sums, and its guarantees.
//!
//! A secure sum hides the summands. But the sum itself reveals something about each of them.
//! Differential privacy bounds this: every update is clipped to a known length, and noise with a
//! width of this length, times a multiplier, hides the change that any single update can make. This
//! module contains the mathematics only, over slices, without keys or parties.
//!
//! | item | purpose |
//! | :-- | :-- |
//! | [`DistributedGaussian`] | encodes an update as a noisy integer vector, and decodes the sum |
//! | [`DiscreteGaussian`] | exact samples of its noise |
//! | [`Accountant`] | adds up the privacy costs of rounds, and states them as (ε, δ) |
//! | [`Gaussian`], [`SummedDiscreteGaussian`] | the cost of one round: central noise, and the sum of the clients' noises |
//! | [`Mechanism`] | the cost of a mechanism of your own |
//! | [`noise_for`] | the minimum noise that keeps a [`Budget`] |
//! | [`QuantileEstimator`] | learns a clipping norm from noisy counts |
//!
//! # Against whom the guarantees hold
//!
//! With [central](Gaussian) noise all bounds hold against every reader of the server's published
//! results. With [distributed](DistributedGaussian) noise they hold against the server as well,
//! because it sees only the noisy sum. But a client knows its own noise and can subtract it.
//! Against a coalition, only the noise of the other clients counts
//! ([`DistributedGaussian::mechanism`] takes their number).
//!
//! # Who is protected
//!
//! All bounds compare two data sets that differ in one client, whose whole update is replaced by
//! zero ("zero-out"). The same clients take part in both, because the parties of a secure sum
//! always know the participants. With the update clipped to a norm c,
//!
//! - a sum of vectors changes by a vector of norm at most c, because zeros contribute zero;
//! - a count of clients that answer yes changes by at most 1, because the answer of a client with
//!   zeros may be the opposite one. (If participation itself is protected, and an absent client
//!   counts as half an answer, the change is ½, as in Andrew et al., arXiv:1905.03871. Using both
//!   would mix two relations.)
//! - the number of participants does not change at all, so its exact release has no cost;
//! - distributed noise is the noise of all participants, including the one whose update is
//!   replaced.
//!
//! Replacing an update by any other update changes sums by twice as much, and counts again by 1.
//! `federated::aggregation::Neighbours` names both relations. A client that [random
//! choice](Gaussian::sampled) leaves out contributes zeros as well, and its answer counts as a no.
//! Sampling amplifies this relation, provided that no released result reveals the participants or
//! their number.
//!
//! Accounting uses `f64`. Bounds by loss distributions include bounds on their rounding errors. For
//! other bounds, the last digits are not guaranteed. Discrete noise is drawn in exact integer
//! arithmetic, so that its low-order bits reveal nothing (Mironov, "On significance of the least
//! significant bits for differential privacy", CCS 2012). Its time is not constant: rejection
//! sampling takes a random time, and the names of its functions end in `_vartime`.
//!
//! # Example
//!
//! ```
//! use cipherfold::privacy::{Accountant, DistributedGaussian, DistributedParameters, Rotation};
//! use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
//!
//! let mut rng = ChaCha20Rng::from_seed([7; 32]); // a program takes a seed from the system
//!
//! // 20 clients, updates of 3 numbers clipped to a length of 1, and together noise of 0.01 in each coordinate.
//! let parameters = DistributedParameters { clip: 1.0, noise_multiplier: 0.01, clients: 20, dimension: 3, ..DistributedParameters::DEFAULTS };
//! let mechanism = DistributedGaussian::new(parameters)?;
//! let rotation: Rotation = mechanism.rotation(&[1; 32], 0); // a seed shared by all, and the number of the round
//!
//! // In a real round, the sum is computed under encryption.
//! let mut sum = vec![0; mechanism.encoded_len()];
//! for _ in 0..20 {
//!     let encoded = mechanism.encode_vartime(&[0.5, -0.25, 0.125], &rotation, &mut rng)?;
//!     sum.iter_mut().zip(encoded.iter()).for_each(|(sum, value)| *sum += value);
//! }
//! let total = mechanism.decode(&sum, 20, &rotation)?;
//! assert!((total[0] - 10.0).abs() < 0.1 && (total[1] + 5.0).abs() < 0.1);
//!
//! // This noise is too small for a useful guarantee. 100 times as much noise, for one round:
//! let parameters = DistributedParameters { noise_multiplier: 1.0, ..parameters };
//! let mut accountant = Accountant::new();
//! accountant.compose(&DistributedGaussian::new(parameters)?.mechanism(20)?, 1);
//! assert!((accountant.epsilon(1e-5)? - 4.4).abs() < 0.1);
//! # Ok::<(), cipherfold::Error>(())
//! ```

mod accounting;
mod check;
mod discrete_gaussian;
mod distributed;
mod error;
mod modular_range;
mod norm;
mod quantile;
#[cfg(test)]
mod test_support;

pub use accounting::{Accountant, Budget, Gaussian, Mechanism, SummedDiscreteGaussian, noise_for};
pub(crate) use check::finite_or_none;
pub use discrete_gaussian::DiscreteGaussian;
pub(crate) use distributed::MIN_CLIP;
pub use distributed::{DistributedGaussian, DistributedParameters, Rotation};
pub use error::Error;
pub(crate) use modular_range::ModularRange;
pub(crate) use norm::in_units_of;
pub use quantile::{AffineMap, QuantileEstimator, QuantileParameters};
pub(crate) use quantile::{CountNoise, split_noise};
