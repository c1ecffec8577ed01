//! Shared code of the tests: fast executors, random cases, a channel that records and interferes, a
//! time limit.

use std::{
    collections::BTreeSet,
    fmt::{self, Debug},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use cipherfold::{
    federated::{
        Error, LocalExecutor, LocalExecutorBuilder, Party, PlacementKind, Result, SessionId,
        channel::{
            self, Channel, ChannelGrid, Envelope, HpkeChannel, Message as _, OpenedPayload, Payload,
            PlaintextChannel,
        },
        report::Report,
    },
    paillier::{CiphertextBatch, hazmat::InsecureBits512},
};
use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRng, Rng as _, SeedableRng};

pub(crate) type Key = InsecureBits512;
pub(crate) type Executor = LocalExecutor<Key>;

pub(crate) fn builder() -> LocalExecutorBuilder<Key> {
    Executor::builder().show_client_errors().threads(4)
}

pub(crate) fn executor() -> Executor {
    builder().build().unwrap()
}

pub(crate) fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// Random choices for a test.
pub(crate) struct Choices(ChaCha20Rng);

impl Choices {
    pub(crate) fn new(seed: u64) -> Self {
        Self(rng(seed))
    }

    pub(crate) fn word(&mut self) -> u64 {
        self.0.next_u64()
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.word() % bound as u64) as usize
    }

    pub(crate) fn between(&mut self, min: usize, max: usize) -> usize {
        min + self.below(max - min + 1)
    }

    /// A number from `min` to `max`, both included; every fourth time one of the two.
    pub(crate) fn integer(&mut self, min: i128, max: i128) -> i128 {
        match self.below(8) {
            0 => min,
            1 => max,
            _ => min + (i128::from(self.word()) % (max - min + 1)),
        }
    }

    /// Uniform in [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        (self.word() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The report of a round that failed after its clients had contributed, and the reason.
pub(crate) fn failed_round(error: Error) -> (Report, Error) {
    let Error::RoundFailed { report, source } = error else { panic!("not a failed round: {error}") };
    (*report, *source)
}

/// Fails if the work takes longer, for example because of a deadlock.
pub(crate) fn within_a_minute<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    let worker = thread::spawn(move || sender.send(work()));
    match receiver.recv_timeout(Duration::from_secs(60)) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("stuck"),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            std::panic::resume_unwind(worker.join().expect_err("ended without a result"))
        }
    }
}

/// A message as a relay sees it, and its contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) envelope: Envelope,
    pub(crate) payload: Vec<u8>,
    pub(crate) wire: Vec<u8>,
}

/// The messages from a client to the aggregator, and from the server to the key holder.
pub(crate) fn ciphertexts(payload: &[u8]) -> CiphertextBatch<Key> {
    CiphertextBatch::from_bytes_unchecked(payload).unwrap()
}

/// The messages from the aggregator to the server.
#[derive(Clone, Debug)]
pub(crate) struct EncryptedSum {
    pub(crate) clients: BTreeSet<u32>,
    pub(crate) ciphertexts: CiphertextBatch<Key>,
}

impl EncryptedSum {
    pub(crate) fn from_bytes(payload: &[u8]) -> Self {
        let Payload((clients, batch)) = Payload::<(BTreeSet<u32>, Vec<u8>)>::from_bytes(payload).unwrap();
        Self { clients, ciphertexts: ciphertexts(&batch) }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        Payload((self.clients.clone(), self.ciphertexts.to_bytes())).to_bytes().unwrap()
    }
}

/// A relay's replacement for a message.
pub(crate) type Relay = dyn Fn(&Sent) -> Vec<u8> + Send + Sync;

/// A channel with a relay that records, and may replace messages.
pub(crate) struct Spy {
    inner: Arc<dyn Channel>,
    relay: Box<Relay>,
    log: Mutex<Vec<Sent>>,
}

impl Spy {
    pub(crate) fn on(inner: impl Channel + 'static) -> Arc<Self> {
        Self::with_relay(inner, |sent| sent.wire.clone())
    }

    pub(crate) fn with_relay(
        inner: impl Channel + 'static,
        relay: impl Fn(&Sent) -> Vec<u8> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { inner: Arc::new(inner), relay: Box::new(relay), log: Mutex::default() })
    }

    /// Records a channel that the test also uses itself.
    pub(crate) fn around(inner: Arc<dyn Channel>) -> Arc<Self> {
        Arc::new(Self { inner, relay: Box::new(|sent: &Sent| sent.wire.clone()), log: Mutex::default() })
    }

    /// Everything sent so far.
    pub(crate) fn log(&self) -> Vec<Sent> {
        self.log.lock().unwrap().clone()
    }
}

impl Debug for Spy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spy").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl Channel for Spy {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn is_confidential(&self) -> bool {
        self.inner.is_confidential()
    }

    fn overhead(&self) -> usize {
        self.inner.overhead()
    }

    fn setup_bytes(&self) -> u64 {
        self.inner.setup_bytes()
    }

    fn prepare(&self, party: Party, rng: &mut dyn CryptoRng) {
        self.inner.prepare(party, rng);
    }

    fn end_session(&self, session: SessionId) {
        self.inner.end_session(session);
    }

    fn seal(
        &self,
        envelope: &Envelope,
        payload: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, channel::Error> {
        let wire = self.inner.seal(envelope, payload, rng)?;
        let sent = Sent { envelope: *envelope, payload: payload.to_vec(), wire };
        self.log.lock().unwrap().push(sent.clone());
        Ok((self.relay)(&sent))
    }

    fn open(&self, from: Party, to: Party, wire: &[u8]) -> Result<(Envelope, OpenedPayload), channel::Error> {
        self.inner.open(from, to, wire)
    }
}

/// The default grid with this channel between clients and aggregator.
pub(crate) fn contributions_through(channel: Arc<dyn Channel>) -> ChannelGrid {
    ChannelGrid::default().with(PlacementKind::Clients, PlacementKind::Aggregator, channel).unwrap()
}

/// Spies on every pair of the default grid: clients–aggregator, clients–server, aggregator–server.
pub(crate) fn spied_grid() -> (ChannelGrid, [Arc<Spy>; 3]) {
    use PlacementKind::{Aggregator, Clients, Server};
    let spies = [Spy::on(HpkeChannel::new()), Spy::on(PlaintextChannel::new()), Spy::on(HpkeChannel::new())];
    let pairs = [(Clients, Aggregator), (Clients, Server), (Aggregator, Server)];
    let mut grid = ChannelGrid::empty();
    for ((a, b), spy) in pairs.into_iter().zip(&spies) {
        grid = grid.with(a, b, Arc::<Spy>::clone(spy)).unwrap();
    }
    (grid, spies)
}
