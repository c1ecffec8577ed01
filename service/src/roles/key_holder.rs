//! The key holder's part: decrypt masked sums, once for each round.

use std::{collections::BTreeSet, convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use cipherfold::{
    backend::BackendChoice,
    federated::{
        Party,
        channel::BoxPublicKey,
        round::{KeyHolder, KeyOwner},
    },
};

use super::{Timeout, announce, faults, prefetch::prefetch_shards, repeatable::Repeatable};
use crate::{
    digest::Sha256,
    error::{Error, Result},
    objects::{self, Answered, Asked, End, Key, Outcome, PartDigest, RoundKey, Signed, sign},
    parties::{self, Home},
    progress::Progress,
    round::{OpenRound, OpenSession, append, key_holding, read_listed},
    store,
};

/// The key holder's work in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decrypted {
    /// Masked numbers.
    pub ciphertexts: u64,
    /// Clients in the sum.
    pub clients: u64,
    /// Whether an earlier process had answered already. Then nothing was decrypted now.
    pub earlier: bool,
}

/// A request of the server, with the end of the round that it is for.
struct Request {
    end: Signed<End>,
    asked: Signed<Asked>,
}

/// Waits until the server asks for a round, checks the request, decrypts the masked sums, and posts
/// the answer.
///
/// Only a request for the sum of a declared round is answered: the aggregator has signed the sum,
/// and each of its clients has signed a commitment. There are at least as many clients as the
/// session demands. One request is answered for each round.
///
/// # Errors
///
/// [`Error::NoKeyHolder`], [`WrongRole`](crate::parties::Error::WrongRole); [`Error::Waiting`],
/// [`Error::Aborted`]; [`OtherSum`](crate::parties::Error::OtherSum) if this home answers another
/// request for the round; [`objects::Error`] for objects that are not signed as they should be;
/// those of the home, of the store, and of [`KeyHolder::decrypt_masked`].
pub fn decrypt(
    home: &Home,
    round: &OpenRound,
    (backend, timeout): (BackendChoice, Timeout),
    progress: &dyn Progress,
) -> Result<Decrypted> {
    check(home, round.session())?;
    announce(home, round.session())?;
    let request = timeout.wait(
        round.store(),
        || format!("the server's request for round {}", round.number()),
        || look(round),
    )?;
    answer(home, round, &request, backend, progress)
}

/// Answers every request of a session, until the process is stopped. A request that is refused is
/// noted, and the others are answered.
///
/// # Errors
///
/// [`Error::NoKeyHolder`], [`WrongRole`](crate::parties::Error::WrongRole); those of the home and
/// of the store.
pub fn decrypt_all(
    home: &Home,
    session: &OpenSession,
    backend: BackendChoice,
    pause: Duration,
    progress: &dyn Progress,
) -> Result<Infallible> {
    check(home, session)?;
    announce(home, session)?;
    let mut settled = BTreeSet::new();
    loop {
        for number in session.rounds()? {
            if settled.contains(&number) {
                continue;
            }
            match serve(home, session, number, backend, progress) {
                Ok(false) => continue,
                Ok(true) => {}
                Err(Error::Aborted { .. }) => progress.note(&format_args!("round {number} was aborted")),
                Err(error) if is_refusal(&error) => {
                    progress.note(&format_args!("round {number} is refused: {error}"));
                }
                Err(error) => return Err(error),
            }
            settled.insert(number);
        }
        session.store().pause(pause);
    }
}

/// Whether an error is about the objects of one round, so that other rounds can continue.
fn is_refusal(error: &Error) -> bool {
    match error {
        Error::Object(_)
        | Error::Protocol(_)
        | Error::Store(store::Error::TooLong { .. } | store::Error::Conflict { .. }) => true,
        Error::Parties(error) => matches!(**error, parties::Error::OtherSum { .. }),
        _ => false,
    }
}

/// Answers the request for a round, if there is one.
fn serve(
    home: &Home,
    session: &OpenSession,
    number: u64,
    backend: BackendChoice,
    progress: &dyn Progress,
) -> Result<bool> {
    let round = match session.round(Some(number)) {
        Err(Error::NoRound { .. }) => return Ok(false), // its declaration is on its way
        round => round?,
    };
    let Some(request) = look(&round)? else { return Ok(false) };
    let decrypted = answer(home, &round, &request, backend, progress)?;
    if !decrypted.earlier {
        let (numbers, clients) = (decrypted.ciphertexts, decrypted.clients);
        progress
            .note(&format_args!("round {number}: decrypted {numbers} masked numbers of {clients} clients"));
    }
    Ok(true)
}

fn check(home: &Home, session: &OpenSession) -> Result<()> {
    let owner = key_holding(session.consortium()).party();
    if owner != Party::KeyHolder {
        return Err(Error::NoKeyHolder);
    }
    Ok(home.check_party(owner)?)
}

