//! The rules for writes: names and sizes of objects for each party.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use cipherfold::federated::{KeyHolding, Party, SessionId, channel::Announcement};

use super::{refusal::Refusal, space::SpaceRule};
use crate::{
    digest::Sha256,
    objects::{
        self, Answered, Asked, Body, Checked, Commit, Done, End, Folded, Key, Open, Removed, RoundKey, Saved,
        Session, Signed,
    },
    parties::Consortium,
    round::{OpenRound, OpenSession, key_holding},
    store::Store,
};

/// The rules, with a cache of declared rounds.
pub(super) struct Admission {
    store: Store,
    consortium: Consortium,
    attempts: u32,
    sessions: Mutex<BTreeMap<SessionId, OpenSession>>,
    rounds: Mutex<BTreeMap<(SessionId, u64), OpenRound>>,
    /// Rounds that the server has signed to be removed, with the digests of its notes.
    removed: Mutex<BTreeMap<(SessionId, u64), Sha256>>,
}

/// Maximum bytes of a session's object, and of objects with a few numbers.
const SMALL: u64 = 1 << 16;

/// Maximum bytes of a declared round, mostly for names of tensors.
const DECLARATION: u64 = 16 << 20;

/// Maximum number of sessions, and of rounds, that are kept in memory.
const MAX_CACHED: usize = 64;

impl Admission {
    pub(super) fn new(store: Store, consortium: Consortium, attempts: u32) -> Self {
        Self {
            store,
            consortium,
            attempts,
            sessions: Mutex::default(),
            rounds: Mutex::default(),
            removed: Mutex::default(),
        }
    }

    /// Refuses a write before its body is read. Returns the rule for its space in the store.
    pub(super) fn check(&self, party: Party, key: &Key, bytes: u64) -> Result<SpaceRule, Refusal> {
        let writer = key.writer(key_holding(&self.consortium));
        if writer != party {
            return Err(Refusal::Writer { writer });
        }
        let (limit, rule) = match key {
            Key::Session(_) => (SMALL, SpaceRule::Reserve(0)),
            Key::Announcement(session, _) => {
                self.session(*session)?;
                (Announcement::ENCODED_LEN as u64, SpaceRule::Reserve(0))
            }
            Key::Round(session, _, RoundKey::Open) => {
                self.session(*session)?;
                (DECLARATION, SpaceRule::Reserve(0))
            }
            Key::Round(session, number, of_round) => {
                let round = self.round(*session, *number)?;
                let rule = match of_round {
                    RoundKey::Part { .. } | RoundKey::Commit(_) => SpaceRule::Reserve(self.closing(&round)),
                    _ => SpaceRule::Exempt,
                };
                (self.limit(&round, of_round)?, rule)
            }
        };
        if bytes > limit { Err(Refusal::TooLong { limit, found: bytes }) } else { Ok(rule) }
    }

    /// Refuses a removal. Only the server removes objects, and only those that carry numbers
    /// (contributions, sums, masked sums, answers). The round must be saved or aborted, and the
    /// server must have signed the note of their removal.
    pub(super) fn check_removal(&self, party: Party, key: &Key) -> Result<(), Refusal> {
        let remover = Party::Server;
        if party != remover {
            return Err(Refusal::Remover { remover });
        }
        let Key::Round(session, number, of_round) = *key else { return Err(Refusal::Signed) };
        if !of_round.is_sealed() {
            return Err(Refusal::Signed);
        }
        let noted = || {
            let note = self.round(session, number)?.removed()?;
            note.map(|note| note.digest()).ok_or(Refusal::Kept)
        };
        cached(&self.removed, (session, number), noted).map(drop)
    }

    /// Maximum bytes of the objects that end a round.
    fn closing(&self, round: &OpenRound) -> u64 {
        let with_key_holder = key_holding(&self.consortium) == KeyHolding::KeyHolder;
        let of_shard = |shard| {
            let decrypted = if with_key_holder {
                round.part_limit(shard).saturating_add(round.answer_limit(shard))
            } else {
                0
            };
            round.sum_limit(shard).saturating_add(decrypted)
        };
        let lists = if with_key_holder { 3 } else { 1 };
        (0..round.shards())
            .map(of_shard)
            .fold(self.end_limit(round).saturating_add(2 * SMALL), u64::saturating_add)
            .saturating_add(lists * of_shards(round))
    }

    fn end_limit(&self, round: &OpenRound) -> u64 {
        // Refused clients are listed too, for any number of them.
        let clients = u64::from(round.spec().parameters().max_clients);
        SMALL + 64 * clients + 64 * u64::from(self.consortium.clients())
    }

