//! AggregationFactory processes: stateful aggregations of the clients' values, round by round.
//!
//! An [`AggregationFactory`] has a state at the server, a result, and measurements. Each round turns one
//! value of each client into a result, and the state into the next state. The aggregations are
//! those of `tff.aggregators`, under its names, and compose in the same way: an aggregation that
//! needs a sum takes another aggregation, and one that needs a bound or a norm takes an
//! [`Estimation`].
//!
//! | aggregation | built from | a client sends | the server learns |
//! | :-- | :-- | :-- | :-- |
//! | [`Sum`] | | its value in the clear | **every value** |
//! | [`SecureClippingSum`] | bounds: integers, or estimates | its clipped value, and whether it was clipped above or below, encrypted | the sum, and how many were clipped |
//! | [`SecureModularSum`] | | its residue, encrypted | the sum of the residues |
//! | [`ModularClippingSum`] | a sum | its value, wrapped into a range, in the form of the inner sum | the same as from the inner sum |
//! | [`Mean`] | sums of values and of weights | its value times its weight (as that is counted), and its weight, in the form of the inner sums | the same as from the inner sums: both sums |
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
//! | [`Affine`] | the same as for the inner estimation | the same as from the inner estimation |
//!
//! Clients compute on their values without branches, early exits or addresses that depend on finite
//! values. There are two exceptions: drawing noise, and rounding to a grid where it makes a vector
//! too long ([`CentralDpSum`]) or is [biased](crate::privacy::ConditionalRounding).
//!
//! Everything that a client sends in a round travels in one round of the secure sum's protocol. The
//! server and the aggregator know which clients take part, as in [all secure
//! sums](super#who-learns-what-and-who-may-collude).
//!
//! # Privacy
//!
//! A process accounts for everything that its rounds release: results, measurements, and the norms
//! and bounds that follow from them. Every aggregation states the [`PrivacyCost`] of its releases, and
//! compositions add these up. The process charges each round to one account in its
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
//! The aggregations with weights ([`WeightedAggregationFactory`]) are [`Mean`], and [`Clipping`] and
//! [`Zeroing`] around one. [`IgnoringWeights`] turns any other aggregation into one with weights. A
//! [`Process`] or a [`WeightedProcess`] runs an aggregation and keeps its state. The state is plain
//! data and can be stored with serde. [`Process::secure_only`] refuses an aggregation with a leak.
//!
//! The server must know the structure of the clients' values before a client works, unless their
//! type has only one structure. [`Process::declared`] or [`Process::like`] state it once, for
//! everything that a round sums. Otherwise it is taken from a client, which is a
//! [leak](super::LeakKind::UndeclaredStructure).
//!
//! The aggregations of this crate that clip, zero, scale or round values keep the declaration. In
//! your own aggregation, map values element by element
//! ([`Value::map_elements`](super::Value::map_elements)), or declare the result
//! ([`Value::declare`](super::Value::declare), [`Value::shaped_like`](super::Value::shaped_like)).
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

mod bounds;
mod central_gaussian;
mod clipping;
mod distributed_gaussian;
mod estimation;
mod floats;
mod grid;
mod learning;
mod limit;
mod mean;
mod modular;
mod noisy_count;
mod norm_format;
mod privacy_cost;
mod process;
mod process_state;
mod quantile;
mod secure_sum;
mod sum;
mod weights;
mod zeroing;

pub use bounds::{Bounds, FloatBounds, SymmetricBounds};
pub use central_gaussian::{AdaptiveParameters, CentralDpSum, CentralParameters, PrivateMeasurements};
pub use clipping::{Clipping, ClippingMeasurements};
pub use distributed_gaussian::DistributedDpSum;
pub use estimation::{Affine, Estimation, Fixed, Schedule};
pub use floats::{FloatElement, Floats, NormOrder};
pub use learning::{SecureAggregator, secure_aggregator, secure_aggregator_with_bits};
pub use limit::LimitState;
pub use mean::{
    Mean, MeanMeasurements, MeanState, MeanSums, UnweightedMean, UnweightedMeanMeasurements,
    UnweightedMeanState,
};
pub use modular::{IntegerSum, ModularClippingSum, SecureModularSum};
pub use noisy_count::NoisyCount;
pub use privacy_cost::{Neighbours, PrivacyCost};
pub use process::{Process, WeightedProcess};
pub use process_state::ProcessState;
pub use quantile::{Quantile, QuantileState};
pub use secure_sum::{SecureClippingSum, SecureSumMeasurements};
pub use sum::Sum;
pub use weights::IgnoringWeights;
pub use zeroing::{Zeroing, ZeroingMeasurements};

use core::fmt::Debug;

use serde::Serialize;

use crate::{
    federated::{Clients, Server, Transferable, Value},
    packing::IntegerRange,
};

