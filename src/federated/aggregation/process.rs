//! Processes: run an aggregation round by round, keep its state, and account for its rounds.

use core::fmt::{self, Debug};

mod round;
mod state;

pub use self::state::ProcessState;

use self::round::Rounds;
use super::{
    factory::{AggregationFactory, WeightedAggregationFactory},
    neighbours::Neighbours,
};
use crate::{
    federated::{
        Clients, IntoInput, LocalExecutor, Outcome, Result, aggregation,
        computation::{self, Inputs, Leak, Value},
        tensor::{self, Structure, TensorType, Tensors},
    },
    paillier::KeySize,
    privacy::{self, Gaussian},
};

/// An [`AggregationFactory`] of values of type `T`, with its state.
///
/// The computation of a round is built once, and every [`run`](Self::run) is a round. If a run
/// fails, the aggregation's state does not change.
///
/// ```
/// use cipherfold::federated::{LocalExecutor, aggregation::{Process, Schedule, SecureClippingSum}};
/// use cipherfold::paillier::Bits2048;
///
/// let executor = LocalExecutor::<Bits2048>::builder().build()?;
/// let growing = || SecureClippingSum::adaptive(Schedule::new(|round| 1.0 + round as f64));
/// let mut process = Process::<f32, _>::new(growing()).secure_only()?;
/// let clients = [-2.5, -0.5, 0.0, 1.0, 1.5, 3.5];
/// assert!((process.run(&executor, clients)?.value - 1.5).abs() < 1e-6);
///
/// // A state can be stored and resumed elsewhere. (`serde_json` reads floats exactly only with
/// // its feature `float_roundtrip`.)
/// let stored = serde_json::to_string(process.state()).expect("plain data");
/// let state = serde_json::from_str(&stored).expect("what was written");
/// let mut process = Process::<f32, _>::resume(growing(), state);
/// let round = process.run(&executor, clients)?;
/// assert!((round.value - 2.0).abs() < 1e-6);
/// assert_eq!(round.measurements.secure_upper_threshold, 2.0);
/// // These results are exact, so they have no finite ε.
/// assert_eq!(process.epsilon(1e-5)?, f64::INFINITY);
/// # Ok::<(), cipherfold::Error>(())
/// ```
///
/// If clients may drop out, items are `Option`s, and the type of values must be stated, as above.
///
/// A process over tensors whose type does not fix their structure needs a
/// [declaration](Self::declared) or an [example](Self::like):
///
/// ```
/// use cipherfold::federated::aggregation::{Clipping, Fixed, Process, SecureClippingSum};
/// use ndarray::Array1;
///
/// let clipping = || -> cipherfold::Result<_> { Ok(Clipping::new(Fixed::new(2.0)?, SecureClippingSum::floats_up_to(2.0)?)) };
/// assert!(Process::<Array1<f32>, _>::new(clipping()?).secure_only().is_err());
/// let process = Process::<Array1<f32>, _>::new(clipping()?).like(&Array1::<f32>::zeros(1000))?.secure_only()?;
/// # Ok::<(), cipherfold::Error>(())
/// ```
pub struct Process<T, A: AggregationFactory<T>> {
    rounds: Rounds<A::State, A::Result, A::Measurements>,
    values: Value<T, Clients>,
    aggregation: A,
}

