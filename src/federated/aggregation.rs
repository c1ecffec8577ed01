//! Aggregation processes: what a server computes of its clients' values, round by round.
//!
//! An [`Aggregation`] has a state at the server, a result, and measurements; round after round it turns one value of
//! each client into a result, and a state into the next one. They are those of `tff.aggregators`, under its names, and
//! compose as they do there: where one needs a sum it takes another aggregation, and where it needs a bound or a norm it
//! takes an [`Estimation`].
//!
//! | aggregation | built from | a client sends | the server learns |
//! | :-- | :-- | :-- | :-- |
//! | [`Sum`] | | its value in the clear | **every value** |
//! | [`SecureSum`] | bounds: integers, or estimates | its clipped value, and whether it was clipped above or below, encrypted | the sum, and how many were clipped |
//! | [`SecureModularSum`] | | its residue, encrypted | the sum of the residues |
//! | [`ModularClippingSum`] | a sum | its value, wrapped into a range, as the inner sum has it | what the inner sum shows |
//! | [`Mean`] | sums of values and of weights | its value times its weight as that is counted, and its weight, as the inner sums have it | what the inner sums show: both sums |
//! | [`UnweightedMean`] | sums of values and of ones | its value, and a one | what the inner sums show |
//! | [`Clipping`] | a norm; any aggregation | what the inner one has it send, of a clipped value; whether it was clipped, encrypted | what the inner one shows, and how many were clipped |
//! | [`Zeroing`] | a norm; any aggregation | the same of a value or of zeros; whether it was zeroed, encrypted | what the inner one shows, and how many were zeroed |
//! | [`CentralGaussian`] | a norm | its clipped value on a grid, encrypted | the sum, to which it adds noise for everyone else |
//! | [`DistributedGaussian`] | a norm | the same with a share of the noise, encrypted | the noisy sum |
//!
//! | estimation | a client sends | the server learns |
//! | :-- | :-- | :-- |
//! | [`Fixed`], [`Schedule`] | nothing | nothing |
//! | [`Quantile`] | whether its number is above the estimate, encrypted | how many were not; for everyone else it can add noise |
//! | [`Affine`] | what its inner one has it send | the same |
//!
//! Clients compute on their values without branches, early exits or addresses that depend on finite values. The exceptions
//! are drawing noise, and rounding to a grid where that makes a vector too long ([`CentralGaussian`]) or is
//! [biased](crate::privacy::ConditionalRounding).
//!
//! Everything that a client sends in a round travels in one round of the secure sum's protocol. Who takes part is known
//! to the server and the aggregator, as it is in [all secure sums](super#who-learns-what).
//!
//! # Privacy
//!
//! A process accounts for everything that its rounds release: results, measurements, and the norms and bounds that follow from
//! them. Every aggregation states the [`Price`] of what it releases; compositions add them up; the process charges each round to
//! one account in its [state](ProcessState), and [`Process::epsilon`] asks it.
//!
//! | released | price |
//! | :-- | :-- |
//! | exact sums and counts ([`Sum`], [`SecureSum`], [`SecureModularSum`], a [`Quantile`] without noise, the counts of [`Clipping`] and [`Zeroing`]), and aggregations that state none | infinite |
//! | [`CentralGaussian`], [`DistributedGaussian`], a [`Quantile`] with noise, [`NoisyCount`] | that of its noise |
//! | the number of participants ([`UnweightedMean`]), [`Fixed`], [`Schedule`] | none |
//!
//! ε compares two data sets that differ in one participant's value, which is [zero](Neighbours::ZeroedOut) in one of them; it
//! can be [another value](Neighbours::Replaced) instead. **Participation is public** and not protected: the server and the
//! aggregator know who takes part in a round, and reports show it. See [`privacy`](crate::privacy#who-is-protected).
//!
//! Whether a client's value is refused at the client, because it is not finite for example, is a matter of participation.
//!
//! It holds against everyone who sees the results of all rounds. Reports and errors are not covered: a report counts clipped
//! values, for example. The server sees more, namely all that the table above lists,
//! exact where noise is added centrally; against the server itself only the noise of [`DistributedGaussian`] counts.
//!
//! A round that fails releases nothing but its error. It is charged nevertheless if sums were opened before it failed, because
//! the server has seen them then; an error that ends it before is free.
//!
//! # Weights and state
//!
//! Aggregations with weights ([`WeightedAggregation`]) are [`Mean`], and [`Clipping`] and [`Zeroing`] around one;
//! [`IgnoringWeights`] makes one of any other. A [`Process`] or a [`WeightedProcess`] runs them, and keeps the state; a state is
//! plain data and can be stored with serde. [`Process::secure_only`] refuses what has a leak.
//!
//! The server must know the structure of the clients' values before a client works, unless their type has one structure only:
//! [`Process::declared`] or [`Process::like`] say it once, for everything that a round sums up. Without, it is taken from a
//! client, which is a [leak](super::LeakKind::UndeclaredStructure). Aggregations of this crate that clip, zero, scale or round
//! values pass the declaration on. One of your own maps values element by element ([`Value::map_elements`](super::Value::map_elements)),
//! or declares the result ([`Value::declare`](super::Value::declare), [`Value::shaped_like`](super::Value::shaped_like)).
//!
//! ```
//! use cipherfold::federated::{LocalExecutor, aggregation::*};
//! use cipherfold::{paillier::Bits2048, privacy::{QuantileEstimator, QuantileParameters}};
//! use ndarray::{Array1, array};
//!
//! // Clips to the median of the clients' norms, which it learns as it goes, and takes the mean.
//! let parameters = QuantileParameters { initial: 1.0, target: 0.5, learning_rate: 0.2 };
//! let median = Quantile::new(QuantileEstimator::geometric(parameters)?);
//! let mean = Mean::new(MeanSums { values: SecureSum::floats_up_to(100.0)?, weights: SecureSum::floats(0.0, 100.0)? });
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
mod price;
mod process;
mod process_state;
mod quantile;
mod secure_sum;
mod sum;
mod weights;
mod zeroing;

