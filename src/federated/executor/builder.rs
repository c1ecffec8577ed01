//! Settings of an executor, each with a default.

use core::{any::Any, fmt, marker::PhantomData, ops::ControlFlow};
use std::{sync::Arc, thread};

use chacha20::ChaCha20Rng;
use rand_core::{CryptoRng, SeedableRng, TryRng};
use zeroize::Zeroizing;

use super::{
    LocalExecutor,
    erased::{ErasedExecutor, Settings, no_thread},
};
use crate::{
    backend::BackendChoice,
    federated::{
        Error, KeyHolding, Result,
        channel::ChannelGrid,
        report::{OnProgress, Progress},
        round::{self, chunk},
    },
    paillier::{Exponents, KeySize, SecretKey},
    wipe::wipe_stack,
};

/// Settings of a [`LocalExecutor`], each with a default.
///
/// ```
/// use cipherfold::federated::{LocalExecutor, LocalExecutorBuilder};
/// use cipherfold::paillier::{Bits2048, KeySize};
///
/// /// The settings of all simulations of a project.
/// fn settings<S: KeySize>() -> LocalExecutorBuilder<S> {
///     LocalExecutor::builder().min_clients(10).max_clients(100).threads(2)
/// }
/// let executor = settings::<Bits2048>().in_the_clear().build()?;
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[must_use = "a builder does nothing until it is built"]
#[expect(clippy::struct_excessive_bools, reason = "settings that are independent of each other")]
pub struct LocalExecutorBuilder<S: KeySize> {
    clients: Option<u32>,
    max_clients: Option<u32>,
    min_clients: Option<u32>,
    max_concurrent_clients: Option<usize>,
    channels: ChannelGrid,
    secret_key: Option<SecretKey<S>>,
    key_holding: KeyHolding,
    in_the_clear: bool,
    exponents: Exponents,
    backend: BackendChoice,
    threads: Option<usize>,
    chunk_ciphertexts: Option<usize>,
    max_fanout: Option<usize>,
    secure_only: bool,
    show_client_errors: bool,
    allow_single_client: bool,
    entropy: Option<Box<dyn CryptoRng + Send>>,
    on_progress: OnProgress,
}

impl<S: KeySize> LocalExecutorBuilder<S> {
    /// All defaults.
    pub(super) fn new() -> Self {
        Self {
            clients: None,
            max_clients: None,
            min_clients: None,
            max_concurrent_clients: None,
            channels: ChannelGrid::default(),
            secret_key: None,
            key_holding: KeyHolding::default(),
            in_the_clear: false,
            exponents: Exponents::Half,
            backend: BackendChoice::Auto,
            threads: None,
            chunk_ciphertexts: None,
            max_fanout: None,
            secure_only: false,
            show_client_errors: false,
            allow_single_client: false,
            entropy: None,
            on_progress: Arc::new(|_| ControlFlow::Continue(())),
        }
    }

    /// States the number of clients. By default it is the length of each run's iterator, which must
    /// then know its length. A run is refused if both numbers are known and differ.
    pub fn clients(mut self, clients: u32) -> Self {
        self.clients = Some(clients);
        self
    }

    /// The maximum number of clients of any round. It fixes the layout: slots have room for this
    /// number, even if fewer clients take part, so all rounds have the same sizes. A round with
    /// more clients is refused. By default, each round's layout is made for the clients that are
    /// asked in it.
    pub fn max_clients(mut self, clients: u32) -> Self {
        self.max_clients = Some(clients);
        self
    }

    /// Lets clients drop out, as long as at least this number takes part.
    ///
    /// By default every client that is asked must contribute, and the first failing client ends the
    /// run. With a minimum, a failing client is left out completely, and listed in the
    /// [report](crate::federated::report::Report::absent). A client fails if it is absent (`None`
    /// in place of an update), has no update, or has an update that cannot be sent (a value out of
    /// range, another shape). It also fails if the aggregator refuses one of its messages (altered,
    /// late, repeated, foreign). With fewer than `clients` left, nothing is decrypted, because a
    /// sum over few clients is close to an update. The error [`round::Error::TooFewClients`] lists
    /// the absent clients.
    ///
    /// With a minimum, the aggregator keeps a client's ciphertexts until all of them have arrived.
    /// For each client that works at the same time, this needs as much memory as one client sends.
    pub fn min_clients(mut self, clients: u32) -> Self {
        self.min_clients = Some(clients);
        self
    }

