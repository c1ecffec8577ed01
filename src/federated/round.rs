//! One round of the protocol: clients contribute to all its secure sums, the aggregator adds, the server gets the totals.
//!
//! What the clients' values are, where they come from and what becomes of the sums is the caller's affair: it hands in the
//! clients one after the other ([`Work`]), each of which turns into values to be summed ([`Contributor`]). Clients work
//! concurrently, as many as the executor allows; each one's values are in memory while it works, and no longer.

mod aggregator;
mod clear;
mod client;
mod opening;
pub(super) mod plan;
pub(super) mod server;
pub(super) mod session;

pub use session::KeyHolding;

use core::iter::Fuse;
use std::{
    panic::resume_unwind,
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Instant,
};

use chacha20::ChaCha20Rng;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{
    Aggregator, At, Clients, LocalExecutor, Message, Party, Placed, Placement, PlacementKind, Server,
    channel::message::{Contribution, EncryptedSum},
    channel::network::Way,
    executor::{Settings, no_thread, off_pools},
    report::ledger::Ledger,
    report::progress::Counter,
    report::{Absence, Phase, Report},
    round::aggregator::Sums,
    round::clear::ClearSums,
    round::client::Member,
    round::plan::{Chunk, Group, Plan},
    round::server::{Decoder, GroupSum},
};
use crate::{Error, Result, paillier::KeySize};

/// A client before it has done anything. Handed out in the clients' order.
pub(super) trait Work<'a>: Send {
    /// The client's own work. `None` if it has dropped out. The generator is the client's own, and is the same with and
    /// without encryption.
    fn start(
        self: Box<Self>,
        client: u32,
        rng: &mut ChaCha20Rng,
    ) -> Result<Option<Box<dyn Contributor + 'a>>>;
}

/// A client that has values to contribute.
pub(super) trait Contributor: Send + Sync {
    /// What it contributes to each secure sum of the round, in a fixed order.
    fn groups(&self) -> Result<Vec<Group<'_>>>;

    /// Called once everything has arrived. Clients come in order if the roster says so.
    fn sent(self: Box<Self>) -> Result<()>;
}

/// The clients of a round.
pub(super) struct Roster<'w, 'a> {
    /// How many are asked.
    pub(super) clients: u32,
    /// Whether [`Contributor::sent`] is to be called in the clients' order.
    pub(super) in_order: bool,
    pub(super) work: Queue<'w, 'a>,
}

/// Clients that wait for their turn.
pub(super) type Queue<'w, 'a> = Box<dyn Iterator<Item = Box<dyn Work<'a> + 'a>> + Send + 'w>;

/// What came of a round.
#[derive(Debug)]
pub(super) struct RoundOutcome {
    /// One for each secure sum.
    pub(super) sums: Vec<GroupSum>,
    pub(super) report: Report,
}

impl<S: KeySize> LocalExecutor<S> {
    /// Runs a round.
    pub(super) fn round(&self, roster: Roster<'_, '_>) -> Result<RoundOutcome> {
        // Once for all batches of the round.
        off_pools(|| self.round_off_pools(roster))?
    }

