//! The record of rounds that a secret key has opened. No round is opened twice with different sums.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::federated::{
    Digest,
    channel::payload,
    round::error::{Error, Result},
};

/// The identifier of a message.
pub(in crate::federated::round) type MessageId = [u8; 16];

/// An identifier of a message's contents. The record of opened rounds uses it. It cannot use the
/// identifier from the channel, because the message's sender could give two messages the same one.
pub(in crate::federated::round) fn content_id(contents: &[u8]) -> MessageId {
    let digest = Digest::of("cipherfold contents", &[contents]).to_bytes();
    *digest.first_chunk().expect("a digest has 32 bytes")
}

/// Rounds of a session whose sums were opened, by round and part.
///
/// Two sums of one round over different clients show their difference, so a round is opened only
/// once. The same message may be opened again, with the same result.
#[derive(Debug, Default)]
pub(in crate::federated::round) struct OpenedRounds {
    rounds: BTreeMap<u64, OpenedRound>,
}

#[derive(Debug, Serialize, Deserialize)]
struct OpenedRound {
    spec: [u8; Digest::LEN],
    parts: BTreeMap<u64, MessageId>,
}

impl OpenedRounds {
    /// Records that a part of a round is opened.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyOpened`] if another sum was opened for this part.
    pub(in crate::federated::round) fn open(
        &mut self,
        round: u64,
        spec: Digest,
        part: u64,
        message: MessageId,
    ) -> Result<()> {
        let opened = self
            .rounds
            .entry(round)
            .or_insert_with(|| OpenedRound { spec: spec.to_bytes(), parts: BTreeMap::new() });
        if opened.spec != spec.to_bytes() || *opened.parts.entry(part).or_insert(message) != message {
            return Err(Error::AlreadyOpened { round });
        }
        Ok(())
    }

    pub(in crate::federated::round) fn to_bytes(&self) -> Vec<u8> {
        payload::encode(&self.rounds).expect("numbers can be encoded")
    }

    pub(in crate::federated::round) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Ok(Self { rounds: payload::decode(bytes)? })
    }

    /// Adds the rounds opened elsewhere under the same key: all of them, or none.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyOpened`] with the first round of which another sum was opened here.
    pub(in crate::federated::round) fn merge(&mut self, other: Self) -> Result<()> {
        for (round, opened) in &other.rounds {
            if self.rounds.get(round).is_some_and(|own| own.contradicts(opened)) {
                return Err(Error::AlreadyOpened { round: *round });
            }
        }
        for (round, OpenedRound { spec, parts }) in other.rounds {
            let own =
                self.rounds.entry(round).or_insert_with(|| OpenedRound { spec, parts: BTreeMap::new() });
            own.parts.extend(parts);
        }
        Ok(())
    }
}

impl OpenedRound {
    /// Whether the other record has another specification, or another sum for the same part.
    fn contradicts(&self, other: &Self) -> bool {
        let differs = |(part, message)| self.parts.get(part).is_some_and(|own| own != message);
        self.spec != other.spec || other.parts.iter().any(differs)
    }
}