    /// The maximum number of clients that work at the same time, and so of updates in memory. By
    /// default it is the number of [threads](Self::threads); it never exceeds that number.
    pub fn max_concurrent_clients(mut self, clients: usize) -> Self {
        self.max_concurrent_clients = Some(clients);
        self
    }

    /// Replaces the default channels.
    pub fn channels(mut self, channels: ChannelGrid) -> Self {
        self.channels = channels;
        self
    }

    /// Sets the first session's secret key. By default the executor generates it.
    pub fn secret_key(mut self, key: SecretKey<S>) -> Self {
        self.secret_key = Some(key);
        self
    }

    /// Gives the secret key to another party. By default the server holds it.
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

    /// Runs without cryptography: **for debugging only**. Sums are formed from the same encoded
    /// numbers in the same layout, without keys and messages. The results are identical to the last
    /// bit. With the same generator ([`rng`](Self::rng)) this also holds where clients draw random
    /// numbers. The report names the backend `in the clear`.
    pub fn in_the_clear(mut self) -> Self {
        self.in_the_clear = true;
        self
    }

    /// Lets all simulated parties encrypt with short exponents: about four times as fast, **under a
    /// further assumption**. Read [`Exponents`] first. Results are the same, and the
    /// [report](crate::federated::report::Report::exponents) names the exponents.
    ///
    /// In a deployment, each client makes this choice itself
    /// ([`EncryptionKey::with_short_exponents`](crate::federated::round::EncryptionKey::with_short_exponents)).
    ///
    /// ```
    /// use cipherfold::{federated::LocalExecutor, packing::IntegerRange, paillier::{Bits2048, Exponents}};
    ///
    /// let executor = LocalExecutor::<Bits2048>::builder().short_exponents().build()?;
    /// let sum = executor.secure_sum(&[ndarray::array![1u8], ndarray::array![2]], IntegerRange::of::<u8>())?;
    /// assert_eq!(sum.value, ndarray::array![3u64]);
    /// assert_eq!(sum.report().exponents, Some(Exponents::Short));
    /// # Ok::<(), cipherfold::Error>(())
    /// ```
    pub fn short_exponents(mut self) -> Self {
        self.exponents = Exponents::Short;
        self
    }

    /// Selects the Paillier backend. By default it is the fastest one that runs here.
    pub fn backend(mut self, backend: BackendChoice) -> Self {
        self.backend = backend;
        self
    }

    /// The number of threads for batch work, and for clients that work at the same time. By default
    /// it is the number that the machine runs in parallel. The maximum is eight times that number,
    /// because more threads would only wait for each other.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Ciphertexts in one message from a client to the aggregator. A message is one batch of the
    /// backend, and stays in memory as a whole, in addition to the updates and the sum. The default
    /// suits backend, threads and key size
    /// ([`suggested_chunk_ciphertexts`](crate::federated::round::EncryptionKey::suggested_chunk_ciphertexts)).
    /// The [report](crate::federated::report::Report::chunk_ciphertexts) shows the number.
    pub fn chunk_ciphertexts(mut self, ciphertexts: usize) -> Self {
        self.chunk_ciphertexts = Some(ciphertexts);
        self
    }

    /// Aggregates values in the clear as a tree: groups of at most `fanout` values, then groups of
    /// at most `fanout` groups, and so on. By default there is one group.
    ///
    /// The clients keep their order, so results depend only on the number of clients and this
    /// setting.
    pub fn max_fanout(mut self, fanout: usize) -> Self {
        self.max_fanout = Some(fanout);
        self
    }

    /// Refuses computations that show more of the clients' data than sums over many clients
    /// ([`Computation::leaks`](crate::federated::computation::Computation::leaks)), and sums that
    /// may be over one client: [`build`](Self::build) fails for a
    /// [`min_clients`](Self::min_clients) below 2.
    pub fn secure_only(mut self) -> Self {
        self.secure_only = true;
        self
    }

    /// Allows secure sums over one client, which reveal that client's values. Use it only for
    /// experiments.
    ///
    /// By default a round with secure sums needs at least two clients
    /// ([`round::Error::TooFewClients`]). [`min_clients(1)`](Self::min_clients) allows one client,
    /// too, and lets the others drop out.
    pub fn allow_single_client(mut self) -> Self {
        self.allow_single_client = true;
        self
    }

