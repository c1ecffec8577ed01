//! A declared round, as the store shows it.

use std::ops::Range;

use bytes::Bytes;
use cipherfold::federated::{KeyHolding, Party, round::RoundSpec};

use super::{
    parts::split,
    read::{check_digest, check_predecessor},
    session::OpenSession,
};
use crate::{
    digest::Sha256,
    error::{self, Result},
    objects::{
        Answered, Asked, Checked, Commit, Done, End, Error, Folded, Key, Open, Outcome, PartDigest, Removed,
        RoundKey, Saved, Signed, WorkerIndex,
    },
    store::{Store, look_again},
};

/// A declared round, checked.
#[derive(Clone, Debug)]
pub struct OpenRound {
    session: OpenSession,
    number: u64,
    declared: Signed<Open>,
    spec: RoundSpec,
}

/// The state of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Clients may commit.
    Open,
    /// The list of clients is final. The sums are not complete yet.
    Closed,
    /// There is no sum.
    Aborted,
    /// The sums are complete.
    Done,
    /// The server has asked the key holder to decrypt the masked sums.
    Asked,
    /// The key holder has answered.
    Answered,
    /// The server has saved the result.
    Saved,
}

impl State {
    /// The state's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Aborted => "aborted",
            Self::Done => "done",
            Self::Asked => "asked",
            Self::Answered => "answered",
            Self::Saved => "saved",
        }
    }
}

/// Maximum bytes of a message in addition to its ciphertexts: envelope, box, header, length.
const MESSAGE_OVERHEAD: u64 = 1024;

impl OpenRound {
    pub(crate) fn load(session: &OpenSession, number: u64) -> Result<Option<Self>> {
        let key = Key::Round(session.id(), number, RoundKey::Open);
        let Some(declared) = session.read::<Open>(&key, Party::Server)? else { return Ok(None) };
        Self::check(session, number, declared).map(Some)
    }

    fn check(session: &OpenSession, number: u64, declared: Signed<Open>) -> Result<Self> {
        let key = Key::Round(session.id(), number, RoundKey::Open);
        let contents = |reason: String| Error::Contents { key, reason };
        let body = declared.body();
        check_predecessor(&key, "session", session.digest(), body.session)?;
        let spec = RoundSpec::from_bytes(&body.spec).map_err(|error| contents(error.to_string()))?;
        if (spec.session(), spec.round()) != (session.id(), number) {
            let reason = format!("declares round {} of session {}", spec.round(), spec.session());
            return Err(contents(reason).into());
        }
        if spec.parameters().offer != session.offer().digest() {
            return Err(contents("was declared for keys that are not those of the session".to_owned()).into());
        }
        let (minimum, found) = (session.min_clients(), spec.parameters().min_clients);
        if found < minimum {
            let reason = format!("allows a sum over {found} clients, the session's minimum is {minimum}");
            return Err(contents(reason).into());
        }
        let messages = spec.costs().messages;
        if body.shards == 0 || u64::from(body.shards) > messages {
            return Err(contents(format!("has {} shards for {messages} messages", body.shards)).into());
        }
        Ok(Self { session: session.clone(), number, declared, spec })
    }

    /// The session.
    pub fn session(&self) -> &OpenSession {
        &self.session
    }

    /// The round's number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The specification.
    pub fn spec(&self) -> &RoundSpec {
        &self.spec
    }

    /// The server's declaration.
    pub fn declared(&self) -> &Signed<Open> {
        &self.declared
    }

    /// Number of objects of an update.
    pub fn shards(&self) -> u32 {
        self.declared.body().shards
    }

    /// Numbers of the messages in a shard.
    pub fn messages_of(&self, shard: u32) -> Range<u64> {
        let (shard, shards, messages) =
            (u64::from(shard), u64::from(self.shards()), self.spec.costs().messages);
        // Products of 32-bit numbers and of numbers of messages that were counted as `usize`.
        let bound = |shard: u64| u64::try_from(u128::from(shard) * u128::from(messages) / u128::from(shards));
        let bound = |number| bound(number).expect("not above the number of messages");
        bound(shard)..bound(shard + 1)
    }

