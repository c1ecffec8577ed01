//! The aggregator of a round: opens boxes, checks and multiplies ciphertexts. It knows the public
//! key and which clients contribute.

mod state;

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError},
};

use super::{
    EncryptionKey, RoundSpec,
    confidential::check_confidential,
    keys::{Batch, Sum},
    opened::MessageId,
    partial::PartialSum,
};
#[cfg(doc)]
use crate::federated::channel;
use crate::federated::{
    Party, PlacementKind,
    channel::{Channel, OpenedPayload},
    round::error::{Error, Result},
};

/// The aggregator of one round, or one of several that share the work of a round.
///
/// ```text
///  message ──▶ accept ──▶ kept until the client has sent everything ──▶ commit ──▶ in the sum
/// ```
///
/// A client is in the sums with all of its messages, or with none. Messages may arrive in any
/// order, on any number of threads, and repeatedly. The aggregator refuses messages of another
/// session, round, specification, key or receiver, and a second message with the number of an
/// accepted one. The error names the cause. A refused message changes nothing.
///
/// Several aggregators may hold [different parts](Self::for_messages) of every client's messages,
/// or different clients. Their closed sums can be [merged](PartialSum::merge).
pub struct Aggregator {
    pub(super) spec: RoundSpec,
    pub(super) key: EncryptionKey,
    channel: Arc<dyn Channel>,
    /// Numbers of the chunks that are summed here.
    pub(super) range: Range<usize>,
    /// Whether contributions are added before a client has sent all of them.
    pub(super) at_once: bool,
    pub(super) chunks: Vec<ChunkSum>,
    pub(super) clients: Mutex<ReceivedMessages>,
}

/// The received messages of all clients.
#[derive(Default)]
pub(super) struct ReceivedMessages {
    pub(super) by_number: BTreeMap<u32, ClientMessages>,
    /// The number of committed clients, so that a commit does not have to count them.
    pub(super) committed: u32,
}

/// The received messages of one client.
#[derive(Default)]
pub(super) struct ClientMessages {
    /// By chunk.
    pub(super) messages: BTreeMap<usize, MessageId>,
    /// Contributions that are kept until the commit, by chunk.
    pub(super) kept: BTreeMap<usize, Batch>,
    pub(super) committed: bool,
}

/// The sum of one chunk.
pub(super) struct ChunkSum {
    len: usize,
    /// Contributions that arrive while another thread adds. No thread waits for the sum: a thread
    /// that finds it locked leaves its contribution here, and the thread with the lock adds it.
    waiting: Mutex<Vec<Batch>>,
    sum: Mutex<Option<Box<dyn Sum>>>,
}

/// The receipt of an accepted message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// Whether the same message had arrived before.
    pub repeated: bool,
    /// Messages of this client that have not arrived yet.
    pub missing: u64,
}

impl Aggregator {
    /// The aggregator of a round under this key. Messages come through the channel, which has the
    /// aggregator's key pair and the clients' public keys.
    ///
    /// # Errors
    ///
    /// [`Error::OtherOffer`] if the round was declared for other keys;
    /// [`channel::Error::OpenChannel`] if a key holder has the secret key and the channel is not
    /// confidential.
    pub fn new(spec: &RoundSpec, key: &EncryptionKey, channel: Arc<dyn Channel>) -> Result<Self> {
        Self::over(spec, key, channel, 0..spec.chunking().chunk_count())
    }

    /// An aggregator for the messages with these numbers, of every client.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new); [`Error::MessageNumber`] for a range beyond the round's
    /// messages.
    pub fn for_messages(
        spec: &RoundSpec,
        key: &EncryptionKey,
        channel: Arc<dyn Channel>,
        messages: Range<u64>,
    ) -> Result<Self> {
        let count = spec.chunking().chunk_count();
        let end = usize::try_from(messages.end).ok().filter(|end| *end <= count);
        let start = usize::try_from(messages.start).ok();
        match (start, end) {
            (Some(start), Some(end)) if start <= end => Self::over(spec, key, channel, start..end),
            _ => Err(Error::MessageNumber { number: messages.end, messages: count as u64 }),
        }
    }

