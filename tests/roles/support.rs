//! A session with all of its roles, and rounds of it.

use std::{
    fmt::{self, Debug},
    sync::Arc,
};

use cipherfold::{
    backend::BackendChoice,
    federated::{
        Digest, KeyHolding, Party, SessionId,
        channel::{self, BoxChannel, Channel, Envelope, OpenedPayload, PlaintextChannel},
        round::{
            self, Aggregator, Client, ClosedSum, EncryptionKey, KeyHolder, KeyOwner, RoundParameters,
            RoundResult, RoundSpec, Server, SessionParameters, SumSpec, TensorSpec, Update,
        },
        tensor::{DType, Encoding, Structure, Tensor, TensorView},
    },
    packing::IntegerRange,
};
use ndarray::{Array1, ArrayD};
use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRng, Rng as _, SeedableRng};

pub(crate) fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// Shuffles a list by a seed.
pub(crate) fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut rng = rng(seed);
    for last in (1..items.len()).rev() {
        items.swap(last, (rng.next_u64() % (last as u64 + 1)) as usize);
    }
}

/// Values of the rounds of bytes below: 51 share a ciphertext, so that there are three messages of
/// one ciphertext each.
pub(crate) const VALUES: usize = 120;
pub(crate) const MESSAGES: u64 = 3;

/// A session, its owner, and one channel for all.
pub(crate) struct Session {
    pub(crate) owner: KeyOwner,
    pub(crate) channel: Arc<dyn Channel>,
}

impl Session {
    pub(crate) fn new(seed: u64) -> Self {
        Self::with(seed, KeyHolding::Server, BoxChannel::new())
    }

    pub(crate) fn with_key_holder(seed: u64) -> Self {
        Self::with(seed, KeyHolding::KeyHolder, BoxChannel::new())
    }

    /// All in the clear: the contents of messages can be changed.
    pub(crate) fn in_the_open(seed: u64, key_holding: KeyHolding) -> Self {
        // With a key holder the server only accepts confidential channels, so this one claims to be
        // confidential.
        Self::with(seed, key_holding, Open(PlaintextChannel::new()))
    }

    fn with(seed: u64, key_holding: KeyHolding, channel: impl Channel + 'static) -> Self {
        let mut rng = rng(seed);
        let parameters = parameters(SessionId::random(&mut rng), key_holding);
        let owner = KeyOwner::generate(parameters, &mut rng).unwrap();
        // All box keys, so that a client's messages depend only on its own generator.
        let parties = [Party::Server, Party::Aggregator, Party::KeyHolder];
        for party in parties.into_iter().chain((0..40).map(Party::Client)) {
            channel.prepare(party, &mut rng);
        }
        Self { owner, channel: Arc::new(channel) }
    }

    pub(crate) fn key(&self) -> &EncryptionKey {
        self.owner.encryption_key()
    }

    /// Parts of a round over at most 4 clients and at least 2.
    pub(crate) fn parameters(&self, round: u64, sums: Vec<SumSpec>) -> RoundParameters {
        let offer = self.owner.offer();
        RoundParameters {
            session: offer.session(),
            round,
            key_bits: offer.key_bits(),
            key_holding: offer.key_holding(),
            offer: offer.digest(),
            sums,
            max_clients: 4,
            min_clients: 2,
            chunk_ciphertexts: 1,
        }
    }

    /// A round over bytes.
    pub(crate) fn bytes(&self, round: u64) -> RoundSpec {
        RoundSpec::new(self.parameters(round, bytes())).unwrap()
    }

    pub(crate) fn client(&self, number: u32, spec: &RoundSpec) -> Client {
        Client::new(number, spec, self.key(), Arc::clone(&self.channel)).unwrap()
    }

    pub(crate) fn aggregator(&self, spec: &RoundSpec) -> Aggregator {
        Aggregator::new(spec, self.key(), Arc::clone(&self.channel)).unwrap()
    }

    pub(crate) fn server(&self, spec: &RoundSpec) -> Server {
        if self.owner.offer().key_holding() == KeyHolding::Server {
            Server::new(spec, &self.owner, Arc::clone(&self.channel)).unwrap()
        } else {
            let (aggregator, key_holder) = (Arc::clone(&self.channel), Arc::clone(&self.channel));
            Server::with_key_holder(spec, self.key(), aggregator, key_holder).unwrap()
        }
    }

    pub(crate) fn key_holder(&self) -> KeyHolder {
        KeyHolder::new(&self.owner, Arc::clone(&self.channel))
    }

