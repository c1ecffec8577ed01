//! Secure sums and means: one round of the protocol.

use core::{iter::Fuse, ops::ControlFlow};
use std::{
    panic::resume_unwind,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use rand_chacha::ChaCha20Rng;
use rand_core::CryptoRng;

use super::{
    Aggregator, At, Clients, Codec, IntoUpdate, LocalExecutor, Party, PerTensor, Placed, Server, Tensors,
    aggregator::Sums,
    client::Member,
    column::{assembler, columns},
    executor::Settings,
    message::{Contribution, EncryptedSum},
    network::Meter,
    plan::Plan,
    report::{Clock, Phase, Progress, Report},
    server::Decoder,
};
use crate::{
    Error, Result,
    packing::{IntegerRange, Quantizer},
    paillier::{Encryptor, KeySize},
};

/// The type of the elements of what a client yields.
type Element<C> = <<C as IntoUpdate>::Update as Tensors>::Scalar;

/// A client's structure, with what a codec gives as elements.
type Decoded<C, By> = <<C as IntoUpdate>::Update as Tensors>::With<<By as Codec<Element<C>>>::Output>;

/// What a run gives: its result, at the server, and a report on how it came about.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Outcome<T> {
    /// The sum or mean.
    pub value: T,
    /// What the run did.
    pub report: Report,
}

impl<S: KeySize> LocalExecutor<S> {
    /// The sum over all clients of their integers, which nobody sees one by one.
    ///
    /// Every client's values must lie in `ranges` (one [`IntegerRange`] for all tensors, or one for each: see [`PerTensor`]); the narrower
    /// the range, the more values share a ciphertext. Sums are exact, in a type wide enough: `i64` for `i8` to `i32`,
    /// `u64` for `u8` to `u32`, `i128` and `u128` for `i64` and `u64`.
    ///
    /// `clients` yields the updates, one for each client. They are taken one at a time as clients begin to work, so that
    /// a lazy iterator keeps few of them in memory.
    ///
    /// ```
    /// use cipherfold::{federated::LocalExecutor, packing::IntegerRange, paillier::Bits2048};
    /// use ndarray::{arr0, array};
    ///
    /// let executor = LocalExecutor::<Bits2048>::builder().build()?;
    /// // Two tensors each: counts of 8 bits, and a balance of 32.
    /// let clients = (0..5i32).map(|i| [array![i, i + 1].into_dyn(), arr0(-1_000_000 * i).into_dyn()]);
    /// let ranges = [IntegerRange::unsigned_bits(8)?, IntegerRange::signed_bits(32)?];
    /// let sum = executor.secure_sum(clients, ranges)?;
    /// assert_eq!(sum.value[0], array![10, 15].into_dyn());
    /// assert_eq!(sum.value[1], arr0(-10_000_000).into_dyn());
    /// # Ok::<(), cipherfold::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NoClients`], [`Error::ClientCount`], [`Error::UnknownClientCount`], [`Error::ParameterCount`],
    /// [`Error::ParameterStructure`]; those of
    /// [`Layout::new`](crate::packing::Layout::new); [`Error::Client`] with the number of the first client that could
    /// not contribute (a value out of range, another structure than the first client's); [`Error::MissingChannel`],
    /// before any client works; [`Error::Cancelled`]. Nothing is decrypted unless all clients contributed.
    pub fn secure_sum<I>(
        &self,
        clients: I,
        ranges: impl Into<PerTensor<IntegerRange>>,
    ) -> Result<Outcome<Decoded<I::Item, IntegerRange>>>
    where
        I: IntoIterator<Item: IntoUpdate, IntoIter: Send>,
        IntegerRange: Codec<Element<I::Item>>,
    {
        self.run(clients.into_iter().map(|update| (1, update)), &ranges.into(), None)
    }

    /// The mean over all clients of their floating-point numbers, which nobody sees one by one.
    ///
    /// Values are clipped and rounded by `quantizers` (one [`Quantizer`] for all tensors, or one for each) and summed
    /// exactly; the mean is within [`Quantizer::error_bound`] of the mean of the clipped values, and is then rounded to
    /// the type of the input. The report counts clipped values.
    ///
    /// ```
    /// use cipherfold::{federated::LocalExecutor, packing::Quantizer, paillier::Bits2048};
    /// use ndarray::array;
    ///
    /// let executor = LocalExecutor::<Bits2048>::builder().build()?;
    /// let temperatures = [array![20.5f32], array![21.0], array![18.5]];
    /// let mean = executor.secure_mean(&temperatures, Quantizer::new(-50.0, 50.0, 16)?)?;
    /// assert!((mean.value[0] - 20.0).abs() < 0.001);
    /// # Ok::<(), cipherfold::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`secure_sum`](Self::secure_sum); NaN and infinity are refused as values out of range are.
    pub fn secure_mean<I>(
        &self,
        clients: I,
        quantizers: impl Into<PerTensor<Quantizer>>,
    ) -> Result<Outcome<Decoded<I::Item, Quantizer>>>
    where
        I: IntoIterator<Item: IntoUpdate, IntoIter: Send>,
        Quantizer: Codec<Element<I::Item>>,
    {
        self.run(clients.into_iter().map(|update| (1, update)), &quantizers.into(), None)
    }