    /// The maximum length of an object of a declared round.
    fn limit(&self, round: &OpenRound, key: &RoundKey) -> Result<u64, Refusal> {
        let in_range = |shard: u32| {
            let last = round.shards() - 1;
            if shard > last { Err(Refusal::Shard { last }) } else { Ok(()) }
        };
        Ok(match *key {
            RoundKey::Part { attempt, shard, .. } => {
                in_range(shard)?;
                if attempt == 0 || attempt > self.attempts {
                    return Err(Refusal::Quota { limit: self.attempts });
                }
                refuse_late(round)?;
                round.part_limit(shard)
            }
            RoundKey::Commit(_) => {
                refuse_late(round)?;
                of_shards(round)
            }
            RoundKey::Sum(shard) => {
                in_range(shard)?;
                refuse_removed(round)?;
                round.sum_limit(shard)
            }
            RoundKey::Masked(shard) => {
                in_range(shard)?;
                refuse_removed(round)?;
                round.part_limit(shard)
            }
            RoundKey::Answer(shard) => {
                in_range(shard)?;
                refuse_removed(round)?;
                round.answer_limit(shard)
            }
            RoundKey::End => self.end_limit(round),
            RoundKey::Done | RoundKey::Folded(_) | RoundKey::Asked | RoundKey::Answered => of_shards(round),
            RoundKey::Open | RoundKey::Checked(..) | RoundKey::Saved | RoundKey::Removed => SMALL,
        })
    }

    /// Refuses a control object that its author has not signed.
    pub(super) fn verify(&self, key: &Key, bytes: &[u8]) -> Result<(), Refusal> {
        match key {
            Key::Session(_) => self.signed::<Session>(key, bytes).map(drop),
            Key::Announcement(session, party) => {
                let verified = Announcement::from_bytes(bytes).and_then(|announcement| {
                    self.consortium.roster().verify(&announcement, *session, *party)
                });
                verified.map(drop).map_err(|error| Refusal::Object(error.to_string()))
            }
            Key::Round(session, number, of_round) => match of_round {
                RoundKey::Open => self.signed::<Open>(key, bytes).map(drop),
                RoundKey::Commit(_) => self.signed::<Commit>(key, bytes).map(drop),
                RoundKey::Checked(..) => self.signed::<Checked>(key, bytes).map(drop),
                RoundKey::End => self.signed::<End>(key, bytes).map(drop),
                RoundKey::Folded(_) => self.signed::<Folded>(key, bytes).map(drop),
                RoundKey::Done => self.signed::<Done>(key, bytes).map(drop),
                RoundKey::Asked => self.signed::<Asked>(key, bytes).map(drop),
                RoundKey::Answered => self.signed::<Answered>(key, bytes).map(drop),
                RoundKey::Saved => self.signed::<Saved>(key, bytes).map(drop),
                RoundKey::Removed => {
                    let note = self.signed::<Removed>(key, bytes)?;
                    check_note(&self.round(*session, *number)?, &note)
                }
                RoundKey::Part { .. } | RoundKey::Sum(_) | RoundKey::Masked(_) | RoundKey::Answer(_) => {
                    Ok(())
                }
            },
        }
    }

    fn signed<B: Body>(&self, key: &Key, bytes: &[u8]) -> Result<Signed<B>, Refusal> {
        let party = key.writer(key_holding(&self.consortium));
        let unknown = || objects::Error::UnknownParty { key: *key, party };
        let verified = self
            .consortium
            .member(party)
            .map_err(|_| unknown())
            .and_then(|member| Signed::<B>::verify(bytes, key, party, &member.signing));
        verified.map_err(|error| Refusal::Object(error.to_string()))
    }

    fn session(&self, session: SessionId) -> Result<OpenSession, Refusal> {
        cached(&self.sessions, session, || {
            Ok(OpenSession::find(&self.store, &self.consortium, Some(session))?)
        })
    }

    fn round(&self, session: SessionId, number: u64) -> Result<OpenRound, Refusal> {
        cached(&self.rounds, (session, number), || Ok(self.session(session)?.round(Some(number))?))
    }
}

/// A declared session or round. It never changes, so it is read once.
fn cached<K: Ord + Copy, V: Clone>(
    known: &Mutex<BTreeMap<K, V>>,
    name: K,
    read: impl FnOnce() -> Result<V, Refusal>,
) -> Result<V, Refusal> {
    let known = || known.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = known().get(&name) {
        return Ok(found.clone());
    }
    let found = read()?;
    let mut known = known();
    while known.len() >= MAX_CACHED {
        known.pop_first();
    }
    known.insert(name, found.clone());
    Ok(found)
}

/// Refuses a note of removal for a round that is neither saved nor aborted.
fn check_note(round: &OpenRound, note: &Signed<Removed>) -> Result<(), Refusal> {
    match round.last_digest()? {
        Some(last) if last == note.body().last => Ok(()),
        Some(_) => {
            Err(Refusal::Object("the last object in the note is not the last object of the round".to_owned()))
        }
        None => Err(Refusal::Object("the round is neither saved nor aborted".to_owned())),
    }
}

/// A removed object cannot be written again.
fn refuse_removed(round: &OpenRound) -> Result<(), Refusal> {
    let removed = round.store().length(&round.key(RoundKey::Removed))?.is_some();
    if removed { Err(Refusal::RoundOver) } else { Ok(()) }
}

/// Maximum bytes of an object with a digest for each shard.
fn of_shards(round: &OpenRound) -> u64 {
    SMALL + 64 * u64::from(round.shards())
}

fn refuse_late(round: &OpenRound) -> Result<(), Refusal> {
    let ended = round.store().length(&round.key(RoundKey::End))?.is_some();
    if ended { Err(Refusal::RoundOver) } else { Ok(()) }
}