    fn over(
        spec: &RoundSpec,
        key: &EncryptionKey,
        channel: Arc<dyn Channel>,
        range: Range<usize>,
    ) -> Result<Self> {
        spec.check_key(key)?;
        check_confidential(spec, (PlacementKind::Clients, PlacementKind::Aggregator), &*channel)?;
        let sum = |index| {
            let len =
                spec.chunking().chunk(index).expect("the index is below the number of chunks").plaintexts;
            ChunkSum { len, waiting: Mutex::default(), sum: Mutex::default() }
        };
        Ok(Self {
            spec: spec.clone(),
            key: key.clone(),
            channel,
            at_once: false,
            chunks: range.clone().map(sum).collect(),
            range,
            clients: Mutex::default(),
        })
    }

    /// Adds contributions as they arrive, and keeps none until the commit. Use it only for a round
    /// in which every client is required. If a client sends only a part, or is not
    /// [committed](Self::commit), the sums are unusable and [`close`](Self::close) fails.
    #[must_use]
    pub fn adding_at_once(self) -> Self {
        Self { at_once: true, ..self }
    }

    /// The round.
    pub fn spec(&self) -> &RoundSpec {
        &self.spec
    }

    /// The name of the backend that multiplies ciphertexts.
    pub fn backend_name(&self) -> &'static str {
        self.key.backend_name()
    }

    /// Accepts a message of a client.
    ///
    /// # Errors
    ///
    /// [`channel::Error::WrongEnvelope`], [`Error::MessageNumber`], [`Error::ConflictingMessage`];
    /// those of the channel, of
    /// [`PublicKey::batch_from_bytes`](crate::paillier::PublicKey::batch_from_bytes), and
    /// [`paillier::Error::BatchLength`](crate::paillier::Error::BatchLength). On an error, nothing
    /// changes.
    pub fn accept(&self, client: u32, wire: &[u8]) -> Result<Receipt> {
        let id = self.channel.message_id(wire);
        let (number, contribution) = self.open(client, wire)?;
        let known = self.known(self.clients().by_number.get(&client), client, number, id)?;
        if let Some(receipt) = known {
            return Ok(receipt);
        }
        let contribution = self.read(number, &contribution)?;
        self.keep(client, number, id, contribution)
    }

    /// Opens a message. Returns its number and its contents.
    pub(in crate::federated) fn open(&self, client: u32, wire: &[u8]) -> Result<(usize, OpenedPayload)> {
        let (envelope, contribution) = self.channel.open(Party::Client(client), Party::Aggregator, wire)?;
        self.spec.check_envelope(&envelope)?;
        let number = usize::try_from(envelope.sequence).ok().filter(|number| self.range.contains(number));
        let number = number.ok_or(Error::MessageNumber {
            number: envelope.sequence,
            messages: self.spec.chunking().chunk_count() as u64,
        })?;
        Ok((number, contribution))
    }

    /// Checks the contents of a message: the key, the length, the range of each ciphertext.
    pub(in crate::federated) fn read(&self, number: usize, contribution: &[u8]) -> Result<Batch> {
        self.key.ops().read(contribution, self.sum(number).len)
    }

    /// The receipt of a message that arrived before, or `None` for a new one.
    fn known(
        &self,
        received: Option<&ClientMessages>,
        client: u32,
        number: usize,
        id: MessageId,
    ) -> Result<Option<Receipt>> {
        let Some(received) = received else { return Ok(None) };
        match received.messages.get(&number) {
            None => Ok(None),
            Some(known) if *known == id => {
                Ok(Some(Receipt { repeated: true, missing: self.missing(received) }))
            }
            Some(_) => Err(Error::ConflictingMessage { from: Party::Client(client), number: number as u64 }),
        }
    }

    /// Keeps a contribution until its client commits, or adds it at once.
    pub(in crate::federated) fn keep(
        &self,
        client: u32,
        number: usize,
        id: MessageId,
        contribution: Batch,
    ) -> Result<Receipt> {
        let receipt = {
            let mut clients = self.clients();
            // Another thread may have received the same message.
            if let Some(receipt) = self.known(clients.by_number.get(&client), client, number, id)? {
                return Ok(receipt);
            }
            let received = clients.by_number.entry(client).or_default();
            received.messages.insert(number, id);
            if !self.at_once {
                received.kept.insert(number, contribution);
                return Ok(Receipt { repeated: false, missing: self.missing(received) });
            }
            Receipt { repeated: false, missing: self.missing(received) }
        };
        self.add(number, contribution);
        Ok(receipt)
    }

    /// Counts a client, with all of its messages.
    ///
    /// # Errors
    ///
    /// [`Error::IncompleteUpdate`] if messages are missing; [`Error::TooManyClients`] if there is
    /// no room for another client. On an error, nothing changes.
    pub fn commit(&self, client: u32) -> Result<()> {
        let kept = {
            let ReceivedMessages { by_number, committed } = &mut *self.clients();
            let missing = |received: Option<&ClientMessages>| {
                received.map_or(self.range.len() as u64, |received| self.missing(received))
            };
            let missing = missing(by_number.get(&client));
            if missing > 0 {
                return Err(Error::IncompleteUpdate { client, missing });
            }
            let received = by_number.entry(client).or_default();
            if received.committed {
                return Ok(());
            }
            let limit = self.spec.parameters().max_clients;
            if *committed >= limit {
                return Err(Error::TooManyClients { limit, found: limit.saturating_add(1) });
            }
            received.committed = true;
            *committed += 1;
            core::mem::take(&mut received.kept)
        };
        for (number, contribution) in kept {
            self.add(number, contribution);
        }
        Ok(())
    }

    /// Drops all messages of a client that is not in the sum. Its messages may be sent again.
    ///
    /// Returns whether there were any messages.
    pub fn discard(&self, client: u32) -> bool {
        let clients = &mut self.clients().by_number;
        let waits = clients.get(&client).is_some_and(|received| !received.committed && !self.at_once);
        waits && clients.remove(&client).is_some()
    }

    /// The clients that are in the sum so far, in ascending order.
    pub fn participants(&self) -> Vec<u32> {
        let clients = &self.clients().by_number;
        clients.iter().filter(|(_, received)| received.committed).map(|(client, _)| *client).collect()
    }

    /// Closes the sums. No more messages are accepted.
    ///
    /// # Errors
    ///
    /// If contributions were added at once: [`Error::IncompleteUpdate`] if a client has sent only a
    /// part; [`Error::NotCommitted`] if a client has sent everything but was not committed.
    pub fn close(self) -> Result<PartialSum> {
        let participants = self.participants();
        if self.at_once {
            let clients = &self.clients().by_number;
            if let Some((&client, received)) = clients.iter().find(|(_, received)| !received.committed) {
                return Err(match self.missing(received) {
                    0 => Error::NotCommitted { client },
                    missing => Error::IncompleteUpdate { client, missing },
                });
            }
        }
        let Self { spec, key, range, chunks, .. } = self;
        let sums = chunks.into_iter().map(ChunkSum::into_sum);
        Ok(PartialSum::new(spec, key, &participants, range.zip(sums)))
    }

    pub(super) fn add(&self, number: usize, contribution: Batch) {
        self.sum(number).add(contribution, || self.key.ops().sum(self.sum(number).len));
    }

    fn sum(&self, number: usize) -> &ChunkSum {
        &self.chunks[number - self.range.start]
    }

    fn missing(&self, received: &ClientMessages) -> u64 {
        (self.range.len() - received.messages.len()) as u64
    }

    fn clients(&self) -> MutexGuard<'_, ReceivedMessages> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ChunkSum {
    /// Adds a contribution, or leaves it to the thread that is adding another one.
    fn add(&self, contribution: Batch, zero: impl Fn() -> Box<dyn Sum>) {
        self.waiting().push(contribution);
        loop {
            let mut guard = match self.sum.try_lock() {
                Ok(guard) => guard,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            let sum = guard.get_or_insert_with(&zero);
            loop {
                let contributions = core::mem::take(&mut *self.waiting());
                if contributions.is_empty() {
                    break;
                }
                for contribution in contributions {
                    sum.add(&contribution);
                }
            }
            drop(guard);
            // A contribution may have arrived between the last check and the end of the lock.
            if self.waiting().is_empty() {
                return;
            }
        }
    }

    /// The sum so far, if there is one. Adding can continue after this.
    pub(super) fn snapshot(&mut self, key: &EncryptionKey) -> Result<Option<Vec<u8>>> {
        let sum = self.sum.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Some(so_far) = sum.take() else { return Ok(None) };
        let bytes = so_far.finish()?;
        let mut same = key.ops().sum(self.len);
        same.add(&key.ops().read(&bytes, self.len)?);
        *sum = Some(same);
        Ok(Some(bytes))
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Batch>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn into_sum(self) -> Option<Box<dyn Sum>> {
        self.sum.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}