    fn round_off_pools(&self, roster: Roster<'_, '_>) -> Result<RoundOutcome> {
        let number = self.next_round();
        #[cfg(feature = "tracing")]
        let _span = tracing::info_span!("round", session = %self.session.id, round = number, clients = roster.clients)
            .entered();
        let start = Instant::now();
        let ledger = Ledger::default();
        let limit = self.settings.max_clients.unwrap_or(roster.clients);
        if roster.clients > limit {
            return Err(Error::TooManyClients { limit, found: roster.clients });
        }
        let minimum = self.settings.min_clients.map_or(1, |minimum| minimum.max(1));
        if roster.clients < minimum {
            return Err(Error::TooFewClients { minimum, found: roster.clients, absent: Vec::new() });
        }
        if !self.settings.in_the_clear {
            self.network.check(&self.ways())?;
            self.network.prepare(&mut self.stream());
        }

        let entrance = Entrance {
            executor: self,
            ledger: &ledger,
            clients: roster.clients,
            work: Mutex::new((roster.work.fuse(), 0)),
        };
        let mut absent = Vec::new();
        // The first client that takes part shows what tensors there are.
        let first = loop {
            let Some(entrant) = entrance.next()? else {
                entrance.check_asked()?;
                return Err(Error::TooFewClients { minimum, found: 0, absent });
            };
            match entrant.start(&ledger).and_then(Entrant::present) {
                Ok(entrant) => break entrant,
                Err(error) => absent.push(self.excuse(error)?),
            }
        };
        let groups = first.contributor.groups()?;
        let Settings { chunk_ciphertexts, .. } = self.settings;
        let plan = Plan::new(&groups, limit, S::BITS - 1, chunk_ciphertexts)?;
        let decoders = Decoder::tensors(&groups)?;
        drop(groups);

        let sums = if self.settings.in_the_clear {
            RoundSums::Clear(ClearSums::new(plan.chunks()))
        } else if plan.groups().is_empty() {
            RoundSums::Clear(ClearSums::new(&[])) // nothing to be encrypted, no keys needed
        } else {
            RoundSums::Encrypted(Sums::new(&self.aggregator_key(number, &ledger, &At::new())?, plan.chunks()))
        };
        let progress = Counter::new(
            &*self.settings.on_progress,
            plan.ciphertexts() as u64 * (u64::from(roster.clients) + 1),
        );
        progress.skip(absent.len() * plan.ciphertexts());
        let round = Round { executor: self, plan: &plan, sums, progress, ledger: &ledger, number };
        // The simulation's own account of the clients it has asked.
        let doorway = Doorway { entrance: &entrance, in_order: roster.in_order, absent: Mutex::new(absent) };
        round.collect(&doorway, first)?;
        entrance.check_asked()?;
        let mut absent = doorway.absent.into_inner().unwrap_or_else(PoisonError::into_inner);
        absent.sort_by_key(|absence| absence.client);
        let participants = roster.clients - u32::try_from(absent.len()).expect("no more than were asked");
        if participants < minimum {
            return Err(Error::TooFewClients { minimum, found: participants, absent });
        }
        plan.check_clients(participants)?;

        let mut decoder = Decoder::new(&plan, decoders, participants.into());
        let opened = round.open_all(&mut decoder);
        let report = round.report(participants, absent, start);
        if let Err(error) = opened {
            return Err(report.failed(error));
        }
        #[cfg(feature = "tracing")]
        tracing::info!(
            participants,
            absent = report.absent.len(),
            values = report.values,
            ciphertexts = report.ciphertexts,
            additions = report.operations.additions,
            "the round is over"
        );
        Ok(RoundOutcome { sums: decoder.finish(), report })
    }

    /// Why a client does not take part; an error if that ends the round.
    fn excuse(&self, error: Error) -> Result<Absence> {
        match error {
            Error::Client { client, source } if self.settings.min_clients.is_some() => {
                let reason = (*source != Error::DroppedOut).then_some(*source);
                #[cfg(feature = "tracing")]
                tracing::warn!(client, ?reason, "a client does not take part");
                Ok(Absence { client, reason })
            }
            error => Err(error),
        }
    }
}

/// Where clients come in, one after the other.
struct Entrance<'e, 'w, 'a, S: KeySize> {
    executor: &'e LocalExecutor<S>,
    ledger: &'e Ledger,
    /// How many are expected.
    clients: u32,
    /// The iterator, which any number of threads may ask after its end, and how many it has yielded.
    work: Mutex<(Fuse<Queue<'w, 'a>>, u32)>,
}

/// A client on its way.
struct Entrant<W> {
    client: u32,
    /// For the client's own data: rounding, noise, training. Boxed, as the others are, so that a move leaves no copy of
    /// the state behind unwiped.
    data_rng: Box<ChaCha20Rng>,
    /// For its encryption and its boxes.
    rng: Box<ChaCha20Rng>,
    /// The key holder's, for what it sends to this client.
    key_rng: Box<ChaCha20Rng>,
    contributor: W,
}

impl<'a, S: KeySize> Entrance<'_, '_, 'a, S> {
    fn next(&self) -> Result<Option<Entrant<Box<dyn Work<'a> + 'a>>>> {
        // One lock for all: streams are drawn in the clients' order, whatever thread asks.
        let mut state = self.work.lock().unwrap_or_else(PoisonError::into_inner);
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
        let executor = self.executor;
        let (rng, key_rng) = (Box::new(executor.stream()), Box::new(executor.stream()));
        let data_rng = Box::new(executor.data_stream());
        Ok(Some(Entrant { client, data_rng, rng, key_rng, contributor }))
    }

