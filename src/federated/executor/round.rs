//! One round with all parties on this machine: the caller of the roles.
//!
//! The caller of this module supplies the clients one after the other
//! ([`ClientTask`]). Each of them turns into values to be summed ([`Contributor`]). This module
//! knows neither the origin of these values nor the use of the sums.
//!
//! Clients work concurrently, up to the executor's limit. A client's values are in memory only
//! while it works.

mod clear;
mod close;
mod collect;
mod contribute;
mod opening;
mod own_thread;
mod queue;
mod sequencer;

pub(in crate::federated) use self::queue::{ClientTask, Contributor};

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use self::{
    clear::ClearSums,
    collect::WorkerState,
    queue::{ClientQueue, ClientTasks, Failure, QueuedClient},
};
use super::erased::{ErasedExecutor, Settings, off_pools};
use crate::federated::{
    Digest, Error, Party, PlacementKind, Result,
    report::{Absence, Report, ledger::Ledger, progress::Counter},
    round::{self, Aggregator, RoundParameters, RoundSpec, SumResult, SumSpec, Update},
};

/// A requested round.
pub(in crate::federated) struct RoundRequest<'w, 'a> {
    /// The number of clients that are asked.
    pub(in crate::federated) clients: u32,
    /// Whether [`Contributor::sent`] must be called in the clients' order.
    pub(in crate::federated) in_order: bool,
    /// The secure sums.
    pub(in crate::federated) sums: SumDeclaration<'w>,
    pub(in crate::federated) work: ClientTasks<'w, 'a>,
}

/// The declaration of a round's secure sums.
pub(in crate::federated) enum SumDeclaration<'w> {
    /// Known before any client works.
    Known(Vec<SumSpec>),
    /// Derived from the updates of the first client that takes part. This is a convenience of the
    /// simulation, whose caller owns all updates. The function returns the sums for the structures
    /// of these updates.
    LikeTheFirst(FromFirst<'w>),
}