    /// All messages of a client, with an update for each sum.
    pub(crate) fn send(&self, number: u32, spec: &RoundSpec, updates: &[Update<'_>]) -> Vec<Vec<u8>> {
        let client = self.client(number, spec);
        let update = client.encode(updates).unwrap();
        let mut rng = rng(u64::from(number) << 32 | spec.round());
        (0..update.messages()).map(|number| client.message(&update, number, &mut rng).unwrap()).collect()
    }

    /// All messages of a client of a round over bytes, each of which has this value.
    pub(crate) fn send_bytes(&self, number: u32, spec: &RoundSpec, value: u8) -> Vec<Vec<u8>> {
        let update = Array1::from_elem(VALUES, value);
        self.send(number, spec, &[Update::new(&update).unwrap()])
    }

    /// The sum over these clients of a round over bytes, each with its own number and one as value.
    pub(crate) fn closed(&self, spec: &RoundSpec, clients: &[u32]) -> ClosedSum {
        let aggregator = self.aggregator(spec);
        for client in clients {
            self.contribute(&aggregator, *client);
        }
        aggregator.close().unwrap().for_server().unwrap()
    }

    /// A client sends everything and commits.
    pub(crate) fn contribute(&self, aggregator: &Aggregator, client: u32) {
        for wire in self.send_bytes(client, aggregator.spec(), client as u8 + 1) {
            let _ = aggregator.accept(client, &wire).unwrap();
        }
        aggregator.commit(client).unwrap();
    }

    /// All messages of a sum for the server.
    pub(crate) fn for_server(&self, mut sum: ClosedSum, seed: u64) -> Vec<Vec<u8>> {
        let mut rng = rng(seed);
        (0..sum.messages()).map(|number| sum.message(number, &*self.channel, &mut rng).unwrap()).collect()
    }

    /// Opens a sum as this session requires.
    pub(crate) fn open(&self, spec: &RoundSpec, sum: ClosedSum) -> Result<RoundResult, round::Error> {
        let (mut server, holder) = (self.server(spec), self.key_holder());
        let mut rng = rng(77);
        for wire in self.for_server(sum, 78) {
            if self.owner.offer().key_holding() == KeyHolding::Server {
                server.open(&wire)?;
            } else {
                let question = server.mask(&wire, &mut rng)?;
                let answer = holder.decrypt_masked(spec, &question, &mut rng)?;
                server.unmask(&answer)?;
            }
        }
        server.finish()
    }
}

pub(crate) fn parameters(session: SessionId, key_holding: KeyHolding) -> SessionParameters {
    let backend = BackendChoice::Auto;
    SessionParameters { session, key_bits: 512, key_holding, roster: Digest::NONE, backend }
}

/// One sum of bytes.
pub(crate) fn bytes() -> Vec<SumSpec> {
    let tensor = TensorSpec::new(DType::U8, [VALUES], Encoding::Integers(IntegerRange::of::<u8>()));
    vec![SumSpec::new(Structure::leaf(tensor))]
}

/// The result of a round over bytes if all values of a client are equal, with this sum.
pub(crate) fn assert_bytes(result: &RoundResult, clients: &[u32], sum: u64) {
    assert_eq!(result.participants, clients);
    assert_eq!(result.sums.len(), 1);
    assert_eq!(result.sums[0].total_weight, clients.len() as u64);
    let tensor = result.sums[0].tensors.as_leaf().unwrap().clone();
    assert_eq!(tensor, Tensor::U64(ArrayD::from_elem(vec![VALUES], sum)));
}

pub(crate) fn view<T: cipherfold::federated::tensor::Scalar>(array: &ArrayD<T>) -> TensorView<'_>
where
    for<'a> TensorView<'a>: From<ndarray::ArrayViewD<'a, T>>,
{
    array.view().into()
}

/// A plaintext channel under another name.
struct Open(PlaintextChannel);

impl Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Open")
    }
}

impl Channel for Open {
    fn name(&self) -> &'static str {
        "open"
    }

    fn is_confidential(&self) -> bool {
        true
    }

    fn overhead(&self) -> usize {
        self.0.overhead()
    }

    fn setup_bytes(&self) -> u64 {
        0
    }

    fn seal(
        &self,
        envelope: &Envelope,
        payload: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, channel::Error> {
        self.0.seal(envelope, payload, rng)
    }

    fn open(&self, from: Party, to: Party, wire: &[u8]) -> Result<(Envelope, OpenedPayload), channel::Error> {
        self.0.open(from, to, wire)
    }
}
