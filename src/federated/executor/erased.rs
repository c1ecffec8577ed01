//! The state shared by all runs of an executor: settings, channels, the session, threads,
//! randomness.

use core::{any::Any, fmt};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use chacha20::ChaCha20Rng;
use rand_core::{CryptoRng, SeedableRng};
use rayon::ThreadPool;
use zeroize::Zeroizing;

use crate::{
    backend::BackendChoice,
    federated::{
        Error, KeyHolding, Party, Result, SessionId,
        channel::{ChannelGrid, network::Network},
        report::OnProgress,
        round::{EncryptionKey, KeyOwner},
    },
    paillier::Exponents,
    wipe::wipe_stack,
};

/// An executor with its key size as a run-time value.
pub(in crate::federated) struct ErasedExecutor {
    pub(in crate::federated) settings: Settings,
    pub(in crate::federated) network: Network,
    pub(super) session: Session,
    key_bits: u32,
    pool: ThreadPool,
    entropy: Mutex<Entropy>,
    rounds: AtomicU64,
}

#[expect(clippy::struct_excessive_bools, reason = "settings that are independent of each other")]
pub(in crate::federated) struct Settings {
    pub(in crate::federated) clients: Option<u32>,
    pub(in crate::federated) max_clients: Option<u32>,
    pub(in crate::federated) min_clients: Option<u32>,
    pub(in crate::federated) max_concurrent_clients: usize,
    pub(in crate::federated) chunk_ciphertexts: usize,
    pub(in crate::federated) max_fanout: Option<usize>,
    pub(in crate::federated) secure_only: bool,
    pub(in crate::federated) show_client_errors: bool,
    pub(in crate::federated) allow_single_client: bool,
    pub(in crate::federated) key_holding: KeyHolding,
    pub(in crate::federated) in_the_clear: bool,
    pub(in crate::federated) exponents: Exponents,
    pub(in crate::federated) on_progress: OnProgress,
    pub(in crate::federated) backend: BackendChoice,
}

/// The source of all randomness. It has two generators, so that the clients' random data do not
/// depend on how much randomness the cryptography uses: runs in the clear and encrypted runs give
/// the same results.
struct Entropy {
    cryptography: Box<dyn CryptoRng + Send>,
    data: Box<ChaCha20Rng>,
}

/// One session: a key pair, and the parties that have received the public key.
pub(super) struct Session {
    pub(super) id: SessionId,
    /// A secret key that the caller supplied, of the executor's size.
    pub(super) supplied: Option<Arc<dyn Any + Send + Sync>>,
    pub(super) owner: OnceLock<KeyOwner>,
    /// Locked while keys are made, so that other threads wait for them.
    pub(super) making: Mutex<()>,
    /// The public key as each party received it.
    pub(super) received: Mutex<HashMap<Party, EncryptionKey>>,
}

impl Session {
    pub(super) fn new(rng: &mut dyn CryptoRng, supplied: Option<Arc<dyn Any + Send + Sync>>) -> Self {
        Self {
            id: SessionId::random(rng),
            supplied,
            owner: OnceLock::new(),
            making: Mutex::default(),
            received: Mutex::default(),
        }
    }
}

impl ErasedExecutor {
    pub(super) fn new(
        settings: Settings,
        key_bits: u32,
        channels: ChannelGrid,
        pool: ThreadPool,
        mut entropy: Box<dyn CryptoRng + Send>,
        secret_key: Option<Arc<dyn Any + Send + Sync>>,
    ) -> Self {
        let data = Box::new(fork(&mut *entropy));
        let session = Session::new(&mut *entropy, secret_key);
        Self {
            settings,
            network: Network::new(channels),
            session,
            key_bits,
            pool,
            entropy: Mutex::new(Entropy { cryptography: entropy, data }),
            rounds: AtomicU64::new(0),
        }
    }