impl<T, A> Process<T, A>
where
    T: Send + Sync + 'static,
    A: AggregationFactory<T>,
{
    /// A process before its first round.
    pub fn new(aggregation: A) -> Self {
        let state = ProcessState::new(aggregation.initialize());
        Self::resume(aggregation, state)
    }

    /// A process that continues from the state of another process with the same aggregation.
    pub fn resume(aggregation: A, state: ProcessState<A::State>) -> Self {
        let values = Value::input("values");
        let rounds = Rounds::new(state, |state| aggregation.next(state, &values));
        Self { rounds, values, aggregation }
    }

    /// The same process over declared values. Replaces an earlier declaration.
    fn of(self, declared: &Value<T, Clients>) -> Self {
        let aggregation = &self.aggregation;
        let rounds = self.rounds.rebuilt(|state| aggregation.next(state, declared));
        Self { rounds, ..self }
    }

    /// Runs a round over clients with these values.
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

/// A [`WeightedAggregationFactory`] of values of type `T`, with its state.
///
/// Like a [`Process`], but every client has a weight.
///
/// ```
/// use cipherfold::federated::{LocalExecutor, aggregation::{Mean, MeanSums, SecureClippingSum, WeightedProcess}};
/// use cipherfold::paillier::Bits2048;
///
/// let executor = LocalExecutor::<Bits2048>::builder().build()?;
/// let mean = Mean::new(MeanSums { values: SecureClippingSum::floats_up_to(100.0)?, weights: SecureClippingSum::floats(0.0, 10.0)? });
/// let mut process = WeightedProcess::new(mean);
/// let round = process.run(&executor, [1.0_f32, 2.0, 3.0], [6.0, 3.0, 1.0])?;
/// assert!((round.value - 1.5).abs() < 1e-6);
/// # Ok::<(), cipherfold::Error>(())
/// ```
pub struct WeightedProcess<T, A: WeightedAggregationFactory<T>> {
    rounds: Rounds<A::State, A::Result, A::Measurements>,
    values: Value<T, Clients>,
    weights: Value<f64, Clients>,
    aggregation: A,
}

impl<T, A> WeightedProcess<T, A>
where
    T: Send + Sync + 'static,
    A: WeightedAggregationFactory<T>,
{
    /// A process before its first round.
    pub fn new(aggregation: A) -> Self {
        let state = ProcessState::new(aggregation.initialize());
        Self::resume(aggregation, state)
    }

    /// A process that continues from the state of another process with the same aggregation.
    pub fn resume(aggregation: A, state: ProcessState<A::State>) -> Self {
        let (values, weights) = (Value::input("values"), Value::input("weights"));
        let rounds = Rounds::new(state, |state| aggregation.next(state, &values, &weights));
        Self { rounds, values, weights, aggregation }
    }

    /// The same process over declared values. Replaces an earlier declaration.
    fn of(self, declared: &Value<T, Clients>) -> Self {
        let (aggregation, weights) = (&self.aggregation, &self.weights);
        let rounds = self.rounds.rebuilt(|state| aggregation.next(state, declared, weights));
        Self { rounds, ..self }
    }

    /// Runs a round over clients with these values and weights.
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

/// The methods of both kinds of processes.
macro_rules! common {
    ($process:ident, $aggregation:ident) => {
        impl<T, A> $process<T, A>
        where
            T: Send + Sync + 'static,
            A: $aggregation<T>,
        {
            /// States the structure of the clients' values: names, nesting, element types and
            /// shapes. It holds for all secure sums of a round whose structure follows from that of
            /// the values. See [`Value::declare`].
            ///
            /// A client whose value has another structure [is
            /// refused](crate::federated::report::AbsenceReason::Structure). An earlier declaration is
            /// replaced. Declare the structure again for a resumed process.
            #[must_use = "the process with the declaration is returned"]
            pub fn declared(self, structure: Structure<TensorType>) -> Self
            where
                T: Tensors,
            {
                let declared = self.values.declare(structure);
                self.of(&declared)
            }

            /// States the structure of the clients' values by an example. Its numbers and element
            /// type do not matter.
            ///
            /// # Errors
            ///
            /// [`tensor::Error::StructureDepth`](crate::federated::tensor::Error::StructureDepth).
            pub fn like<M: Tensors + ?Sized>(self, template: &M) -> Result<Self, tensor::Error>
            where
                T: Tensors,
            {
                let declared = self.values.declare_like(template)?;
                Ok(self.of(&declared))
            }

            /// This process, if its computation shows the server only secure sums of declared
            /// structures.
            ///
            /// # Errors
            ///
            /// [`computation::Error::Leaks`](crate::federated::computation::Error::Leaks).
            pub fn secure_only(self) -> Result<Self, computation::Error> {
                Ok(Self { rounds: self.rounds.secure_only()?, ..self })
            }

            /// Accounts under a relation other than [`Neighbours::ZeroedOut`].
            ///
            /// # Errors
            ///
            /// [`aggregation::Error::RoundsAccounted`](crate::federated::aggregation::Error::RoundsAccounted)
            /// if the account already has rounds under another relation.
            pub fn neighbours(mut self, neighbours: Neighbours) -> Result<Self, aggregation::Error> {
                self.rounds.state.set_neighbours(neighbours)?;
                Ok(self)
            }

            /// Accounts for random participation: each client takes part in a round with this
            /// probability, independently of other clients and rounds (Poisson sampling). The
            /// caller must choose the clients in this way. Set the probability again for a resumed
            /// process.
            ///
            /// Random participation helps only against parties that learn neither which clients
            /// take part nor how many. The server and the aggregator learn this, and so does
            /// everyone who sees a report. It does not reduce the charge in these cases: results
            /// show the number of participants ([`UnweightedMean`](super::UnweightedMean), a
            /// [`Quantile`](super::Quantile) without an [expected
            /// number](super::Quantile::out_of)); clients add the noise
            /// ([`DistributedDpSum`](super::DistributedDpSum)); the relation is
            /// [`Neighbours::Replaced`].
            ///
            /// # Errors
            ///
            /// [`privacy::Error::Parameter`](crate::privacy::Error::Parameter) unless the
            /// probability is above 0 and at most 1.
            pub fn sampled(mut self, probability: f64) -> Result<Self, privacy::Error> {
                self.rounds.sampling = Some(Gaussian::new(1.0)?.sampled(probability)?.sampling());
                Ok(self)
            }

            /// The state from which the next round starts, with the account of the rounds so far.
            pub fn state(&self) -> &ProcessState<A::State> {
                &self.rounds.state
            }

            /// The ε for which the releases of all rounds together are (ε, δ)-differentially
            /// private. Infinite if there is no guarantee. See [the module](super#privacy) for its
            /// scope.
            ///
            /// # Errors
            ///
            /// Those of [`Accountant::epsilon`](crate::privacy::Accountant::epsilon).
            pub fn epsilon(&self, delta: f64) -> Result<f64, privacy::Error> {
                self.rounds.state.accountant.epsilon(delta)
            }

            /// The δ for which the releases of all rounds together are (ε, δ)-differentially
            /// private. At most 1.
            ///
            /// # Errors
            ///
            /// Those of [`Accountant::delta`](crate::privacy::Accountant::delta).
            pub fn delta(&self, epsilon: f64) -> Result<f64, privacy::Error> {
                self.rounds.state.accountant.delta(epsilon)
            }

            /// The operations of a round that show the server more of the clients' values or
            /// weights than sums over many clients.
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

common!(Process, AggregationFactory);
common!(WeightedProcess, WeightedAggregationFactory);
