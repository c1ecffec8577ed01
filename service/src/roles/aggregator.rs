//! The aggregator's part: count who has committed, close, sum.

use std::{collections::BTreeMap, thread, time::Duration};

use cipherfold::{backend::Choice, federated::Party};

use super::{Fold, Patience, Worker, announce, unix_time};
use crate::{
    error::{Error, Result},
    faults,
    home::Home,
    key::RoundKey,
    objects::{
        self, AbortReason, Commit, Done, End, Outcome, PartDigest, Participant, Refusal, RefusalReason,
        Sha256, Signed, sign,
    },
    party::label,
    progress::Progress,
    round::OpenRound,
    store,
};

/// How an aggregator runs a round.
#[derive(Clone, Copy, Debug)]
pub struct Aggregation {
    /// What computes.
    pub backend: Choice,
    /// The pause between two looks at the store.
    pub pause: Duration,
    /// How long to wait for the server's key, and for the sums of other workers.
    pub patience: Patience,
}

/// How a round ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Clients in the sum, in ascending order.
    pub participants: Vec<u32>,
    /// Clients that committed and were not counted.
    pub refused: Vec<Refusal>,
    /// The digest of the round's `done` object.
    pub done: Sha256,
}

/// Runs a round from wherever it is to its sums: counts clients as they commit, closes at the maximum number or at the deadline,
/// and writes the sums.
///
/// # Errors
///
/// [`Error::WrongRole`]; [`Error::Aborted`] if too few clients had committed at the deadline; [`Error::Waiting`]; those of the
/// store.
pub fn aggregate(
    home: &Home,
    round: &OpenRound,
    aggregation: Aggregation,
    progress: &dyn Progress,
) -> Result<Ended> {
    home.check_party(Party::Aggregator)?;
    announce(home, round.session())?;
    faults::point("aggregator-announced");
    let worker = Worker::new(home, round, aggregation.backend)?;
    if let Some(end) = round.end()?
        && let Some(done) = round.done(&end)?
    {
        return ended(&end, &done);
    }
    let mut fold = worker.fold(0..round.shards())?;
    let end = match round.end()? {
        Some(end) => end,
        None => watch(home, round, &mut fold, aggregation, progress)?,
    };
    faults::point("aggregator-ended");
    let done = write_sums(home, round, fold, &end, aggregation, progress)?;
    faults::point("aggregator-done");
    ended(&end, &done)
}

fn ended(end: &Signed<End>, done: &Signed<Done>) -> Result<Ended> {
    let participants = match &end.body().outcome {
        Outcome::Closed(participants) => participants.iter().map(|p| p.client).collect(),
        Outcome::Aborted(_) => Vec::new(),
    };
    Ok(Ended { participants, refused: end.body().refused.clone(), done: done.digest() })
}

/// Counts clients until the round can be closed, and closes it.
fn watch(
    home: &Home,
    round: &OpenRound,
    fold: &mut Fold<'_>,
    aggregation: Aggregation,
    progress: &dyn Progress,
) -> Result<Signed<End>> {
    let parameters = round.spec().parameters();
    let deadline = round.declared().body().deadline;
    let mut counted: BTreeMap<u32, Sha256> = BTreeMap::new();
    let mut refused: BTreeMap<u32, RefusalReason> = BTreeMap::new();
    loop {
        // Before the look, so that whoever had committed at the deadline is counted.
        let late = unix_time() >= deadline;
        for client in round.commits()? {
            if counted.len() >= parameters.max_clients as usize {
                break;
            }
            if counted.contains_key(&client) || refused.contains_key(&client) {
                continue;
            }
            match count(round, fold, client)? {
                Ok(commit) => {
                    counted.insert(client, commit);
                    progress.note(&format_args!(
                        "{} is counted: {} of {} to {}",
                        label(Party::Client(client)),
                        counted.len(),
                        parameters.min_clients,
                        parameters.max_clients
                    ));
                }
                Err(reason) => {
                    progress.note(&format_args!("{} is refused: {reason}", label(Party::Client(client))));
                    refused.insert(client, reason);
                }
            }
            faults::point("aggregator-counted");
        }
        if late || counted.len() >= parameters.max_clients as usize {
            break;
        }
        if let Some(end) = round.end()? {
            return Ok(end); // another process of this aggregator was first
        }
        thread::sleep(
            aggregation.pause.min(Duration::from_secs(deadline.saturating_sub(unix_time()).max(1))),
        );
    }
    close(home, round, &counted, &refused)
}

/// Reads a client's commitment and adds what it names. The digest of the commitment, or the reason for refusing it.
fn count(round: &OpenRound, fold: &mut Fold<'_>, client: u32) -> Result<Result<Sha256, RefusalReason>> {
    let commit: Signed<Commit> = match round.commit(client) {
        Ok(Some(commit)) => commit,
        Ok(None) | Err(Error::Object(_) | Error::Store(store::Error::TooLong { .. })) => {
            return Ok(Err(RefusalReason::Commit));
        }
        Err(error) => return Err(error),
    };
    Ok(fold.count(client, &commit)?.map(|()| commit.digest()))
}

/// Writes the end of a round. If another process of the aggregator was first, its end counts.
fn close(
    home: &Home,
    round: &OpenRound,
    counted: &BTreeMap<u32, Sha256>,
    refused: &BTreeMap<u32, RefusalReason>,
) -> Result<Signed<End>> {
    let minimum = round.spec().parameters().min_clients;
    let found = u32::try_from(counted.len()).expect("no more than have room");
    let outcome = if found < minimum {
        Outcome::Aborted(AbortReason::TooFewClients { minimum, found })
    } else {
        let participants =
            counted.iter().map(|(client, commit)| Participant { client: *client, commit: *commit });
        Outcome::Closed(participants.collect())
    };
    let refused =
        refused.iter().map(|(client, reason)| Refusal { client: *client, reason: *reason }).collect();
    let end = End { open: round.declared().digest(), outcome, refused };
    let key = round.key(RoundKey::End);
    match round.store().put(&key, sign(home.identity(), &key, &end)) {
        Ok(_) | Err(store::Error::Conflict { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let missing = objects::Error::Contents { key, reason: "was written, and is not there".to_owned() };
    round.end()?.ok_or_else(|| missing.into())
}

fn write_sums(
    home: &Home,
    round: &OpenRound,
    fold: Fold<'_>,
    end: &Signed<End>,
    aggregation: Aggregation,
    progress: &dyn Progress,
) -> Result<Signed<Done>> {
    if let Outcome::Aborted(reason) = end.body().outcome {
        return Err(Error::Aborted { round: round.number(), reason });
    }
    let server = aggregation
        .patience
        .wait(|| "the server's key".to_owned(), || round.session().announced(Party::Server))?;
    let mut sums = Vec::new();
    for (shard, sum) in fold.close(end, server, progress)? {
        round.store().put(&round.key(RoundKey::Sum(shard)), sum.clone())?;
        faults::point("aggregator-sum");
        sums.push(PartDigest::of(&sum));
    }
    let key = round.key(RoundKey::Done);
    round.store().put(&key, sign(home.identity(), &key, &Done { end: end.digest(), sums }))?;
    let missing = objects::Error::Contents { key, reason: "was written, and is not there".to_owned() };
    round.done(end)?.ok_or_else(|| missing.into())
}
