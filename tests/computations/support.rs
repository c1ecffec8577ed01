//! Functions that the tests share.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use cipherfold::{
    federated::{
        Clients, LocalExecutor, LocalExecutorBuilder, Placed,
        computation::{Computation, Inputs, Outputs},
    },
    paillier::hazmat::InsecureBits512,
};

pub(crate) type Executor = LocalExecutor<InsecureBits512>;

pub(crate) fn builder() -> LocalExecutorBuilder<InsecureBits512> {
    Executor::builder().threads(2).show_client_errors()
}

/// The result of a computation on its own executor.
pub(crate) fn run<O: Outputs>(outputs: O, inputs: Inputs<'_>) -> O::Output {
    builder().min_clients(1).build().unwrap().run(&Computation::new(outputs), inputs).unwrap().value
}

/// Outputs at the clients, opened there.
pub(crate) fn opened<T>(executor: &Executor, outputs: Vec<Option<Placed<T, Clients>>>) -> Vec<Option<T>> {
    executor.run_at(|here| outputs.into_iter().map(|x| x.map(|x| x.into_inner(here))).collect())
}

/// A counter. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Count(Arc<AtomicUsize>);

impl Count {
    pub(crate) fn up(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst)
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}
