//! One round with all parties on this machine: the caller of the roles.
//!
//! The caller of this module supplies the clients one after the other
//! ([`ClientTask`](super::ClientTask)). Each of them
//! turns into values to be summed ([`Contributor`](super::Contributor)). This module knows neither
//! the origin of these values nor the use of the sums.
//!
//! Clients work concurrently, up to the executor's limit. A client's values are in memory only
//! while it works.

use core::cell::OnceCell;
use std::{
    panic::resume_unwind,
    sync::{Arc, Mutex, PoisonError, mpsc::sync_channel},
    thread,
    time::Instant,
};

use chacha20::ChaCha20Rng;
use rayon::ThreadPool;

use super::{
    clear::ClearSums,
    erased::{ErasedExecutor, Settings, no_thread, off_pools},
    queue::{ClientQueue, ClientTasks, Contributor, Failure, QueuedClient, Step, client_of},
    sequencer::{Sequencer, Stop, StopOnPanic},
};
use crate::{
    federated::{
        Channel, Digest, Error, Party, PlacementKind, Result,
        report::{Absence, Phase, Report, ledger::Ledger, progress::Counter},
        round::{
            Aggregator, Client, EncodedUpdate, EncryptionKey, RoundParameters, RoundSpec, SumResult, SumSpec,
            Update, plan::Chunk, server::Decoder,
        },
    },
    wipe::wipe_stack,
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
                        return Err(Error::TooFewClients { minimum, found: 0, absent });
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
        let sums = if self.settings.in_the_clear || spec.plan().chunk_count() == 0 {
            RoundSums::Clear(ClearSums::new(spec.plan().chunks())) // without sums, no keys are needed
        } else {
            RoundSums::Encrypted(self.aggregator(&spec, &ledger)?)
        };
        let ciphertexts = spec.plan().ciphertexts();
        let progress =
            Counter::new(&*self.settings.on_progress, ciphertexts as u64 * (u64::from(clients) + 1));
        progress.skip(absent.len() * ciphertexts);
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
            return Err(Error::TooFewClients { minimum, found: participants, absent });
        }
        if let Some(expected) = spec.sized_for().filter(|expected| participants > *expected) {
            return Err(Error::MoreClientsThanExpected { expected, found: participants });
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
            return Err(Error::TooManyClients { limit, found: clients });
        }
        let one_will_do = !has_sums || self.settings.allow_single_client;
        let default = if one_will_do { 1 } else { DEFAULT_MIN_CLIENTS };
        let minimum = self.settings.min_clients.map_or(default, |minimum| minimum.max(1));
        if clients < minimum {
            return Err(Error::TooFewClients { minimum, found: clients, absent: Vec::new() });
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
        RoundSpec::new(RoundParameters {
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
        })
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

/// The state that the workers of a round share, in addition to the round itself.
struct WorkerState<'e, 'w, 'a> {
    queue: &'e ClientQueue<'e, 'w, 'a>,
    in_order: bool,
    absent: Mutex<Vec<Absence>>,
}

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
        let plan = spec.plan();
        Report {
            backend,
            exponents: (!executor.settings.in_the_clear && plan.chunk_count() > 0)
                .then_some(executor.settings.exponents),
            key_bits: executor.key_bits(),
            session: executor.session(),
            round: spec.round(),
            clients: participants,
            absent,
            values: plan.values() as u64,
            ciphertexts: if executor.settings.in_the_clear { 0 } else { plan.ciphertexts() as u64 },
            chunk_ciphertexts: spec.parameters().chunk_ciphertexts,
            clipped_values: ledger.clipped_values(),
            operations: ledger.operations(),
            elapsed: start.elapsed(),
            phases: ledger.phases(),
            traffic: ledger.traffic(),
            channel_setup_bytes: executor.network.setup_bytes(),
        }
    }

    /// Runs all clients, some of them at the same time.
    fn collect<'a>(&self, shared: &WorkerState<'_, '_, 'a>, first: Option<Present<'a>>) -> Result<()> {
        let stop = Stop::default();
        let failure: Mutex<Option<Error>> = Mutex::new(None);
        // The clients before the first one that takes part are already counted.
        let sequencer = Sequencer::starting_with(first.as_ref().map_or(0, |first| first.client));
        let first = Mutex::new(first);
        let next = || {
            // A separate statement, so that no thread holds this lock while a client works.
            let first = first.lock().unwrap_or_else(PoisonError::into_inner).take();
            Ok::<_, Error>(match first {
                Some(first) => Some((first.client, Ok(first))),
                None => shared.queue.next()?.map(|queued| (queued.client, queued.start(self.ledger))),
            })
        };
        let serve = |thread: &OwnThread| -> Result<bool> {
            let Some((client, present)) = next()? else { return Ok(false) };
            if present.is_err() {
                self.progress.skip(self.spec.plan().ciphertexts());
            }
            let thread = if self.fills_threads(client, shared.queue.clients()) { thread.get() } else { None };
            let contributed = present.and_then(|present| self.contribute(present, thread, &stop));
            if shared.in_order && !sequencer.wait_for(client, &stop) {
                return Ok(false);
            }
            let contributed = contributed.and_then(|done| {
                let sent = done.map_or(Ok(()), Contributor::sent);
                sent.map_err(|error| Failure::at(client, Step::Work, error))
            });
            if let Err(failure) = contributed {
                let absence = self.executor.excuse(failure)?;
                shared.absent.lock().unwrap_or_else(PoisonError::into_inner).push(absence);
            }
            sequencer.pass(client);
            Ok(true)
        };
        let work = || {
            let _stop_others = StopOnPanic { stop: &stop, sequencer: &sequencer };
            let thread = OwnThread::default();
            while !stop.is_set() {
                match serve(&thread) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        stop.set();
                        sequencer.wake();
                        let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
                        // If several clients fail at the same time, the error of the first one
                        // counts.
                        if failure.as_ref().is_none_or(|other| client_of(&error) < client_of(other)) {
                            *failure = Some(error);
                        }
                    }
                }
            }
        };
        let workers = self.executor.concurrent_clients(shared.queue.clients());
        let started = thread::scope(|scope| {
            let mut others = Vec::new();
            // The current thread is one of the workers.
            for _ in 1..workers {
                match thread::Builder::new().spawn_scoped(scope, work) {
                    Ok(other) => others.push(other),
                    Err(error) => {
                        stop.set();
                        sequencer.wake();
                        return Err(no_thread(error));
                    }
                }
            }
            work();
            for other in others {
                other.join().unwrap_or_else(|panic| resume_unwind(panic));
            }
            Ok(())
        });
        started?;
        failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    /// Whether this client belongs to a group of as many clients as there are threads, which all
    /// work at the same time on a processor.
    fn fills_threads(&self, client: u32, clients: u32) -> bool {
        let threads = self.executor.threads();
        let on_processor = !self.sums.backend_name().starts_with("gpu");
        let rows = clients as usize / threads * threads;
        on_processor && self.executor.concurrent_clients(clients) == threads && (client as usize) < rows
    }

    /// One client's part: checks everything, then encrypts and sends chunk by chunk. Returns the
    /// client once everything has arrived, or `None` if another client failed and the round with
    /// it.
    fn contribute<'a>(
        &self,
        present: Present<'a>,
        thread: Option<&ThreadPool>,
        stop: &Stop,
    ) -> Result<Option<Box<dyn Contributor + 'a>>, Failure> {
        let QueuedClient { client, mut data_rng, mut rng, mut key_rng, contributor } = present;
        let at = |step| move |error| Failure::at(client, step, error);
        let plan = self.spec.plan();
        let counted = Counted { progress: &self.progress, total: plan.ciphertexts(), done: 0.into() };
        let all_sent = {
            let updates = contributor.updates().map_err(at(Step::Encoding))?;
            let encode = || EncodedUpdate::new(self.spec, &updates);
            let update = self.ledger.time(Phase::Packing, PlacementKind::Clients, encode);
            let update = update.map_err(at(Step::Encoding))?;
            match &self.sums {
                RoundSums::Clear(sums) => {
                    self.contribute_in_the_clear(sums, &update, &mut data_rng, &counted, stop)
                }
                RoundSums::Encrypted(aggregator) => {
                    let (party, round) = (Party::Client(client), self.spec.round());
                    let key = self.executor.received_key(party, round, self.ledger, &mut key_rng);
                    let key = key.map_err(at(Step::Keys))?;
                    let sending =
                        Sending { round: self, aggregator, client, thread, counted: &counted, stop };
                    sending.send(&key, &update, &mut data_rng, &mut rng)
                }
                RoundSums::Closed => unreachable!("clients contribute only before the round is closed"),
            }
            .map_err(at(Step::Sending))?
        };
        Ok(all_sent.then_some(contributor))
    }

    /// Adds a client's values in the clear. `false` if the round stops before.
    fn contribute_in_the_clear(
        &self,
        sums: &ClearSums,
        update: &EncodedUpdate<'_>,
        data_rng: &mut ChaCha20Rng,
        counted: &Counted<'_>,
        stop: &Stop,
    ) -> Result<bool> {
        // If clients may be absent, a sum contains all of a client or nothing.
        let keep = self.executor.settings.min_clients.is_some();
        let (mut kept, mut clipped) = (Vec::new(), 0);
        for chunk in self.spec.plan().chunks() {
            if stop.is_set() {
                return Ok(false);
            }
            let encode = || update.slots(&chunk, data_rng);
            let (slots, of_chunk) = self.ledger.time(Phase::Packing, PlacementKind::Clients, encode)?;
            clipped += of_chunk;
            if keep {
                kept.push((chunk.index, slots));
            } else {
                sums.add(chunk.index, &slots);
            }
            counted.add(chunk.plaintexts)?;
        }
        for (index, slots) in kept {
            sums.add(index, &slots);
        }
        // Counted only now: a client that is left out has no values in the sum.
        self.ledger.clipped(clipped);
        Ok(true)
    }

    /// Closes the sums at the aggregator and sends them to the server, which opens and decodes
    /// them.
    fn open(&mut self, participants: u32) -> Result<Vec<SumResult>> {
        match core::mem::replace(&mut self.sums, RoundSums::Closed) {
            RoundSums::Clear(sums) => self.open_clear(sums, participants),
            RoundSums::Encrypted(aggregator) => self.open_encrypted(aggregator, participants),
            RoundSums::Closed => unreachable!("a round is opened once"),
        }
    }

    fn open_clear(&self, mut sums: ClearSums, participants: u32) -> Result<Vec<SumResult>> {
        let mut decoder = Decoder::new(self.spec);
        let clients = participants.into();
        for chunk in self.spec.plan().chunks() {
            let slots = sums.finish(chunk.index);
            let decode = || decoder.decode(&chunk, slots, clients);
            self.ledger.time(Phase::Unpacking, PlacementKind::Server, decode)?;
            self.progress.add(Phase::Decryption, chunk.plaintexts)?;
        }
        decoder.finish(clients)
    }

    fn open_encrypted(&self, aggregator: Aggregator, participants: u32) -> Result<Vec<SumResult>> {
        let Self { executor, spec, ledger, .. } = self;
        let mut sum = aggregator.close()?.for_server()?;
        let counted = sum.participants();
        if counted.len() != participants as usize {
            let (expected, found) = (participants.into(), counted.len() as u64);
            return Err(Error::Contributions { expected, found });
        }
        let mut opening = executor.opening(spec, ledger)?;
        let mut rng = executor.stream();
        // A separate thread makes small messages, so that they do not wait for the threads that
        // decrypt.
        let is_small =
            spec.plan().chunk_count() > 1 && spec.parameters().chunk_ciphertexts as usize <= SUMMED_ALONE;
        // It borrows the generator: the closure of a new thread is moved, and freed without being
        // wiped.
        let mut message = |chunk: &Chunk, own: &OwnThread| {
            let at = PlacementKind::Aggregator;
            let finish = || sum.finish(chunk.index as u64);
            let finish = || match is_small.then(|| own.get()).flatten() {
                Some(thread) => Ok(thread.install(finish)),
                None => executor.on_pool(finish),
            };
            let message = ledger.time(Phase::Aggregation, at, finish)??;
            let channel = executor.network.channel(at, PlacementKind::Server)?;
            let seal = || sum.seal(chunk.index, &message, &**channel, &mut rng);
            let wire = ledger.time(Phase::Transfer, at, seal)?;
            let ends = (at, PlacementKind::Server);
            ledger.message(ends, channel.name(), chunk.plaintexts, message.len(), wire.len());
            Ok((wire, chunk.plaintexts))
        };
        // The aggregator makes a message while the server opens the previous one. Both begin only
        // after all clients are counted. Otherwise the server could open one sum before a client
        // drops out and another one without it; their difference is the client's values.
        let (sender, receiver) = sync_channel(0);
        thread::scope(|scope| {
            let chunks = spec.plan().chunks();
            let make = move || {
                let own = OwnThread::default();
                for chunk in chunks {
                    let message: Result<_> = message(&chunk, &own);
                    let is_last = message.is_err();
                    if sender.send(message).is_err() || is_last {
                        break;
                    }
                }
            };
            thread::Builder::new().spawn_scoped(scope, make).map_err(no_thread)?;
            for message in receiver {
                let (wire, plaintexts) = message?;
                opening.open(&wire)?;
                self.progress.add(Phase::Decryption, plaintexts)?;
            }
            Ok::<_, Error>(())
        })?;
        // The server relies on the aggregator for the set of clients. The simulation can compare it
        // with its own count.
        let result = opening.finish()?;
        if result.participants == counted { Ok(result.sums) } else { Err(Error::Participants) }
    }
}

