//! An aggregator's state as bytes, with which another process can continue.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::{Aggregator, ClientMessages, ReceivedMessages};
#[cfg(doc)]
use crate::federated::channel;
use crate::federated::{
    channel::Channel,
    round::{
        EncryptionKey, RoundSpec,
        error::{Error, Result},
        opened::MessageId,
        state,
    },
};

/// The encoded form of an aggregator.
#[derive(Serialize, Deserialize)]
struct Wire {
    messages: (u64, u64),
    at_once: bool,
    clients: BTreeMap<u32, WireClient>,
    /// Sums so far, by message number.
    sums: BTreeMap<u64, Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
struct WireClient {
    committed: bool,
    messages: BTreeMap<u64, MessageId>,
    /// Ciphertexts that are kept until the commit.
    kept: BTreeMap<u64, Vec<u8>>,
}

impl Aggregator {
    /// The received messages and the sums so far, as bytes. A process must store them to survive a
    /// restart. Keep them on the aggregator's own disk: the holder of the secret key could decrypt
    /// sums over few clients from them.
    ///
    /// # Errors
    ///
    /// Only those of the encoding.
    pub fn to_bytes(&mut self) -> Result<Vec<u8>> {
        let (key, first) = (self.key.clone(), self.range.start);
        let clients = self.clients.get_mut().unwrap_or_else(PoisonError::into_inner);
        let written = |received: &ClientMessages| WireClient {
            committed: received.committed,
            messages: received.messages.iter().map(|(number, id)| (*number as u64, *id)).collect(),
            kept: received
                .kept
                .iter()
                .map(|(number, batch)| (*number as u64, key.ops().write(batch)))
                .collect(),
        };
        let clients =
            clients.by_number.iter().map(|(client, received)| (*client, written(received))).collect();
        let mut sums = BTreeMap::new();
        for (place, chunk) in self.chunks.iter_mut().enumerate() {
            if let Some(sum) = chunk.snapshot(&key)? {
                sums.insert((first + place) as u64, sum);
            }
        }
        let wire = Wire {
            messages: (self.range.start as u64, self.range.end as u64),
            at_once: self.at_once,
            clients,
            sums,
        };
        state::encode(&self.spec, &wire)
    }

    /// An aggregator that continues from the state of another one.
    ///
    /// # Errors
    ///
    /// [`Error::OtherOffer`], [`channel::Error::EncodingVersion`],
    /// [`channel::Error::PayloadDecoding`], [`Error::OtherRound`], [`channel::Error::OpenChannel`],
    /// [`Error::MessageNumber`]; those of
    /// [`PublicKey::batch_from_bytes`](crate::paillier::PublicKey::batch_from_bytes).
    pub fn from_bytes(
        spec: &RoundSpec,
        key: &EncryptionKey,
        channel: Arc<dyn Channel>,
        bytes: &[u8],
    ) -> Result<Self> {
        let wire: Wire = state::decode(spec, bytes)?;
        let (start, end) = wire.messages;
        let mut restored = Self::for_messages(spec, key, channel, start..end)?;
        restored.at_once = wire.at_once;
        let number = |number: u64| {
            let found = usize::try_from(number).ok().filter(|number| restored.range.contains(number));
            found.ok_or(Error::MessageNumber { number, messages: end })
        };
        let mut clients = ReceivedMessages::default();
        for (client, written) in wire.clients {
            let mut received = ClientMessages { committed: written.committed, ..ClientMessages::default() };
            for (message, id) in written.messages {
                received.messages.insert(number(message)?, id);
            }
            for (message, ciphertexts) in written.kept {
                let message = number(message)?;
                received.kept.insert(message, restored.read(message, &ciphertexts)?);
            }
            clients.committed += u32::from(received.committed);
            clients.by_number.insert(client, received);
        }
        for (message, ciphertexts) in wire.sums {
            let message = number(message)?;
            restored.add(message, restored.read(message, &ciphertexts)?);
        }
        *restored.clients.get_mut().unwrap_or_else(PoisonError::into_inner) = clients;
        Ok(restored)
    }
}
