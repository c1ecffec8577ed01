//! The server of a round: has the sums opened, and decodes them. It sees no single update.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{
    EncryptionKey, KeyOwner, RoundSpec,
    confidential::check_confidential,
    keys::{Batch, Plaintexts, Unmask},
    offer::KeyHolding,
    opened::{MessageId, content_id},
    partial::SumMessage,
    plan::{Chunk, Place},
};
use crate::federated::{
    Error, Party, PlacementKind, Result,
    channel::{Channel, OpenedPayload, payload},
    tensor::{MaxWeight, Structure, Tensor, column::Decode},
};

/// The server of one round. It receives the encrypted sum message by message, in any order, and
/// gives the result of the round.
///
/// If the server holds the session's secret key, it [opens](Self::open) each message itself. If a
/// key holder has the key, the server [masks](Self::mask) each message for the key holder, and
/// [removes the mask](Self::unmask) from the answer.
///
/// A sum is opened only if its message states at least the minimum and at most the maximum number
/// of clients. Bits of a plaintext that no honest sum sets must be zero.
pub struct Server {
    spec: RoundSpec,
    key: EncryptionKey,
    owner: Option<KeyOwner>,
    aggregator: Arc<dyn Channel>,
    key_holder: Option<Arc<dyn Channel>>,
    decoder: Decoder,
    clients: Option<BTreeSet<u32>>,
    /// The received messages, to recognise repeated ones.
    received: BTreeMap<usize, MessageId>,
    /// Masks of the requests to the key holder, with the requests.
    masked: BTreeMap<usize, (Box<dyn Unmask>, Vec<u8>)>,
}

/// The result of a round.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RoundResult {
    /// One result for each secure sum of the round.
    pub sums: Vec<SumResult>,
    /// The clients in the sums, in ascending order.
    pub participants: Vec<u32>,
}

/// The result of one secure sum.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SumResult {
    /// Sums or means, in the declared structure.
    pub tensors: Structure<Tensor>,
    /// The total weight of the clients. Without weights, it is their number.
    pub total_weight: u64,
}

impl Server {
    /// The server of a round, with the session's secret key. The aggregator's messages come through
    /// the channel.
    ///
    /// # Errors
    ///
    /// [`Error::OtherOffer`]; [`Error::KeyHolding`] if the round is one with a key holder.
    pub fn new(spec: &RoundSpec, owner: &KeyOwner, aggregator: Arc<dyn Channel>) -> Result<Self> {
        check_holding(spec, KeyHolding::Server)?;
        spec.check_key(owner.encryption_key())?;
        Ok(Self::over(spec, owner.encryption_key(), Some(owner.clone()), aggregator, None))
    }

    /// The server of a round in which a key holder has the secret key.
    ///
    /// # Errors
    ///
    /// [`Error::OtherOffer`]; [`Error::KeyHolding`] if the server has the key in this round;
    /// [`Error::OpenChannel`] unless both channels are confidential: the key holder could decrypt
    /// the sum, so it must not see it.
    pub fn with_key_holder(
        spec: &RoundSpec,
        key: &EncryptionKey,
        aggregator: Arc<dyn Channel>,
        key_holder: Arc<dyn Channel>,
    ) -> Result<Self> {
        check_holding(spec, KeyHolding::KeyHolder)?;
        spec.check_key(key)?;
        for (from, to, channel) in [
            (PlacementKind::Aggregator, PlacementKind::Server, &aggregator),
            (PlacementKind::Server, PlacementKind::KeyHolder, &key_holder),
        ] {
            check_confidential(spec, (from, to), &**channel)?;
        }
        Ok(Self::over(spec, key, None, aggregator, Some(key_holder)))
    }

    fn over(
        spec: &RoundSpec,
        key: &EncryptionKey,
        owner: Option<KeyOwner>,
        aggregator: Arc<dyn Channel>,
        key_holder: Option<Arc<dyn Channel>>,
    ) -> Self {
        Self {
            spec: spec.clone(),
            key: key.clone(),
            owner,
            aggregator,
            key_holder,
            decoder: Decoder::new(spec),
            clients: None,
            received: BTreeMap::new(),
            masked: BTreeMap::new(),
        }
    }

    /// The round.
    pub fn spec(&self) -> &RoundSpec {
        &self.spec
    }