    /// The mean with integer weights, `Σ wᵢ·xᵢ / Σ wᵢ`: neither updates nor weights are seen one by one.
    ///
    /// Each client weights its own values, and adds its weight as one more of them; the server learns the total weight.
    /// `max_weight` is public: a larger weight is refused at the client, and a weight of zero is fine.
    ///
    /// ```
    /// use cipherfold::{federated::LocalExecutor, packing::Quantizer, paillier::Bits2048};
    /// use ndarray::array;
    ///
    /// let executor = LocalExecutor::<Bits2048>::builder().build()?;
    /// let clients = [(10, array![1.0f64]), (30, array![-1.0])]; // examples seen, update
    /// let mean = executor.secure_weighted_mean(clients, 1000, Quantizer::symmetric(1.0, 16)?)?;
    /// assert!((mean.value[0] + 0.5).abs() < 0.0001);
    /// # Ok::<(), cipherfold::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`secure_mean`](Self::secure_mean); [`Error::WeightTooLarge`] at a client; [`Error::ZeroTotalWeight`].
    pub fn secure_weighted_mean<I, U>(
        &self,
        clients: I,
        max_weight: u32,
        quantizers: impl Into<PerTensor<Quantizer>>,
    ) -> Result<Outcome<Decoded<U, Quantizer>>>
    where
        I: IntoIterator<Item = (u32, U), IntoIter: Send>,
        U: IntoUpdate,
        Quantizer: Codec<Element<U>>,
    {
        self.run(clients.into_iter(), &quantizers.into(), Some(max_weight))
    }

    /// One round: every client contributes, the aggregator adds, the server decrypts.
    fn run<U: IntoUpdate, C: Codec<Element<U>>>(
        &self,
        clients: impl Iterator<Item = (u32, U)> + Send,
        codecs: &PerTensor<C>,
        max_weight: Option<u32>,
    ) -> Result<Outcome<Decoded<U, C>>> {
        let start = Instant::now();
        let (clock, meter) = (Clock::default(), Meter::default());
        let expected = self.client_count(clients.size_hint())?;
        self.network.check()?;
        self.network.prepare(&mut self.stream());
        let round = self.next_round();
        let source =
            Source { executor: self, clock: &clock, expected, clients: Mutex::new((clients.fuse(), 0)) };

        // The first update shows what tensors there are.
        let first = source.next()?.ok_or(Error::ClientCount { stated: expected.into(), found: 0 })?;
        let first_columns = columns(&first.update, codecs)?;
        let Settings { chunk_ciphertexts, .. } = self.settings;
        let structure = first.update.structure();
        let plan =
            Plan::new(structure, &first_columns, expected, max_weight, S::BITS - 1, chunk_ciphertexts)?;
        let mut decoder = Decoder::new(&plan, &first_columns, expected);
        let assemble = assembler::<_, C>(&first.update);
        drop(first_columns);

        let at_aggregator = At::<Aggregator>::new();
        let aggregator_key = self.aggregator_key(round, &meter, &clock, &at_aggregator)?;
        let sums = Sums::new(&aggregator_key, plan.chunks());
        let progress = Counter {
            callback: &*self.settings.on_progress,
            state: Mutex::default(),
            total: plan.ciphertexts() as u64 * (u64::from(expected) + 1),
        };
        let round = Round {
            executor: self,
            plan: &plan,
            codecs,
            sums: &sums,
            progress: &progress,
            clock: &clock,
            meter: &meter,
            number: round,
            clipped: AtomicU64::new(0),
        };
        let contributed = round.collect(&source, first)?;
        if contributed != u64::from(expected) {
            return Err(Error::ClientCount { stated: expected.into(), found: contributed });
        }
        let at_server = At::<Server>::new();
        let mut aggregator_rng = self.stream();
        let secret = &self.server_keys(&clock).secret;
        for (i, chunk) in plan.chunks().iter().enumerate() {
            let sum = clock.time(Phase::Aggregation, || sums.finish(self, i, &at_aggregator))?;
            let sum: Placed<EncryptedSum<S>, Server> =
                round.transfer(sum, Party::Aggregator, Party::Server, &mut aggregator_rng)?;
            self.on_pool(|| decoder.decode(chunk, sum, secret, &clock, &at_server))?;
            progress.add(Phase::Decryption, chunk.plaintexts)?;
        }
        let value = assemble(&mut decoder.finish());
        let report = Report {
            backend: aggregator_key.backend_name(),
            key_bits: S::BITS,
            clients: expected,
            values: plan.values() as u64,
            ciphertexts: plan.ciphertexts() as u64,
            clipped_values: round.clipped.into_inner(),
            elapsed: start.elapsed(),
            phases: clock.phases(),
            traffic: meter.traffic(),
            channel_setup_bytes: self.network.setup_bytes(),
        };
        Ok(Outcome { value, report })
    }

