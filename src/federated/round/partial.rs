//! Closed sums: parts that can be merged, and the messages that carry the whole sum to the server.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use super::{EncryptionKey, RoundSpec, confidential::check_confidential, keys::Sum, state};
use crate::{
    federated::{
        Party, PlacementKind,
        channel::{self, Channel, payload},
        round::error::{Error, Result},
    },
    paillier,
};

/// The closed sums of an aggregator: encrypted sums of some messages over some clients.
///
/// Parts of one round can be merged. They may come from aggregators with different messages of the
/// same clients, or with different clients. The sum goes to the server message by message: as a
/// whole ([`for_server`](Self::for_server)), or [part by part](Self::part_for_server).
pub struct PartialSum {
    spec: RoundSpec,
    key: EncryptionKey,
    /// By message number.
    sums: BTreeMap<usize, Part>,
}

/// The sum of one message, and its clients.
struct Part {
    clients: Arc<BTreeSet<u32>>,
    /// `None` if no client is in the sum.
    sum: Option<Box<dyn Sum>>,
}

/// Unions of sets of clients. Each pair of sets has one union, shared by all parts with this pair.
#[derive(Default)]
struct Unions(BTreeMap<(*const BTreeSet<u32>, *const BTreeSet<u32>), Union>);

/// A set that another set extends, and the numbers of the messages whose parts have both sets.
struct Union {
    own: Arc<BTreeSet<u32>>,
    other: Arc<BTreeSet<u32>>,
    numbers: Vec<usize>,
}

impl Unions {
    fn add(&mut self, number: usize, own: Arc<BTreeSet<u32>>, other: Arc<BTreeSet<u32>>) {
        let pair = (Arc::as_ptr(&own), Arc::as_ptr(&other));
        let union = self.0.entry(pair).or_insert_with(|| Union { own, other, numbers: Vec::new() });
        union.numbers.push(number);
    }

    fn finish(self) -> impl Iterator<Item = (Arc<BTreeSet<u32>>, Vec<usize>)> {
        self.0.into_values().map(|Union { mut own, other, numbers }| {
            // In place, unless parts that are not merged share the set.
            Arc::make_mut(&mut own).extend(other.iter());
            (own, numbers)
        })
    }
}

/// The encoded form of a partial sum.
#[derive(Serialize, Deserialize)]
struct Wire {
    /// Sets of clients that parts refer to by number.
    clients: Vec<BTreeSet<u32>>,
    /// Number of the message, number of the set of clients, ciphertexts.
    sums: Vec<(u64, u32, Vec<u8>)>,
}

impl PartialSum {
    pub(super) fn new(
        spec: RoundSpec,
        key: EncryptionKey,
        participants: &[u32],
        sums: impl Iterator<Item = (usize, Option<Box<dyn Sum>>)>,
    ) -> Self {
        let clients = Arc::new(participants.iter().copied().collect());
        let sums = sums.map(|(number, sum)| (number, Part { clients: Arc::clone(&clients), sum })).collect();
        Self { spec, key, sums }
    }

    /// The round.
    pub fn spec(&self) -> &RoundSpec {
        &self.spec
    }

    /// The clients in the sums, in ascending order. While parts are missing: the clients in any
    /// part.
    pub fn participants(&self) -> Vec<u32> {
        let mut sets: Vec<_> = self.sums.values().map(|part| &part.clients).collect();
        sets.dedup_by(|a, b| Arc::ptr_eq(a, b)); // most parts share one set
        let all: BTreeSet<u32> = sets.into_iter().flat_map(|clients| clients.iter().copied()).collect();
        all.into_iter().collect()
    }

