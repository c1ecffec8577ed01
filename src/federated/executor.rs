//! Simulates all parties on one machine.

use core::{fmt, ops::ControlFlow};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRng, SeedableRng, TryRng};
use rayon::ThreadPool;
use zeroize::Zeroizing;

use super::{
    Aggregator, At, ChannelGrid, Clients, Party, Placed, Placement, Server, SessionId,
    message::PublicKeyMessage,
    network::{Meter, Network},
    report::{Clock, OnProgress, Phase, Progress},
};
use crate::{
    Error, Result,
    backend::Choice,
    paillier::{Bits3072, Encryptor, KeySize, PublicKey, SecretKey},
};

/// Simulates clients, server and aggregator on one machine, with the real cryptography between them.
///
/// An executor is a session: keys are made at its first run, or supplied, and kept for its life. Every run is a round of
/// its own. Nothing that must be fresh is ever kept: each client of each round draws its own randomness, so that equal
/// updates give different ciphertexts. What the simulation shares among clients, because they would all compute the same
/// from public data, is the table behind the encryption's base.
///
/// ```
/// use cipherfold::{federated::LocalExecutor, packing::IntegerRange, paillier::Bits2048};
/// use ndarray::array;
///
/// let executor = LocalExecutor::<Bits2048>::builder().clients(3).build()?;
/// let updates = [array![1i32, -2], array![3, -4], array![5, -6]];
/// let sum = executor.secure_sum(&updates, IntegerRange::signed_bits(16)?)?;
/// assert_eq!(sum.value, array![9i64, -12]);
/// # Ok::<(), cipherfold::Error>(())
/// ```
pub struct LocalExecutor<S: KeySize = Bits3072> {
    pub(super) settings: Settings,
    pub(super) network: Network,
    pool: ThreadPool,
    session: SessionId,
    entropy: Mutex<Box<dyn CryptoRng + Send>>,
    supplied: Mutex<Option<SecretKey<S>>>,
    server: OnceLock<ServerKeys<S>>,
    /// The public key as each client received it, with the prepared table.
    clients: Mutex<HashMap<u32, Encryptor<S>>>,
    /// The public key as the aggregator received it.
    aggregator: Mutex<Option<Placed<PublicKey<S>, Aggregator>>>,
    rounds: AtomicU64,
}

pub(super) struct Settings {
    pub(super) clients: Option<u32>,
    pub(super) max_concurrent_clients: usize,
    pub(super) chunk_ciphertexts: usize,
    pub(super) max_fanout: Option<usize>,
    pub(super) secure_only: bool,
    pub(super) on_progress: OnProgress,
    backend: Choice,
}

/// What the server made for a session.
pub(super) struct ServerKeys<S: KeySize> {
    pub(super) secret: Placed<SecretKey<S>, Server>,
    /// Public; its table is the one that the simulated clients share.
    encryptor: Encryptor<S>,
}

impl LocalExecutor<Bits3072> {
    /// An executor with the default key size and settings.
    ///
    /// # Errors
    ///
    /// Those of [`LocalExecutorBuilder::build`].
    pub fn new() -> Result<Self> {
        Self::builder().build()
    }
}

impl<S: KeySize> LocalExecutor<S> {
    /// An executor with settings of one's own.
    pub fn builder() -> LocalExecutorBuilder<S> {
        LocalExecutorBuilder {
            clients: None,
            max_concurrent_clients: None,
            channels: ChannelGrid::default(),
            secret_key: None,
            backend: Choice::Auto,
            threads: None,
            chunk_ciphertexts: 512,
            max_fanout: None,
            secure_only: false,
            entropy: None,
            on_progress: Arc::new(|_| ControlFlow::Continue(())),
        }
    }

    /// The session's identifier, which all its messages carry.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// The session's public key. Makes the keys if there are none yet.
    pub fn public_key(&self) -> PublicKey<S> {
        self.server_keys(&Clock::default()).encryptor.public_key().clone()
    }