/// A stateful aggregation of one value of type `T` at each client (TFF: `AggregationProcess`, and
/// the factory that makes it).
///
/// It builds the computation of a round from values that are not yet computed. So aggregations
/// compose, and [`Computation::leaks`](crate::federated::Computation::leaks) sees all of their
/// operations. A [`Process`] runs it.
///
/// ```
/// use cipherfold::federated::aggregation::{AggregationFactory, Process, SecureClippingSum, Step};
/// use cipherfold::federated::{Clients, LocalExecutor, Server, Value};
/// use cipherfold::{packing::IntegerRange, paillier::Bits2048};
///
/// /// How many words clients have, each of them at most 100, and over all rounds.
/// struct Words;
///
/// impl AggregationFactory<String> for Words {
///     type State = u64;
///     type Result = u64;
///     type Measurements = ();
///
///     fn initialize(&self) -> u64 {
///         0
///     }
///
///     fn next(&self, state: &Value<u64, Server>, values: &Value<String, Clients>) -> Step<u64, u64, ()> {
///         let count = values.map(|text| text.split_whitespace().count().min(100) as u64);
///         let count = count.secure_sum(IntegerRange::up_to(100)).map(|sum| *sum as u64);
///         let result = state.zip(&count).map(|(before, now)| before + now);
///         Step::new(result.clone(), result, Value::constant(()))
///     }
/// }
///
/// let executor = LocalExecutor::<Bits2048>::builder().build()?;
/// let mut words = Process::new(Words).secure_only()?;
/// assert_eq!(words.run(&executor, ["as it is", "said"].map(String::from))?.value, 4);
/// assert_eq!(words.run(&executor, ["once", "again"].map(String::from))?.value, 6);
/// # Ok::<(), cipherfold::Error>(())
/// ```
pub trait AggregationFactory<T>: Send + Sync {
    /// The state that the server keeps from round to round.
    type State: Transferable + Clone + Debug;
    /// The result at the server.
    type Result: Clone + Send + Sync + 'static;
    /// Further measurements of a round.
    type Measurements: Clone + Debug + Serialize + Send + Sync + 'static;

    /// The state before the first round.
    fn initialize(&self) -> Self::State;

    /// Builds the computation of a round.
    fn next(
        &self,
        state: &Value<Self::State, Server>,
        values: &Value<T, Clients>,
    ) -> Step<Self::State, Self::Result, Self::Measurements>;

    /// The clients' values as this aggregation, a sum, counts them in a round that starts from the
    /// state: for example clipped or rounded. Added noise is not part of them.
    ///
    /// A [`Mean`] multiplies by the weights that its sum counts. An aggregation that counts values
    /// unchanged keeps this default.
    fn admitted(&self, state: &Value<Self::State, Server>, values: &Value<T, Clients>) -> Value<T, Clients> {
        let _ = state;
        values.clone()
    }

    /// [`next`](Self::next) for values that a [`Mean`] divides by a total weight. An aggregation
    /// that clips to bounds must clip these values towards zero. An aggregation that does not clip,
    /// or clips to a norm, keeps this default.
    fn next_toward_zero(
        &self,
        state: &Value<Self::State, Server>,
        values: &Value<T, Clients>,
    ) -> Step<Self::State, Self::Result, Self::Measurements> {
        self.next(state, values)
    }
}

/// A stateful aggregation of one value of type `T` and one weight at each client.
///
/// A [`WeightedProcess`] runs it. [`IgnoringWeights`] adapts an aggregation without weights.
pub trait WeightedAggregationFactory<T>: Send + Sync {
    /// The state that the server keeps from round to round.
    type State: Transferable + Clone + Debug;
    /// The result at the server.
    type Result: Clone + Send + Sync + 'static;
    /// Further measurements of a round.
    type Measurements: Clone + Debug + Serialize + Send + Sync + 'static;

    /// The state before the first round.
    fn initialize(&self) -> Self::State;

    /// Builds the computation of a round.
    fn next(
        &self,
        state: &Value<Self::State, Server>,
        values: &Value<T, Clients>,
        weights: &Value<f64, Clients>,
    ) -> Step<Self::State, Self::Result, Self::Measurements>;
}

/// The results of a round of an aggregation, not yet computed.
#[derive(Clone, Debug)]
#[must_use = "a step is computed only as part of a computation that runs"]
#[non_exhaustive]
pub struct Step<S, R, M> {
    /// The state that the next round starts from.
    pub state: Value<S, Server>,
    /// The aggregate.
    pub result: Value<R, Server>,
    /// The measurements.
    pub measurements: Value<M, Server>,
    /// The privacy cost of the results and measurements of this round, and of estimates that learn
    /// from them.
    pub cost: Value<PrivacyCost, Server>,
}

impl<S, R, M> Step<S, R, M> {
    /// Results with an [unknown](PrivacyCost::unknown) cost, until it is [stated](Self::with_cost): ε is
    /// infinite.
    pub fn new(state: Value<S, Server>, result: Value<R, Server>, measurements: Value<M, Server>) -> Self {
        Self { state, result, measurements, cost: PrivacyCost::unknown().into() }
    }

    /// The same results at a cost: a fixed one, or one that depends on the round.
    ///
    /// An aggregation that only transforms the results of an inner one has the inner
    /// [`cost`](Self::cost).
    pub fn with_cost(self, cost: impl Into<Value<PrivacyCost, Server>>) -> Self {
        Self { cost: cost.into(), ..self }
    }
}

/// An aggregation that counts clients: [`Sum`], or a [`SecureClippingSum`] of integers.
pub trait Counts: AggregationFactory<u32, Result = u64> {}

impl<A: AggregationFactory<u32, Result = u64>> Counts for A {}

/// A secure count of values that are 0 or 1.
fn counts() -> SecureClippingSum<IntegerRange> {
    SecureClippingSum::integers(0, 1).expect("0 to 1 is a valid range")
}
