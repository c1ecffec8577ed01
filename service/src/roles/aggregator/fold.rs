//! Adds clients' contributions, shard by shard.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, mpsc},
    thread,
};

use bytes::Bytes;
use cipherfold::{
    backend::BackendChoice,
    federated::{
        Party,
        channel::{BoxPublicKey, Channel, HpkeChannel},
        round::{Aggregator, EncryptionKey},
    },
};
use rayon::prelude::*;

use crate::{
    digest::Sha256,
    error::{Error, Result},
    objects::{Commit, End, Outcome, Participant, RefusalReason, RoundKey, Signed},
    parties::Home,
    progress::Progress,
    roles::{envelope::sum_envelope, repeatable::Repeatable},
    round::{OpenRound, check_digest, split},
    store::{self, look_again},
};

/// The aggregator's secrets and keys for a round, shared by the workers of one process.
pub struct Worker {
    round: OpenRound,
    key: EncryptionKey,
    own: Repeatable,
    channel: Arc<HpkeChannel>,
}

/// Sums in progress over some shards of a round.
pub struct Fold<'w> {
    worker: &'w Worker,
    shards: Range<u32>,
    /// One for each shard.
    sums: Vec<Aggregator>,
    /// Clients in the sums, with the digests of their commitments.
    counted: BTreeMap<u32, Sha256>,
}

impl Worker {
    /// A worker with the aggregator's home.
    ///
    /// # Errors
    ///
    /// [`WrongRole`](crate::parties::Error::WrongRole) for the home of another party;
    /// [`Error::OtherBoxKey`] for a home without the key that the aggregator has announced: it
    /// would treat every contribution as broken; those of the home, and of [`EncryptionKey::new`].
    pub fn new(home: &Home, round: &OpenRound, backend: BackendChoice) -> Result<Self> {
        home.check_party(Party::Aggregator)?;
        let own = Repeatable::new(home, round.session())?;
        let key = round.session().encryption_key(backend)?;
        let channel = Arc::new(own.open_channel());
        Ok(Self { round: round.clone(), key, own, channel })
    }

    /// The round.
    pub fn round(&self) -> &OpenRound {
        &self.round
    }

    /// Empty sums over these shards.
    ///
    /// # Errors
    ///
    /// Those of [`Aggregator::for_messages`].
    pub fn fold(&self, shards: Range<u32>) -> Result<Fold<'_>> {
        let sum = |shard| {
            let messages = self.round.messages_of(shard);
            Aggregator::for_messages(self.round.spec(), &self.key, self.channel.clone(), messages)
        };
        let sums = shards.clone().map(sum).collect::<Result<_, _>>()?;
        Ok(Fold { worker: self, shards, sums, counted: BTreeMap::new() })
    }

    /// Adds the client's key to the channel. Returns the reason if the client has not announced a
    /// key with its identity's signature.
    fn add_peer_key(&self, client: u32) -> Result<Result<(), RefusalReason>> {
        let (session, party) = (self.round.session(), Party::Client(client));
        let read = || session.announced(party);
        let announced = match look_again(read, |found| !matches!(found, Ok(None) | Err(Error::Object(_)))) {
            Ok(announced) => announced,
            Err(Error::Object(_) | Error::Store(store::Error::TooLong { .. })) => None,
            Err(error) => return Err(error),
        };
        let Some(key) = announced else { return Ok(Err(RefusalReason::Announcement)) };
        match self.channel.add_peer(session.id(), party, key) {
            Ok(()) => Ok(Ok(())),
            Err(_) => Ok(Err(RefusalReason::Announcement)), // another one than before
        }
    }

    /// Seals the sum of a shard for the server. The same sum under the same end gives the same
    /// bytes in every process.
    fn seal(&self, shard: u32, end: Sha256, server: BoxPublicKey, sum: &[u8]) -> Result<Vec<u8>> {
        let envelope = sum_envelope(&self.round, shard, end);
        let channel = self.own.channel(Party::Server, server);
        let parts: [&[u8]; 3] = [&envelope.to_bytes(), &server.to_bytes(), &Sha256::of(sum).to_bytes()];
        let mut rng = self.own.generator("cipherfold service sealed sum", &parts);
        Ok(channel.seal(&envelope, sum, &mut rng)?)
    }
}