    /// Adds another part of the same round.
    ///
    /// # Errors
    ///
    /// [`Error::OtherRound`]; [`Error::CountedTwice`] if a client's message is in both parts;
    /// [`Error::TooManyClients`]. On an error, nothing changes.
    pub fn merge(&mut self, other: Self) -> Result<()> {
        if other.spec != self.spec {
            return Err(Error::OtherRound { expected: self.spec.digest(), found: other.spec.digest() });
        }
        let limit = self.spec.parameters().max_clients;
        for (number, part) in &other.sums {
            let Some(own) = self.sums.get(number) else { continue };
            if let Some(client) = own.clients.intersection(&part.clients).next() {
                return Err(Error::CountedTwice { client: *client, number: *number as u64 });
            }
            let found = own.clients.len() + part.clients.len();
            if found > limit as usize {
                return Err(Error::TooManyClients { limit, found: u32::try_from(found).unwrap_or(u32::MAX) });
            }
        }
        // All parts are read before any is added, so that an error changes nothing.
        let mut read = Vec::new();
        for (number, part) in other.sums {
            let batch = match (self.sums.contains_key(&number), part.sum) {
                (false, sum) => {
                    read.push((number, Part { clients: part.clients, sum }, None));
                    continue;
                }
                (true, None) => continue,
                (true, Some(sum)) => self.key.ops().read(&sum.finish()?, self.len(number))?,
            };
            read.push((number, Part { clients: part.clients, sum: None }, Some(batch)));
        }
        let mut unions = Unions::default();
        for (number, part, batch) in read {
            let Some(batch) = batch else {
                self.sums.insert(number, part);
                continue;
            };
            let len = self.len(number);
            let own = self.sums.get_mut(&number).expect("the number was looked up above");
            unions.add(number, core::mem::take(&mut own.clients), part.clients);
            own.sum.get_or_insert_with(|| self.key.ops().sum(len)).add(&batch);
        }
        for (clients, numbers) in unions.finish() {
            for number in numbers {
                self.sums.get_mut(&number).expect("the number was looked up above").clients =
                    Arc::clone(&clients);
            }
        }
        Ok(())
    }

    /// The part as bytes, for the aggregator's other workers. The bytes are not sealed. Keep them
    /// on the aggregator's own machines, because they contain ciphertexts of sums over few clients.
    ///
    /// # Errors
    ///
    /// Only those of the encoding.
    pub fn into_bytes(self) -> Result<Vec<u8>> {
        let mut clients: Vec<Arc<BTreeSet<u32>>> = Vec::new();
        let mut sums = Vec::new();
        for (number, part) in self.sums {
            let Some(sum) = part.sum else { continue };
            // Sets with the same pointer need no comparison.
            let known = clients.iter().position(|known| *known == part.clients);
            let set = known.unwrap_or_else(|| {
                clients.push(part.clients);
                clients.len() - 1
            });
            sums.push((
                number as u64,
                u32::try_from(set).expect("there are at most as many sets as parts"),
                sum.finish()?,
            ));
        }
        let clients = clients.into_iter().map(Arc::unwrap_or_clone).collect();
        state::encode(&self.spec, &Wire { clients, sums })
    }

    /// The part of this round with these bytes.
    ///
    /// # Errors
    ///
    /// [`Error::OtherOffer`], [`channel::Error::EncodingVersion`],
    /// [`channel::Error::PayloadDecoding`], [`Error::OtherRound`], [`Error::MessageNumber`],
    /// [`Error::TooManyClients`], [`paillier::Error::EmptySum`](crate::paillier::Error::EmptySum);
    /// those of [`PublicKey::batch_from_bytes`](crate::paillier::PublicKey::batch_from_bytes).
    pub fn from_bytes(spec: &RoundSpec, key: &EncryptionKey, bytes: &[u8]) -> Result<Self> {
        spec.check_key(key)?;
        let wire: Wire = state::decode(spec, bytes)?;
        wire.check_form()?;
        let limit = spec.parameters().max_clients;
        let sets: Vec<Arc<BTreeSet<u32>>> = wire.clients.into_iter().map(Arc::new).collect();
        let mut partial = Self { spec: spec.clone(), key: key.clone(), sums: BTreeMap::new() };
        for (number, set, ciphertexts) in wire.sums {
            let chunk = spec.chunk(number)?;
            let clients = &sets[set as usize];
            if clients.is_empty() {
                return Err(paillier::Error::EmptySum.into());
            }
            if clients.len() > limit as usize {
                let found = u32::try_from(clients.len()).unwrap_or(u32::MAX);
                return Err(Error::TooManyClients { limit, found });
            }
            let batch = key.ops().read(&ciphertexts, chunk.plaintexts)?;
            let mut sum = key.ops().sum(chunk.plaintexts);
            sum.add(&batch);
            partial.sums.insert(chunk.index, Part { clients: Arc::clone(clients), sum: Some(sum) });
        }
        Ok(partial)
    }