    /// The messages in an object of a shard, if there are as many as the shard has.
    ///
    /// # Errors
    ///
    /// [`Error::Contents`].
    pub fn messages_in<'b>(&self, key: RoundKey, shard: u32, bytes: &'b [u8]) -> Result<Vec<&'b [u8]>> {
        let range = self.messages_of(shard);
        let messages = split(bytes).filter(|messages| messages.len() as u64 == range.end - range.start);
        let contents = || {
            let reason = format!("is not the {} messages of the shard", range.end - range.start);
            Error::Contents { key: self.key(key), reason }
        };
        Ok(messages.ok_or_else(contents)?)
    }

    /// Maximum bytes of a client's shard.
    pub fn part_limit(&self, shard: u32) -> u64 {
        let parameters = self.spec.parameters();
        let ciphertexts = u64::from(parameters.chunk_ciphertexts) * u64::from(parameters.key_bits / 4);
        let messages = self.messages_of(shard);
        (messages.end - messages.start).saturating_mul(ciphertexts + MESSAGE_OVERHEAD)
    }

    /// Maximum bytes of a shard's sum.
    pub fn sum_limit(&self, shard: u32) -> u64 {
        let clients = u64::from(self.spec.parameters().max_clients);
        self.part_limit(shard).saturating_add(MESSAGE_OVERHEAD + 8 * clients)
    }

    /// Maximum bytes of a shard's answer.
    pub fn answer_limit(&self, shard: u32) -> u64 {
        // A decrypted number has half the length of a ciphertext.
        self.part_limit(shard)
    }

    /// Whether a key holder has the secret key.
    pub fn has_key_holder(&self) -> bool {
        self.spec.parameters().key_holding == KeyHolding::KeyHolder
    }

    /// The name of an object of this round.
    pub fn key(&self, key: RoundKey) -> Key {
        Key::Round(self.session.id(), self.number, key)
    }

    /// A client's commitment, if there is one.
    ///
    /// # Errors
    ///
    /// Those of the store, and of an object that is not the client's or not of this round.
    pub fn commit(&self, client: u32) -> Result<Option<Signed<Commit>>> {
        let key = self.key(RoundKey::Commit(client));
        let Some(commit) = self.session.read::<Commit>(&key, Party::Client(client))? else { return Ok(None) };
        check_predecessor(&key, "round", self.declared.digest(), commit.body().open)?;
        self.check_list(key, "shards", &commit.body().shards)?;
        Ok(Some(commit))
    }

    /// The clients with an object under the name of a commitment, in ascending order. The
    /// commitments are not read.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub fn commits(&self) -> Result<Vec<u32>> {
        let folder = format!("{}/{}/commit", self.session.id(), self.number);
        let entries = self.store().list(&folder)?;
        let client = |name: &str| match name.parse() {
            Ok(Key::Round(_, _, RoundKey::Commit(client))) => Some(client),
            _ => None,
        };
        let mut clients: Vec<u32> = entries.iter().filter_map(|entry| client(&entry.name)).collect();
        clients.sort_unstable();
        Ok(clients)
    }

    /// A worker's result for a client, if it exists.
    ///
    /// # Errors
    ///
    /// Those of the store, and of an object that is not the aggregator's or not of this round.
    pub fn checked(&self, worker: WorkerIndex, client: u32) -> Result<Option<Signed<Checked>>> {
        let key = self.key(RoundKey::Checked(worker, client));
        let Some(checked) = self.session.read::<Checked>(&key, Party::Aggregator)? else { return Ok(None) };
        check_predecessor(&key, "round", self.declared.digest(), checked.body().open)?;
        Ok(Some(checked))
    }

    /// The digests of a worker's sums, if they exist.
    ///
    /// # Errors
    ///
    /// Those of the store, and of an object that is not the aggregator's or not of this end.
    pub fn folded(&self, worker: WorkerIndex, end: &Signed<End>) -> Result<Option<Signed<Folded>>> {
        let key = self.key(RoundKey::Folded(worker));
        let Some(folded) = self.session.read::<Folded>(&key, Party::Aggregator)? else { return Ok(None) };
        check_predecessor(&key, "end", end.digest(), folded.body().end)?;
        let (expected, found) = (worker.shards(self.shards()).len(), folded.body().sums.len());
        if found != expected {
            let reason = format!("lists {found} sums, the worker has {expected} shards");
            return Err(Error::Contents { key, reason }.into());
        }
        Ok(Some(folded))
    }

    /// The end of the round, if it has ended.
    ///
    /// # Errors
    ///
    /// Those of the store, and of an object that is not the aggregator's or not of this round.
    pub fn end(&self) -> Result<Option<Signed<End>>> {
        let key = self.key(RoundKey::End);
        let Some(end) = self.session.read::<End>(&key, Party::Aggregator)? else { return Ok(None) };
        check_predecessor(&key, "round", self.declared.digest(), end.body().open)?;
        if let Outcome::Closed(participants) = &end.body().outcome {
            let parameters = self.spec.parameters();
            let found = participants.len();
            let contents = |reason: String| Error::Contents { key, reason };
            if !participants.is_sorted_by(|a, b| a.client < b.client) {
                return Err(contents("lists clients out of order, or twice".to_owned()).into());
            }
            if found < parameters.min_clients as usize || found > parameters.max_clients as usize {
                let (minimum, maximum) = (parameters.min_clients, parameters.max_clients);
                return Err(contents(format!("has {found} clients, not {minimum} to {maximum}")).into());
            }
        }
        Ok(Some(end))
    }

    /// The digests of the sums, if they exist.
    ///
    /// # Errors
    ///
    /// Those of the store, and of an object that is not the aggregator's or not of this end.
    pub fn done(&self, end: &Signed<End>) -> Result<Option<Signed<Done>>> {
        let key = self.key(RoundKey::Done);
        let Some(done) = self.session.read::<Done>(&key, Party::Aggregator)? else { return Ok(None) };
        check_predecessor(&key, "end", end.digest(), done.body().end)?;
        self.check_list(key, "sums", &done.body().sums)?;
        Ok(Some(done))
    }

    /// The server's request to the key holder, if there is one.
    ///
    /// # Errors
    ///
    /// Those of the store, and of an object that is not the server's or not of this sum.
    pub fn asked(&self, done: &Signed<Done>) -> Result<Option<Signed<Asked>>> {
        let key = self.key(RoundKey::Asked);
        let Some(asked) = self.session.read::<Asked>(&key, Party::Server)? else { return Ok(None) };
        check_predecessor(&key, "done", done.digest(), asked.body().done)?;
        self.check_list(key, "masked sums", &asked.body().masked)?;
        Ok(Some(asked))
    }

    /// The key holder's answer, if there is one.
    ///
    /// # Errors
    ///
    /// Those of the store, and of an object that is not the key holder's or not of this request.
    pub fn answered(&self, asked: &Signed<Asked>) -> Result<Option<Signed<Answered>>> {
        let key = self.key(RoundKey::Answered);
        let Some(answered) = self.session.read::<Answered>(&key, Party::KeyHolder)? else { return Ok(None) };
        check_predecessor(&key, "asked", asked.digest(), answered.body().asked)?;
        self.check_list(key, "answers", &answered.body().answers)?;
        Ok(Some(answered))
    }

    /// Refuses a list that does not have one digest for each shard.
    fn check_list(&self, key: Key, what: &str, list: &[PartDigest]) -> Result<(), Error> {
        let (expected, found) = (self.shards() as usize, list.len());
        if found == expected {
            return Ok(());
        }
        Err(Error::Contents { key, reason: format!("lists {found} {what}, the round has {expected}") })
    }

    /// The server's receipt, if it has saved the result.
    ///
    /// # Errors
    ///
    /// Those of the store, and of an object that is not the server's or not of this sum.
    pub fn saved(&self, done: &Signed<Done>) -> Result<Option<Signed<Saved>>> {
        let key = self.key(RoundKey::Saved);
        let Some(saved) = self.session.read::<Saved>(&key, Party::Server)? else { return Ok(None) };
        check_predecessor(&key, "done", done.digest(), saved.body().done)?;
        Ok(Some(saved))
    }

    /// The server's note that contributions and sums were removed, if they were.
    ///
    /// # Errors
    ///
    /// Those of the store, and of an object that is not the server's or not of this round's last
    /// object.
    pub fn removed(&self) -> Result<Option<Signed<Removed>>> {
        let key = self.key(RoundKey::Removed);
        let Some(removed) = self.session.read::<Removed>(&key, Party::Server)? else { return Ok(None) };
        let contents = |reason: &str| Error::Contents { key, reason: reason.to_owned() };
        let last = self.last_digest()?.ok_or_else(|| contents("the round is neither saved nor aborted"))?;
        check_predecessor(&key, "last object", last, removed.body().last)?;
        Ok(Some(removed))
    }

    /// The digest of the last object of the round: the server's receipt, or the end of a round
    /// without a sum.
    pub(crate) fn last_digest(&self) -> Result<Option<Sha256>> {
        let Some(end) = self.end()? else { return Ok(None) };
        if let Outcome::Aborted(_) = end.body().outcome {
            return Ok(Some(end.digest()));
        }
        let Some(done) = self.done(&end)? else { return Ok(None) };
        Ok(self.saved(&done)?.map(|saved| saved.digest()))
    }

    /// The state of the round.
    ///
    /// # Errors
    ///
    /// Those of [`end`](Self::end), [`done`](Self::done), [`asked`](Self::asked),
    /// [`answered`](Self::answered) and [`saved`](Self::saved).
    pub fn state(&self) -> Result<State> {
        let Some(end) = self.end()? else { return Ok(State::Open) };
        if let Outcome::Aborted(_) = end.body().outcome {
            return Ok(State::Aborted);
        }
        let Some(done) = self.done(&end)? else { return Ok(State::Closed) };
        if self.saved(&done)?.is_some() {
            return Ok(State::Saved);
        }
        let Some(asked) = self.asked(&done)? else { return Ok(State::Done) };
        Ok(if self.answered(&asked)?.is_some() { State::Answered } else { State::Asked })
    }

    pub(crate) fn store(&self) -> &Store {
        self.session.store()
    }
}

