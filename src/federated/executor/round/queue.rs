//! The queue of clients that have not begun to work.

use core::iter::Fuse;
use std::sync::{Mutex, PoisonError};

use chacha20::ChaCha20Rng;

use crate::federated::{
    Error, PlacementKind, Result,
    executor::erased::ErasedExecutor,
    report::{AbsenceReason, Phase, ledger::Ledger},
    round::{self, Update},
    tensor,
};

/// A client before it begins to work. The queue yields them in the clients' order.
pub(in crate::federated) trait ClientTask<'a>: Send {
    /// Does the client's own work. `None` if it has dropped out. The generator belongs to the
    /// client, and is the same with and without encryption.
    fn start(
        self: Box<Self>,
        client: u32,
        rng: &mut ChaCha20Rng,
    ) -> Result<Option<Box<dyn Contributor + 'a>>>;
}

/// A client with values to contribute.
pub(in crate::federated) trait Contributor: Send + Sync {
    /// Its updates, one for each secure sum of the round, in a fixed order.
    fn updates(&self) -> Result<Vec<Update<'_>>>;

    /// Called once everything has arrived; in the clients' order if the round requires it.
    fn sent(self: Box<Self>) -> Result<()>;
}

/// Clients in their order.
pub(in crate::federated) type ClientTasks<'w, 'a> =
    Box<dyn Iterator<Item = Box<dyn ClientTask<'a> + 'a>> + Send + 'w>;

/// Yields clients, one after the other, to any number of threads.
pub(super) struct ClientQueue<'e, 'w, 'a> {
    executor: &'e ErasedExecutor,
    ledger: &'e Ledger,
    /// The expected number of clients.
    clients: u32,
    /// The iterator, which threads may call after its end, and the number of clients that it has
    /// yielded.
    state: Mutex<(Fuse<ClientTasks<'w, 'a>>, u32)>,
}

/// A client that the queue has yielded.
pub(super) struct QueuedClient<W> {
    pub(super) client: u32,
    /// For the client's own data: rounding, noise, training. On the heap, like the other two, so
    /// that a move leaves no copy of the state behind.
    pub(super) data_rng: Box<ChaCha20Rng>,
    /// For its encryption and its boxes.
    pub(super) rng: Box<ChaCha20Rng>,
    /// For the key owner's messages to this client.
    pub(super) key_rng: Box<ChaCha20Rng>,
    pub(super) contributor: W,
}

impl<'e, 'w, 'a> ClientQueue<'e, 'w, 'a> {
    pub(super) fn new(
        executor: &'e ErasedExecutor,
        ledger: &'e Ledger,
        clients: u32,
        work: ClientTasks<'w, 'a>,
    ) -> Self {
        Self { executor, ledger, clients, state: Mutex::new((work.fuse(), 0)) }
    }

    /// The expected number of clients.
    pub(super) fn clients(&self) -> u32 {
        self.clients
    }

    pub(super) fn next(&self) -> Result<Option<QueuedClient<Box<dyn ClientTask<'a> + 'a>>>> {
        // One lock for all: streams are drawn in the clients' order, whichever thread asks.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let next = self.ledger.time(Phase::Input, PlacementKind::Clients, || state.0.next());
        let Some(contributor) = next else {
            return Ok(None);
        };
        let client = state.1;
        if client == self.clients {
            let found = u64::from(client) + 1;
            return Err(Error::ClientCount { stated: self.clients.into(), found });
        }
        state.1 += 1;
        let (rng, key_rng) = (Box::new(self.executor.stream()), Box::new(self.executor.stream()));
        let data_rng = Box::new(self.executor.data_stream());
        Ok(Some(QueuedClient { client, data_rng, rng, key_rng, contributor }))
    }

    /// Refuses an iterator that ended early.
    pub(super) fn check_asked(&self) -> Result<()> {
        let asked = self.state.lock().unwrap_or_else(PoisonError::into_inner).1;
        if asked == self.clients {
            Ok(())
        } else {
            Err(Error::ClientCount { stated: self.clients.into(), found: asked.into() })
        }
    }
}

impl<'a> QueuedClient<Box<dyn ClientTask<'a> + 'a>> {
    /// Runs the client's own work. Fails if the client has dropped out.
    pub(super) fn start(self, ledger: &Ledger) -> Result<QueuedClient<Box<dyn Contributor + 'a>>, Failure> {
        let Self { client, mut data_rng, rng, key_rng, contributor } = self;
        let start = || contributor.start(client, &mut data_rng);
        let contributor = ledger
            .time(Phase::Input, PlacementKind::Clients, start)
            .and_then(|contributor| contributor.ok_or(Error::DroppedOut))
            .map_err(|error| Failure::at(client, Step::Work, error))?;
        Ok(QueuedClient { client, data_rng, rng, key_rng, contributor })
    }
}

/// The step of a client at which a failure occurred.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// Its own work.
    Work,
    /// Fitting its update to the declared round.
    Encoding,
    /// Receiving the session's keys.
    Keys,
    /// Sending its messages.
    Sending,
}

impl Step {
    /// The part of an error at this step that other parties may learn.
    pub(super) fn reason(self, error: &Error) -> AbsenceReason {
        match (self, error) {
            (Self::Work, Error::DroppedOut) => AbsenceReason::DroppedOut,
            (Self::Work, Error::NotAsDeclared { .. }) => AbsenceReason::Structure,
            (Self::Work, _) => AbsenceReason::Failed,
            (Self::Encoding, Error::Tensor(tensor::Error::Tensor { tensor, .. })) => {
                AbsenceReason::Value { tensor: *tensor }
            }
            (
                Self::Encoding,
                Error::Round(round::Error::WeightTooLarge { .. } | round::Error::WeightExpected { .. }),
            ) => AbsenceReason::Weight,
            (Self::Encoding, _) => AbsenceReason::Structure,
            (Self::Keys, _) => AbsenceReason::Keys,
            (Self::Sending, _) => AbsenceReason::Message,
        }
    }
}

/// The failure of a client or of the round.
#[derive(Debug)]
pub(super) enum Failure {
    /// A failure of this client, which the round may tolerate.
    Client { client: u32, reason: AbsenceReason, source: Error },
    /// A failure that ends the round.
    Round(Error),
}

impl Failure {
    /// A failure at a client's step.
    pub(super) fn at(client: u32, step: Step, source: Error) -> Self {
        match source {
            // Not a failure of the client, or already attributed.
            Error::Cancelled | Error::Client { .. } => Self::Round(source),
            source => Self::Client { client, reason: step.reason(&source), source },
        }
    }
}

/// The client to which an error belongs; errors without a client come last.
pub(super) fn client_of(error: &Error) -> u32 {
    if let Error::Client { client, .. } = error { *client } else { u32::MAX }
}
