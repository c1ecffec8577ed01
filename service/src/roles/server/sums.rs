//! The sums of a round as the aggregator has signed them, shard by shard.

use bytes::Bytes;
use cipherfold::federated::{
    Party,
    channel::{Channel, HpkeChannel},
    round::{ClosedSum, EncryptionKey, PartialSum},
};

use crate::{
    error::Result,
    objects::{Done, End, Error, Key, RoundKey, Signed},
    parties::Home,
    roles::{envelope::sum_envelope, repeatable::Repeatable},
    round::{OpenRound, read_listed},
};

/// Reads the sums of a round.
pub(super) struct SumReader<'r> {
    round: &'r OpenRound,
    end: &'r Signed<End>,
    done: &'r Signed<Done>,
    /// Clients that the end lists.
    listed: &'r [u32],
    key: &'r EncryptionKey,
    channel: HpkeChannel,
}

impl<'r> SumReader<'r> {
    /// A reader with the server's home.
    pub(super) fn new(
        home: &Home,
        round: &'r OpenRound,
        (end, done): (&'r Signed<End>, &'r Signed<Done>),
        listed: &'r [u32],
        key: &'r EncryptionKey,
    ) -> Result<Self> {
        let session = round.session();
        let aggregator = Key::Announcement(session.id(), Party::Aggregator);
        let announced =
            session.announced(Party::Aggregator)?.ok_or_else(|| missing(aggregator, "the announcement"))?;
        let channel = Repeatable::new(home, session)?.channel(Party::Aggregator, announced);
        Ok(Self { round, end, done, listed, key, channel })
    }

    pub(super) fn round(&self) -> &'r OpenRound {
        self.round
    }

    pub(super) fn key(&self) -> &'r EncryptionKey {
        self.key
    }

    /// The sealed sum of a shard, if it has the digest that the aggregator signed.
    pub(super) fn fetch(&self, shard: u32) -> Result<Bytes> {
        let listed = (Party::Aggregator, self.done.body().sums[shard as usize]);
        read_listed(self.round, RoundKey::Sum(shard), self.round.sum_limit(shard), listed)
    }

    /// Opens the sealed sum of a shard. It must be over the clients that the end lists.
    pub(super) fn open(&self, shard: u32, sealed: &[u8]) -> Result<ClosedSum> {
        let spec = self.round.spec();
        let opened =
            self.channel.open_expected(&sum_envelope(self.round, shard, self.end.digest()), sealed)?;
        let sum = PartialSum::from_bytes(spec, self.key, &opened)?;
        drop(opened);
        let sum = sum.part_for_server(self.round.messages_of(shard))?;
        if sum.participants() != self.listed {
            let key = self.round.key(RoundKey::Sum(shard));
            let reason = "is not over the clients which the end lists".to_owned();
            return Err(Error::Contents { key, reason }.into());
        }
        Ok(sum)
    }
}

/// An object that must be there.
pub(super) fn missing(key: Key, what: &str) -> Error {
    Error::Contents { key, reason: format!("{what} is missing") }
}