    /// The number of clients, stated or inferred; if both, they agree.
    fn client_count(&self, (least, most): (usize, Option<usize>)) -> Result<u32> {
        let inferred = most.filter(|most| *most == least).map(|count| count as u64);
        let stated = self.settings.clients.map(u64::from);
        match (stated, inferred) {
            (Some(stated), Some(found)) if stated != found => Err(Error::ClientCount { stated, found }),
            (None, None) => Err(Error::UnknownClientCount),
            (stated, inferred) => {
                let count = stated.or(inferred).expect("one of them is known");
                match u32::try_from(count) {
                    Ok(0) => Err(Error::NoClients),
                    Ok(count) => Ok(count),
                    Err(_) => Err(Error::ClientCount { stated: u32::MAX.into(), found: count }),
                }
            }
        }
    }
}

/// The clients, one after the other, each with its number and a random stream of its own.
struct Source<'a, S: KeySize, I> {
    executor: &'a LocalExecutor<S>,
    clock: &'a Clock,
    expected: u32,
    /// The iterator, which any number of threads may ask after its end, and how many clients it has yielded.
    clients: Mutex<(Fuse<I>, u32)>,
}

/// A client that begins to work.
struct Starting<U> {
    client: u32,
    weight: u32,
    update: U,
    rng: ChaCha20Rng,
    /// The server's, for what it sends to this client.
    server_rng: ChaCha20Rng,
}

impl<S: KeySize, U: IntoUpdate, I: Iterator<Item = (u32, U)>> Source<'_, S, I> {
    fn next(&self) -> Result<Option<Starting<U::Update>>> {
        // One lock for all: streams are drawn in the clients' order, whatever thread asks.
        let (client, weight, update, rng, server_rng) = {
            let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
            let Some((weight, update)) = self.clock.time(Phase::Input, || clients.0.next()) else {
                return Ok(None);
            };
            let client = clients.1;
            if client == self.expected {
                let found = u64::from(client) + 1;
                return Err(Error::ClientCount { stated: self.expected.into(), found });
            }
            clients.1 += 1;
            (client, weight, update, self.executor.stream(), self.executor.stream())
        };
        let update = self
            .clock
            .time(Phase::Input, || update.into_update())
            .map_err(|reason| at_client(client, Error::NoUpdate { reason }))?;
        Ok(Some(Starting { client, weight, update, rng, server_rng }))
    }
}

fn at_client(client: u32, source: Error) -> Error {
    match source {
        // Not the client's doing.
        Error::Cancelled => Error::Cancelled,
        source => Error::Client { client, source: Box::new(source) },
    }
}

/// What the parties of a round share.
struct Round<'a, S: KeySize, C> {
    executor: &'a LocalExecutor<S>,
    plan: &'a Plan,
    codecs: &'a PerTensor<C>,
    sums: &'a Sums<S>,
    progress: &'a Counter<'a>,
    clock: &'a Clock,
    meter: &'a Meter,
    number: u64,
    clipped: AtomicU64,
}

