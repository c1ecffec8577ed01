//! The interface of aggregations, which processes run.

use core::fmt::Debug;

use serde::Serialize;

use super::privacy_cost::PrivacyCost;
use crate::federated::{
    Clients, Server,
    computation::{Transferable, Value},
};

/// A stateful aggregation of one value of type `T` at each client (TFF: `AggregationProcess`, and
/// the factory that makes it).
///
/// It builds the computation of a round from values that are not yet computed. So aggregations
/// compose, and [`Computation::leaks`](crate::federated::computation::Computation::leaks) sees all of their
/// operations. A [`Process`](crate::federated::aggregation::Process) runs it.
///
/// ```
/// use cipherfold::federated::aggregation::{AggregationFactory, Process, SecureClippingSum, Step};
/// use cipherfold::federated::{Clients, LocalExecutor, Server, computation::Value};
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
    /// The state that the server keeps from round to round: a type that serde writes and reads.
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
    /// A [`Mean`](crate::federated::aggregation::Mean) multiplies by the weights that its sum
    /// counts. An aggregation that counts values unchanged keeps this default.
    fn admitted(&self, state: &Value<Self::State, Server>, values: &Value<T, Clients>) -> Value<T, Clients> {
        let _ = state;
        values.clone()
    }

    /// [`next`](Self::next) for values that a [`Mean`](crate::federated::aggregation::Mean) divides
    /// by a total weight. An aggregation that clips to bounds must clip these values towards zero.
    /// An aggregation that does not clip, or clips to a norm, keeps this default.
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
/// A [`WeightedProcess`](crate::federated::aggregation::WeightedProcess) runs it.
/// [`IgnoringWeights`](crate::federated::aggregation::IgnoringWeights) adapts an aggregation
/// without weights.
pub trait WeightedAggregationFactory<T>: Send + Sync {
    /// The state that the server keeps from round to round: a type that serde writes and reads.
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
    /// Results with an [unknown](PrivacyCost::unknown) cost, until it is [stated](Self::with_cost):
    /// ε is infinite.
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
