//! Runs an aggregation round by round, keeps its state, and accounts for its rounds.

use core::fmt::{self, Debug};

use super::{
    Aggregation, ProcessState, Step, WeightedAggregation,
    price::{Neighbours, Price, Terms},
};
use crate::{
    federated::{
        Clients, Computation, Inputs, IntoInput, Leak, LocalExecutor, Outcome, Result, Server, Structure,
        TensorType, Tensors, Value, computation::ServerView,
    },
    paillier::KeySize,
    privacy::Gaussian,
};

/// An [`Aggregation`] of values of type `T`, with its state.
///
/// The computation of a round is built once, and every [`run`](Self::run) is a round. If it fails, the aggregation's state
/// stays as it was.
///
/// ```
/// use cipherfold::federated::{LocalExecutor, aggregation::{Process, Schedule, SecureSum}};
/// use cipherfold::paillier::Bits2048;
///
/// let executor = LocalExecutor::<Bits2048>::builder().build()?;
/// let growing = || SecureSum::adaptive(Schedule::new(|round| 1.0 + round as f64));
/// let mut process = Process::<f32, _>::new(growing()).secure_only()?;
/// let clients = [-2.5, -0.5, 0.0, 1.0, 1.5, 3.5];
/// assert!((process.run(&executor, clients)?.value - 1.5).abs() < 1e-6);
///
/// // A state can be stored, and resumed elsewhere. (Its floats come back to the last bit if `serde_json` is told so, by
/// // its feature `float_roundtrip`.)
/// let stored = serde_json::to_string(process.state()).expect("plain data");
/// let state = serde_json::from_str(&stored).expect("what was written");
/// let mut process = Process::<f32, _>::resume(growing(), state);
/// let round = process.run(&executor, clients)?;
/// assert!((round.value - 2.0).abs() < 1e-6);
/// assert_eq!(round.measurements.secure_upper_threshold, 2.0);
/// // These results are exact, and so no privacy is claimed for them.
/// assert_eq!(process.epsilon(1e-5)?, f64::INFINITY);
/// # Ok::<(), cipherfold::Error>(())
/// ```
///
/// Where clients may drop out, items are `Option`s, and the type of values has to be stated, as it is above.
///
/// A process over tensors whose type does not fix their structure has it [declared](Self::declared), or by an
/// [example](Self::like):
///
/// ```
/// use cipherfold::federated::aggregation::{Clipping, Fixed, Process, SecureSum};
/// use ndarray::Array1;
///
/// let clipping = || -> cipherfold::Result<_> { Ok(Clipping::new(Fixed::new(2.0)?, SecureSum::floats_up_to(2.0)?)) };
/// assert!(Process::<Array1<f32>, _>::new(clipping()?).secure_only().is_err());
/// let process = Process::<Array1<f32>, _>::new(clipping()?).like(&Array1::<f32>::zeros(1000))?.secure_only()?;
/// # Ok::<(), cipherfold::Error>(())
/// ```
pub struct Process<T, A: Aggregation<T>> {
    rounds: Rounds<A::State, A::Result, A::Measurements>,
    values: Value<T, Clients>,
    aggregation: A,
}

impl<T, A> Process<T, A>
where
    T: Send + Sync + 'static,
    A: Aggregation<T>,
{
    /// A process before its first round.
    pub fn new(aggregation: A) -> Self {
        let state = ProcessState::new(aggregation.initialize());
        Self::resume(aggregation, state)
    }

    /// A process that goes on from the state of another one, of the same aggregation.
    pub fn resume(aggregation: A, state: ProcessState<A::State>) -> Self {
        let values = Value::input("values");
        let rounds = Rounds::new(state, |state| aggregation.next(state, &values));
        Self { rounds, values, aggregation }
    }

    /// The same process over values that are declared, instead of what was declared before.
    fn of(self, declared: &Value<T, Clients>) -> Self {
        let aggregation = &self.aggregation;
        let rounds = self.rounds.rebuilt(|state| aggregation.next(state, declared));
        Self { rounds, ..self }
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
    ) -> Result<Outcome<A::Result, A::Measurements>>
    where
        S: KeySize,
        I: IntoIterator<Item: IntoInput<T>, IntoIter: Send>,
    {
        self.rounds.run(executor, self.rounds.bind(Inputs::new(), &self.values, values))
    }
}