/// One client's encrypted contribution, while it is sent to the aggregator.
struct Sending<'a> {
    round: &'a RunningRound<'a>,
    aggregator: &'a Aggregator,
    client: u32,
    /// A thread only for this client's batches, unless they share the executor's threads.
    thread: Option<&'a ThreadPool>,
    counted: &'a Counted<'a>,
    stop: &'a Stop,
}

impl Sending<'_> {
    /// Sends a whole update. `false` if the round stops before.
    fn send(
        &self,
        key: &EncryptionKey,
        update: &EncodedUpdate<'_>,
        data_rng: &mut ChaCha20Rng,
        rng: &mut ChaCha20Rng,
    ) -> Result<bool> {
        let Self { round: RunningRound { executor, ledger, spec, .. }, aggregator, client, .. } = *self;
        let at = PlacementKind::Clients;
        let channel = executor.network.channel(at, PlacementKind::Aggregator)?;
        let sender = Client::new(client, spec, key, Arc::clone(channel))?;
        let mut clipped = 0;
        for chunk in spec.plan().chunks() {
            if self.stop.is_set() {
                return Ok(false);
            }
            let pack = || {
                let (slots, of_chunk) = update.slots(&chunk, data_rng)?;
                clipped += of_chunk;
                Ok::<_, Error>(sender.pack(&chunk, &slots))
            };
            let packed = ledger.time(Phase::Packing, at, pack)?;
            let encrypt = || self.batch(|| sender.encrypt(packed, rng));
            let contribution = ledger.time(Phase::Encryption, at, encrypt)??;
            ledger.encrypted(chunk.plaintexts);
            let wire = ledger.time(Phase::Transfer, at, || sender.seal(&chunk, &contribution, rng))?;
            let ends = (at, PlacementKind::Aggregator);
            ledger.message(ends, channel.name(), chunk.plaintexts, contribution.len(), wire.len());
            drop(contribution);
            self.deliver(&wire, &**channel)?;
            self.counted.add(chunk.plaintexts)?;
        }
        let commit = || self.sum(|| aggregator.commit(client));
        ledger.time(Phase::Aggregation, PlacementKind::Aggregator, commit)??;
        ledger.added(spec.plan().ciphertexts());
        // Counted only now: a client that is left out has no values in the sum.
        ledger.clipped(clipped);
        Ok(true)
    }

    /// Delivers a message to the aggregator.
    fn deliver(&self, wire: &[u8], channel: &dyn Channel) -> Result<()> {
        let Self { round: RunningRound { ledger, .. }, aggregator, client, .. } = *self;
        let at = PlacementKind::Aggregator;
        let (number, contribution) = ledger.time(Phase::Transfer, at, || aggregator.open(client, wire))?;
        let id = channel.message_id(wire);
        let keep = || {
            let contribution = aggregator.read(number, &contribution)?;
            aggregator.keep(client, number, id, contribution)
        };
        ledger.time(Phase::Aggregation, at, || self.sum(keep))??;
        Ok(())
    }
}

