//! The aggregator: counts committed clients, closes rounds, and sums.

mod fold;
mod sums;
mod workers;

pub use fold::{Fold, Worker};
pub use workers::fold_shards;

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    time::{Duration, Instant},
};

use cipherfold::{backend::BackendChoice, federated::Party};

use self::{sums::put_sums, workers::Workers};
use super::{Timeout, announce, faults};
use crate::{
    digest::Sha256,
    error::{Error, Result},
    objects::{
        self, AbortReason, Done, End, Outcome, Participant, Refusal, RefusalReason, RoundKey, Signed, sign,
    },
    parties::{Home, label},
    progress::Progress,
    round::{OpenRound, unix_time},
    store,
};

/// The settings of an aggregator.
#[derive(Clone, Copy, Debug)]
pub struct Aggregation {
    /// The backend.
    pub backend: BackendChoice,
    /// The pause between two reads of the store.
    pub pause: Duration,
    /// The time to wait for the server's key, and for workers.
    pub timeout: Timeout,
    /// The number of workers: other processes that add ([`fold_shards`](super::fold_shards)).
    /// Without workers this process adds.
    pub workers: Option<NonZeroU32>,
}

/// The outcome of a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Clients in the sum, in ascending order.
    pub participants: Vec<u32>,
    /// Clients that committed and were not counted.
    pub refused: Vec<Refusal>,
    /// The digest of the round's `done` object.
    pub done: Sha256,
}

/// Runs a round from its current state to its sums. Counts clients that commit, closes at the
/// maximum number or at the deadline, and writes the sums itself or by workers.
///
/// # Errors
///
/// [`WrongRole`](crate::parties::Error::WrongRole); [`Error::Aborted`] if too few clients had
/// committed at the deadline; [`Error::Waiting`]; those of the store.
pub fn aggregate(
    home: &Home,
    round: &OpenRound,
    aggregation: Aggregation,
    progress: &dyn Progress,
) -> Result<Ended> {
    home.check_party(Party::Aggregator)?;
    announce(home, round.session())?;
    faults::point("aggregator-announced");
    if let Some(end) = round.end()?
        && let Some(done) = round.done(&end)?
    {
        return Ok(ended(&end, &done));
    }
    let worker = Worker::new(home, round, aggregation.backend)?;
    let mut summation = match aggregation.workers {
        None => Summation::InProcess(Box::new(worker.fold(0..round.shards())?)),
        Some(workers) => Summation::Workers(Workers::new(round, workers.get())),
    };
    let end = match round.end()? {
        Some(end) => end,
        None => watch(home, round, &mut summation, aggregation, progress)?,
    };
    faults::point("aggregator-ended");
    let done = write_sums(home, round, summation, &end, aggregation, progress)?;
    faults::point("aggregator-done");
    Ok(ended(&end, &done))
}

/// Where contributions are added.
enum Summation<'w> {
    /// This process.
    InProcess(Box<Fold<'w>>),
    /// Other processes of the aggregator.
    Workers(Workers<'w>),
}

impl Summation<'_> {
    /// The digest of a client's commitment, or the reason for refusing it. `None` while it is
    /// unknown.
    fn count(&mut self, client: u32) -> Result<Option<Result<Sha256, RefusalReason>>> {
        match self {
            Self::InProcess(sums) => sums.count_committed(client).map(Some),
            Self::Workers(workers) => workers.verdict(client),
        }
    }
}

fn ended(end: &Signed<End>, done: &Signed<Done>) -> Ended {
    let participants = match &end.body().outcome {
        Outcome::Closed(participants) => participants.iter().map(|p| p.client).collect(),
        Outcome::Aborted(_) => Vec::new(),
    };
    Ended { participants, refused: end.body().refused.clone(), done: done.digest() }
}

/// Clients that were counted or refused.
#[derive(Default)]
struct KnownClients {
    /// With the digests of their commitments.
    counted: BTreeMap<u32, Sha256>,
    refused: BTreeMap<u32, RefusalReason>,
}