/// The server's request for a round, if it is there.
fn look(round: &OpenRound) -> Result<Option<Request>> {
    let Some(end) = round.end()? else { return Ok(None) };
    if let Outcome::Aborted(reason) = end.body().outcome {
        return Err(Error::Aborted { round: round.number(), reason });
    }
    let Some(done) = round.done(&end)? else { return Ok(None) };
    let asked = round.asked(&done)?;
    Ok(asked.map(|asked| Request { end, asked }))
}

fn answer(
    home: &Home,
    round: &OpenRound,
    Request { end, asked }: &Request,
    backend: BackendChoice,
    progress: &dyn Progress,
) -> Result<Decrypted> {
    let clients = check_commits(round, end)?;
    let ciphertexts = round.spec().costs().ciphertexts;
    if round.answered(asked)?.is_some() {
        return Ok(Decrypted { ciphertexts, clients, earlier: true });
    }
    let session = round.session();
    let server = session.announced(Party::Server)?.ok_or_else(|| objects::Error::Contents {
        key: Key::Announcement(session.id(), Party::Server),
        reason: "the announcement is missing".to_owned(),
    })?;
    // One process at a time uses the keys: otherwise, each would overwrite the record of the other.
    let _lock = home.lock_session(session.id())?;
    // The request has the digests of all masked sums: they are on this home's disk before it
    // decrypts any of them.
    home.record_opened(session.id(), round.number(), asked.digest())?;
    faults::point("key-holder-recorded");
    let owner = home.owner(session.id(), backend)?;
    let decryption = Decryption { round, asked, owner, own: Repeatable::new(home, session)?, server };
    let answers = decryption.run(progress)?;
    home.save_owner(&decryption.owner)?;
    let key = round.key(RoundKey::Answered);
    let answered = Answered { asked: asked.digest(), answers };
    round.store().put(&key, sign(home.identity(), &key, &answered))?;
    faults::point("key-holder-answered");
    Ok(Decrypted { ciphertexts, clients, earlier: false })
}

/// Refuses an end with a client that has not committed to the round. The number of clients.
fn check_commits(round: &OpenRound, end: &Signed<End>) -> Result<u64> {
    let Outcome::Closed(participants) = &end.body().outcome else { return Ok(0) };
    for participant in participants {
        let key = round.key(RoundKey::Commit(participant.client));
        let contents = |reason: String| objects::Error::Contents { key, reason };
        let commit = round.commit(participant.client)?;
        let commit = commit.ok_or_else(|| contents("is listed by the end, and missing".to_owned()))?;
        if commit.digest() != participant.commit {
            let reason = format!("has digest {}, the end lists {}", commit.digest(), participant.commit);
            return Err(contents(reason).into());
        }
    }
    Ok(participants.len() as u64)
}

/// The inputs of the answer to a request.
struct Decryption<'r> {
    round: &'r OpenRound,
    asked: &'r Signed<Asked>,
    owner: KeyOwner,
    own: Repeatable,
    server: BoxPublicKey,
}

impl Decryption<'_> {
    /// Decrypts shard by shard, and posts the answers. Their digests.
    fn run(&self, progress: &dyn Progress) -> Result<Vec<PartDigest>> {
        let round = self.round;
        let mut answers = Vec::new();
        prefetch_shards(
            0..round.shards(),
            |shard| self.fetch(shard),
            |shard, masked| {
                progress.work("decrypting", shard.into(), round.shards().into());
                let answer = self.decrypt(shard, &masked)?;
                answers.push(PartDigest::of(&answer));
                round.store().put(&round.key(RoundKey::Answer(shard)), answer)?;
                faults::point("key-holder-answer");
                Ok(())
            },
        )?;
        progress.work("decrypting", round.shards().into(), round.shards().into());
        Ok(answers)
    }

    /// The masked sum of a shard, if it has the digest that the server signed.
    fn fetch(&self, shard: u32) -> Result<Bytes> {
        let listed = (Party::Server, self.asked.body().masked[shard as usize]);
        read_listed(self.round, RoundKey::Masked(shard), self.round.part_limit(shard), listed)
    }

    /// The answer to the masked sum of a shard. The same masked sum has the same answer, byte for
    /// byte.
    fn decrypt(&self, shard: u32, masked: &[u8]) -> Result<Vec<u8>> {
        let round = self.round;
        let key_holder = KeyHolder::new(&self.owner, Arc::new(self.own.channel(Party::Server, self.server)));
        let parts: [&[u8]; 3] =
            [&self.asked.digest().to_bytes(), &self.server.to_bytes(), &Sha256::of(masked).to_bytes()];
        let mut rng = self.own.generator("cipherfold service answer", &parts);
        let mut answer = Vec::new();
        for message in round.messages_in(RoundKey::Masked(shard), shard, masked)? {
            append(&mut answer, &key_holder.decrypt_masked(round.spec(), message, &mut rng)?);
        }
        Ok(answer)
    }
}
