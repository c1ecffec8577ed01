//! Simulates all parties on one machine.

mod secure_sum;

pub use secure_sum::Outcome;

use core::{fmt, ops::ControlFlow};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use chacha20::ChaCha20Rng;
use rand_core::{CryptoRng, SeedableRng, TryRng};
use rayon::ThreadPool;
use zeroize::Zeroizing;

use super::{
    At, ChannelGrid, KeyHolder, KeyHolding, Party, Placed, Placement, Server, SessionId,
    channel::network::{Network, Way},
    report::ledger::Ledger,
    report::{OnProgress, Progress},
    round::session::{Secret, Session},
};
use crate::{
    Error, Result,
    backend::Choice,
    paillier::{Bits3072, KeySize, PublicKey, SecretKey},
    wipe::wipe_stack,
};

/// Simulates clients, server and aggregator on one machine, with the real cryptography between them.
///
/// An executor is in one session at a time: keys are made at its first run, or supplied, and kept until
/// [`rotate_keys`](Self::rotate_keys). Every run is a round of its own. Nothing that must be fresh is ever kept: each client
/// of each round draws its own randomness, so that equal updates give different ciphertexts. What the simulation shares
/// among clients, because they would all compute the same from public data, is the table behind the encryption's base.
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
    pub(super) session: Session<S>,
    pool: ThreadPool,
    entropy: Mutex<Entropy>,
    rounds: AtomicU64,
}

pub(super) struct Settings {
    pub(super) clients: Option<u32>,
    pub(super) max_clients: Option<u32>,
    pub(super) min_clients: Option<u32>,
    pub(super) max_concurrent_clients: usize,
    pub(super) chunk_ciphertexts: usize,
    pub(super) max_fanout: Option<usize>,
    pub(super) secure_only: bool,
    pub(super) key_holding: KeyHolding,
    pub(super) in_the_clear: bool,
    pub(super) on_progress: OnProgress,
    pub(super) backend: Choice,
}