    /// Shows a client's own error texts in errors and reports. Use it to debug a simulation, whose
    /// caller owns all updates.
    ///
    /// By default, errors and reports show only facts that may leave a client in a deployment: an
    /// [`AbsenceReason`](crate::federated::report::AbsenceReason), without index, value, name or
    /// shape of the client's data.
    ///
    /// ```
    /// use cipherfold::{federated::{Error, LocalExecutor}, packing::IntegerRange, paillier::Bits2048};
    ///
    /// let executor = LocalExecutor::<Bits2048>::builder();
    /// let error = |executor: LocalExecutor<_>| {
    ///     executor.secure_sum([[1_u32, 2], [1, 200]], IntegerRange::up_to(9)).unwrap_err().to_string()
    /// };
    /// let (quiet, telling) = (executor.build()?, LocalExecutor::<Bits2048>::builder().show_client_errors().build()?);
    /// assert_eq!(error(quiet), "client 1: a value of tensor 0 cannot be encoded as declared");
    /// assert_eq!(error(telling), "client 1: tensor 0: the value at index 1 lies outside [0, 9]");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn show_client_errors(mut self) -> Self {
        self.show_client_errors = true;
        self
    }

    /// The cryptographic generator behind all randomness of the simulation. By default the system
    /// seeds one.
    ///
    /// All secrets follow from its state. Use a generator that is wiped when dropped, as those of
    /// `chacha20` are with the feature `zeroize`. (Those of `rand_chacha` are not.)
    ///
    /// With a seeded generator, a session with consecutive runs can be replayed byte for byte:
    /// streams are drawn in the clients' order, however many clients work at a time.
    pub fn rng(mut self, rng: impl CryptoRng + Send + 'static) -> Self {
        self.entropy = Some(Box::new(rng));
        self
    }

    /// Calls back after every part of a run, on the thread that did it. `ControlFlow::Break(())`
    /// cancels the run.
    ///
    /// Within a run, calls come one after the other, [`Progress::done`] increases from call to
    /// call, and there is no call after a `Break`. The run waits for each call, so calls should be
    /// short. A cancelled run ends with [`Error::Cancelled`]. Once all clients have contributed,
    /// this error is inside an [`Error::RoundFailed`], because the server may already have seen
    /// some sums.
    ///
    /// ```
    /// use cipherfold::{federated::{Error, LocalExecutor}, packing::IntegerRange, paillier::Bits2048};
    /// use core::ops::ControlFlow;
    ///
    /// let executor = LocalExecutor::<Bits2048>::builder()
    ///     .on_progress(|progress| {
    ///         println!("{} of {}", progress.done, progress.total);
    ///         ControlFlow::Break(()) // enough
    ///     })
    ///     .build()?;
    /// let sum = executor.secure_sum(&[ndarray::array![1u8], ndarray::array![2]], IntegerRange::of::<u8>());
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

    /// Builds the executor.
    ///
    /// # Errors
    ///
    /// [`round::Error::Setting`] for a number that is zero, and for
    /// [`min_clients`](Self::min_clients) below 2 if [`secure_only`](Self::secure_only) is set;
    /// [`Error::NoClients`] for a stated or maximum number of zero clients;
    /// [`round::Error::TooManyClients`] for a stated or minimum number of clients above the
    /// maximum; [`Error::Entropy`], [`Error::ThreadPool`]; those of
    /// [`BackendChoice::backend_name`].
    pub fn build(self) -> Result<LocalExecutor<S>> {
        let backend_name = self.backend.backend_name()?;
        let secret_key = self.secret_key.map(|key| -> Arc<dyn Any + Send + Sync> { Arc::new(key) });
        let settings = Requested {
            clients: self.clients,
            max_clients: self.max_clients,
            min_clients: self.min_clients,
            max_concurrent_clients: self.max_concurrent_clients,
            key_holding: self.key_holding,
            in_the_clear: self.in_the_clear,
            exponents: self.exponents,
            backend: self.backend,
            backend_name,
            threads: self.threads,
            chunk_ciphertexts: self.chunk_ciphertexts,
            max_fanout: self.max_fanout,
            secure_only: self.secure_only,
            show_client_errors: self.show_client_errors,
            allow_single_client: self.allow_single_client,
            on_progress: self.on_progress,
        };
        let erased = build(settings, S::BITS, self.channels, secret_key, self.entropy)?;
        Ok(LocalExecutor { erased, size: PhantomData })
    }
}

