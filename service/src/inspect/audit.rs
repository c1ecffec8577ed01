//! Checks all objects of a session in a store: signatures, digests, links between objects, and
//! sums.
//!
//! With the store and the consortium, an audit checks every signature and every digest, and that
//! each object belongs to its predecessor. With the aggregator's home it also computes the sums
//! again and compares them, checks refused clients again, and opens parts that no client has
//! committed to.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    rc::Rc,
};

use cipherfold::{
    backend::BackendChoice,
    federated::{Party, SessionId},
};
use serde::Serialize;

use crate::{
    error::{Error, Result},
    objects::{Asked, Commit, Done, End, Key, Outcome, PartDigest, RoundKey, Signed},
    parties::{Consortium, Home},
    progress::Progress,
    roles::Worker,
    round::{OpenRound, OpenSession, check_digest},
    store::{self, Store},
};

/// The result of an audit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The session.
    pub session: String,
    /// Number of objects that were read.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Rounds of the session.
    pub rounds: u64,
    /// Rounds whose sums were computed again.
    pub recomputed: u64,
    /// Objects without a signature, such as parts of an abandoned attempt. They are in no sum. With
    /// the aggregator's home they are opened. Without it their bytes cannot be checked.
    pub unsigned: Vec<String>,
    /// All faults.
    pub findings: Vec<Finding>,
}

/// A fault, and the object that has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// The object's name.
    pub object: String,
    /// The fault.
    pub problem: String,
}

/// Checks a session.
///
/// # Errors
///
/// Those of the store, and of the home. Faults of objects are findings.
pub fn audit(
    store: &Store,
    consortium: &Consortium,
    session: SessionId,
    aggregator: Option<(&Home, BackendChoice)>,
    progress: &dyn Progress,
) -> Result<Report> {
    let report = Report { session: session.to_string(), ..Report::default() };
    let seen = BTreeSet::new();
    let mut audit =
        Audit { store, aggregator, progress, report, seen, removed: false, worker: AggregatorWorker::NotYet };
    let names = store.list(&session.to_string())?;
    audit.report.bytes = names.iter().map(|entry| entry.bytes).sum();
    audit.report.objects = names.len() as u64;
    let mut keys = BTreeSet::new();
    for entry in &names {
        match entry.name.parse::<Key>() {
            Ok(key) => drop(keys.insert(key)),
            Err(_) => audit.find(&entry.name, "is not the name of an object"),
        }
    }
    audit.session(consortium, session, &keys)?;
    for key in keys.difference(&audit.seen.clone()) {
        audit.find(key, "belongs to nothing that was declared");
    }
    audit.report.findings.sort();
    audit.report.findings.dedup();
    Ok(audit.report)
}

struct Audit<'a> {
    store: &'a Store,
    aggregator: Option<(&'a Home, BackendChoice)>,
    progress: &'a dyn Progress,
    report: Report,
    /// Objects that belong to the session.
    seen: BTreeSet<Key>,
    /// Whether the server has removed contributions and sums of the current round.
    removed: bool,
    /// The aggregator's keys for the current round, once they were needed.
    worker: AggregatorWorker,
}

/// The aggregator's keys for a round. They are made once: they cost a table of powers.
enum AggregatorWorker {
    NotYet,
    Nothing,
    Worker(Rc<Worker>),
}