    /// The whole sum, ready to be sent to the server.
    ///
    /// # Errors
    ///
    /// [`Error::MissingPart`] if a message's sum is missing, or its clients differ from those of
    /// the rest; [`Error::TooFewClients`].
    pub fn for_server(self) -> Result<ClosedSum> {
        let messages = 0..self.spec.chunking().chunk_count();
        self.closed(messages)
    }

    /// The sums of these messages, ready to be sent to the server. Sums of other messages are
    /// dropped. So a caller needs only some messages in memory at a time.
    ///
    /// The server refuses parts of one round that are over different clients
    /// ([`Error::Participants`]).
    ///
    /// ```
    /// # use cipherfold::federated::{Digest, KeyHolding, SessionId, channel::{Channel, PlaintextChannel}, tensor::{DType, Structure}};
    /// # use cipherfold::federated::round::{Aggregator, Client, KeyOwner, RoundParameters, RoundSpec, Server, SessionParameters, SumSpec, TensorSpec, Update};
    /// # use cipherfold::{backend::BackendChoice, packing::IntegerRange};
    /// # use std::sync::Arc;
    /// # let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
    /// # let session = SessionId::random(&mut rng);
    /// # let (key_bits, key_holding) = (2048, KeyHolding::Server);
    /// # let parameters = SessionParameters { session, key_bits, key_holding, roster: Digest::NONE, backend: BackendChoice::Auto };
    /// # let owner = KeyOwner::generate(parameters, &mut rng)?;
    /// # let tensor = TensorSpec::new(DType::U8, [600], IntegerRange::of::<u8>());
    /// # let spec = RoundSpec::new(RoundParameters {
    /// #     session, round: 0, key_bits, key_holding, offer: owner.offer().digest(), max_clients: 2, min_clients: 2,
    /// #     sums: vec![SumSpec::new(Structure::leaf(tensor))], chunk_ciphertexts: 1,
    /// # })?;
    /// # let channel: Arc<dyn Channel> = Arc::new(PlaintextChannel::new());
    /// # let aggregator = Aggregator::new(&spec, owner.encryption_key(), Arc::clone(&channel))?;
    /// # let values = ndarray::Array1::from_elem(600, 3_u8);
    /// # for number in 0..2 {
    /// #     let client = Client::new(number, &spec, owner.encryption_key(), Arc::clone(&channel))?;
    /// #     let update = client.encode(&[Update::new(&values)?])?;
    /// #     for message in 0..update.messages() {
    /// #         aggregator.accept(number, &client.message(&update, message, &mut rng)?)?;
    /// #     }
    /// #     aggregator.commit(number)?;
    /// # }
    /// # let sum = aggregator.close()?;
    /// # let mut server = Server::new(&spec, &owner, Arc::clone(&channel))?;
    /// let mut part = sum.part_for_server(0..1)?;
    /// server.open(&part.message(0, &*channel, &mut rng)?)?;
    /// assert_eq!((part.messages(), server.missing()), (1, spec.costs().messages - 1));
    /// # Ok::<(), cipherfold::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`for_server`](Self::for_server); [`Error::MessageNumber`] for a range beyond the
    /// round's messages.
    pub fn part_for_server(self, messages: Range<u64>) -> Result<ClosedSum> {
        let count = self.spec.chunking().chunk_count();
        let end = usize::try_from(messages.end).ok().filter(|end| *end <= count);
        match (usize::try_from(messages.start), end) {
            (Ok(start), Some(end)) if start <= end => self.closed(start..end),
            _ => Err(Error::MessageNumber { number: messages.end, messages: count as u64 }),
        }
    }

    fn closed(mut self, messages: Range<usize>) -> Result<ClosedSum> {
        let first = self.sums.get(&messages.start);
        let clients = first.map(|part| Arc::clone(&part.clients)).unwrap_or_default();
        let mut sums = Vec::with_capacity(messages.len());
        for number in messages.clone() {
            let part = self.sums.remove(&number).filter(|part| part.clients == clients);
            sums.push(part.ok_or(Error::MissingPart { number: number as u64 })?.sum);
        }
        let minimum = self.spec.parameters().min_clients;
        let found = u32::try_from(clients.len()).expect("at most `max_clients` take part");
        if found < minimum && !sums.is_empty() {
            return Err(Error::TooFewClients { minimum, found, absent: Vec::new() });
        }
        Ok(ClosedSum { spec: self.spec, clients, first: messages.start, sums })
    }