    /// Opens a message of the aggregator with the secret key. A repeated message changes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::KeyHolding`] if a key holder has the key; [`Error::WrongEnvelope`],
    /// [`Error::MessageNumber`], [`Error::ConflictingMessage`]; those of the channel;
    /// [`Error::TooFewClients`], [`Error::TooManyClients`], [`Error::MoreClientsThanExpected`];
    /// [`Error::Participants`] if the message is over other clients than those before;
    /// [`Error::AlreadyOpened`]; [`paillier::Error::Decrypt`](crate::paillier::Error::Decrypt),
    /// [`Error::UnusedBits`], [`Error::SumOutOfRange`], [`Error::TotalWeightOutOfRange`],
    /// [`Error::ZeroTotalWeight`].
    pub fn open(&mut self, wire: &[u8]) -> Result<()> {
        // Checked first, so that a message that cannot be opened here does not count as received.
        self.owner()?;
        let Some((chunk, sum, id)) = self.receive(wire)? else { return Ok(()) };
        let opened = self.decrypt(&chunk, &sum, id)?;
        self.decode(&chunk, &*opened)
    }

    /// Masks a message of the aggregator, and seals it for the key holder. For a repeated message
    /// that was not answered yet, the request is the same.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open) up to the participants;
    /// [`paillier::Error::BrokenGenerator`](crate::paillier::Error::BrokenGenerator);
    /// [`Error::MessageNumber`] for a message that was answered already.
    pub fn mask(&mut self, wire: &[u8], rng: &mut dyn CryptoRng) -> Result<Vec<u8>> {
        self.key_holder()?;
        let (number, _, repeated) = self.look_up(wire)?;
        if repeated {
            let messages = self.spec.plan().chunk_count() as u64;
            let question = self.masked.get(&number).map(|(_, question)| question.clone());
            return question.ok_or(Error::MessageNumber { number: number as u64, messages });
        }
        let (chunk, sum, _) = self.receive(wire)?.expect("the message is not repeated");
        let hidden = self.hide(&chunk, &sum, rng)?;
        self.ask(&chunk, hidden, rng)
    }

    /// Removes the mask from an answer of the key holder.
    ///
    /// # Errors
    ///
    /// [`Error::WrongEnvelope`]; [`Error::MessageNumber`] if there is no such request, or it was
    /// already answered; those of the channel, and those of [`open`](Self::open) from
    /// [`paillier::Error::Decrypt`](crate::paillier::Error::Decrypt) on.
    pub fn unmask(&mut self, wire: &[u8]) -> Result<()> {
        let (number, answer) = self.read_answer(wire)?;
        let (chunk, opened) = self.take_off(number, &answer)?;
        self.decode(&chunk, &*opened)
    }

    /// Number of messages that are not decoded yet.
    pub fn missing(&self) -> u64 {
        self.decoder.missing() as u64
    }

    /// The result of the round.
    ///
    /// # Errors
    ///
    /// [`Error::MissingPart`] if messages are missing.
    pub fn finish(self) -> Result<RoundResult> {
        let participants = self.clients.unwrap_or_default();
        let sums = self.decoder.finish(participants.len() as u64)?;
        Ok(RoundResult { sums, participants: participants.into_iter().collect() })
    }

    /// The number of a message, its contents, and whether it was received before.
    fn look_up(&self, wire: &[u8]) -> Result<(usize, OpenedPayload, bool)> {
        let id = self.aggregator.message_id(wire);
        let (envelope, payload) = self.aggregator.open(Party::Aggregator, Party::Server, wire)?;
        self.spec.check_envelope(&envelope)?;
        let number = self.spec.chunk(envelope.sequence)?.index;
        match self.received.get(&number) {
            None => Ok((number, payload, false)),
            Some(known) if *known == id => Ok((number, payload, true)),
            Some(_) => Err(Error::ConflictingMessage { from: Party::Aggregator, number: envelope.sequence }),
        }
    }

    /// Receives a message of the aggregator: its chunk, the sum, and the identifier of its
    /// contents. `None` for a repeated message.
    pub(in crate::federated) fn receive(&mut self, wire: &[u8]) -> Result<Option<(Chunk, Batch, MessageId)>> {
        let id = self.aggregator.message_id(wire);
        let (number, payload, repeated) = self.look_up(wire)?;
        if repeated {
            return Ok(None);
        }
        let chunk = self.spec.plan().chunk(number).expect("the number was looked up above");
        let SumMessage { clients, ciphertexts } = payload::decode(&payload)?;
        self.check_clients(&clients)?;
        let sum = self.key.ops().read(&ciphertexts, chunk.plaintexts)?;
        self.clients = Some(clients);
        self.received.insert(number, id);
        Ok(Some((chunk, sum, content_id(&payload))))
    }

