//! Executors: each answer is computed under encryption and in the clear, and both must be equal.

use core::fmt::Debug;
use std::sync::OnceLock;

use cipherfold::{
    federated::{
        At, Clients, Error, LocalExecutor, LocalExecutorBuilder, Result as CrateResult, Server,
        computation::{Computation, Inputs, Outputs, Value},
    },
    paillier::hazmat::InsecureBits512,
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::{refusal::Stop, value::Tree};

/// An executor with a short key, for tests only.
pub type Executor = LocalExecutor<InsecureBits512>;

/// Two executors.
pub struct Parties {
    encrypted: Executor,
    clear: Executor,
}

impl Parties {
    /// Shared executors without a stated number of clients.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Parties> = OnceLock::new();
        SHARED.get_or_init(|| Self::of(None).expect("the defaults are possible"))
    }

    /// New executors for a stated number of clients. They draw the same random numbers.
    pub fn of(clients: Option<u32>) -> CrateResult<Self> {
        Self::build(clients, |builder| builder)
    }

    /// The same with further settings.
    pub fn build(
        clients: Option<u32>,
        settings: impl Fn(LocalExecutorBuilder<InsecureBits512>) -> LocalExecutorBuilder<InsecureBits512>,
    ) -> CrateResult<Self> {
        let builder = || {
            let rng = ChaCha20Rng::seed_from_u64(42);
            let builder = Executor::builder().allow_single_client().show_client_errors().threads(2).rng(rng);
            settings(match clients {
                Some(clients) => builder.clients(clients),
                None => builder,
            })
        };
        Ok(Self { encrypted: builder().build()?, clear: builder().in_the_clear().build()? })
    }

    /// The common answer of the executors to a task.
    pub fn agree<T: PartialEq + Debug>(&self, task: impl Fn(&Executor) -> CrateResult<T>) -> Result<T, Stop> {
        let [encrypted, clear] = [&self.encrypted, &self.clear].map(|executor| {
            // The report of a failed round has times, which differ.
            task(executor).map_err(|error| match error {
                Error::RoundFailed { source, .. } => *source,
                error => error,
            })
        });
        if encrypted != clear {
            return Err(Stop::Failed(format!("{encrypted:?} under encryption, {clear:?} in the clear")));
        }
        Ok(encrypted?)
    }

    /// The result of a computation.
    pub fn run<O: Outputs<Output: PartialEq + Debug>>(
        &self,
        outputs: O,
        inputs: impl Fn() -> Inputs<'static>,
    ) -> Result<O::Output, Stop> {
        let computation = Computation::new(outputs);
        self.agree(|executor| Ok(executor.run(&computation, inputs())?.value))
    }

    /// The clients' results of a computation.
    pub fn at_clients<T: Clone + PartialEq + Debug + Send + Sync + 'static>(
        &self,
        output: Value<T, Clients>,
        inputs: impl Fn() -> Inputs<'static>,
    ) -> Result<Vec<T>, Stop> {
        let computation = Computation::new(output);
        self.agree(|executor| {
            let present = executor.run(&computation, inputs())?.value.into_iter().flatten();
            Ok(executor.run_at(|here: &At<Clients>| present.map(|value| value.into_inner(here)).collect()))
        })
    }

    /// The server's result of a function of the clients' values.
    pub fn combine<T, R>(
        &self,
        clients: &[T],
        function: impl FnOnce(&Value<T, Clients>) -> Value<R, Server>,
    ) -> Result<R, Stop>
    where
        T: Clone + Send + Sync + 'static,
        R: Clone + PartialEq + Debug + Send + Sync + 'static,
    {
        let values = Value::<T, Clients>::input("values");
        self.run(function(&values), || Inputs::new().clients(&values, clients.to_vec()))
    }

    /// The clients' results of a function of their values.
    pub fn map<T: Clone + Send + Sync + 'static>(
        &self,
        clients: &[T],
        function: impl FnOnce(&Value<T, Clients>) -> Value<Tree, Clients>,
    ) -> Result<Vec<Tree>, Stop> {
        let values = Value::<T, Clients>::input("values");
        self.at_clients(function(&values), || Inputs::new().clients(&values, clients.to_vec()))
    }
}
