//! Executors: each answer is computed under encryption and in the clear, and both must be equal.

use core::fmt::Debug;
use std::sync::OnceLock;

use cipherfold::{
    federated::{
        Error, LocalExecutor, LocalExecutorBuilder, Result,
        computation::{Computation, Inputs, Outputs},
    },
    paillier::{Bits2048, KeySize, hazmat::InsecureBits512},
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

/// Two executors, or three.
pub(crate) struct Parties {
    encrypted: LocalExecutor<InsecureBits512>,
    clear: LocalExecutor<InsecureBits512>,
    /// With a key of a realistic size.
    large: Option<LocalExecutor<Bits2048>>,
}

/// The settings of the executors.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) clients: Option<u32>,
    pub(crate) max_fanout: Option<usize>,
    pub(crate) max_concurrent_clients: Option<usize>,
    /// Whether to encrypt under a large key, too.
    pub(crate) large: bool,
}

/// A task for every executor.
pub(crate) trait Task {
    type Output: PartialEq + Debug;
    fn run<S: KeySize>(&self, executor: &LocalExecutor<S>) -> Result<Self::Output>;
}

impl Settings {
    fn builder<S: KeySize>(self) -> LocalExecutorBuilder<S> {
        let mut builder = LocalExecutor::builder()
            .allow_single_client()
            .show_client_errors()
            .threads(2)
            .rng(ChaCha20Rng::seed_from_u64(SEED));
        if let Some(clients) = self.clients {
            builder = builder.clients(clients);
        }
        if let Some(fanout) = self.max_fanout {
            builder = builder.max_fanout(fanout);
        }
        if let Some(clients) = self.max_concurrent_clients {
            builder = builder.max_concurrent_clients(clients);
        }
        builder
    }

    pub(crate) fn build(self) -> Result<Parties> {
        Ok(Parties {
            encrypted: self.builder().build()?,
            clear: self.builder().in_the_clear().build()?,
            large: if self.large { Some(self.builder().build()?) } else { None },
        })
    }
}

impl Parties {
    /// Shared executors without a stated number of clients.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Parties> = OnceLock::new();
        SHARED.get_or_init(|| Settings::default().build().expect("the defaults are possible"))
    }

    /// The common answer of all executors, or an error if they disagree.
    pub(crate) fn agree<T: Task>(&self, task: &T) -> Result<Result<T::Output>, String> {
        let encrypted = without_report(task.run(&self.encrypted));
        let mut others = vec![("in the clear", without_report(task.run(&self.clear)))];
        if let Some(large) = &self.large {
            others.push(("under 2048 bits", without_report(task.run(large))));
        }
        match others.into_iter().find(|(_, other)| *other != encrypted) {
            None => Ok(encrypted),
            Some((how, other)) => Err(format!("{encrypted:?} under encryption, {other:?} {how}")),
        }
    }

    /// The result of a computation.
    pub(crate) fn run<O: Outputs<Output: PartialEq + Debug>>(
        &self,
        outputs: O,
        inputs: impl Fn() -> Inputs<'static>,
    ) -> Result<Result<O::Output>, String> {
        self.agree(&Run { computation: Computation::new(outputs), inputs })
    }
}

struct Run<O: Outputs, I> {
    computation: Computation<O>,
    inputs: I,
}

impl<O: Outputs<Output: PartialEq + Debug>, I: Fn() -> Inputs<'static>> Task for Run<O, I> {
    type Output = O::Output;

    fn run<S: KeySize>(&self, executor: &LocalExecutor<S>) -> Result<O::Output> {
        Ok(executor.run(&self.computation, (self.inputs)())?.value)
    }
}

const SEED: u64 = 42;

/// The answer without the report of a failed round, which has times.
fn without_report<T>(answer: Result<T>) -> Result<T> {
    answer.map_err(|error| match error {
        Error::RoundFailed { source, .. } => *source,
        error => error,
    })
}