    fn check_clients(&self, clients: &BTreeSet<u32>) -> Result<()> {
        let parameters = self.spec.parameters();
        let found = u32::try_from(clients.len()).unwrap_or(u32::MAX);
        if found < parameters.min_clients {
            let minimum = parameters.min_clients;
            return Err(Error::TooFewClients { minimum, found, absent: Vec::new() });
        }
        if found > parameters.max_clients {
            return Err(Error::TooManyClients { limit: parameters.max_clients, found });
        }
        if let Some(expected) = self.spec.sized_for().filter(|expected| found > *expected) {
            return Err(Error::MoreClientsThanExpected { expected, found });
        }
        match &self.clients {
            Some(known) if known != clients => Err(Error::Participants),
            _ => Ok(()),
        }
    }

    pub(in crate::federated) fn decrypt(
        &self,
        chunk: &Chunk,
        sum: &Batch,
        id: MessageId,
    ) -> Result<Box<dyn Plaintexts>> {
        let owner = self.owner()?;
        owner.opens(self.spec.round(), self.spec.digest(), chunk.index as u64, id)?;
        owner.secret().decrypt(sum)
    }

    /// Draws a mask and applies it to a sum.
    pub(in crate::federated) fn hide(
        &self,
        chunk: &Chunk,
        sum: &Batch,
        rng: &mut dyn CryptoRng,
    ) -> Result<(Box<dyn Unmask>, Vec<u8>)> {
        debug_assert_eq!(chunk.plaintexts, sum.len(), "the batch was read with the chunk's length");
        self.key.ops().mask(sum, rng)
    }

    /// Seals a masked sum for the key holder.
    pub(in crate::federated) fn ask(
        &mut self,
        chunk: &Chunk,
        (mask, hidden): (Box<dyn Unmask>, Vec<u8>),
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>> {
        let envelope = self.spec.envelope(chunk.index, Party::Server, Party::KeyHolder);
        let question = self.key_holder()?.seal(&envelope, &hidden, rng)?;
        self.masked.insert(chunk.index, (mask, question.clone()));
        Ok(question)
    }

    pub(in crate::federated) fn read_answer(&self, wire: &[u8]) -> Result<(usize, OpenedPayload)> {
        let (envelope, answer) = self.key_holder()?.open(Party::KeyHolder, Party::Server, wire)?;
        self.spec.check_envelope(&envelope)?;
        Ok((self.spec.chunk(envelope.sequence)?.index, answer))
    }

    pub(in crate::federated) fn take_off(
        &mut self,
        number: usize,
        answer: &[u8],
    ) -> Result<(Chunk, Box<dyn Plaintexts>)> {
        let chunk = self.spec.plan().chunk(number).expect("the answer names a chunk of the round");
        let messages = self.spec.plan().chunk_count() as u64;
        let missing = Error::MessageNumber { number: number as u64, messages };
        let (mask, _) = self.masked.get(&number).ok_or(missing)?;
        let opened = mask.remove(answer)?;
        self.masked.remove(&number);
        Ok((chunk, opened))
    }

    pub(in crate::federated) fn decode(&mut self, chunk: &Chunk, opened: &dyn Plaintexts) -> Result<()> {
        let slots = unpack(chunk, opened)?;
        let clients = self.clients.as_ref().map_or(0, |clients| clients.len() as u64);
        self.decoder.decode(chunk, slots, clients)
    }

    fn owner(&self) -> Result<&KeyOwner> {
        self.owner.as_ref().ok_or(Error::KeyHolding { holder: Party::KeyHolder })
    }

    fn key_holder(&self) -> Result<&Arc<dyn Channel>> {
        self.key_holder.as_ref().ok_or(Error::KeyHolding { holder: Party::Server })
    }
}

fn check_holding(spec: &RoundSpec, expected: KeyHolding) -> Result<()> {
    let found = spec.parameters().key_holding;
    if found == expected { Ok(()) } else { Err(Error::KeyHolding { holder: found.party() }) }
}

/// Unpacks the sums in the slots of a chunk.
fn unpack(chunk: &Chunk, opened: &dyn Plaintexts) -> Result<Zeroizing<Vec<u128>>> {
    let mut sums = Zeroizing::new(vec![0; chunk.values()]);
    let mut words = Zeroizing::new(vec![0; chunk.layout.words()]);
    for (index, sums) in sums.chunks_mut(chunk.layout.slots()).enumerate() {
        opened.write_words(index, &mut words);
        if !chunk.layout.is_zero_beyond(sums.len(), &words) {
            return Err(Error::UnusedBits { number: chunk.index as u64 });
        }
        chunk.layout.unpack(&words, sums);
    }
    Ok(sums)
}

/// Decodes the sums of a round, chunk by chunk, in any order.
pub(in crate::federated) struct Decoder {
    spec: RoundSpec,
    tensors: Vec<Box<dyn Decode>>,
    /// Total weights by sum, if already known. Without weights, the number of clients.
    weights: Vec<Option<u64>>,
    /// Chunks for which the weight of their sum is not known yet.
    waiting: Vec<(Chunk, Zeroizing<Vec<u128>>)>,
    decoded: usize,
}

impl Decoder {
    pub(in crate::federated) fn new(spec: &RoundSpec) -> Self {
        let tensors = spec.sums().iter().flat_map(|sum| sum.tensors().iter()).map(|tensor| {
            let decoder = tensor.encoding.decoder(tensor.tensor.dtype, tensor.tensor.shape.clone());
            decoder.expect("the specification accepts its own types")
        });
        Self {
            spec: spec.clone(),
            tensors: tensors.collect(),
            weights: vec![None; spec.sums().len()],
            waiting: Vec::new(),
            decoded: 0,
        }
    }

