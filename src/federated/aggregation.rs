//! Aggregation processes: stateful aggregations of the clients' values, round by round.
//!
//! An [`AggregationFactory`] has a state at the server, a result, and measurements. Each round
//! turns one value of each client into a result, and the state into the next state. The
//! aggregations are those of `tff.aggregators`, under its names, and compose in the same way: an
//! aggregation that needs a sum takes another aggregation, and one that needs a bound or a norm
//! takes an [`Estimation`].
//!
//! | aggregation | built from | a client sends | the server learns |
//! | :-- | :-- | :-- | :-- |
//! | [`Sum`] | | its value in the clear | **every value** |
//! | [`SecureClippingSum`] | bounds: integers, or estimates | its clipped value, and whether it was clipped above or below, encrypted | the sum, and how many were clipped |
//! | [`SecureModularSum`] | | its residue, encrypted | the sum of the residues |
//! | [`ModularClippingSum`] | a sum | its value, wrapped into a range, in the form of the inner sum | the same as from the inner sum |
//! | [`Mean`] | sums of values and of weights | its value times its weight (as its sum counts it), and its weight, in the form of the inner sums | the same as from the inner sums: both sums |
//! | [`UnweightedMean`] | sums of values and of ones | its value, and a one | the same as from the inner sums |
//! | [`Clipping`] | a norm; any aggregation | its clipped value in the form of the inner aggregation; whether it was clipped, encrypted | the same as from the inner aggregation, and how many were clipped |
//! | [`Zeroing`] | a norm; any aggregation | its value or zeros in the form of the inner aggregation; whether it was zeroed, encrypted | the same as from the inner aggregation, and how many were zeroed |
//! | [`CentralDpSum`] | a norm | its clipped value on a grid, encrypted | the sum, to which it adds noise for everyone else |
//! | [`DistributedDpSum`] | a norm | the same with a share of the noise, encrypted | the noisy sum |
//!
//! | estimation | a client sends | the server learns |
//! | :-- | :-- | :-- |
//! | [`Fixed`], [`Schedule`] | nothing | nothing |
//! | [`Quantile`] | whether its number is above the estimate, encrypted | how many were not above it; it can add noise to this count for everyone else |
//!
//! Clients compute on their values without branches, early exits or addresses that depend on finite
//! values. There are two exceptions: drawing noise, and rounding to a grid where it makes a vector
//! too long ([`CentralDpSum`]) or is biased
//! ([`DistributedDpSum`]).
//!
//! Everything that a client sends in a round travels in one round of the secure sum's protocol. The
//! server and the aggregator know which clients take part, as in [all secure
//! sums](super#who-learns-what-and-who-may-collude).
//!
//! # Privacy
//!
//! A process accounts for everything that its rounds release: results, measurements, and the norms
//! and bounds that follow from them. Every aggregation states the [`PrivacyCost`] of its releases,
//! and compositions add these up. The process charges each round to one account in its
//! [state](ProcessState). [`Process::epsilon`] reads that account.
//!
//! | released | cost |
//! | :-- | :-- |
//! | exact sums and counts ([`Sum`], [`SecureClippingSum`], [`SecureModularSum`], a [`Quantile`] without noise, the counts of [`Clipping`] and [`Zeroing`]), and aggregations that state no cost | infinite |
//! | [`CentralDpSum`], [`DistributedDpSum`], a [`Quantile`] with noise, [`NoisyCount`] | the cost of its noise |
//! | the number of participants ([`UnweightedMean`]), [`Fixed`], [`Schedule`] | none |
//!
//! ε compares two data sets that differ in one participant's value. In one of them this value is
//! [zero](Neighbours::ZeroedOut), or [another value](Neighbours::Replaced) if you choose so.
//! **Participation is public** and not protected: the server and the aggregator know which clients
//! take part in a round, and reports show it. See [`privacy`](crate::privacy#who-is-protected).
//! Whether a client refuses its own value, for example because it is not finite, is part of
//! participation.
//!
//! The guarantee holds against everyone who sees the results of all rounds. It does not cover
//! reports and errors: a report counts clipped values, for example. The server sees everything that
//! the table above lists. Where noise is added centrally, it sees the exact numbers. Against the
//! server itself, only the noise of [`DistributedDpSum`] counts.
//!
//! A round that fails releases only its error. It is charged if sums were opened before it failed,
//! because the server has seen them. A round that fails earlier is not charged.
//!
//! # Weights and state
//!
//! The aggregations with weights ([`WeightedAggregationFactory`]) are [`Mean`], and [`Clipping`]
//! and [`Zeroing`] around one. [`IgnoringWeights`] turns any other aggregation into one with
//! weights. A [`Process`] or a [`WeightedProcess`] runs an aggregation and keeps its state. The
//! state is plain data and can be stored with serde. [`Process::secure_only`] refuses an
//! aggregation with a leak.
//!
//! The server must know the structure of the clients' values before a client works, unless their
//! type has only one structure. [`Process::declared`] or [`Process::like`] state it once, for
//! everything that a round sums. Otherwise it is taken from a client, which is a
//! [leak](super::computation::LeakKind::UndeclaredStructure).
//!
//! The aggregations of this crate that clip, zero, scale or round values keep the declaration. In
//! your own aggregation, map values element by element
//! ([`Value::map_elements`](super::computation::Value::map_elements)), or declare the result
//! ([`Value::declare`](super::computation::Value::declare), [`Value::shaped_like`](super::computation::Value::shaped_like)).
//!
//! ```
//! use cipherfold::federated::{LocalExecutor, aggregation::*};
//! use cipherfold::{paillier::Bits2048, privacy::{QuantileEstimator, QuantileParameters}};
//! use ndarray::{Array1, array};
//!
//! // Clips to the median of the clients' norms, which it learns as it goes, and takes the mean.
//! let parameters = QuantileParameters { initial: 1.0, target: 0.5, learning_rate: 0.2 };
//! let median = Quantile::new(QuantileEstimator::geometric(parameters)?);
//! let mean = Mean::new(MeanSums { values: SecureClippingSum::floats_up_to(100.0)?, weights: SecureClippingSum::floats(0.0, 100.0)? });
//! let process = WeightedProcess::<Array1<f32>, _>::new(Clipping::new(median, mean));
//! let mut process = process.like(&Array1::<f32>::zeros(2))?.secure_only()?; // all clients have two numbers
//!
//! let executor = LocalExecutor::<Bits2048>::builder().build()?;
//! let updates = [array![0.5, 0.0], array![0.0, 2.0], array![3.0, 4.0]];
//! let round = process.run(&executor, updates, [20.0, 10.0, 10.0])?;
//! assert!((round.value - array![0.4, 0.45]).iter().all(|error| error.abs() < 1e-6));
//! assert_eq!((round.measurements.clipped_count, round.measurements.clipping_norm), (2, 1.0));
//! assert!(process.state().aggregation.norm.estimator.estimate() > 1.0); // since two of three were above it
//! # Ok::<(), cipherfold::Error>(())
//! ```

mod dp_sums;
mod error;
mod estimation;
mod factory;
mod floats;
mod ignoring_weights;
mod learning;
mod limits;
mod means;
mod neighbours;
mod privacy_cost;
mod process;
mod quantile;
mod sums;

pub use dp_sums::{AdaptiveParameters, CentralDpSum, DistributedDpSum, NoisyCount};
pub use error::Error;
pub use estimation::{Estimation, Fixed, Schedule};
pub use factory::{AggregationFactory, Step, WeightedAggregationFactory};
pub use floats::{Floats, NormOrder};
pub use ignoring_weights::IgnoringWeights;
pub use learning::{secure_aggregator, secure_aggregator_with_bits};
pub use limits::{Clipping, Zeroing};
pub use means::{Mean, MeanSums, UnweightedMean};
pub use neighbours::Neighbours;
pub use privacy_cost::PrivacyCost;
pub use process::{Process, ProcessState, WeightedProcess};
pub use quantile::Quantile;
pub use sums::{Bounds, ModularClippingSum, SecureClippingSum, SecureModularSum, Sum};