impl OpenSession {
    /// The round with this number; without a number the latest one.
    ///
    /// # Errors
    ///
    /// [`Error::NoRound`](error::Error::NoRound); those of the store; [`objects::Error`](Error) for
    /// a round that the server has not signed.
    pub fn round(&self, number: Option<u64>) -> Result<OpenRound> {
        let none = || error::Error::NoRound { session: self.id(), round: number };
        let number = match number {
            Some(number) => number,
            None => self.rounds()?.pop().ok_or_else(none)?,
        };
        OpenRound::load(self, number)?.ok_or_else(none)
    }
}

/// Reads an object that a party has listed by its digest. A store that gives other bytes, or none,
/// is asked again for a moment, because the listed ones were acknowledged.
pub(crate) fn read_listed(
    round: &OpenRound,
    key: RoundKey,
    limit: u64,
    (signer, listed): (Party, PartDigest),
) -> Result<Bytes> {
    let key = round.key(key);
    let check = |bytes: &[u8]| check_digest(&key, signer, listed, bytes);
    let found = look_again(
        || round.store().get(&key, limit),
        |found| match found {
            Ok(bytes) => bytes.as_deref().is_some_and(|bytes| check(bytes).is_ok()),
            Err(_) => true,
        },
    )?;
    let missing = || Error::Contents { key, reason: "is listed by a signed object, but missing".to_owned() };
    let bytes = found.ok_or_else(missing)?;
    check(&bytes)?;
    Ok(bytes)
}