impl<S: KeySize, C: Send + Sync> Round<'_, S, C> {
    /// Has all clients contribute, some of them at a time, and returns how many there were.
    fn collect<U, I>(&self, source: &Source<'_, S, I>, first: Starting<U::Update>) -> Result<u64>
    where
        U: IntoUpdate,
        C: Codec<Element<U>>,
        I: Iterator<Item = (u32, U)> + Send,
    {
        let stop = AtomicBool::new(false);
        let failure: Mutex<Option<Error>> = Mutex::new(None);
        let contributed = AtomicU64::new(0);
        let first = Mutex::new(Some(first));
        let next = || {
            // A statement of its own, so that nobody holds this lock while a client makes its update.
            let first = first.lock().unwrap_or_else(PoisonError::into_inner).take();
            first.map_or_else(|| source.next(), |first| Ok(Some(first)))
        };
        let work = || {
            let _stop_others = StopOnPanic(&stop);
            while !stop.load(Ordering::Relaxed) {
                let result = next().and_then(|starting| {
                    let Some(starting) = starting else { return Ok(false) };
                    let client = starting.client;
                    self.contribute(starting, &stop).map_err(|error| at_client(client, error))?;
                    contributed.fetch_add(1, Ordering::Relaxed);
                    Ok(true)
                });
                match result {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        stop.store(true, Ordering::Relaxed);
                        let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
                        // The first client's error, if several fail at the same time.
                        if failure.as_ref().is_none_or(|other| client_of(&error) < client_of(other)) {
                            *failure = Some(error);
                        }
                    }
                }
            }
        };
        let workers = self.executor.settings.max_concurrent_clients.min(source.expected as usize);
        if workers == 1 {
            work();
        } else {
            thread::scope(|scope| {
                let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
                for worker in workers {
                    worker.join().unwrap_or_else(|panic| resume_unwind(panic));
                }
            });
        }
        match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(contributed.into_inner()),
        }
    }

    /// One client's part: receive the public key, then encrypt and send chunk by chunk.
    fn contribute<U: Tensors>(&self, starting: Starting<U>, stop: &AtomicBool) -> Result<()>
    where
        C: Codec<U::Scalar>,
    {
        let Starting { client, weight, update, mut rng, mut server_rng } = starting;
        let (at_clients, at_aggregator) = (At::<Clients>::new(), At::<Aggregator>::new());
        let executor = self.executor;
        self.plan.structure().check(&update.structure())?;
        let columns = columns(&update, self.codecs)?;
        let member = self.clock.time(Phase::Packing, || Member::new(self.plan, columns, weight))?;
        let encryptor: Encryptor<S> = executor.client_encryptor(
            client,
            self.number,
            self.meter,
            self.clock,
            &mut server_rng,
            &at_clients,
        )?;
        for (i, chunk) in self.plan.chunks().iter().enumerate() {
            if stop.load(Ordering::Relaxed) {
                return Ok(()); // another client failed, and the run with it
            }
            let (contribution, clipped) = executor.on_pool(|| {
                member.contribution(self.plan, chunk, &encryptor, self.clock, &mut rng, &at_clients)
            })?;
            self.clipped.fetch_add(clipped as u64, Ordering::Relaxed);
            let contribution: Placed<Contribution<S>, Aggregator> =
                self.transfer(contribution, Party::Client(client), Party::Aggregator, &mut rng)?;
            self.clock
                .time(Phase::Aggregation, || self.sums.add(executor, i, contribution, &at_aggregator))?;
            self.progress.add(Phase::Aggregation, chunk.plaintexts)?;
        }
        Ok(())
    }

    fn transfer<M: super::Message + Send, A: super::Placement, B: super::Placement>(
        &self,
        message: Placed<M, A>,
        from: Party,
        to: Party,
        rng: &mut dyn CryptoRng,
    ) -> Result<Placed<M, B>> {
        self.clock.time(Phase::Transfer, || {
            self.executor.network.transfer(message, (from, to), self.number, self.meter, rng)
        })
    }
}

/// Has the other workers stop if this one panics, as a caller's iterator or callback may.
struct StopOnPanic<'a>(&'a AtomicBool);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// The client that an error is about; errors about none come last.
fn client_of(error: &Error) -> u32 {
    if let Error::Client { client, .. } = error { *client } else { u32::MAX }
}

/// Counts what is done, and tells the caller.
struct Counter<'a> {
    callback: &'a (dyn Fn(&Progress) -> ControlFlow<()> + Send + Sync),
    state: Mutex<Done>,
    total: u64,
}

#[derive(Default)]
struct Done {
    ciphertexts: u64,
    cancelled: bool,
}

impl Counter<'_> {
    fn add(&self, phase: Phase, ciphertexts: usize) -> Result<()> {
        // Held during the call, so that the caller sees a number that grows.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.cancelled {
            state.ciphertexts += ciphertexts as u64;
            let progress = Progress { phase, done: state.ciphertexts, total: self.total };
            state.cancelled = (self.callback)(&progress).is_break();
        }
        if state.cancelled { Err(Error::Cancelled) } else { Ok(()) }
    }
}