/// A [`WeightedAggregation`] of values of type `T`, with its state.
///
/// As a [`Process`], but with a weight for every client.
///
/// ```
/// use cipherfold::federated::{LocalExecutor, aggregation::{Mean, MeanSums, SecureSum, WeightedProcess}};
/// use cipherfold::paillier::Bits2048;
///
/// let executor = LocalExecutor::<Bits2048>::builder().build()?;
/// let mean = Mean::new(MeanSums { values: SecureSum::floats_up_to(100.0)?, weights: SecureSum::floats(0.0, 10.0)? });
/// let mut process = WeightedProcess::new(mean);
/// let round = process.run(&executor, [1.0_f32, 2.0, 3.0], [6.0, 3.0, 1.0])?;
/// assert!((round.value - 1.5).abs() < 1e-6);
/// # Ok::<(), cipherfold::Error>(())
/// ```
pub struct WeightedProcess<T, A: WeightedAggregation<T>> {
    rounds: Rounds<A::State, A::Result, A::Measurements>,
    values: Value<T, Clients>,
    weights: Value<f64, Clients>,
    aggregation: A,
}

impl<T, A> WeightedProcess<T, A>
where
    T: Send + Sync + 'static,
    A: WeightedAggregation<T>,
{
    /// A process before its first round.
    pub fn new(aggregation: A) -> Self {
        let state = ProcessState::new(aggregation.initialize());
        Self::resume(aggregation, state)
    }

    /// A process that goes on from the state of another one, of the same aggregation.
    pub fn resume(aggregation: A, state: ProcessState<A::State>) -> Self {
        let (values, weights) = (Value::input("values"), Value::input("weights"));
        let rounds = Rounds::new(state, |state| aggregation.next(state, &values, &weights));
        Self { rounds, values, weights, aggregation }
    }

    /// The same process over values that are declared, instead of what was declared before.
    fn of(self, declared: &Value<T, Clients>) -> Self {
        let (aggregation, weights) = (&self.aggregation, &self.weights);
        let rounds = self.rounds.rebuilt(|state| aggregation.next(state, declared, weights));
        Self { rounds, ..self }
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
    ) -> Result<Outcome<A::Result, A::Measurements>>
    where
        S: KeySize,
        I: IntoIterator<Item: IntoInput<T>, IntoIter: Send>,
        W: IntoIterator<Item: IntoInput<f64>, IntoIter: Send>,
    {
        let inputs = self.rounds.bind(Inputs::new(), &self.values, values);
        let inputs = self.rounds.bind(inputs, &self.weights, weights);
        self.rounds.run(executor, inputs)
    }
}

/// What both kinds of processes can be asked, and told.
macro_rules! common {
    ($process:ident, $aggregation:ident) => {
        impl<T, A> $process<T, A>
        where
            T: Send + Sync + 'static,
            A: $aggregation<T>,
        {
            /// States the structure of the clients' values: names, nesting, element types and shapes. It holds for all secure sums
            /// of a round whose structure follows from that of the values. See [`Value::declare`].
            ///
            /// A client whose value has another structure [is refused](crate::federated::AbsenceReason::Structure). What was
            /// declared before is replaced. A resumed process has to be told again.
            #[must_use = "it is the process with the declaration"]
            pub fn declared(self, structure: Structure<TensorType>) -> Self
            where
                T: Tensors,
            {
                let declared = self.values.declare(structure);
                self.of(&declared)
            }

            /// States the structure of the clients' values by an example, whose numbers and element type do not matter.
            ///
            /// # Errors
            ///
            /// [`Error::StructureDepth`](crate::federated::Error::StructureDepth).
            pub fn like<M: Tensors + ?Sized>(self, template: &M) -> Result<Self>
            where
                T: Tensors,
            {
                let declared = self.values.declare_like(template)?;
                Ok(self.of(&declared))
            }

            /// This process, if its computation shows the server nothing of the clients but secure sums of declared structures.
            ///
            /// # Errors
            ///
            /// [`Error::Leaks`](crate::federated::Error::Leaks).
            pub fn secure_only(self) -> Result<Self> {
                Ok(Self { rounds: self.rounds.secure_only()?, ..self })
            }

            /// Accounts under another relation than [`Neighbours::ZeroedOut`].
            ///
            /// # Errors
            ///
            /// [`Error::RoundsAccounted`](crate::federated::Error::RoundsAccounted) if rounds under another relation are in the account
            /// already.
            pub fn neighbours(mut self, neighbours: Neighbours) -> Result<Self> {
                self.rounds.state.set_neighbours(neighbours)?;
                Ok(self)
            }

            /// Accounts for clients that take part in a round with this probability each, independently of each other and of
            /// other rounds (Poisson sampling). The caller has to see to that: it chooses which clients it runs. A resumed
            /// process has to be told again.
            ///
            /// It holds only against those who do not learn who takes part, nor how many do. The server and the aggregator do,
            /// and so does everyone who sees a report. Nothing is saved, and all is charged in full,
            /// where results show the number of participants ([`UnweightedMean`](super::UnweightedMean), a
            /// [`Quantile`](super::Quantile) without an [expected number](super::Quantile::out_of)), where clients add the noise
            /// ([`DistributedGaussian`](super::DistributedGaussian)), and under [`Neighbours::Replaced`].
            ///
            /// # Errors
            ///
            /// [`privacy::Error::Parameter`](crate::privacy::Error::Parameter) unless the probability is above 0 and at most 1.
            pub fn sampled(mut self, probability: f64) -> Result<Self> {
                self.rounds.sampling = Some(Gaussian::new(1.0)?.sampled(probability)?.sampling());
                Ok(self)
            }

            /// The state that the next round starts from, with the account of the rounds so far.
            pub fn state(&self) -> &ProcessState<A::State> {
                &self.rounds.state
            }

            /// The ε for which everything that all rounds released was (ε, δ)-differentially private. Infinite if nothing is
            /// promised. See [the module](super#privacy) for what it covers.
            ///
            /// # Errors
            ///
            /// Those of [`Accountant::epsilon`](crate::privacy::Accountant::epsilon).
            pub fn epsilon(&self, delta: f64) -> Result<f64> {
                Ok(self.rounds.state.accountant.epsilon(delta)?)
            }

            /// The δ for which everything that all rounds released was (ε, δ)-differentially private. At most 1.
            ///
            /// # Errors
            ///
            /// Those of [`Accountant::delta`](crate::privacy::Accountant::delta).
            pub fn delta(&self, epsilon: f64) -> Result<f64> {
                Ok(self.rounds.state.accountant.delta(epsilon)?)
            }

            /// What of the clients' values, and weights, a round shows the server other than by sums over many clients.
            pub fn leaks(&self) -> Vec<Leak> {
                self.rounds.computation.leaks()
            }
        }

        impl<T, A: $aggregation<T>> Debug for $process<T, A> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($process))
                    .field("state", &self.rounds.state)
                    .finish_non_exhaustive()
            }
        }
    };
}