    /// The session's secret key, at the server. Makes the keys if there are none yet.
    ///
    /// It can be used there ([`run_at`](Self::run_at)), but not sent: it is no [`Message`](super::Message).
    pub fn secret_key(&self) -> &Placed<SecretKey<S>, Server> {
        &self.server_keys(&Clock::default()).secret
    }

    /// Runs a function at a placement, with the token that opens what lives there.
    ///
    /// The simulation's own parts need no such help; it is for looking at a placement's values in tests and in
    /// protocols of one's own. A function that returns what it opened takes it out of its placement, as `println!`
    /// would.
    pub fn run_at<P: Placement, T>(&self, function: impl FnOnce(&At<P>) -> T) -> T {
        function(&At::new())
    }

    /// Sends a message from a party at P to one at Q through the session's channel between the two.
    ///
    /// The way from one placement to another, for protocols of one's own; what is no [`Message`](super::Message) has
    /// none.
    ///
    /// # Errors
    ///
    /// [`Error::MissingChannel`]; those of the channel and of the message's encoding.
    ///
    /// # Panics
    ///
    /// If `from` does not live at P or `to` not at Q.
    pub fn transfer<M: super::Message, P: Placement, Q: Placement>(
        &self,
        message: Placed<M, P>,
        from: Party,
        to: Party,
    ) -> Result<Placed<M, Q>> {
        let round = self.rounds.load(Ordering::Relaxed);
        self.network.transfer(message, (from, to), round, &Meter::default(), &mut self.stream())
    }

    /// A new round's number.
    pub(super) fn next_round(&self) -> u64 {
        self.rounds.fetch_add(1, Ordering::Relaxed)
    }

    /// Runs batch work on the executor's threads and waits.
    ///
    /// A thread of a rayon pool that waits for another pool takes up other tasks meanwhile, among them some that may
    /// want a lock that it holds. A caller on such a thread therefore waits on a plain one.
    pub(super) fn on_pool<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        if rayon::current_thread_index().is_none() {
            return self.pool.install(work);
        }
        thread::scope(|scope| {
            let waiting = scope.spawn(|| self.pool.install(work));
            waiting.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// A random stream of its own for one party's part of one round.
    pub(super) fn stream(&self) -> ChaCha20Rng {
        let mut seed = Zeroizing::new([0; 32]);
        self.entropy.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut *seed);
        ChaCha20Rng::from_seed(*seed)
    }

    /// The server's keys, made once however many ask at first.
    pub(super) fn server_keys(&self, clock: &Clock) -> &ServerKeys<S> {
        self.server.get_or_init(|| {
            clock.time(Phase::KeyGeneration, || {
                let mut rng = self.stream();
                let supplied = self.supplied.lock().unwrap_or_else(PoisonError::into_inner).take();
                let secret = supplied.unwrap_or_else(|| SecretKey::generate(&mut rng));
                let secret =
                    secret.with_backend(self.settings.backend).expect("the builder has checked the backend");
                let encryptor = self.on_pool(|| Encryptor::new(secret.public_key(), &mut rng));
                ServerKeys { secret: Placed::new(secret, &At::new()), encryptor }
            })
        })
    }

    fn public_key_message(&self, clock: &Clock) -> Placed<PublicKeyMessage<S>, Server> {
        let encryptor = &self.server_keys(clock).encryptor;
        let message =
            PublicKeyMessage { key: encryptor.public_key().clone(), base: encryptor.base().clone() };
        Placed::new(message, &At::new())
    }

    /// A client's encryptor, for which it receives the public key in its first round.
    pub(super) fn client_encryptor(
        &self,
        client: u32,
        round: u64,
        meter: &Meter,
        clock: &Clock,
        server_rng: &mut dyn CryptoRng,
        here: &At<Clients>,
    ) -> Result<Encryptor<S>> {
        let known = |clients: &HashMap<_, Encryptor<S>>| clients.get(&client).cloned();
        if let Some(encryptor) = known(&self.clients.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(encryptor);
        }
        let message = self.public_key_message(clock);
        let ends = (Party::Server, Party::Client(client));
        let received: Placed<_, Clients> =
            clock.time(Phase::Transfer, || self.network.transfer(message, ends, round, meter, server_rng))?;
        let PublicKeyMessage { key, base } = received.into_inner(here);
        // The same public data gives the same table, which the simulation holds once.
        let shared = &self.server_keys(clock).encryptor;
        let encryptor = if key == *shared.public_key() && base == *shared.base() {
            shared.clone()
        } else {
            Encryptor::with_base(&key.with_backend(self.settings.backend)?, base)?
        };
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).insert(client, encryptor.clone());
        Ok(encryptor)
    }