/// Declares sums for updates like these.
pub(in crate::federated) type FromFirst<'w> =
    Box<dyn FnOnce(&[Update<'_>]) -> Result<Vec<SumSpec>> + Send + 'w>;

/// The outcome of a round.
#[derive(Debug)]
pub(in crate::federated) struct ReportedSums {
    /// One result for each secure sum.
    pub(in crate::federated) sums: Vec<SumResult>,
    pub(in crate::federated) report: Report,
}

impl ErasedExecutor {
    /// Runs a round.
    pub(in crate::federated) fn round(&self, request: RoundRequest<'_, '_>) -> Result<ReportedSums> {
        // Entered once, for all batches of the round.
        off_pools(|| self.round_off_pools(request))?
    }

    fn round_off_pools(&self, request: RoundRequest<'_, '_>) -> Result<ReportedSums> {
        let RoundRequest { clients, in_order, sums, work } = request;
        let number = self.next_round();
        #[cfg(feature = "tracing")]
        let _span =
            tracing::info_span!("round", session = %self.session(), round = number, clients).entered();
        let start = Instant::now();
        let ledger = Ledger::default();
        let has_sums = !matches!(&sums, SumDeclaration::Known(sums) if sums.is_empty());
        let minimum = self.check_clients(clients, has_sums)?;
        if !self.settings.in_the_clear {
            self.check_channels()?;
            self.network.prepare(&mut self.stream());
        }

        let queue = ClientQueue::new(self, &ledger, clients, work);
        let mut absent = Vec::new();
        let mut first = None;
        let sums = match sums {
            SumDeclaration::Known(sums) => sums,
            SumDeclaration::LikeTheFirst(declare) => {
                let present = loop {
                    let Some(queued) = queue.next()? else {
                        queue.check_asked()?;
                        return Err(round::Error::TooFewClients { minimum, found: 0, absent }.into());
                    };
                    match queued.start(&ledger) {
                        Ok(present) => break present,
                        Err(error) => absent.push(self.excuse(error)?),
                    }
                };
                let sums = declare(&present.contributor.updates()?)?;
                first = Some(present);
                sums
            }
        };
        let spec = self.declare(number, clients, sums, &ledger)?;
        let sums = if self.settings.in_the_clear || spec.chunking().chunk_count() == 0 {
            RoundSums::Clear(ClearSums::new(spec.chunking().chunks())) // without sums, no keys are needed
        } else {
            RoundSums::Encrypted(self.aggregator(&spec, &ledger)?)
        };
        let ciphertexts = spec.chunking().ciphertexts() as u64;
        let progress = Counter::new(&*self.settings.on_progress, ciphertexts * (u64::from(clients) + 1));
        progress.skip(absent.len() as u64 * ciphertexts);
        let mut round = RunningRound { executor: self, spec: &spec, sums, progress, ledger: &ledger };
        // The simulation's own record of the clients that it has asked.
        let shared = WorkerState { queue: &queue, in_order, absent: Mutex::new(absent) };
        round.collect(&shared, first)?;
        queue.check_asked()?;
        let mut absent = shared.absent.into_inner().unwrap_or_else(PoisonError::into_inner);
        absent.sort_by_key(|absence| absence.client);
        let participants =
            clients - u32::try_from(absent.len()).expect("at most the asked clients are absent");
        if participants < minimum {
            return Err(round::Error::TooFewClients { minimum, found: participants, absent }.into());
        }
        if let Some(expected) = spec.sized_for().filter(|expected| participants > *expected) {
            return Err(round::Error::MoreClientsThanExpected { expected, found: participants }.into());
        }

        let backend = round.sums.backend_name();
        let opened = round.open(participants);
        let report = round.report(backend, participants, absent, start);
        let sums = match opened {
            Ok(sums) => sums,
            Err(error) => return Err(Error::of_round(report, error)),
        };
        #[cfg(feature = "tracing")]
        tracing::info!(
            participants,
            absent = report.absent.len(),
            values = report.values,
            ciphertexts = report.ciphertexts,
            additions = report.operations.additions,
            "the round is over"
        );
        Ok(ReportedSums { sums, report })
    }

    /// The minimum number of clients, if the number of asked clients reaches it.
    fn check_clients(&self, clients: u32, has_sums: bool) -> Result<u32> {
        let limit = self.settings.max_clients.unwrap_or(clients);
        if clients > limit {
            return Err(round::Error::TooManyClients { limit, found: clients }.into());
        }
        let one_will_do = !has_sums || self.settings.allow_single_client;
        let default = if one_will_do { 1 } else { DEFAULT_MIN_CLIENTS };
        let minimum = self.settings.min_clients.map_or(default, |minimum| minimum.max(1));
        if clients < minimum {
            return Err(round::Error::TooFewClients { minimum, found: clients, absent: Vec::new() }.into());
        }
        Ok(minimum)
    }

    /// Declares a round of these sums.
    fn declare(&self, round: u64, clients: u32, sums: Vec<SumSpec>, ledger: &Ledger) -> Result<RoundSpec> {
        let Settings { chunk_ciphertexts, min_clients, max_clients, .. } = self.settings;
        let offer = if self.settings.in_the_clear || sums.is_empty() {
            Digest::NONE
        } else {
            self.keys(ledger)?.encryption_key().digest()
        };
        let spec = RoundSpec::new(RoundParameters {
            session: self.session(),
            round,
            key_bits: self.key_bits(),
            key_holding: self.settings.key_holding,
            offer,
            sums,
            max_clients: max_clients.unwrap_or(clients),
            // If no client may be absent, the minimum is the number of asked clients.
            min_clients: min_clients.map_or(clients, |minimum| minimum.max(1)),
            chunk_ciphertexts: u32::try_from(chunk_ciphertexts).unwrap_or(u32::MAX),
        })?;
        Ok(spec)
    }

    /// The aggregator of a round, with the public key that it has received.
    fn aggregator(&self, spec: &RoundSpec, ledger: &Ledger) -> Result<Aggregator> {
        let key = self.received_key(Party::Aggregator, spec.round(), ledger, &mut self.stream())?;
        let channel = self.network.channel(PlacementKind::Clients, PlacementKind::Aggregator)?;
        let aggregator = Aggregator::new(spec, &key, Arc::clone(channel))?;
        let all_required = self.settings.min_clients.is_none();
        Ok(if all_required { aggregator.adding_at_once() } else { aggregator })
    }

    /// The record of a client that does not take part, or an error if that ends the round.
    fn excuse(&self, failure: Failure) -> Result<Absence> {
        let (client, reason, source) = match failure {
            Failure::Client { client, reason, source } => (client, reason, source),
            Failure::Round(error) => return Err(error),
        };
        let shown = self.settings.show_client_errors;
        if self.settings.min_clients.is_some() {
            #[cfg(feature = "tracing")]
            tracing::warn!(client, %reason, "a client does not take part");
            let details = (shown && source != Error::DroppedOut).then(|| source.to_string());
            return Ok(Absence { client, reason, details });
        }
        let source = if shown || source == Error::DroppedOut { source } else { Error::Absent { reason } };
        Err(Error::Client { client, source: Box::new(source) })
    }
}

/// The default minimum. A sum over one client is that client's update, so only a setting allows it.
const DEFAULT_MIN_CLIENTS: u32 = 2;

/// The state that the parties of a round share.
struct RunningRound<'a> {
    executor: &'a ErasedExecutor,
    ledger: &'a Ledger,
    spec: &'a RoundSpec,
    sums: RoundSums,
    progress: Counter<'a>,
}

/// The sums of a round, at the aggregator, or in the clear.
enum RoundSums {
    Encrypted(Aggregator),
    Clear(ClearSums),
    /// Moved out, to be opened.
    Closed,
}

impl RoundSums {
    fn backend_name(&self) -> &'static str {
        match self {
            Self::Encrypted(aggregator) => aggregator.backend_name(),
            Self::Clear(_) | Self::Closed => "in the clear",
        }
    }
}

type Present<'a> = QueuedClient<Box<dyn Contributor + 'a>>;

impl RunningRound<'_> {
    /// The report so far, with these clients.
    fn report(
        &self,
        backend: &'static str,
        participants: u32,
        absent: Vec<Absence>,
        start: Instant,
    ) -> Report {
        let Self { executor, spec, ledger, .. } = self;
        let chunking = spec.chunking();
        Report {
            backend,
            exponents: (!executor.settings.in_the_clear && chunking.chunk_count() > 0)
                .then_some(executor.settings.exponents),
            key_bits: executor.key_bits(),
            session: executor.session(),
            round: spec.round(),
            clients: participants,
            absent,
            values: chunking.values() as u64,
            ciphertexts: if executor.settings.in_the_clear { 0 } else { chunking.ciphertexts() as u64 },
            chunk_ciphertexts: spec.parameters().chunk_ciphertexts,
            clipped_values: ledger.clipped_values(),
            operations: ledger.operations(),
            elapsed: start.elapsed(),
            phases: ledger.phases(),
            traffic: ledger.traffic(),
            channel_setup_bytes: executor.network.setup_bytes(),
        }
    }
}
