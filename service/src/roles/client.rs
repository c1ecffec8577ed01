//! The client: encrypts an update, uploads it, and commits to it.

mod update;

use std::{sync::mpsc, thread};

use cipherfold::federated::{Party, channel::HpkeChannel, round::Client};
use rand_core::UnwrapErr;

pub use update::Submission;

use self::update::CheckedUpdate;
use super::{Timeout, announce, faults};
use crate::{
    error::{Error, Result},
    objects::{Commit, Key, Outcome, PartDigest, RoundKey, sign},
    parties::Home,
    progress::Progress,
    round::{OpenRound, append},
};

/// The result of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// The valid attempt.
    pub attempt: u32,
    /// Bytes of its objects.
    pub bytes: u64,
    /// Whether an earlier process had already committed. Then this one has read and sent nothing.
    pub earlier: bool,
    /// Number of clipped values.
    pub clipped: u64,
}

/// Encrypts an update, uploads it, and commits to it. The round counts it once. All of the file is
/// read and checked first, and then read again, message by message.
///
/// # Errors
///
/// [`Error::NotAClient`]; [`Error::RoundOver`]; [`Error::Waiting`] if the aggregator has announced
/// no key; [`Error::Model`], [`Error::Clipping`] for a file that does not fit; those of the store
/// and of [`StreamedUpdate`](cipherfold::federated::round::StreamedUpdate).
pub fn submit(
    home: &Home,
    round: &OpenRound,
    submission: Submission<'_>,
    progress: &dyn Progress,
) -> Result<Submitted> {
    let Party::Client(number) = home.party() else { return Err(Error::NotAClient { found: home.party() }) };
    round.session().consortium().member(home.party())?;
    if let Some(commit) = round.commit(number)? {
        let Commit { attempt, shards, .. } = commit.body();
        let bytes = shards.iter().map(|shard| shard.bytes).sum();
        return Ok(Submitted { attempt: *attempt, bytes, earlier: true, clipped: 0 });
    }
    refuse_late(round)?;
    let update = CheckedUpdate::read(home, round, submission, progress)?;

    announce(home, round.session())?;
    faults::point("client-announced");
    let aggregator = submission.timeout.wait(
        round.store(),
        || "the aggregator's key".to_owned(),
        || round.session().announced(Party::Aggregator),
    )?;
    let keys = home.session_keys(round.session().id(), &mut UnwrapErr(getrandom::SysRng))?;
    let channel = HpkeChannel::for_party(keys).with_peer(Party::Aggregator, aggregator);
    let key = round.session().encryption_key(submission.backend)?;
    let key = if submission.short_exponents { key.with_short_exponents() } else { key };
    let client = Client::new(number, round.spec(), &key, std::sync::Arc::new(channel))?;
    let attempt = next_attempt(round, number)?;
    let shards = upload(round, (number, attempt), &client, &update, progress)?;
    faults::point("client-uploaded");
    refuse_late(round)?;
    let bytes = shards.iter().map(|shard| shard.bytes).sum();
    let commit = Commit { open: round.declared().digest(), attempt, shards };
    let key = round.key(RoundKey::Commit(number));
    round.store().put(&key, sign(home.identity(), &key, &commit))?;
    faults::point("client-committed");
    Ok(Submitted { attempt, bytes, earlier: false, clipped: update.clipped() })
}

/// Waits until the round has ended. Succeeds if this client is in the sum.
///
/// # Errors
///
/// [`Error::Waiting`], [`Error::Aborted`]; [`Error::Refused`] with the aggregator's reason,
/// [`Error::RoundOver`] if the commitment came too late.
pub fn wait_for_end(home: &Home, round: &OpenRound, timeout: Timeout) -> Result<()> {
    let Party::Client(number) = home.party() else { return Err(Error::NotAClient { found: home.party() }) };
    let end =
        timeout.wait(round.store(), || format!("the end of round {}", round.number()), || round.end())?;
    if let Some(refusal) = end.body().refused.iter().find(|refusal| refusal.client == number) {
        return Err(Error::Refused { round: round.number(), reason: refusal.reason });
    }
    match &end.body().outcome {
        Outcome::Aborted(reason) => Err(Error::Aborted { round: round.number(), reason: *reason }),
        Outcome::Closed(participants) if participants.iter().any(|p| p.client == number) => Ok(()),
        Outcome::Closed(_) => Err(Error::RoundOver { round: round.number() }),
    }
}

fn refuse_late(round: &OpenRound) -> Result<()> {
    match round.end()? {
        Some(_) => Err(Error::RoundOver { round: round.number() }),
        None => Ok(()),
    }
}

/// An attempt's number that this client has not used yet.
fn next_attempt(round: &OpenRound, client: u32) -> Result<u32> {
    let own = crate::parties::label(Party::Client(client));
    let folder = format!("{}/{}/in/{own}", round.session().id(), round.number());
    let attempts = round.store().folders(&folder)?;
    let latest: Option<u32> = attempts.iter().filter_map(|name| crate::parties::decimal(name)).max();
    let none_left = || Error::Setting { setting: "attempts", reason: "there are no numbers left".to_owned() };
    let mut next = latest.unwrap_or(0).checked_add(1).ok_or_else(none_left)?;
    // A list may lag behind.
    while round.store().length(&round.key(RoundKey::Part { client, attempt: next, shard: 0 }))?.is_some() {
        next = next.checked_add(1).ok_or_else(none_left)?;
    }
    Ok(next)
}

/// Encrypts shard by shard. A separate thread uploads finished shards at the same time. At most
/// three shards are in memory: one that is made, one that waits, and one that is uploaded.
fn upload(
    round: &OpenRound,
    (number, attempt): (u32, u32),
    client: &Client,
    update: &CheckedUpdate,
    progress: &dyn Progress,
) -> Result<Vec<PartDigest>> {
    let (send, receive) = mpsc::sync_channel::<(Key, Vec<u8>)>(1);
    thread::scope(|scope| {
        let uploads = scope.spawn(move || -> Result<()> {
            for (key, contents) in receive {
                round.store().put(&key, contents)?;
                faults::point("client-shard");
            }
            Ok(())
        });
        let mut encryption = update.encryption(client);
        let mut digests = Vec::new();
        let total = u64::from(round.shards());
        for shard in 0..round.shards() {
            progress.work("encrypting", shard.into(), total);
            let mut contents = Vec::new();
            for message in round.messages_of(shard) {
                append(&mut contents, &encryption.message(message)?);
            }
            digests.push(PartDigest::of(&contents));
            let key = round.key(RoundKey::Part { client: number, attempt, shard });
            if send.send((key, contents)).is_err() {
                break; // the upload has failed and has the error
            }
        }
        drop(send);
        uploads.join().expect("uploads do not panic")?;
        encryption.finish()?;
        progress.work("encrypting", total, total);
        Ok(digests)
    })
}