    fn len(&self, number: usize) -> usize {
        self.spec.chunking().chunk(number).expect("the part belongs to the round").plaintexts
    }
}

impl Wire {
    /// Refuses parts that [`PartialSum::into_bytes`] does not write: each partial sum has one
    /// encoding.
    fn check_form(&self) -> Result<()> {
        let mut sets = 0;
        let first_use_in_order = self.sums.iter().all(|(_, set, _)| {
            let set = *set as usize;
            sets = sets.max(set.min(sets) + 1);
            set < sets
        });
        let reason = if !self.sums.is_sorted_by(|(a, ..), (b, ..)| a < b) {
            "sums are not in the order of their numbers"
        } else if !first_use_in_order || sets != self.clients.len() {
            "sets of clients are not in the order of their first use"
        } else if self.clients.iter().collect::<BTreeSet<_>>().len() != self.clients.len() {
            "a set of clients is repeated"
        } else {
            return Ok(());
        };
        Err(channel::Error::PayloadDecoding { type_name: "PartialSum", reason: reason.to_owned() }.into())
    }
}

/// The encrypted sum of a round: all of its messages, or [some](PartialSum::part_for_server).
pub struct ClosedSum {
    spec: RoundSpec,
    clients: Arc<BTreeSet<u32>>,
    /// The number of the first message.
    first: usize,
    /// Each is taken once.
    sums: Vec<Option<Box<dyn Sum>>>,
}

/// The server's view of one message's sum.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::federated) struct SumMessage {
    /// The clients in the sum.
    pub(in crate::federated) clients: BTreeSet<u32>,
    pub(in crate::federated) ciphertexts: Vec<u8>,
}

impl ClosedSum {
    /// The clients in the sum, in ascending order.
    pub fn participants(&self) -> Vec<u32> {
        self.clients.iter().copied().collect()
    }

    /// Number of messages.
    pub fn messages(&self) -> u64 {
        self.sums.len() as u64
    }

    /// Numbers of its messages in the round.
    pub fn numbers(&self) -> Range<u64> {
        let first = self.first as u64;
        first..first + self.messages()
    }

    /// The message with this number, sealed for the server. Each message can be made once.
    ///
    /// # Errors
    ///
    /// [`channel::Error::OpenChannel`] if a key holder has the secret key and the channel is not
    /// confidential; [`Error::MessageNumber`] for a message that is not in this sum or was already
    /// made; those of the channel.
    pub fn message(
        &mut self,
        number: u64,
        channel: &dyn Channel,
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>> {
        // Checked first, so that a refused channel does not use up the message.
        check_confidential(&self.spec, ROUTE, channel)?;
        let sum = self.finish(number)?;
        Ok(self.seal(self.spec.chunk(number)?.index, &sum, channel, rng)?)
    }

    /// Finishes the sum of a message.
    pub(in crate::federated) fn finish(&mut self, number: u64) -> Result<Vec<u8>> {
        let messages = self.spec.chunking().chunk_count() as u64;
        let missing = Error::MessageNumber { number, messages };
        let place = usize::try_from(number).ok().and_then(|number| number.checked_sub(self.first));
        let place = place.and_then(|place| self.sums.get_mut(place));
        let ciphertexts = place.and_then(Option::take).ok_or(missing)?.finish()?;
        Ok(payload::encode(&SumMessage { clients: (*self.clients).clone(), ciphertexts })?)
    }

    pub(in crate::federated) fn seal(
        &self,
        number: usize,
        sum: &[u8],
        channel: &dyn Channel,
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, channel::Error> {
        check_confidential(&self.spec, ROUTE, channel)?;
        let envelope = self.spec.envelope(number, Party::Aggregator, Party::Server);
        channel.seal(&envelope, sum, rng)
    }
}

/// The placements between which a closed sum travels.
const ROUTE: (PlacementKind, PlacementKind) = (PlacementKind::Aggregator, PlacementKind::Server);
