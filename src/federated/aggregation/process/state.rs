//! The state of a process: that of its aggregation, and the account of its rounds.

use serde::{Deserialize, Serialize};

use crate::{
    federated::{Error, Result, aggregation::neighbours::Neighbours},
    privacy::Accountant,
};

/// State of a [`Process`](super::Process) or a [`WeightedProcess`](super::WeightedProcess).
///
/// It is plain data: it can be stored with serde and [resumed](super::Process::resume), so that an
/// account survives a restart.
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
