//! The server of a round: has the sums opened, and decodes them. It sees no single update.

mod decoder;
mod streamed;

pub(in crate::federated) use decoder::Decoder;
pub use decoder::SumResult;
pub use streamed::{DecodedPiece, RoundTotals, StreamedServer};

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rand_core::CryptoRng;

use super::{
    EncryptionKey, KeyOwner, RoundSpec,
    chunking::Chunk,
    confidential::check_confidential,
    keys::{Batch, Plaintexts, Unmask},
    offer::KeyHolding,
    opened::{MessageId, content_id},
    partial::SumMessage,
};
use crate::federated::{
    Party, PlacementKind,
    channel::{Channel, OpenedPayload, payload},
    round::error::{Error, Result},
};
#[cfg(doc)]
use crate::federated::{channel, tensor};

/// The server of one round. It receives the encrypted sum message by message, in any order, and
/// gives the result of the round.
///
/// If the server holds the session's secret key, it [opens](Self::open) each message itself. If a
/// key holder has the key, the server [masks](Self::mask) each message for the key holder, and
/// [removes the mask](Self::unmask) from the answer.
///
/// A sum is opened only if its message states at least the minimum and at most the maximum number
/// of clients. Bits of a plaintext that no honest sum sets must be zero.
///
/// A server holds the whole result. [`StreamedServer`] gives it message by message instead.
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
    /// Masks of the messages that the key holder has not decrypted yet.
    masked: BTreeMap<usize, Masked>,
}

/// The mask of a message, with the request to the key holder if this process has made it.
struct Masked {
    mask: Box<dyn Unmask>,
    request: Option<Vec<u8>>,
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

impl Server {
    /// The server of a round, with the session's secret key. The aggregator's messages come through
    /// the channel.
    ///
    /// # Errors
    ///
    /// [`Error::OtherOffer`]; [`Error::KeyHolding`] if the round has a key holder.
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
    /// [`channel::Error::OpenChannel`] unless both channels are confidential: the key holder could
    /// decrypt the sum, so it must not see it.
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
    /// [`Error::KeyHolding`] if a key holder has the key; [`channel::Error::WrongEnvelope`],
    /// [`Error::MessageNumber`], [`Error::ConflictingMessage`]; those of the channel;
    /// [`Error::TooFewClients`], [`Error::TooManyClients`], [`Error::MoreClientsThanExpected`];
    /// [`Error::Participants`] if the message is not over the clients of the messages before;
    /// [`Error::AlreadyOpened`]; [`paillier::Error::Decrypt`](crate::paillier::Error::Decrypt),
    /// [`Error::UnusedBits`], [`Error::SumOutOfRange`], [`Error::TotalWeightOutOfRange`],
    /// [`tensor::Error::ZeroTotalWeight`].
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
            let messages = self.spec.chunking().chunk_count() as u64;
            let request = self.masked.get(&number).and_then(|masked| masked.request.clone());
            return request.ok_or(Error::MessageNumber { number: number as u64, messages });
        }
        let (chunk, sum, _) = self.receive(wire)?.expect("the message is not repeated");
        let hidden = self.hide(&chunk, &sum, rng)?;
        self.ask(&chunk, hidden, rng)
    }

    /// Draws the mask of a message again, so that the answer to a request of an earlier process can
    /// be [unmasked](Self::unmask). `rng` must give the same numbers as for that request. Nothing
    /// is encrypted, so this takes little time. For a repeated message, nothing changes.
    ///
    /// # Errors
    ///
    /// Those of [`mask`](Self::mask), except the one for an answered message.
    pub fn mask_again(&mut self, wire: &[u8], rng: &mut dyn CryptoRng) -> Result<()> {
        self.key_holder()?;
        if let Some((chunk, ..)) = self.receive(wire)? {
            let mask = self.key.ops().masks(chunk.plaintexts, rng)?;
            self.masked.insert(chunk.index, Masked { mask, request: None });
        }
        Ok(())
    }

    /// Removes the mask from an answer of the key holder.
    ///
    /// # Errors
    ///
    /// [`channel::Error::WrongEnvelope`]; [`Error::MessageNumber`] if there is no such request, or
    /// it was already answered; those of the channel, and those of [`open`](Self::open) from
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
        let chunk = self.spec.chunking().chunk(number).expect("the number was looked up above");
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
        let request = self.key_holder()?.seal(&envelope, &hidden, rng)?;
        self.masked.insert(chunk.index, Masked { mask, request: Some(request.clone()) });
        Ok(request)
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
        let chunk = self.spec.chunking().chunk(number).expect("the answer names a chunk of the round");
        let messages = self.spec.chunking().chunk_count() as u64;
        let missing = Error::MessageNumber { number: number as u64, messages };
        let masked = self.masked.get(&number).ok_or(missing)?;
        let opened = masked.mask.remove(answer)?;
        self.masked.remove(&number);
        Ok((chunk, opened))
    }

    pub(in crate::federated) fn decode(&mut self, chunk: &Chunk, opened: &dyn Plaintexts) -> Result<()> {
        let slots = decoder::unpack(chunk, opened)?;
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
