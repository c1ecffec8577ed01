//! Runs an aggregation round by round, and keeps its state.

use core::fmt::{self, Debug};

use super::{Aggregation, Step, WeightedAggregation};
use crate::{
    Result,
    federated::{Clients, Computation, Inputs, IntoInput, Leak, LocalExecutor, Report, Server, Value},
    paillier::KeySize,
};

/// What a round of a process gave.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
#[non_exhaustive]
pub struct Round<R, M> {
    /// The aggregate.
    pub result: R,
    /// What the aggregation measured.
    pub measurements: M,
    /// What happened, once for each time that it went over all clients. Aggregations of this crate do so once.
    pub reports: Vec<Report>,
}

/// An [`Aggregation`] of values of type `T`, with its state.
///
/// The computation of a round is built once, and every [`run`](Self::run) is a round. If it fails, the state stays as it was.
///
/// ```
/// use cipherfold::federated::{LocalExecutor, aggregation::{Process, Schedule, SecureSum}};
/// use cipherfold::paillier::Bits2048;
///
/// let executor = LocalExecutor::<Bits2048>::builder().build()?;
/// let growing = || SecureSum::adaptive(Schedule::new(|round| 1.0 + round as f64));
/// let mut process = Process::<f32, _>::new(growing()).secure_only()?;
/// let clients = [-2.5, -0.5, 0.0, 1.0, 1.5, 3.5];
/// assert!((process.run(&executor, clients)?.result - 1.5).abs() < 1e-6);
///
/// // A state can be stored, and resumed elsewhere. (Its floats come back to the last bit if `serde_json` is told so, by
/// // its feature `float_roundtrip`.)
/// let stored = serde_json::to_string(process.state()).expect("plain data");
/// let state = serde_json::from_str(&stored).expect("what was written");
/// let mut process = Process::<f32, _>::resume(growing(), state);
/// let round = process.run(&executor, clients)?;
/// assert!((round.result - 2.0).abs() < 1e-6);
/// assert_eq!(round.measurements.secure_upper_threshold, 2.0);
/// # Ok::<(), cipherfold::Error>(())
/// ```
///
/// Where clients may drop out, items are `Option`s, and the type of values has to be stated, as it is above.
pub struct Process<T, A: Aggregation<T>> {
    rounds: Rounds<A::State, A::Result, A::Measurements>,
    values: Value<T, Clients>,
}

impl<T, A> Process<T, A>
where
    T: Send + Sync + 'static,
    A: Aggregation<T>,
{
    /// A process before its first round.
    pub fn new(aggregation: A) -> Self {
        let state = aggregation.initialize();
        Self::resume(aggregation, state)
    }

    /// A process that goes on from the state of another one, of the same aggregation.
    #[expect(clippy::needless_pass_by_value, reason = "it is in the computation now")]
    pub fn resume(aggregation: A, state: A::State) -> Self {
        let values = Value::input("values");
        let rounds = Rounds::new(state, |state| aggregation.next(state, &values));
        Self { rounds, values }
    }

    /// This process, if its computation shows the server nothing of the clients but secure sums.
    ///
    /// # Errors
    ///
    /// [`Error::Leaks`](crate::Error::Leaks).
    pub fn secure_only(self) -> Result<Self> {
        Ok(Self { rounds: self.rounds.secure_only()?, ..self })
    }

    /// A round over clients with these values.
    ///
    /// # Errors
    ///
    /// Those of [`LocalExecutor::run`].
    pub fn run<S, I>(
        &mut self,
        executor: &LocalExecutor<S>,
        values: I,
    ) -> Result<Round<A::Result, A::Measurements>>
    where
        S: KeySize,
        I: IntoIterator<Item: IntoInput<T>, IntoIter: Send>,
    {
        self.rounds.run(executor, self.rounds.bind(Inputs::new(), &self.values, values))
    }

    /// The state that the next round starts from.
    pub fn state(&self) -> &A::State {
        &self.rounds.state
    }

    /// What of the clients' values a round shows the server in the clear.
    pub fn leaks(&self) -> Vec<Leak> {
        self.rounds.computation.leaks()
    }
}

/// A [`WeightedAggregation`] of values of type `T`, with its state.
///
/// As a [`Process`], but with a weight for every client.
///
/// ```
/// use cipherfold::federated::{LocalExecutor, aggregation::{Mean, SecureSum, WeightedProcess}};
/// use cipherfold::paillier::Bits2048;
///
/// let executor = LocalExecutor::<Bits2048>::builder().build()?;
/// let mean = Mean::new(SecureSum::floats_up_to(100.0)?, SecureSum::floats(0.0, 10.0)?);
/// let mut process = WeightedProcess::new(mean);
/// let round = process.run(&executor, [1.0_f32, 2.0, 3.0], [6.0, 3.0, 1.0])?;
/// assert!((round.result - 1.5).abs() < 1e-6);
/// # Ok::<(), cipherfold::Error>(())
/// ```
pub struct WeightedProcess<T, A: WeightedAggregation<T>> {
    rounds: Rounds<A::State, A::Result, A::Measurements>,
    values: Value<T, Clients>,
    weights: Value<f64, Clients>,
}