    /// Refuses an iterator that has ended early.
    fn check_asked(&self) -> Result<()> {
        let asked = self.work.lock().unwrap_or_else(PoisonError::into_inner).1;
        if asked == self.clients {
            Ok(())
        } else {
            Err(Error::ClientCount { stated: self.clients.into(), found: asked.into() })
        }
    }
}

impl<'a> Entrant<Box<dyn Work<'a> + 'a>> {
    /// Has the client do its own work.
    fn start(self, ledger: &Ledger) -> Result<Entrant<Option<Box<dyn Contributor + 'a>>>> {
        let Self { client, mut data_rng, rng, key_rng, contributor } = self;
        let start = || contributor.start(client, &mut data_rng);
        let contributor = ledger
            .time(Phase::Input, PlacementKind::Clients, start)
            .map_err(|error| at_client(client, error))?;
        Ok(Entrant { client, data_rng, rng, key_rng, contributor })
    }
}

impl<C> Entrant<Option<C>> {
    /// The client, if it has not dropped out.
    fn present(self) -> Result<Entrant<C>> {
        let Self { client, data_rng, rng, key_rng, contributor } = self;
        let contributor = contributor.ok_or_else(|| at_client(client, Error::DroppedOut))?;
        Ok(Entrant { client, data_rng, rng, key_rng, contributor })
    }
}

fn at_client(client: u32, source: Error) -> Error {
    match source {
        // Not the client's doing, or already said.
        Error::Cancelled | Error::Client { .. } => source,
        source => Error::Client { client, source: Box::new(source) },
    }
}

/// The client that an error is about; errors about none come last.
fn client_of(error: &Error) -> u32 {
    if let Error::Client { client, .. } = error { *client } else { u32::MAX }
}

/// What the workers of a round share beside the round itself.
struct Doorway<'e, 'w, 'a, S: KeySize> {
    entrance: &'e Entrance<'e, 'w, 'a, S>,
    in_order: bool,
    absent: Mutex<Vec<Absence>>,
}

/// What the parties of a round share.
pub(super) struct Round<'a, S: KeySize> {
    pub(super) executor: &'a LocalExecutor<S>,
    pub(super) ledger: &'a Ledger,
    pub(super) number: u64,
    plan: &'a Plan,
    sums: RoundSums<S>,
    progress: Counter<'a>,
}

/// The sums of a round, at the aggregator, or nowhere in particular.
enum RoundSums<S: KeySize> {
    Encrypted(Sums<S>),
    Clear(ClearSums),
}

impl<S: KeySize> RoundSums<S> {
    fn backend_name(&self) -> &'static str {
        match self {
            Self::Encrypted(sums) => sums.backend_name(),
            Self::Clear(_) => "in the clear",
        }
    }
}

/// A client's part of a chunk, as it has arrived.
enum Part<S: KeySize> {
    Encrypted(Placed<Contribution<S>, Aggregator>),
    Clear(Zeroizing<Vec<u64>>),
}

type Present<'a> = Entrant<Box<dyn Contributor + 'a>>;