    /// The aggregator's copy of the public key, which it receives in the session's first round.
    pub(super) fn aggregator_key(
        &self,
        round: u64,
        meter: &Meter,
        clock: &Clock,
        here: &At<Aggregator>,
    ) -> Result<PublicKey<S>> {
        let message = self.public_key_message(clock);
        let mut aggregator = self.aggregator.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = &*aggregator {
            return Ok(key.get(here).clone());
        }
        let ends = (Party::Server, Party::Aggregator);
        let received: Placed<PublicKeyMessage<S>, Aggregator> = clock.time(Phase::Transfer, || {
            self.network.transfer(message, ends, round, meter, &mut self.stream())
        })?;
        let key = received.into_inner(here).key.with_backend(self.settings.backend)?;
        *aggregator = Some(Placed::new(key.clone(), here));
        Ok(key)
    }
}

impl<S: KeySize> fmt::Debug for LocalExecutor<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalExecutor")
            .field("key_bits", &S::BITS)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

/// Settings of a [`LocalExecutor`], each with a default.
#[must_use = "a builder does nothing until it is built"]
pub struct LocalExecutorBuilder<S: KeySize> {
    clients: Option<u32>,
    max_concurrent_clients: Option<usize>,
    channels: ChannelGrid,
    secret_key: Option<SecretKey<S>>,
    backend: Choice,
    threads: Option<usize>,
    chunk_ciphertexts: usize,
    max_fanout: Option<usize>,
    secure_only: bool,
    entropy: Option<Box<dyn CryptoRng + Send>>,
    on_progress: OnProgress,
}

impl<S: KeySize> LocalExecutorBuilder<S> {
    /// States the number of clients. By default it is inferred from the iterator of every run, which must know its
    /// length then; if both are known and disagree, the run is refused.
    pub fn clients(mut self, clients: u32) -> Self {
        self.clients = Some(clients);
        self
    }

    /// At most so many clients work at the same time, and so many updates are in memory. By default as many as there
    /// are threads.
    pub fn max_concurrent_clients(mut self, clients: usize) -> Self {
        self.max_concurrent_clients = Some(clients);
        self
    }

    /// Replaces the default channels.
    pub fn channels(mut self, channels: ChannelGrid) -> Self {
        self.channels = channels;
        self
    }

    /// Supplies the server's key instead of having one made.
    pub fn secret_key(mut self, key: SecretKey<S>) -> Self {
        self.secret_key = Some(key);
        self
    }

    /// Chooses the Paillier backend. By default the fastest that runs here.
    pub fn backend(mut self, backend: Choice) -> Self {
        self.backend = backend;
        self
    }

    /// Threads for batch work. By default as many as the machine offers.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Ciphertexts of one message from a client to the aggregator: what is in memory at a time, beside the updates and
    /// the sum. By default 512.
    pub fn chunk_ciphertexts(mut self, ciphertexts: usize) -> Self {
        self.chunk_ciphertexts = ciphertexts;
        self
    }

    /// Aggregates what arrives in the clear in groups of at most so many values, these in groups of as many, and so on.
    /// By default there is one group.
    ///
    /// The order of the clients is kept, so that results follow from the number of clients and this setting alone.
    pub fn max_fanout(mut self, fanout: usize) -> Self {
        self.max_fanout = Some(fanout);
        self
    }

    /// Refuses computations through which something that depends on clients' data leaves the clients in the clear
    /// ([`Computation::leaks`](super::Computation::leaks)).
    pub fn secure_only(mut self) -> Self {
        self.secure_only = true;
        self
    }