    /// Bits of the session's key.
    pub(in crate::federated) fn key_bits(&self) -> u32 {
        self.key_bits
    }

    /// The session's identifier.
    pub(in crate::federated) fn session(&self) -> SessionId {
        self.session.id
    }

    /// Ends the session and begins another one.
    pub(super) fn rotate_keys(&mut self) {
        let mut entropy = self.entropy.lock().unwrap_or_else(PoisonError::into_inner);
        let session = Session::new(&mut *entropy.cryptography, None);
        drop(entropy);
        self.network.end_session(self.session.id);
        self.session = session;
    }

    /// The number of the next round, unless another run takes it first.
    pub(in crate::federated) fn upcoming_round(&self) -> u64 {
        self.rounds.load(Ordering::Relaxed)
    }

    /// A new round's number.
    pub(in crate::federated) fn next_round(&self) -> u64 {
        self.rounds.fetch_add(1, Ordering::Relaxed)
    }

    /// Runs batch work on the executor's threads and waits. Like [`off_pools`], it can fail only on
    /// a thread of a rayon pool.
    pub(in crate::federated) fn on_pool<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        off_pools(|| self.pool.install(work))
    }

    /// Threads for batch work.
    pub(super) fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// The number of clients that work at the same time, out of those asked.
    pub(in crate::federated) fn concurrent_clients(&self, clients: u32) -> usize {
        let asked = usize::try_from(clients).unwrap_or(usize::MAX);
        self.settings.max_concurrent_clients.min(asked).min(self.pool.current_num_threads())
    }

    /// An independent random stream for one party's part of one round: keys, encryption, boxes.
    pub(in crate::federated) fn stream(&self) -> ChaCha20Rng {
        let mut entropy = self.entropy.lock().unwrap_or_else(PoisonError::into_inner);
        fork(&mut *entropy.cryptography)
    }

    /// An independent random stream for one client's data in one round: rounding, noise, training.
    pub(in crate::federated) fn data_stream(&self) -> ChaCha20Rng {
        fork(&mut *self.entropy.lock().unwrap_or_else(PoisonError::into_inner).data)
    }

    /// The number of clients, stated or inferred. If both are known, they must be equal.
    pub(in crate::federated) fn client_count(&self, (min, max): (usize, Option<usize>)) -> Result<u32> {
        let inferred = max.filter(|max| *max == min).map(|count| count as u64);
        let stated = self.settings.clients.map(u64::from);
        match (stated, inferred) {
            (Some(stated), Some(found)) if stated != found => Err(Error::ClientCount { stated, found }),
            (None, None) => Err(Error::UnknownClientCount),
            (stated, inferred) => {
                let count = stated.or(inferred).expect("the number is stated or inferred");
                match u32::try_from(count) {
                    Ok(0) => Err(Error::NoClients),
                    Ok(count) => Ok(count),
                    Err(_) => Err(Error::ClientCount { stated: u32::MAX.into(), found: count }),
                }
            }
        }
    }
}

/// The session ends, also in channels that other executors still use.
impl Drop for ErasedExecutor {
    fn drop(&mut self) {
        self.network.end_session(self.session.id);
    }
}

/// Runs work on a thread that belongs to no rayon pool: the calling thread, or another one for
/// which it waits.
///
/// A thread of a rayon pool that waits for another pool runs other tasks meanwhile. Such a task may
/// need a lock that the thread holds.
pub(in crate::federated) fn off_pools<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    if rayon::current_thread_index().is_none() {
        return Ok(work());
    }
    thread::scope(|scope| {
        let waiting = thread::Builder::new().spawn_scoped(scope, work).map_err(no_thread)?;
        Ok(waiting.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// The error for a thread that did not start.
pub(in crate::federated) fn no_thread(error: impl fmt::Display) -> Error {
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

impl fmt::Debug for ErasedExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErasedExecutor").field("session", &self.session.id).finish_non_exhaustive()
    }
}