impl<T, A> WeightedProcess<T, A>
where
    T: Send + Sync + 'static,
    A: WeightedAggregation<T>,
{
    /// A process before its first round.
    pub fn new(aggregation: A) -> Self {
        let state = aggregation.initialize();
        Self::resume(aggregation, state)
    }

    /// A process that goes on from the state of another one, of the same aggregation.
    #[expect(clippy::needless_pass_by_value, reason = "it is in the computation now")]
    pub fn resume(aggregation: A, state: A::State) -> Self {
        let (values, weights) = (Value::input("values"), Value::input("weights"));
        let rounds = Rounds::new(state, |state| aggregation.next(state, &values, &weights));
        Self { rounds, values, weights }
    }

    /// This process, if its computation shows the server nothing of the clients but secure sums.
    ///
    /// # Errors
    ///
    /// [`Error::Leaks`](crate::Error::Leaks).
    pub fn secure_only(self) -> Result<Self> {
        Ok(Self { rounds: self.rounds.secure_only()?, ..self })
    }

    /// A round over clients with these values and weights.
    ///
    /// # Errors
    ///
    /// Those of [`LocalExecutor::run`].
    pub fn run<S, I, W>(
        &mut self,
        executor: &LocalExecutor<S>,
        values: I,
        weights: W,
    ) -> Result<Round<A::Result, A::Measurements>>
    where
        S: KeySize,
        I: IntoIterator<Item: IntoInput<T>, IntoIter: Send>,
        W: IntoIterator<Item: IntoInput<f64>, IntoIter: Send>,
    {
        let inputs = self.rounds.bind(Inputs::new(), &self.values, values);
        let inputs = self.rounds.bind(inputs, &self.weights, weights);
        self.rounds.run(executor, inputs)
    }

    /// The state that the next round starts from.
    pub fn state(&self) -> &A::State {
        &self.rounds.state
    }

    /// What of the clients' values and weights a round shows the server in the clear.
    pub fn leaks(&self) -> Vec<Leak> {
        self.rounds.computation.leaks()
    }
}

/// The computation of a round, and what the next one starts from.
struct Rounds<S, R, M>
where
    S: Clone + Send + Sync + 'static,
    R: Clone + Send + Sync + 'static,
    M: Clone + Send + Sync + 'static,
{
    before: Value<S, Server>,
    computation: Computation<Outputs<S, R, M>>,
    state: S,
}

/// Of a [`Step`].
type Outputs<S, R, M> = (Value<S, Server>, Value<R, Server>, Value<M, Server>);

impl<S, R, M> Rounds<S, R, M>
where
    S: Clone + Send + Sync + 'static,
    R: Clone + Send + Sync + 'static,
    M: Clone + Send + Sync + 'static,
{
    fn new(state: S, next: impl FnOnce(&Value<S, Server>) -> Step<S, R, M>) -> Self {
        let before = Value::input("state");
        let step = next(&before);
        let computation = Computation::new((step.state, step.result, step.measurements));
        Self { before, computation, state }
    }

    fn secure_only(self) -> Result<Self> {
        Ok(Self { computation: self.computation.secure_only()?, ..self })
    }

    /// Binds what clients have, unless the aggregation has no use for it.
    fn bind<'a, T, I>(&self, inputs: Inputs<'a>, input: &Value<T, Clients>, items: I) -> Inputs<'a>
    where
        T: Send + Sync + 'static,
        I: IntoIterator<Item: IntoInput<T>, IntoIter: Send + 'a>,
    {
        if self.computation.has(input) { inputs.clients(input, items) } else { inputs }
    }

    fn run<K: KeySize>(
        &mut self,
        executor: &LocalExecutor<K>,
        mut inputs: Inputs<'_>,
    ) -> Result<Round<R, M>> {
        if self.computation.has(&self.before) {
            inputs = inputs.server(&self.before, self.state.clone());
        }
        let run = executor.run(&self.computation, inputs)?;
        let (state, result, measurements) = run.value;
        self.state = state;
        Ok(Round { result, measurements, reports: run.rounds })
    }
}

impl<T, A: Aggregation<T>> Debug for Process<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("state", &self.rounds.state).finish_non_exhaustive()
    }
}

impl<T, A: WeightedAggregation<T>> Debug for WeightedProcess<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeightedProcess").field("state", &self.rounds.state).finish_non_exhaustive()
    }
}