impl<S: KeySize> Round<'_, S> {
    /// What was done up to now, with these clients.
    fn report(&self, participants: u32, absent: Vec<Absence>, start: Instant) -> Report {
        let Self { executor, plan, ledger, .. } = self;
        Report {
            backend: self.sums.backend_name(),
            key_bits: S::BITS,
            session: executor.session.id,
            round: self.number,
            clients: participants,
            absent,
            values: plan.values() as u64,
            ciphertexts: if executor.settings.in_the_clear { 0 } else { plan.ciphertexts() as u64 },
            clipped_values: ledger.clipped_values(),
            operations: ledger.operations(),
            elapsed: start.elapsed(),
            phases: ledger.phases(),
            traffic: ledger.traffic(),
            channel_setup_bytes: executor.network.setup_bytes(),
        }
    }

    /// Has all clients contribute, some of them at a time.
    fn collect<'a>(&self, doorway: &Doorway<'_, '_, 'a, S>, first: Present<'a>) -> Result<()> {
        let stop = Stop::default();
        let failure: Mutex<Option<Error>> = Mutex::new(None);
        // Clients before the first that takes part have had their turn.
        let turns = Turns::starting_with(first.client);
        let first = Mutex::new(Some(first));
        let next = || {
            // A statement of its own, so that nobody holds this lock while a client does its work.
            let first = first.lock().unwrap_or_else(PoisonError::into_inner).take();
            Ok::<_, Error>(match first {
                Some(first) => Some((first.client, Ok(first))),
                None => doorway.entrance.next()?.map(|entrant| {
                    let client = entrant.client;
                    (client, entrant.start(self.ledger).and_then(Entrant::present))
                }),
            })
        };
        let serve = || -> Result<bool> {
            let Some((client, entrant)) = next()? else { return Ok(false) };
            if entrant.is_err() {
                self.progress.skip(self.plan.ciphertexts());
            }
            let contributed = entrant.and_then(|entrant| {
                self.contribute(entrant, &stop).map_err(|error| at_client(client, error))
            });
            if doorway.in_order && !turns.wait_for(client, &stop) {
                return Ok(false);
            }
            let contributed = contributed
                .and_then(|done| done.map_or(Ok(()), |done| done.sent().map_err(|e| at_client(client, e))));
            if let Err(error) = contributed {
                let absence = self.executor.excuse(error)?;
                doorway.absent.lock().unwrap_or_else(PoisonError::into_inner).push(absence);
            }
            turns.pass(client);
            Ok(true)
        };
        let work = || {
            let _stop_others = StopOnPanic { stop: &stop, turns: &turns };
            while !stop.is_set() {
                match serve() {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        stop.set();
                        turns.wake();
                        let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
                        // The first client's error, if several fail at the same time.
                        if failure.as_ref().is_none_or(|other| client_of(&error) < client_of(other)) {
                            *failure = Some(error);
                        }
                    }
                }
            }
        };
        let workers = self.executor.concurrent_clients(doorway.entrance.clients);
        let started = thread::scope(|scope| {
            let mut others = Vec::new();
            // This thread is one of them.
            for _ in 1..workers {
                match thread::Builder::new().spawn_scoped(scope, work) {
                    Ok(other) => others.push(other),
                    Err(error) => {
                        stop.set();
                        turns.wake();
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

    /// One client's part: check everything, then encrypt and send chunk by chunk. Gives the client back once all has
    /// arrived, or `None` if another one failed, and the round with it.
    ///
    /// Where clients may drop out, the aggregator keeps what has come until all of it has, so that a sum holds all of a
    /// client or nothing.
    fn contribute<'a>(&self, entrant: Present<'a>, stop: &Stop) -> Result<Option<Box<dyn Contributor + 'a>>> {
        let Entrant { client, mut data_rng, mut rng, mut key_rng, contributor } = entrant;
        let keep = self.executor.settings.min_clients.is_some();
        let counted = Counted { progress: &self.progress, total: self.plan.ciphertexts(), done: 0.into() };
        {
            let groups = contributor.groups()?;
            let member = self
                .ledger
                .time(Phase::Packing, PlacementKind::Clients, || Member::new(self.plan, groups))?;
            let mut kept = Vec::new();
            let mut clipped = 0;
            for (i, chunk) in self.plan.chunks().iter().enumerate() {
                if stop.is_set() {
                    return Ok(None);
                }
                let encode = || member.slots(chunk, &mut data_rng);
                let (slots, of_chunk) = self.ledger.time(Phase::Packing, PlacementKind::Clients, encode)?;
                clipped += of_chunk;
                let part = match &self.sums {
                    RoundSums::Clear(_) => Part::Clear(slots),
                    RoundSums::Encrypted(_) => {
                        Part::Encrypted(self.send((client, chunk), &slots, &mut rng, &mut key_rng)?)
                    }
                };
                if keep {
                    self.check(chunk, &part)?;
                    kept.push(part);
                } else {
                    self.add(i, part)?;
                }
                counted.add(chunk.plaintexts)?;
            }
            for (i, part) in kept.into_iter().enumerate() {
                self.add(i, part)?;
            }
            // Not before: a client that is left out has no values in the sum.
            self.ledger.clipped(clipped);
        }
        Ok(Some(contributor))
    }

    /// Encrypts a client's values and sends them to the aggregator.
    fn send(
        &self,
        (client, chunk): (u32, &Chunk),
        slots: &[u64],
        rng: &mut ChaCha20Rng,
        key_rng: &mut ChaCha20Rng,
    ) -> Result<Placed<Contribution<S>, Aggregator>> {
        let here = At::<Clients>::new();
        let encryptor = self.executor.client_encryptor(client, self.number, self.ledger, key_rng, &here)?;
        let contribution = self
            .executor
            .on_pool(|| client::encrypt(slots, chunk, &encryptor, self.ledger, rng, &here))??;
        self.transfer(contribution, Party::Client(client), Party::Aggregator, rng)
    }

    /// Refuses a client's part that could not be added, before any other part of the client is.
    fn check(&self, chunk: &Chunk, part: &Part<S>) -> Result<()> {
        if let (RoundSums::Encrypted(sums), Part::Encrypted(contribution)) = (&self.sums, part) {
            self.ledger.time(Phase::Aggregation, PlacementKind::Aggregator, || {
                sums.check(chunk, contribution, &At::new())
            })?;
        }
        Ok(())
    }

    /// Adds a client's part to the sum of a chunk.
    fn add(&self, chunk: usize, part: Part<S>) -> Result<()> {
        match (&self.sums, part) {
            (RoundSums::Clear(sums), Part::Clear(slots)) => sums.add(chunk, &slots),
            (RoundSums::Encrypted(sums), Part::Encrypted(contribution)) => {
                self.ledger.time(Phase::Aggregation, PlacementKind::Aggregator, || {
                    sums.add(self.executor, chunk, contribution, &At::new())
                })?;
                self.ledger.added(self.plan.chunks()[chunk].plaintexts);
            }
            _ => unreachable!("all parts of a round are encrypted, or none"),
        }
        Ok(())
    }

    /// The aggregator ends the sums and sends them to the server, which opens and decodes them.
    fn open_all(&self, decoder: &mut Decoder<'_>) -> Result<()> {
        let (at_aggregator, at_server) = (At::<Aggregator>::new(), At::<Server>::new());
        let mut aggregator_rng = self.executor.stream();
        for (i, chunk) in self.plan.chunks().iter().enumerate() {
            let slots = match &self.sums {
                RoundSums::Clear(sums) => {
                    let (contributions, slots) = sums.finish(i);
                    decoder.check(contributions)?;
                    slots
                }
                RoundSums::Encrypted(sums) => {
                    let finish = || sums.finish(self.executor, i, &at_aggregator);
                    let sum = self.ledger.time(Phase::Aggregation, PlacementKind::Aggregator, finish)?;
                    let sum: Placed<EncryptedSum<S>, Server> =
                        self.transfer(sum, Party::Aggregator, Party::Server, &mut aggregator_rng)?;
                    // Before it is opened.
                    decoder.check(sum.get(&at_server).contributions)?;
                    self.open(chunk, sum, &at_server)?
                }
            };
            self.ledger.time(Phase::Unpacking, PlacementKind::Server, || decoder.decode(chunk, &slots))?;
            self.progress.add(Phase::Decryption, chunk.plaintexts)?;
        }
        Ok(())
    }

    pub(super) fn transfer<M: Message, A: Placement, B: Placement>(
        &self,
        message: Placed<M, A>,
        from: Party,
        to: Party,
        rng: &mut dyn CryptoRng,
    ) -> Result<Placed<M, B>> {
        let way = Way { session: self.executor.session(), round: self.number, from, to };
        self.executor.network.transfer(message, way, self.ledger, rng)
    }
}

/// Counts a client's ciphertexts; if it stops before all are done, the rest counts as done too.
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

/// Whether the workers of a round are to stop.
#[derive(Default)]
struct Stop(AtomicBool);

impl Stop {
    fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Whose turn it is, where clients come in order.
///
/// Clients are handed out in order, and each one that was handed out comes here in the end, so that the one whose turn it
/// is never waits for another.
struct Turns {
    next: Mutex<u32>,
    moved: Condvar,
}

impl Turns {
    fn starting_with(client: u32) -> Self {
        Self { next: Mutex::new(client), moved: Condvar::new() }
    }

    /// Waits for the client's turn. `false` if the round stops before.
    fn wait_for(&self, client: u32, stop: &Stop) -> bool {
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = |next: &mut u32| *next < client && !stop.is_set();
        drop(self.moved.wait_while(next, waiting).unwrap_or_else(PoisonError::into_inner));
        !stop.is_set()
    }

    fn pass(&self, client: u32) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        *next = (*next).max(client + 1);
        self.moved.notify_all();
    }

    /// Has those who wait look again whether the round stops.
    fn wake(&self) {
        drop(self.next.lock());
        self.moved.notify_all();
    }
}

/// Has the other workers stop if this one panics, as a caller's iterator or callback may.
struct StopOnPanic<'a> {
    stop: &'a Stop,
    turns: &'a Turns,
}

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.stop.set();
            self.turns.wake();
        }
    }
}