    /// The cryptographic generator behind all randomness of the simulation. By default one seeded by the system.
    ///
    /// With a seeded generator a session whose runs follow one another can be replayed, byte for byte: streams are drawn
    /// in the clients' order, however many of them work at a time.
    pub fn rng(mut self, rng: impl CryptoRng + Send + 'static) -> Self {
        self.entropy = Some(Box::new(rng));
        self
    }

    /// Calls back after every part of a run, from whichever thread did it; `ControlFlow::Break(())` cancels the run.
    ///
    /// Within a run calls come one after the other, [`Progress::done`] grows from one to the next, and none comes after
    /// a `Break`. The run waits for them, so they had better be short.
    ///
    /// ```
    /// use cipherfold::{Error, federated::LocalExecutor, packing::IntegerRange, paillier::Bits2048};
    /// use core::ops::ControlFlow;
    ///
    /// let executor = LocalExecutor::<Bits2048>::builder()
    ///     .on_progress(|progress| {
    ///         println!("{} of {}", progress.done, progress.total);
    ///         ControlFlow::Break(()) // enough
    ///     })
    ///     .build()?;
    /// let sum = executor.secure_sum(&[ndarray::array![1u8]], IntegerRange::of::<u8>());
    /// assert_eq!(sum.unwrap_err(), Error::Cancelled);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn on_progress(
        mut self,
        callback: impl Fn(&Progress) -> ControlFlow<()> + Send + Sync + 'static,
    ) -> Self {
        self.on_progress = Arc::new(callback);
        self
    }

    /// The executor.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] for a number that is zero; [`Error::NoClients`] for a stated number of zero clients;
    /// [`Error::Entropy`], [`Error::ThreadPool`]; those of [`backend::select`](crate::backend::select).
    pub fn build(self) -> Result<LocalExecutor<S>> {
        S::backend(self.backend)?;
        if self.clients == Some(0) {
            return Err(Error::NoClients);
        }
        let threads = match self.threads {
            Some(threads) => threads,
            None => thread::available_parallelism().map_or(1, usize::from),
        };
        let max_concurrent_clients = self.max_concurrent_clients.unwrap_or(threads);
        for (setting, value, minimum) in [
            ("threads", threads, 1),
            ("max_concurrent_clients", max_concurrent_clients, 1),
            ("chunk_ciphertexts", self.chunk_ciphertexts, 1),
            ("max_fanout", self.max_fanout.unwrap_or(usize::MAX), 2),
        ] {
            if value < minimum {
                return Err(Error::Setting { setting, minimum });
            }
        }
        let mut entropy = match self.entropy {
            Some(entropy) => entropy,
            None => Box::new(system_rng()?),
        };
        // Own threads: a caller that is itself a task of a pool may wait for a run without starving it.
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("cipherfold-{i}"))
            .build()
            .map_err(|error| Error::ThreadPool { reason: error.to_string() })?;
        let session = SessionId::random(&mut entropy);
        Ok(LocalExecutor {
            settings: Settings {
                clients: self.clients,
                max_concurrent_clients,
                chunk_ciphertexts: self.chunk_ciphertexts,
                max_fanout: self.max_fanout,
                secure_only: self.secure_only,
                on_progress: self.on_progress,
                backend: self.backend,
            },
            network: Network::new(self.channels, session),
            pool,
            session,
            entropy: Mutex::new(entropy),
            supplied: Mutex::new(self.secret_key),
            server: OnceLock::new(),
            clients: Mutex::default(),
            aggregator: Mutex::default(),
            rounds: AtomicU64::new(0),
        })
    }
}

impl<S: KeySize> fmt::Debug for LocalExecutorBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalExecutorBuilder")
            .field("clients", &self.clients)
            .field("channels", &self.channels)
            .field("backend", &self.backend)
            .finish_non_exhaustive()
    }
}

fn system_rng() -> Result<ChaCha20Rng> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::SysRng
        .try_fill_bytes(&mut *seed)
        .map_err(|error| Error::Entropy { reason: error.to_string() })?;
    Ok(ChaCha20Rng::from_seed(*seed))
}