/// Where all randomness comes from. Two generators, so that what clients draw for their data does not depend on how much the
/// cryptography draws: runs in the clear and encrypted ones give the same results.
struct Entropy {
    cryptography: Box<dyn CryptoRng + Send>,
    data: Box<ChaCha20Rng>,
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
            max_clients: None,
            min_clients: None,
            max_concurrent_clients: None,
            channels: ChannelGrid::default(),
            secret_key: None,
            key_holding: KeyHolding::default(),
            in_the_clear: false,
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
        self.session.id
    }

    /// Ends the session and begins another one, with a key pair and an identifier of its own.
    ///
    /// The old secret key is wiped. What was encrypted under it is refused from now on
    /// ([`paillier::Error::KeyMismatch`](crate::paillier::Error::KeyMismatch)), and so are late messages of the old session ([`EnvelopeMismatch::Session`](super::EnvelopeMismatch)). The keys of channels are
    /// not the session's, and stay.
    pub fn rotate_keys(&mut self) {
        let mut entropy = self.entropy.lock().unwrap_or_else(PoisonError::into_inner);
        let session = Session::new(&mut *entropy.cryptography, None);
        drop(entropy);
        self.network.end_session(self.session.id);
        self.session = session;
    }

    /// The session's public key. Makes the keys if there are none yet.
    ///
    /// # Errors
    ///
    /// [`paillier::Error::BrokenGenerator`](crate::paillier::Error::BrokenGenerator) if the executor's generator repeats
    /// itself. The next call tries again.
    pub fn public_key(&self) -> Result<PublicKey<S>> {
        Ok(self.keys(&Ledger::default())?.encryptor.public_key().clone())
    }

    /// The session's secret key, at the server, if that is who holds it. Makes the keys if there are none yet.
    ///
    /// It can be used there ([`run_at`](Self::run_at)), but not sent: it is no [`Message`](super::Message).
    ///
    /// # Errors
    ///
    /// Those of [`public_key`](Self::public_key).
    pub fn secret_key(&self) -> Result<Option<&Placed<SecretKey<S>, Server>>> {
        Ok(match &self.keys(&Ledger::default())?.secret {
            Secret::Server(key) => Some(key),
            Secret::KeyHolder(_) => None,
        })
    }

    /// The session's secret key, at the key holder, if the session has one. Makes the keys if there are none yet.
    ///
    /// # Errors
    ///
    /// Those of [`public_key`](Self::public_key).
    pub fn key_holder_secret_key(&self) -> Result<Option<&Placed<SecretKey<S>, KeyHolder>>> {
        Ok(match &self.keys(&Ledger::default())?.secret {
            Secret::Server(_) => None,
            Secret::KeyHolder(key) => Some(key),
        })
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
        let way = Way { session: self.session.id, round, from, to };
        self.network.transfer(message, way, &Ledger::default(), &mut self.stream())
    }

    /// The number of the round that comes next, unless another run is faster.
    pub(super) fn upcoming_round(&self) -> u64 {
        self.rounds.load(Ordering::Relaxed)
    }

    /// A new round's number.
    pub(super) fn next_round(&self) -> u64 {
        self.rounds.fetch_add(1, Ordering::Relaxed)
    }

    /// Runs batch work on the executor's threads and waits. Fails only on a thread of a rayon pool, as [`off_pools`]
    /// does.
    pub(super) fn on_pool<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        off_pools(|| self.pool.install(work))
    }

    /// The number of clients that work at the same time, out of those asked.
    pub(super) fn concurrent_clients(&self, clients: u32) -> usize {
        let asked = usize::try_from(clients).unwrap_or(usize::MAX);
        self.settings.max_concurrent_clients.min(asked).min(self.pool.current_num_threads())
    }

    /// A random stream of its own for one party's part of one round: keys, encryption, boxes.
    pub(super) fn stream(&self) -> ChaCha20Rng {
        let mut entropy = self.entropy.lock().unwrap_or_else(PoisonError::into_inner);
        fork(&mut *entropy.cryptography)
    }

    /// A random stream of its own for one client's data in one round: rounding, noise, training.
    pub(super) fn data_stream(&self) -> ChaCha20Rng {
        fork(&mut *self.entropy.lock().unwrap_or_else(PoisonError::into_inner).data)
    }

    /// The number of clients, stated or inferred; if both, they agree.
    pub(super) fn client_count(&self, (least, most): (usize, Option<usize>)) -> Result<u32> {
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

/// The session is over, also for channels that live on in other executors.
impl<S: KeySize> Drop for LocalExecutor<S> {
    fn drop(&mut self) {
        self.network.end_session(self.session.id);
    }
}

/// Runs work on a thread that belongs to no rayon pool: the calling one, or another one for which it waits.
///
/// A thread of a rayon pool that waits for another pool takes up other tasks meanwhile, among them some that may want a lock
/// that it holds.
pub(super) fn off_pools<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    if rayon::current_thread_index().is_none() {
        return Ok(work());
    }
    thread::scope(|scope| {
        let waiting = thread::Builder::new().spawn_scoped(scope, work).map_err(no_thread)?;
        Ok(waiting.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// The error of a thread that did not start.
pub(super) fn no_thread(error: impl fmt::Display) -> Error {
    Error::ThreadPool { reason: error.to_string() }
}

/// A generator seeded by another one.
fn fork(rng: &mut dyn CryptoRng) -> ChaCha20Rng {
    let mut seed = Zeroizing::new([0; 32]);
    rng.fill_bytes(&mut *seed);
    let forked = ChaCha20Rng::from_seed(*seed);
    wipe_stack();
    forked
}

impl<S: KeySize> fmt::Debug for LocalExecutor<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalExecutor")
            .field("key_bits", &S::BITS)
            .field("session", &self.session.id)
            .finish_non_exhaustive()
    }
}

/// Settings of a [`LocalExecutor`], each with a default.
#[must_use = "a builder does nothing until it is built"]
pub struct LocalExecutorBuilder<S: KeySize> {
    clients: Option<u32>,
    max_clients: Option<u32>,
    min_clients: Option<u32>,
    max_concurrent_clients: Option<usize>,
    channels: ChannelGrid,
    secret_key: Option<SecretKey<S>>,
    key_holding: KeyHolding,
    in_the_clear: bool,
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

    /// The largest number of clients that any round may have. It is fixed with the layout: slots have room for so many,
    /// however few take part, so that all rounds have the same sizes. A round with more is refused. By default each
    /// round's layout is made for the clients that are asked in it.
    pub fn max_clients(mut self, clients: u32) -> Self {
        self.max_clients = Some(clients);
        self
    }

    /// Lets clients drop out, as long as so many take part.
    ///
    /// By default every client that is asked must contribute, and the first that does not ends the run. With a minimum, a
    /// client that is absent (`None` in place of an update), has no update, holds something that cannot be sent (a value
    /// out of range, another shape), or whose message the aggregator refuses (altered, late, repeated, foreign) is left out
    /// entirely and named in the [report](super::Report::absent). With fewer than `clients` left nothing is decrypted
    /// ([`Error::TooFewClients`], which names the absent): a sum over few is close to an update.
    ///
    /// The aggregator then keeps a client's ciphertexts until all of them have come; that takes as much memory as one
    /// client sends, for each client that works at the same time.
    pub fn min_clients(mut self, clients: u32) -> Self {
        self.min_clients = Some(clients);
        self
    }

    /// The maximum number of clients that work at the same time, and of updates in memory. By default it is the number of
    /// [threads](Self::threads), and it is never above that.
    pub fn max_concurrent_clients(mut self, clients: usize) -> Self {
        self.max_concurrent_clients = Some(clients);
        self
    }

    /// Replaces the default channels.
    pub fn channels(mut self, channels: ChannelGrid) -> Self {
        self.channels = channels;
        self
    }

    /// Supplies the first session's key instead of having one made.
    pub fn secret_key(mut self, key: SecretKey<S>) -> Self {
        self.secret_key = Some(key);
        self
    }

    /// Has another party hold the secret key. By default the server does.
    ///
    /// ```
    /// use cipherfold::{federated::{KeyHolding, LocalExecutor}, packing::IntegerRange, paillier::Bits2048};
    ///
    /// let executor = LocalExecutor::<Bits2048>::builder().key_holding(KeyHolding::KeyHolder).build()?;
    /// let sum = executor.secure_sum(&[ndarray::array![1u8], ndarray::array![2]], IntegerRange::of::<u8>())?;
    /// assert_eq!(sum.value, ndarray::array![3u64]);
    /// # Ok::<(), cipherfold::Error>(())
    /// ```
    pub fn key_holding(mut self, holding: KeyHolding) -> Self {
        self.key_holding = holding;
        self
    }

    /// Does without cryptography: **for debugging only**. Sums are formed of the same encoded numbers in the same layout,
    /// without keys and without messages, and are the same to the last bit, with the same generator ([`rng`](Self::rng))
    /// also where clients draw at random. The report calls the backend `in the clear`.
    pub fn in_the_clear(mut self) -> Self {
        self.in_the_clear = true;
        self
    }

    /// Chooses the Paillier backend. By default the fastest that runs here.
    pub fn backend(mut self, backend: Choice) -> Self {
        self.backend = backend;
        self
    }

    /// Threads for batch work, and for clients that work at the same time. By default as many as the machine runs in
    /// parallel, and never more than eight times that: more would wait for each other.
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
    /// Everything secret follows from its state: give one that is wiped when dropped, as `chacha20`'s are with the feature
    /// `zeroize`. (Those of `rand_chacha` are not.)
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
    /// a `Break`. The run waits for them, so they had better be short. A cancelled run ends with [`Error::Cancelled`], and
    /// with that in an [`Error::RoundFailed`] once all clients have contributed: the server may then have seen some sums.
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
    /// [`Error::Setting`] for a number that is zero; [`Error::NoClients`] for a stated or largest number of zero clients;
    /// [`Error::TooManyClients`] for a stated or least number of clients above the largest;
    /// [`Error::Entropy`], [`Error::ThreadPool`]; those of [`backend::select`](crate::backend::select).
    pub fn build(self) -> Result<LocalExecutor<S>> {
        S::backend(self.backend)?;
        if [self.clients, self.max_clients].contains(&Some(0)) {
            return Err(Error::NoClients);
        }
        for found in [self.clients, self.min_clients].into_iter().flatten() {
            if let Some(limit) = self.max_clients.filter(|limit| found > *limit) {
                return Err(Error::TooManyClients { limit, found });
            }
        }
        let available = thread::available_parallelism().map_or(1, usize::from);
        let threads = self.threads.unwrap_or(available).min(available.saturating_mul(MAX_THREADS_PER_CORE));
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
            .map_err(no_thread)?;
        let data = Box::new(fork(&mut *entropy));
        let session = Session::new(&mut *entropy, self.secret_key);
        // Moves of the caller's generator into this builder have left copies there.
        wipe_stack();
        Ok(LocalExecutor {
            settings: Settings {
                clients: self.clients,
                max_clients: self.max_clients,
                min_clients: self.min_clients,
                max_concurrent_clients,
                chunk_ciphertexts: self.chunk_ciphertexts,
                max_fanout: self.max_fanout,
                secure_only: self.secure_only,
                key_holding: self.key_holding,
                in_the_clear: self.in_the_clear,
                on_progress: self.on_progress,
                backend: self.backend,
            },
            network: Network::new(self.channels),
            session,
            pool,
            entropy: Mutex::new(Entropy { cryptography: entropy, data }),
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

/// Threads for each that the machine runs in parallel: some, for clients that wait for files or networks.
const MAX_THREADS_PER_CORE: usize = 8;

fn system_rng() -> Result<ChaCha20Rng> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::SysRng
        .try_fill_bytes(&mut *seed)
        .map_err(|error| Error::Entropy { reason: error.to_string() })?;
    Ok(ChaCha20Rng::from_seed(*seed))
}