/// Counts clients until the round can be closed, and closes it.
fn watch(
    home: &Home,
    round: &OpenRound,
    summation: &mut Summation<'_>,
    aggregation: Aggregation,
    progress: &dyn Progress,
) -> Result<Signed<End>> {
    let maximum = round.spec().parameters().max_clients as usize;
    let deadline = round.declared().body().deadline;
    let mut known = KnownClients::default();
    let mut last: Option<(Instant, Vec<u32>)> = None;
    loop {
        // The clock is read before the store, so that clients that committed before the deadline
        // are counted, and no later ones.
        let late = unix_time() >= deadline;
        let committed = match &last {
            Some((_, committed)) => committed.clone(),
            None if late => all_commits(round)?,
            None => round.commits()?,
        };
        let pending = count_all(round, summation, &committed, &mut known, progress)?;
        if known.counted.len() >= maximum || (late && pending == 0) {
            return close(home, round, &known);
        }
        if late {
            let (since, _) = last.get_or_insert((Instant::now(), committed));
            if since.elapsed() >= aggregation.timeout.limit {
                let what = format!("the work of workers on {pending} clients");
                return Err(Error::Waiting { what, seconds: aggregation.timeout.limit.as_secs() });
            }
        }
        if let Some(end) = round.end()? {
            return Ok(end); // another process of this aggregator was first
        }
        let left = Duration::from_secs(deadline.saturating_sub(unix_time()).max(1));
        round.store().pause(aggregation.pause.min(left));
    }
}

/// Clients that have committed, for the final count: those in the store's list, and those that a
/// late list does not contain yet.
fn all_commits(round: &OpenRound) -> Result<Vec<u32>> {
    let mut committed = round.commits()?;
    for member in round.session().consortium().members() {
        if let Party::Client(client) = member.party
            && committed.binary_search(&client).is_err()
            && round.store().length(&round.key(RoundKey::Commit(client)))?.is_some()
        {
            committed.push(client);
        }
    }
    committed.sort_unstable();
    Ok(committed)
}

/// Counts committed clients up to the maximum. Returns the number of clients that are not known
/// yet.
fn count_all(
    round: &OpenRound,
    summation: &mut Summation<'_>,
    committed: &[u32],
    known: &mut KnownClients,
    progress: &dyn Progress,
) -> Result<usize> {
    let parameters = round.spec().parameters();
    let mut pending = 0;
    for client in committed {
        if known.counted.len() >= parameters.max_clients as usize {
            break;
        }
        if known.counted.contains_key(client) || known.refused.contains_key(client) {
            continue;
        }
        let name = label(Party::Client(*client));
        match summation.count(*client)? {
            None => {
                pending += 1;
                continue;
            }
            Some(Ok(commit)) => {
                known.counted.insert(*client, commit);
                let (counted, minimum, maximum) =
                    (known.counted.len(), parameters.min_clients, parameters.max_clients);
                progress.note(&format_args!("{name} is counted: {counted} of {minimum} to {maximum}"));
            }
            Some(Err(reason)) => {
                progress.note(&format_args!("{name} is refused: {reason}"));
                known.refused.insert(*client, reason);
            }
        }
        faults::point("aggregator-counted");
    }
    Ok(pending)
}

/// Writes the end of a round. If another process of the aggregator was first, its end counts.
fn close(
    home: &Home,
    round: &OpenRound,
    KnownClients { counted, refused }: &KnownClients,
) -> Result<Signed<End>> {
    let minimum = round.spec().parameters().min_clients;
    let found = u32::try_from(counted.len()).expect("there are at most `max_clients`");
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

/// Writes the sums, or waits for the workers' sums, and lists them.
fn write_sums(
    home: &Home,
    round: &OpenRound,
    summation: Summation<'_>,
    end: &Signed<End>,
    aggregation: Aggregation,
    progress: &dyn Progress,
) -> Result<Signed<Done>> {
    if let Outcome::Aborted(reason) = end.body().outcome {
        return Err(Error::Aborted { round: round.number(), reason });
    }
    let sums = match summation {
        Summation::InProcess(sums) => put_sums(round, *sums, end, aggregation.timeout, progress)?,
        Summation::Workers(workers) => workers.sums(end, aggregation.timeout)?,
    };
    let key = round.key(RoundKey::Done);
    round.store().put(&key, sign(home.identity(), &key, &Done { end: end.digest(), sums }))?;
    let missing = objects::Error::Contents { key, reason: "was written, and is not there".to_owned() };
    round.done(end)?.ok_or_else(|| missing.into())
}
