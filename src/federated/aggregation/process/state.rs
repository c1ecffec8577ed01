//! The state of a process: that of its aggregation, and the account of its rounds.

use serde::{Deserialize, Serialize};

use crate::{
    federated::aggregation::{
        error::{Error, Result},
        neighbours::Neighbours,
    },
    privacy::Accountant,
};

/// State of a [`Process`](super::Process) or a [`WeightedProcess`](super::WeightedProcess).
///
/// It is plain data: it can be stored with serde and [resumed](super::Process::resume), so that an
/// account survives a restart.
///
/// ```
/// use cipherfold::federated::{LocalExecutor, aggregation::{Process, ProcessState, Schedule, SecureClippingSum}};
/// use cipherfold::paillier::Bits2048;
///
/// let growing = || SecureClippingSum::adaptive(Schedule::new(|round| 1.0 + round as f64));
/// let executor = LocalExecutor::<Bits2048>::builder().build()?;
/// let mut process = Process::new(growing());
/// let _ = process.run(&executor, [0.5_f32, 1.5])?;
///
/// let stored = serde_json::to_string(process.state()).expect("plain data");
/// let state: ProcessState<u64> = serde_json::from_str(&stored).expect("what was written");
/// assert_eq!(state.aggregation, 1); // the number of finished rounds
/// let mut resumed = Process::resume(growing(), state);
/// assert!((resumed.run(&executor, [0.5_f32, 1.5])?.value - 2.0).abs() < 1e-6);
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProcessState<S> {
    /// State of the aggregation.
    pub aggregation: S,
    /// The account of all rounds so far.
    pub accountant: Accountant,
    /// The neighbour relation of the account.
    pub neighbours: Neighbours,
}

impl<S> ProcessState<S> {
    /// The state before the first round.
    pub(super) fn new(aggregation: S) -> Self {
        Self { aggregation, accountant: Accountant::new(), neighbours: Neighbours::default() }
    }

    /// Changes the relation, unless the account already has rounds under another one.
    pub(super) fn set_neighbours(&mut self, neighbours: Neighbours) -> Result<()> {
        if neighbours != self.neighbours && self.accountant != Accountant::new() {
            return Err(Error::RoundsAccounted);
        }
        self.neighbours = neighbours;
        Ok(())
    }
}