common!(Process, Aggregation);
common!(WeightedProcess, WeightedAggregation);

/// The computation of a round, and what the next one starts from.
struct Rounds<S, R, M>
where
    S: Clone + Send + Sync + 'static,
    R: Clone + Send + Sync + 'static,
    M: Clone + Send + Sync + 'static,
{
    before: Value<S, Server>,
    price: Value<Price, Server>,
    computation: Computation<Outputs<S, R, M>>,
    state: ProcessState<S>,
    /// Probability of a client to take part, if it is a matter of chance.
    sampling: Option<f64>,
}

/// Of a [`Step`].
type Outputs<S, R, M> = (Value<Price, Server>, Value<S, Server>, Value<R, Server>, Value<M, Server>);

impl<S, R, M> Rounds<S, R, M>
where
    S: Clone + Send + Sync + 'static,
    R: Clone + Send + Sync + 'static,
    M: Clone + Send + Sync + 'static,
{
    fn new(state: ProcessState<S>, next: impl FnOnce(&Value<S, Server>) -> Step<S, R, M>) -> Self {
        let before = Value::input("state");
        let step = next(&before);
        let price = step.price.clone();
        let computation = Computation::new((step.price, step.state, step.result, step.measurements));
        Self { before, price, computation, state, sampling: None }
    }

    /// The same, with another computation of a round.
    fn rebuilt(self, next: impl FnOnce(&Value<S, Server>) -> Step<S, R, M>) -> Self {
        Self { sampling: self.sampling, ..Self::new(self.state, next) }
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
    ) -> Result<Outcome<R, M>> {
        if self.computation.has(&self.before) {
            inputs = inputs.server(&self.before, self.state.aggregation.clone());
        }
        let mut view = ServerView::default();
        let run = executor.run_with_view(&self.computation, inputs, &self.price, &mut view);
        self.charge(run.is_ok(), &view);
        let run = run?;
        let (_, state, result, measurements) = run.value;
        self.state.aggregation = state;
        Ok(Outcome::new(result, measurements, run.rounds))
    }

    /// Charges for a round.
    ///
    /// A round that failed has released nothing, but the server may have seen its sums, and distributed noise protects from the
    /// server as well. So it is charged once sums were opened. The price is computed before anything that could fail; if
    /// it is missing nevertheless, it is unknown. A round that failed before is free: no sum was opened.
    fn charge(&mut self, succeeded: bool, view: &ServerView) {
        if succeeded || view.opened {
            let terms = Terms { neighbours: self.state.neighbours, sampling: self.sampling };
            let unknown = Price::unknown();
            let price = view.first::<Price>().unwrap_or(&unknown);
            price.charge_under(&mut self.state.accountant, 1, &terms);
        }
    }
}