/// A client's commitment, if the client's identity has signed it for this round.
pub(super) fn good_commit(round: &OpenRound, client: u32) -> Result<Option<Signed<Commit>>> {
    match look_again(|| round.commit(client), |found| !matches!(found, Ok(None) | Err(Error::Object(_)))) {
        Err(Error::Object(_) | Error::Store(store::Error::TooLong { .. })) => Ok(None),
        read => read,
    }
}

impl Fold<'_> {
    /// Clients in the sums.
    pub fn counted(&self) -> Vec<u32> {
        self.counted.keys().copied().collect()
    }

    /// Reads a client's commitment and adds its shards. Returns the digest of the commitment, or
    /// the reason for refusing it.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub fn count_committed(&mut self, client: u32) -> Result<Result<Sha256, RefusalReason>> {
        let Some(commit) = good_commit(self.worker.round(), client)? else {
            return Ok(Err(RefusalReason::Commit));
        };
        Ok(self.count(client, &commit)?.map(|()| commit.digest()))
    }

    /// Adds all shards that a client has committed to, or none.
    ///
    /// Returns the reason if the client cannot be counted. It depends on this client only, and is
    /// the same at every attempt.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub fn count(&mut self, client: u32, commit: &Signed<Commit>) -> Result<Result<(), RefusalReason>> {
        if self.counted.contains_key(&client) {
            return Ok(Ok(()));
        }
        if let Err(reason) = self.worker.add_peer_key(client)? {
            return Ok(Err(reason));
        }
        let accepted = self.accept_all(client, commit.body())?;
        if accepted.is_err() {
            self.discard(client);
            return Ok(accepted);
        }
        for sum in &self.sums {
            sum.commit(client)?;
        }
        self.counted.insert(client, commit.digest());
        Ok(Ok(()))
    }

    /// Adds the shards of a client. While one is opened, the next one is fetched.
    fn accept_all(&self, client: u32, commit: &Commit) -> Result<Result<(), RefusalReason>> {
        let (send, receive) = mpsc::sync_channel(1);
        let (worker, shards) = (self.worker, self.shards.clone());
        thread::scope(|scope| {
            let fetching = scope.spawn(move || -> Result<()> {
                for shard in shards {
                    let part = worker.fetch(client, commit, shard)?;
                    if send.send((shard, part)).is_err() {
                        break; // refused already
                    }
                }
                Ok(())
            });
            let mut verdict = Ok(());
            for (shard, part) in receive {
                verdict = part.and_then(|part| self.accept(client, shard, &part));
                if verdict.is_err() {
                    break; // dropping the receiver ends the fetching
                }
            }
            fetching.join().expect("fetching does not panic")?;
            Ok(verdict)
        })
    }

    fn accept(&self, client: u32, shard: u32, part: &[u8]) -> Result<(), RefusalReason> {
        let refused = RefusalReason::Part { shard };
        let messages = split(part).ok_or(refused)?;
        let sum = &self.sums[(shard - self.shards.start) as usize];
        let accepted: Result<Vec<_>, _> =
            messages.into_par_iter().map(|message| sum.accept(client, message)).collect();
        let receipts = accepted.map_err(|_| refused)?;
        // Each message once, and all of them.
        let whole = receipts.iter().all(|receipt| !receipt.repeated)
            && receipts.iter().map(|receipt| receipt.missing).min() == Some(0);
        if whole { Ok(()) } else { Err(refused) }
    }

    fn discard(&self, client: u32) {
        for sum in &self.sums {
            sum.discard(client);
        }
    }

    /// Writes the sums over the clients of an end, and returns them with their numbers.
    ///
    /// If this worker has counted clients that the end does not list, it computes the sums again.
    ///
    /// # Errors
    ///
    /// [`Error::Aborted`]; [`crate::objects::Error`] if a client of the end cannot be counted,
    /// which the party that signed the end has counted; those of the store.
    pub fn close(
        mut self,
        end: &Signed<End>,
        server: BoxPublicKey,
        progress: &dyn Progress,
    ) -> Result<Vec<(u32, Vec<u8>)>> {
        let round = self.worker.round();
        let participants = match &end.body().outcome {
            Outcome::Closed(participants) => participants,
            Outcome::Aborted(reason) => {
                return Err(Error::Aborted { round: round.number(), reason: *reason });
            }
        };
        let listed: BTreeMap<u32, Sha256> = participants.iter().map(|p| (p.client, p.commit)).collect();
        if self.counted.iter().any(|(client, commit)| listed.get(client) != Some(commit)) {
            progress.note(&"the sums have clients that the end does not list, and are computed again");
            self = self.worker.fold(self.shards.clone())?;
        }
        for participant in participants {
            self.count_listed(*participant)?;
        }
        let mut written = Vec::new();
        let total = u64::from(self.shards.end - self.shards.start);
        for (shard, sum) in self.shards.clone().zip(self.sums) {
            progress.work("sealing sums", written.len() as u64, total);
            let sum = sum.close()?.into_bytes()?;
            written.push((shard, self.worker.seal(shard, end.digest(), server, &sum)?));
        }
        progress.work("sealing sums", total, total);
        Ok(written)
    }

    fn count_listed(&mut self, participant: Participant) -> Result<()> {
        let Participant { client, commit: expected } = participant;
        let round = self.worker.round();
        let key = round.key(RoundKey::Commit(client));
        let contents = |reason: String| crate::objects::Error::Contents { key, reason };
        let commit =
            round.commit(client)?.ok_or_else(|| contents("is listed by the end, and missing".to_owned()))?;
        if commit.digest() != expected {
            return Err(contents(format!("has digest {}, the end lists {expected}", commit.digest())).into());
        }
        let counted = self.count(client, &commit)?;
        Ok(counted.map_err(|reason| contents(format!("is listed by the end, but {reason}")))?)
    }
}

