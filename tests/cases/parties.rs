//! Executors: each answer is computed under encryption and in the clear, and both must be equal.

use core::fmt::Debug;
use std::sync::OnceLock;

use cipherfold::{
    federated::{
        At, Clients, Error, LocalExecutor, LocalExecutorBuilder, Result as CrateResult,
        computation::{Computation, Inputs, Outputs, Value},
    },
    paillier::{Bits2048, KeySize, hazmat::InsecureBits512},
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::{refusal::Stop, value::Tree};

/// An executor with a short key, for tests only.
pub type Executor = LocalExecutor<InsecureBits512>;

/// Two executors, or three.
pub struct Parties {
    encrypted: Executor,
    clear: Executor,
    /// With a key of a realistic size.
    large: Option<LocalExecutor<Bits2048>>,
}

/// The settings of the executors.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    pub clients: Option<u32>,
    pub max_fanout: Option<u32>,
    pub max_concurrent_clients: Option<u32>,
    /// Whether to run computations under a large key, too.
    pub large: bool,
}

impl Settings {
    fn builder<S: KeySize>(self) -> LocalExecutorBuilder<S> {
        let rng = ChaCha20Rng::seed_from_u64(42);
        let mut builder =
            LocalExecutor::builder().allow_single_client().show_client_errors().threads(2).rng(rng);
        if let Some(clients) = self.clients {
            builder = builder.clients(clients);
        }
        if let Some(fanout) = self.max_fanout {
            builder = builder.max_fanout(fanout as usize);
        }
        if let Some(clients) = self.max_concurrent_clients {
            builder = builder.max_concurrent_clients(clients as usize);
        }
        builder
    }

    pub fn build(self) -> CrateResult<Parties> {
        Ok(Parties {
            encrypted: self.builder().build()?,
            clear: self.builder().in_the_clear().build()?,
            large: if self.large { Some(self.builder().build()?) } else { None },
        })
    }
}

impl Parties {
    /// Shared executors without a stated number of clients.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Parties> = OnceLock::new();
        SHARED.get_or_init(|| Settings::default().build().expect("the defaults are possible"))
    }

    /// New executors for a stated number of clients. They draw the same random numbers.
    pub fn of(clients: Option<u32>) -> CrateResult<Self> {
        Settings { clients, ..Settings::default() }.build()
    }

    /// The common answer of the executors to a task.
    pub fn agree<T: PartialEq + Debug>(&self, task: impl Fn(&Executor) -> CrateResult<T>) -> Result<T, Stop> {
        self.agree_with(None, task)
    }

    /// The result of a computation, also under a large key if there is one.
    pub fn run<O: Outputs<Output: PartialEq + Debug>>(
        &self,
        outputs: O,
        inputs: impl Fn() -> Inputs<'static>,
    ) -> Result<O::Output, Stop> {
        let computation = Computation::new(outputs);
        let large = self.large.as_ref().map(|executor| Ok(executor.run(&computation, inputs())?.value));
        self.agree_with(large, |executor| Ok(executor.run(&computation, inputs())?.value))
    }

    /// The clients' results of a computation.
    pub fn at_clients(
        &self,
        output: Value<Tree, Clients>,
        inputs: impl Fn() -> Inputs<'static>,
    ) -> Result<Vec<Tree>, Stop> {
        let computation = Computation::new(output);
        self.agree(|executor| {
            let present = executor.run(&computation, inputs())?.value.into_iter().flatten();
            Ok(executor.run_at(|here: &At<Clients>| present.map(|value| value.into_inner(here)).collect()))
        })
    }

    fn agree_with<T: PartialEq + Debug>(
        &self,
        large: Option<CrateResult<T>>,
        task: impl Fn(&Executor) -> CrateResult<T>,
    ) -> Result<T, Stop> {
        let encrypted = without_report(task(&self.encrypted));
        for (how, other) in [("in the clear", Some(task(&self.clear))), ("under 2048 bits", large)] {
            if let Some(other) = other.map(without_report)
                && other != encrypted
            {
                return Err(Stop::Failed(format!("{encrypted:?} under encryption, {other:?} {how}")));
            }
        }
        Ok(encrypted?)
    }
}

/// The answer without the report of a failed round, which has times.
fn without_report<T>(answer: CrateResult<T>) -> CrateResult<T> {
    answer.map_err(|error| match error {
        Error::RoundFailed { source, .. } => *source,
        error => error,
    })
}