    /// Decodes the sums in the slots of a chunk, over this number of clients.
    pub(in crate::federated) fn decode(
        &mut self,
        chunk: &Chunk,
        sums: Zeroizing<Vec<u128>>,
        clients: u64,
    ) -> Result<()> {
        let waits = chunk
            .weighted
            .is_some_and(|sum| self.weights[sum].is_none() && !chunk.has_weight(self.spec.plan()));
        if waits {
            self.waiting.push((chunk.clone(), sums));
            return Ok(());
        }
        self.put(chunk, &sums, clients)?;
        if chunk.has_weight(self.spec.plan()) {
            let known = |(waiting, _): &mut (Chunk, _)| waiting.weighted == chunk.weighted;
            for (waiting, sums) in self.waiting.extract_if(.., known).collect::<Vec<_>>() {
                self.put(&waiting, &sums, clients)?;
            }
        }
        Ok(())
    }

    fn put(&mut self, chunk: &Chunk, sums: &[u128], clients: u64) -> Result<()> {
        let spec = self.spec.clone();
        let plan = spec.plan();
        for (range, place) in plan.places(chunk) {
            match place {
                Place::Weight { sum } => {
                    let limit = chunk.layout.total_weight();
                    let weight = u64::try_from(sums[range.start]).ok().filter(|weight| *weight <= limit);
                    let weight = weight.ok_or(Error::TotalWeightOutOfRange { limit })?;
                    let max = plan.sums()[sum].max_weight;
                    if weight == 0 && !max.is_some_and(MaxWeight::allows_zero_total) {
                        return Err(Error::ZeroTotalWeight);
                    }
                    self.weights[sum] = Some(weight);
                }
                Place::Tensor { index, from } => {
                    let (sum, tensor) = plan.place_of(index);
                    let weight = match plan.sums()[sum].max_weight {
                        Some(_) => self.weights[sum].expect("a chunk is decoded after its weight"),
                        None => clients,
                    };
                    self.tensors[index]
                        .put(from, &sums[range], weight)
                        .map_err(|at| Error::SumOutOfRange { tensor, index: from + at })?;
                }
            }
        }
        self.decoded += 1;
        Ok(())
    }

    fn missing(&self) -> usize {
        self.spec.plan().chunk_count() - self.decoded
    }

    /// The results, over this number of clients.
    pub(in crate::federated) fn finish(self, clients: u64) -> Result<Vec<SumResult>> {
        if self.missing() > 0 {
            return Err(Error::MissingPart { number: self.decoded as u64 });
        }
        let mut tensors = self.tensors.into_iter().map(Decode::finish);
        let sums = self.spec.sums().iter().zip(self.weights);
        let result = |(sum, weight): (&super::SumSpec, Option<u64>)| {
            let tensors =
                sum.tensors().as_ref().map(|_| tensors.next().expect("there is one result for each tensor"));
            SumResult { tensors, total_weight: weight.unwrap_or(clients) }
        };
        Ok(sums.map(result).collect())
    }
}