impl Worker {
    /// A committed shard of a client, or the reason why it is not available.
    fn fetch(&self, client: u32, commit: &Commit, shard: u32) -> Result<Result<Bytes, RefusalReason>> {
        let expected = commit.shards[shard as usize];
        let key = self.round.key(RoundKey::Part { client, attempt: commit.attempt, shard });
        let limit = self.round.part_limit(shard);
        let good = |part: &[u8]| check_digest(&key, Party::Client(client), expected, part).is_ok();
        // The client's signature says that these bytes were acknowledged: a store that returns
        // others may do so only for a moment.
        let read = || self.round.store().get(&key, limit);
        match look_again(read, |found| match found {
            Ok(part) => part.as_deref().is_some_and(good),
            Err(_) => true,
        }) {
            Ok(Some(part)) if good(&part) => Ok(Ok(part)),
            Ok(None) => Ok(Err(RefusalReason::MissingPart { shard })),
            Ok(Some(_)) | Err(store::Error::TooLong { .. }) => Ok(Err(RefusalReason::PartDigest { shard })),
            Err(error) => Err(error.into()),
        }
    }
}

impl Worker {
    /// Checks whether a shard of a client is a contribution to this round, without adding it.
    /// Returns the reason if it is not.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub fn opens(&self, client: u32, shard: u32, part: &[u8]) -> Result<Result<(), RefusalReason>> {
        if let Err(reason) = self.add_peer_key(client)? {
            return Ok(Err(reason));
        }
        Ok(self.fold(shard..shard + 1)?.accept(client, shard, part))
    }
}