impl Audit<'_> {
    fn find(&mut self, object: impl Display, problem: impl Display) {
        self.report.findings.push(Finding { object: format!("{object}"), problem: format!("{problem}") });
    }

    /// Marks an object as seen, and turns faults of objects into findings.
    fn check<T>(&mut self, key: Key, read: Result<T>) -> Result<Option<T>> {
        self.seen.insert(key);
        match read {
            Ok(value) => Ok(Some(value)),
            Err(Error::Object(error)) => {
                let problem = error.to_string();
                let problem =
                    problem.strip_prefix(&format!("{}: ", error.key())).unwrap_or(&problem).to_owned();
                self.find(error.key(), problem);
                Ok(None)
            }
            Err(Error::Store(store::Error::TooLong { key, limit, found })) => {
                self.find(key, format!("has {found} bytes, at most {limit} are possible"));
                Ok(None)
            }
            Err(Error::Protocol(error)) => {
                self.find(key, error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn session(&mut self, consortium: &Consortium, id: SessionId, keys: &BTreeSet<Key>) -> Result<()> {
        let key = Key::Session(id);
        let session = match OpenSession::find(self.store, consortium, Some(id)) {
            Err(Error::NoSession { .. }) => {
                self.seen.insert(key);
                self.find(key, "is missing");
                None
            }
            found => self.check(key, found)?,
        };
        let Some(session) = session else {
            // Without it no object can be checked, so there is one finding instead of one for each
            // object.
            self.seen.extend(keys);
            return Ok(());
        };
        for key in keys {
            if let Key::Announcement(_, party) = key {
                self.check(*key, session.announced(*party))?;
            }
        }
        let mut rounds: BTreeMap<u64, BTreeSet<RoundKey>> = BTreeMap::new();
        for key in keys {
            if let Key::Round(_, number, of_round) = *key {
                rounds.entry(number).or_default().insert(of_round);
            }
        }
        for (number, of_round) in rounds {
            self.report.rounds += 1;
            self.round(&session, number, &of_round)?;
        }
        Ok(())
    }

    fn round(&mut self, session: &OpenSession, number: u64, keys: &BTreeSet<RoundKey>) -> Result<()> {
        let open = Key::Round(session.id(), number, RoundKey::Open);
        self.progress.note(&format_args!("round {number}"));
        let round = match session.round(Some(number)) {
            Err(Error::NoRound { .. }) => {
                self.find(open, "is missing");
                None
            }
            found => self.check(open, found)?,
        };
        let Some(round) = round else {
            self.seen.extend(keys.iter().map(|key| Key::Round(session.id(), number, *key)));
            return Ok(());
        };
        self.worker = AggregatorWorker::NotYet;
        self.removed = keys.contains(&RoundKey::Removed)
            && matches!(self.check(round.key(RoundKey::Removed), round.removed())?, Some(Some(_)));
        let commits = self.commits(&round, keys)?;
        self.parts(&round, &commits)?;
        self.checked(&round, keys)?;
        let Some(end) = self.end(&round, keys, &commits)? else { return Ok(()) };
        let done = self.done(&round, keys, &end)?;
        self.folded(&round, keys, &end, done.as_ref())?;
        let Some(done) = done else { return Ok(()) };
        if round.has_key_holder() {
            self.asked(&round, keys, &done)?;
        }
        if keys.contains(&RoundKey::Saved) {
            self.check(round.key(RoundKey::Saved), round.saved(&done))?;
        }
        if !self.removed
            && let Some(worker) = self.worker(&round)?
        {
            self.recompute(&worker, &end, &done)?;
        }
        Ok(())
    }

    fn commits(
        &mut self,
        round: &OpenRound,
        keys: &BTreeSet<RoundKey>,
    ) -> Result<BTreeMap<u32, Signed<Commit>>> {
        let mut commits = BTreeMap::new();
        for key in keys {
            if let RoundKey::Commit(client) = key
                && let Some(Some(commit)) = self.check(round.key(*key), round.commit(*client))?
            {
                commits.insert(*client, commit);
            }
        }
        // Parts are recorded here, so that parts of an invalid commit also belong to the session.
        for key in keys {
            if let RoundKey::Part { client, attempt, shard } = *key
                && commits.get(&client).is_none_or(|commit| commit.body().attempt != attempt)
                && shard < round.shards()
            {
                self.unsigned(round, client, *key)?;
            }
        }
        Ok(commits)
    }

    /// A part that no valid commitment names.
    fn unsigned(&mut self, round: &OpenRound, client: u32, part: RoundKey) -> Result<()> {
        let key = round.key(part);
        self.seen.insert(key);
        self.report.unsigned.push(key.to_string());
        let RoundKey::Part { shard, .. } = part else { return Ok(()) };
        let Some(worker) = self.worker(round)? else { return Ok(()) };
        let read = round.store().get(&key, round.part_limit(shard)).map_err(Error::from);
        let Some(Some(bytes)) = self.check(key, read)? else { return Ok(()) };
        if let Err(reason) = worker.opens(client, shard, &bytes)? {
            self.find(key, reason);
        }
        Ok(())
    }

    /// The parts that clients have committed to.
    fn parts(&mut self, round: &OpenRound, commits: &BTreeMap<u32, Signed<Commit>>) -> Result<()> {
        let total = commits.len() as u64 * u64::from(round.shards());
        let mut done = 0;
        for (client, commit) in commits {
            let Commit { attempt, shards, .. } = commit.body();
            for (shard, expected) in (0..).zip(shards) {
                let key = round.key(RoundKey::Part { client: *client, attempt: *attempt, shard });
                self.sealed(round, key, Party::Client(*client), *expected, round.part_limit(shard))?;
                done += 1;
                self.progress.work("checking", done, total);
            }
        }
        Ok(())
    }

    /// An object whose digest a party has signed.
    fn sealed(
        &mut self,
        round: &OpenRound,
        key: Key,
        signer: Party,
        expected: PartDigest,
        limit: u64,
    ) -> Result<()> {
        let read = round.store().get(&key, limit).map_err(Error::from);
        match self.check(key, read)? {
            Some(Some(bytes)) => {
                self.check(key, check_digest(&key, signer, expected, &bytes).map_err(Error::from))?;
            }
            Some(None) if self.removed => {}
            Some(None) => self.find(key, "is missing, and its digest was signed"),
            None => {}
        }
        Ok(())
    }

    /// Checks the workers' results for clients.
    fn checked(&mut self, round: &OpenRound, keys: &BTreeSet<RoundKey>) -> Result<()> {
        for key in keys {
            if let RoundKey::Checked(worker, client) = *key {
                self.check(round.key(*key), round.checked(worker, client))?;
            }
        }
        Ok(())
    }

    /// Checks the workers' digests of their sums, and compares them with the list of all sums.
    fn folded(
        &mut self,
        round: &OpenRound,
        keys: &BTreeSet<RoundKey>,
        end: &Signed<End>,
        done: Option<&Signed<Done>>,
    ) -> Result<()> {
        for key in keys {
            let RoundKey::Folded(worker) = *key else { continue };
            let name = round.key(*key);
            let Some(Some(folded)) = self.check(name, round.folded(worker, end))? else { continue };
            let shards = worker.shards(round.shards());
            let listed = done.map(|done| &done.body().sums[shards.start as usize..shards.end as usize]);
            if listed.is_some_and(|listed| listed != folded.body().sums) {
                self.find(name, "has digests that differ from those in the list of all sums");
            }
        }
        Ok(())
    }

    fn end(
        &mut self,
        round: &OpenRound,
        keys: &BTreeSet<RoundKey>,
        commits: &BTreeMap<u32, Signed<Commit>>,
    ) -> Result<Option<Signed<End>>> {
        let key = round.key(RoundKey::End);
        let later = keys.iter().any(|key| {
            matches!(key, RoundKey::Sum(_) | RoundKey::Folded(_) | RoundKey::Done) || is_after_done(*key)
        });
        if !keys.contains(&RoundKey::End) {
            if later {
                self.find(key, "is missing, and there are objects that come after it");
                self.seen.extend(keys.iter().map(|key| round.key(*key)));
            }
            return Ok(None);
        }
        let Some(Some(end)) = self.check(key, round.end())? else {
            self.seen.extend(keys.iter().map(|key| round.key(*key)));
            return Ok(None);
        };
        if let Outcome::Closed(participants) = &end.body().outcome {
            for participant in participants {
                let commit = round.key(RoundKey::Commit(participant.client));
                match commits.get(&participant.client) {
                    Some(found) if found.digest() == participant.commit => {}
                    Some(found) => {
                        let problem =
                            format!("has digest {}, the end lists {}", found.digest(), participant.commit);
                        self.find(commit, problem);
                    }
                    None if keys.contains(&RoundKey::Commit(participant.client)) => {} // a finding already
                    None => self.find(commit, "is missing, and the end lists it"),
                }
            }
            let clients = participants.iter().map(|participant| Party::Client(participant.client));
            for party in clients.chain([Party::Aggregator]) {
                self.announced(round, party)?;
            }
        }
        Ok(Some(end))
    }

    /// The key of a party whose messages are in the round.
    fn announced(&mut self, round: &OpenRound, party: Party) -> Result<()> {
        let key = Key::Announcement(round.session().id(), party);
        if round.store().length(&key)?.is_none() {
            self.find(key, "is missing, and messages of the round were sealed with it");
        }
        Ok(())
    }

    fn done(
        &mut self,
        round: &OpenRound,
        keys: &BTreeSet<RoundKey>,
        end: &Signed<End>,
    ) -> Result<Option<Signed<Done>>> {
        let key = round.key(RoundKey::Done);
        if !keys.contains(&RoundKey::Done) {
            let later: Vec<_> = keys.iter().filter(|key| is_after_done(**key)).collect();
            if !later.is_empty() {
                self.find(key, "is missing, and there are objects that come after it");
                self.seen.extend(later.into_iter().map(|key| round.key(*key)));
            }
            // Sums without a list belong to a round that is still running.
            self.seen
                .extend(keys.iter().filter(|key| matches!(key, RoundKey::Sum(_))).map(|key| round.key(*key)));
            return Ok(None);
        }
        let Some(Some(done)) = self.check(key, round.done(end))? else {
            self.seen.extend(keys.iter().map(|key| round.key(*key)));
            return Ok(None);
        };
        self.announced(round, Party::Server)?;
        for (shard, expected) in (0..).zip(&done.body().sums) {
            let key = round.key(RoundKey::Sum(shard));
            self.sealed(round, key, Party::Aggregator, *expected, round.sum_limit(shard))?;
        }
        Ok(Some(done))
    }

    /// The server's request to the key holder, and the masked sums that it lists.
    fn asked(&mut self, round: &OpenRound, keys: &BTreeSet<RoundKey>, done: &Signed<Done>) -> Result<()> {
        // Masked sums and answers without a list belong to a round that is still running.
        let listed_later = |key: &&RoundKey| matches!(key, RoundKey::Masked(shard) | RoundKey::Answer(shard) if *shard < round.shards());
        self.seen.extend(keys.iter().filter(listed_later).map(|key| round.key(*key)));
        let key = round.key(RoundKey::Asked);
        if !keys.contains(&RoundKey::Asked) {
            let is_later =
                |key: &RoundKey| matches!(key, RoundKey::Answer(_) | RoundKey::Answered | RoundKey::Saved);
            if keys.iter().any(is_later) {
                self.find(key, "is missing, and there are objects that come after it");
                self.seen.insert(round.key(RoundKey::Answered));
            }
            return Ok(());
        }
        let Some(Some(asked)) = self.check(key, round.asked(done))? else {
            self.seen.insert(round.key(RoundKey::Answered));
            return Ok(());
        };
        self.announced(round, Party::KeyHolder)?;
        for (shard, expected) in (0..).zip(&asked.body().masked) {
            let key = round.key(RoundKey::Masked(shard));
            self.sealed(round, key, Party::Server, *expected, round.part_limit(shard))?;
        }
        self.answered(round, keys, &asked)
    }

    /// The key holder's answers, and the list of them.
    fn answered(
        &mut self,
        round: &OpenRound,
        keys: &BTreeSet<RoundKey>,
        asked: &Signed<Asked>,
    ) -> Result<()> {
        let key = round.key(RoundKey::Answered);
        if !keys.contains(&RoundKey::Answered) {
            if keys.contains(&RoundKey::Saved) {
                self.find(key, "is missing, and there are objects that come after it");
            }
            return Ok(());
        }
        let Some(Some(answered)) = self.check(key, round.answered(asked))? else { return Ok(()) };
        for (shard, expected) in (0..).zip(&answered.body().answers) {
            let key = round.key(RoundKey::Answer(shard));
            self.sealed(round, key, Party::KeyHolder, *expected, round.answer_limit(shard))?;
        }
        Ok(())
    }

    /// The aggregator's keys for a round, if its home is given and its announcement is valid.
    fn worker(&mut self, round: &OpenRound) -> Result<Option<Rc<Worker>>> {
        let Some((home, backend)) = self.aggregator else { return Ok(None) };
        if let AggregatorWorker::NotYet = self.worker {
            let announcement = Key::Announcement(round.session().id(), Party::Aggregator);
            let worker = self.check(announcement, Worker::new(home, round, backend))?;
            self.worker =
                worker.map_or(AggregatorWorker::Nothing, |worker| AggregatorWorker::Worker(Rc::new(worker)));
        }
        Ok(if let AggregatorWorker::Worker(worker) = &self.worker { Some(Rc::clone(worker)) } else { None })
    }

    /// Computes the sums again.
    fn recompute(&mut self, worker: &Worker, end: &Signed<End>, done: &Signed<Done>) -> Result<()> {
        let round = worker.round();
        for refusal in &end.body().refused {
            let key = round.key(RoundKey::Commit(refusal.client));
            let Ok(Some(commit)) = round.commit(refusal.client) else { continue };
            if worker.fold(0..round.shards())?.count(refusal.client, &commit)?.is_ok() {
                self.find(key, format!("was refused ({}), and can be counted", refusal.reason));
            }
        }
        let server_key = Key::Announcement(round.session().id(), Party::Server);
        let announced = self.check(server_key, round.session().announced(Party::Server))?;
        let Some(Some(server)) = announced else { return Ok(()) }; // a finding already
        let sums = worker.fold(0..round.shards())?.close(end, server, self.progress);
        let Some(sums) = self.check(round.key(RoundKey::End), sums)? else { return Ok(()) };
        for ((shard, sum), listed) in sums.iter().zip(&done.body().sums) {
            if PartDigest::of(sum) != *listed {
                let found = PartDigest::of(sum).digest;
                let problem = format!(
                    "the sum of the clients in the end has digest {found}, listed is {}",
                    listed.digest
                );
                self.find(round.key(RoundKey::Sum(*shard)), problem);
            }
        }
        self.report.recomputed += 1;
        Ok(())
    }
}

/// Whether an object of a round is written after the list of its sums.
fn is_after_done(key: RoundKey) -> bool {
    matches!(
        key,
        RoundKey::Masked(_) | RoundKey::Asked | RoundKey::Answer(_) | RoundKey::Answered | RoundKey::Saved
    )
}