pub use bounds::{Between, FloatBounds, Symmetric};
pub use central_gaussian::{AdaptiveParameters, CentralGaussian, CentralParameters, PrivateMeasurements};
pub use clipping::{Clipping, ClippingMeasurements};
pub use distributed_gaussian::DistributedGaussian;
pub use estimation::{Affine, Estimation, Fixed, Schedule};
pub use floats::{Floats, Norm, Real};
pub use learning::{SecureAggregator, secure_aggregator, secure_aggregator_with_bits};
pub use limit::LimitState;
pub use mean::{
    Mean, MeanMeasurements, MeanState, MeanSums, UnweightedMean, UnweightedMeanMeasurements,
    UnweightedMeanState,
};
pub use modular::{IntegerSum, ModularClippingSum, SecureModularSum};
pub use noisy_count::NoisyCount;
pub use price::{Neighbours, Price};
pub use process::{Process, WeightedProcess};
pub use process_state::ProcessState;
pub use quantile::{Quantile, QuantileState};
pub use secure_sum::{SecureSum, SecureSumMeasurements};
pub use sum::Sum;
pub use weights::IgnoringWeights;
pub use zeroing::{Zeroing, ZeroingMeasurements};

use core::fmt::Debug;

use serde::Serialize;

use crate::{
    federated::{Clients, Portable, Server, Value},
    packing::IntegerRange,
};

/// A stateful aggregation of one value of type `T` at each client (TFF: `AggregationProcess`, and the factory that makes it).
///
/// It builds the computation of a round out of values that are yet to be computed, so that aggregations compose, and so
/// that [`Computation::leaks`](crate::federated::Computation::leaks) sees through them. A [`Process`] runs it.
///
/// ```
/// use cipherfold::federated::aggregation::{Aggregation, Process, SecureSum, Step};
/// use cipherfold::federated::{Clients, LocalExecutor, Server, Value};
/// use cipherfold::{packing::IntegerRange, paillier::Bits2048};
///
/// /// How many words clients have, each of them at most 100, and over all rounds.
/// struct Words;
///
/// impl Aggregation<String> for Words {
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
pub trait Aggregation<T>: Send + Sync {
    /// What the server keeps from round to round.
    type State: Portable + Clone + Debug;
    /// What the server gets.
    type Result: Clone + Send + Sync + 'static;
    /// What a round measures beside.
    type Measurements: Clone + Debug + Serialize + Send + Sync + 'static;

    /// The state before the first round.
    fn initialize(&self) -> Self::State;

    /// Builds the computation of a round.
    fn next(
        &self,
        state: &Value<Self::State, Server>,
        values: &Value<T, Clients>,
    ) -> Step<Self::State, Self::Result, Self::Measurements>;

    /// The clients' values as this aggregation, a sum, counts them in a round that starts from the state: clipped and
    /// rounded, as the case may be. What noise adds is not part of it.
    ///
    /// A [`Mean`] multiplies by weights as their sum counts them. An aggregation that counts values as they are has nothing
    /// to add to this default.
    fn admitted(&self, state: &Value<Self::State, Server>, values: &Value<T, Clients>) -> Value<T, Clients> {
        let _ = state;
        values.clone()
    }

    /// [`next`](Self::next) for values that a [`Mean`] divides by a total weight: an aggregation that clips them must do so
    /// towards zero. One that does not clip, or clips to a norm, has nothing to add to this default.
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
/// A [`WeightedProcess`] runs it. An aggregation without weights is one [that ignores them](IgnoringWeights).
pub trait WeightedAggregation<T>: Send + Sync {
    /// What the server keeps from round to round.
    type State: Portable + Clone + Debug;
    /// What the server gets.
    type Result: Clone + Send + Sync + 'static;
    /// What a round measures beside.
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

/// The results of a round of an aggregation, yet to be computed.
#[derive(Clone, Debug)]
#[must_use = "nothing of it is computed unless it is part of a computation that runs"]
#[non_exhaustive]
pub struct Step<S, R, M> {
    /// The state that the next round starts from.
    pub state: Value<S, Server>,
    /// The aggregate.
    pub result: Value<R, Server>,
    /// What was measured.
    pub measurements: Value<M, Server>,
    /// How much results and measurements of this round, and estimates that learn from it, tell about one client.
    pub price: Value<Price, Server>,
}

impl<S, R, M> Step<S, R, M> {
    /// Results that have an [unknown](Price::unknown) price until it is [stated](Self::priced): ε is infinite.
    pub fn new(state: Value<S, Server>, result: Value<R, Server>, measurements: Value<M, Server>) -> Self {
        Self { state, result, measurements, price: Price::unknown().into() }
    }

    /// The same results at a price: the same one in every round, or one that follows from the round.
    ///
    /// An aggregation that only transforms the results of an inner one has the inner [`price`](Self::price).
    pub fn priced(self, price: impl Into<Value<Price, Server>>) -> Self {
        Self { price: price.into(), ..self }
    }
}

/// An aggregation that counts clients: [`Sum`], or a [`SecureSum`] of integers.
pub trait Counts: Aggregation<u32, Result = u64> {}

impl<A: Aggregation<u32, Result = u64>> Counts for A {}

/// Counts securely what is 0 or 1.
fn counts() -> SecureSum<IntegerRange> {
    SecureSum::integers(0, 1).expect("a range")
}