impl Sending<'_> {
    /// Runs batch work for this client, and waits.
    fn batch<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        match self.thread {
            Some(thread) => Ok(thread.install(work)),
            None => self.round.executor.on_pool(work),
        }
    }

    /// Runs the aggregator's work on threads of the pool if there is enough of it. The calling
    /// thread sums small chunks: many clients work at a time, and sharing such small work costs
    /// more than it gains.
    fn sum<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let chunk = self.round.spec.parameters().chunk_ciphertexts as usize;
        if self.thread.is_none() && chunk <= SUMMED_ALONE { Ok(work()) } else { self.batch(work) }
    }
}

/// A thread for the batches of consecutive clients, made when it is first needed.
///
/// If as many clients work at a time as there are threads, it is faster to run each on its own
/// thread than all of them on all threads: they share nothing and do not wait.
#[derive(Default)]
struct OwnThread(OnceCell<Option<ThreadPool>>);

impl OwnThread {
    /// The thread, or `None` if the system cannot start one.
    fn get(&self) -> Option<&ThreadPool> {
        let start = || {
            // The pool's own structures copy parts of this stack into their padding.
            wipe_stack();
            rayon::ThreadPoolBuilder::new().num_threads(1).build().ok()
        };
        self.0.get_or_init(start).as_ref()
    }
}

/// Maximum number of ciphertexts in a chunk that one thread sums.
const SUMMED_ALONE: usize = 1024;

/// Counts a client's ciphertexts. If the client stops early, the rest is counted as done.
struct Counted<'a> {
    progress: &'a Counter<'a>,
    total: usize,
    done: core::cell::Cell<usize>,
}

impl Counted<'_> {
    fn add(&self, ciphertexts: usize) -> Result<()> {
        self.done.set(self.done.get() + ciphertexts);
        self.progress.add(Phase::Aggregation, ciphertexts)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.progress.skip(self.total - self.done.get());
        }
    }
}