/// The requested settings, independent of the key size.
#[expect(clippy::struct_excessive_bools, reason = "settings that are independent of each other")]
struct Requested {
    clients: Option<u32>,
    max_clients: Option<u32>,
    min_clients: Option<u32>,
    max_concurrent_clients: Option<usize>,
    key_holding: KeyHolding,
    in_the_clear: bool,
    exponents: Exponents,
    backend: BackendChoice,
    backend_name: &'static str,
    threads: Option<usize>,
    chunk_ciphertexts: Option<usize>,
    max_fanout: Option<usize>,
    secure_only: bool,
    show_client_errors: bool,
    allow_single_client: bool,
    on_progress: OnProgress,
}

fn build(
    requested: Requested,
    key_bits: u32,
    channels: ChannelGrid,
    secret_key: Option<Arc<dyn Any + Send + Sync>>,
    entropy: Option<Box<dyn CryptoRng + Send>>,
) -> Result<ErasedExecutor> {
    if [requested.clients, requested.max_clients].contains(&Some(0)) {
        return Err(Error::NoClients);
    }
    for found in [requested.clients, requested.min_clients].into_iter().flatten() {
        if let Some(limit) = requested.max_clients.filter(|limit| found > *limit) {
            return Err(round::Error::TooManyClients { limit, found }.into());
        }
    }
    let available = thread::available_parallelism().map_or(1, usize::from);
    let threads = requested.threads.unwrap_or(available).min(available.saturating_mul(MAX_THREADS_PER_CORE));
    let default = if requested.allow_single_client { 1 } else { usize::MAX };
    let min_clients = requested.min_clients.map_or(default, |minimum| minimum as usize);
    let max_concurrent_clients = requested.max_concurrent_clients.unwrap_or(threads);
    let chunk_ciphertexts = match requested.chunk_ciphertexts {
        Some(stated) => stated,
        None => chunk::suggested(requested.backend_name, key_bits, threads) as usize,
    };
    for (setting, value, minimum) in [
        ("threads", threads, 1),
        ("max_concurrent_clients", max_concurrent_clients, 1),
        ("chunk_ciphertexts", chunk_ciphertexts, 1),
        ("max_fanout", requested.max_fanout.unwrap_or(usize::MAX), 2),
        // A sum over one client is that client's value.
        ("min_clients", min_clients, if requested.secure_only { 2 } else { 0 }),
    ] {
        if value < minimum {
            return Err(round::Error::Setting { setting, minimum }.into());
        }
    }
    let entropy = match entropy {
        Some(entropy) => entropy,
        None => Box::new(system_rng()?),
    };
    // The pool's own structures copy parts of this stack into their padding.
    wipe_stack();
    // The executor has its own threads: a caller that is a task of another pool may wait without
    // starving a run.
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|i| format!("cipherfold-{i}"))
        .build()
        .map_err(no_thread)?;
    let settings = Settings {
        clients: requested.clients,
        max_clients: requested.max_clients,
        min_clients: requested.min_clients,
        max_concurrent_clients,
        chunk_ciphertexts,
        max_fanout: requested.max_fanout,
        secure_only: requested.secure_only,
        show_client_errors: requested.show_client_errors,
        allow_single_client: requested.allow_single_client,
        key_holding: requested.key_holding,
        in_the_clear: requested.in_the_clear,
        exponents: requested.exponents,
        on_progress: requested.on_progress,
        backend: requested.backend,
    };
    let executor = ErasedExecutor::new(settings, key_bits, channels, pool, entropy, secret_key);
    // Moves of the caller's generator into this builder have left copies on the stack.
    wipe_stack();
    Ok(executor)
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

/// Maximum number of threads for each hardware thread. More than one helps clients that wait for
/// files or networks.
const MAX_THREADS_PER_CORE: usize = 8;

fn system_rng() -> Result<ChaCha20Rng> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::SysRng
        .try_fill_bytes(&mut *seed)
        .map_err(|error| Error::Entropy { reason: error.to_string() })?;
    Ok(ChaCha20Rng::from_seed(*seed))
}
