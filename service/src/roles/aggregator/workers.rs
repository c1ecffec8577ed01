//! The aggregator's work on several machines: each worker adds some shards of every update.
//!
//! A worker begins before the round closes. It adds committed shards, and signs its result for each
//! client. When all workers have counted a client, the aggregator counts it. After the end each
//! worker writes the sums of its shards. Workers do not communicate with each other, and a lost
//! worker is started again.

use std::collections::BTreeSet;

use cipherfold::{backend::BackendChoice, federated::Party};

use super::{
    fold::{Worker, good_commit},
    sums::put_sums,
};
use crate::{
    digest::Sha256,
    error::{Error, Result},
    objects::{
        Checked, End, Folded, Outcome, PartDigest, RefusalReason, RoundKey, Signed, WorkerIndex, sign,
    },
    parties::{Home, label},
    progress::Progress,
    roles::{Timeout, announce, faults},
    round::OpenRound,
    store,
};

/// Adds some shards of every update, from before the round closes until their sums are written.
/// Returns the digests of the sums.
///
/// # Errors
///
/// [`WrongRole`](crate::parties::Error::WrongRole); [`Error::Waiting`] if the round does not end in
/// time; [`Error::Aborted`]; those of the store.
pub fn fold_shards(
    home: &Home,
    round: &OpenRound,
    index: WorkerIndex,
    (backend, timeout): (BackendChoice, Timeout),
    progress: &dyn Progress,
) -> Result<Vec<PartDigest>> {
    home.check_party(Party::Aggregator)?;
    announce(home, round.session())?;
    if let Some(end) = round.end()?
        && let Some(folded) = round.folded(index, &end)?
    {
        return Ok(folded.body().sums.clone());
    }
    let worker = Worker::new(home, round, backend)?;
    let mut fold = worker.fold(index.shards(round.shards()))?;
    let mut seen: BTreeSet<u32> = BTreeSet::new();
    let end = timeout.wait(
        round.store(),
        || format!("the end of round {}", round.number()),
        || {
            if let Some(end) = round.end()? {
                return Ok(Some(end));
            }
            for client in round.commits()? {
                if seen.insert(client) {
                    let counted = fold.count_committed(client)?;
                    progress.note(&format_args!(
                        "{}: {}",
                        label(Party::Client(client)),
                        counted.map_or_else(|reason| reason.to_string(), |_| "added".to_owned())
                    ));
                    put_checked(home, round, index, client, counted)?;
                    faults::point("worker-checked");
                }
            }
            Ok(None)
        },
    )?;
    if let Outcome::Aborted(reason) = end.body().outcome {
        return Err(Error::Aborted { round: round.number(), reason });
    }
    let sums = put_sums(round, fold, &end, timeout, progress)?;
    let key = round.key(RoundKey::Folded(index));
    let folded = Folded { end: end.digest(), sums: sums.clone() };
    round.store().put(&key, sign(home.identity(), &key, &folded))?;
    faults::point("worker-folded");
    Ok(sums)
}

/// Signs and writes the result for a client. The signature of an earlier process of this worker
/// stays.
fn put_checked(
    home: &Home,
    round: &OpenRound,
    index: WorkerIndex,
    client: u32,
    counted: Result<Sha256, RefusalReason>,
) -> Result<()> {
    let key = round.key(RoundKey::Checked(index, client));
    let checked = Checked { open: round.declared().digest(), counted };
    match round.store().put(&key, sign(home.identity(), &key, &checked)) {
        Ok(_) | Err(store::Error::Conflict { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The aggregator's view of the workers.
pub(super) struct Workers<'r> {
    round: &'r OpenRound,
    count: u32,
}

impl<'r> Workers<'r> {
    pub(super) fn new(round: &'r OpenRound, count: u32) -> Self {
        Self { round, count }
    }

    fn all(&self) -> impl Iterator<Item = WorkerIndex> {
        let count = self.count;
        (0..count).map(move |index| WorkerIndex { index, count })
    }

    /// The combined result of all workers for a client. `None` while a worker has no result yet and
    /// no worker has refused.
    pub(super) fn verdict(&self, client: u32) -> Result<Option<Result<Sha256, RefusalReason>>> {
        let Some(commit) = good_commit(self.round, client)? else {
            return Ok(Some(Err(RefusalReason::Commit)));
        };
        let mut all = true;
        for worker in self.all() {
            match self.round.checked(worker, client)?.map(|checked| checked.body().counted) {
                Some(Err(reason)) => return Ok(Some(Err(reason))),
                Some(Ok(counted)) if counted == commit.digest() => {}
                Some(Ok(_)) => return Ok(Some(Err(RefusalReason::Commit))),
                None => all = false,
            }
        }
        Ok(all.then(|| Ok(commit.digest())))
    }

    /// The digests of all sums, when all workers have written theirs.
    pub(super) fn sums(&self, end: &Signed<End>, timeout: Timeout) -> Result<Vec<PartDigest>> {
        let mut sums = Vec::new();
        for worker in self.all() {
            let what = || format!("the sums of worker {worker}");
            let folded = timeout.wait(self.round.store(), what, || self.round.folded(worker, end))?;
            sums.extend_from_slice(&folded.body().sums);
        }
        Ok(sums)
    }
}
