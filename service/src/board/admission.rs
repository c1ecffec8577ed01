//! Who may write what, and how much of it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use cipherfold::federated::{Party, SessionId, channel::Announcement};

use super::refusal::Refusal;
use crate::{
    consortium::Consortium,
    key::{Key, RoundKey},
    objects::{
        self, Answered, Asked, Body, Checked, Commit, Done, End, Folded, Open, Removed, Session, Signed,
        Taken,
    },
    round::{OpenRound, OpenSession, key_holding},
    store::Store,
};

/// The rules, with what was read of declared rounds.
pub(super) struct Admission {
    store: Store,
    consortium: Consortium,
    attempts: u32,
    rounds: Mutex<BTreeMap<(SessionId, u64), OpenRound>>,
}

/// Bytes of a session's object at most, and of those with a few numbers.
const SMALL: u64 = 1 << 16;

/// Bytes of a declared round at most: names of tensors take most of it.
const DECLARATION: u64 = 16 << 20;

/// Rounds that are kept in memory.
const ROUNDS_KEPT: usize = 64;

impl Admission {
    pub(super) fn new(store: Store, consortium: Consortium, attempts: u32) -> Self {
        Self { store, consortium, attempts, rounds: Mutex::default() }
    }

    /// Refuses a write before its body is read.
    pub(super) fn check(&self, party: Party, key: &Key, bytes: u64) -> Result<(), Refusal> {
        let writer = key.writer(key_holding(&self.consortium));
        if writer != party {
            return Err(Refusal::Writer { writer });
        }
        let limit = match key {
            Key::Session(_) => SMALL,
            Key::Announcement(session, _) => {
                self.session(*session)?;
                Announcement::ENCODED_LEN as u64
            }
            Key::Round(session, _, RoundKey::Open) => {
                self.session(*session)?;
                DECLARATION
            }
            Key::Round(session, number, of_round) => self.limit(&self.round(*session, *number)?, of_round)?,
        };
        if bytes > limit { Err(Refusal::TooLong { limit, found: bytes }) } else { Ok(()) }
    }

    /// The largest length of an object of a declared round.
    fn limit(&self, round: &OpenRound, key: &RoundKey) -> Result<u64, Refusal> {
        let in_range = |shard: u32| {
            let last = round.shards() - 1;
            if shard > last { Err(Refusal::Shard { last }) } else { Ok(()) }
        };
        let clients = u64::from(round.spec().parameters().max_clients);
        let of_shards = SMALL + 64 * u64::from(round.shards());
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
                of_shards
            }
            RoundKey::Sum(shard) => {
                in_range(shard)?;
                round.sum_limit(shard)
            }
            RoundKey::Masked(shard) => {
                in_range(shard)?;
                round.part_limit(shard)
            }
            RoundKey::Answer(shard) => {
                in_range(shard)?;
                round.answer_limit(shard)
            }
            // Clients that are refused are listed as well, however many there are.
            RoundKey::End => SMALL + 64 * clients + 64 * u64::from(self.consortium.clients()),
            RoundKey::Done | RoundKey::Folded(_) | RoundKey::Asked | RoundKey::Answered => of_shards,
            RoundKey::Open | RoundKey::Checked(..) | RoundKey::Taken | RoundKey::Removed => SMALL,
        })
    }

    /// Refuses a control object that its author has not signed.
    pub(super) fn verify(&self, key: &Key, bytes: &[u8]) -> Result<(), Refusal> {
        match key {
            Key::Session(_) => self.signed::<Session>(key, bytes),
            Key::Announcement(session, party) => {
                let verified = Announcement::from_bytes(bytes).and_then(|announcement| {
                    self.consortium.roster().verify(&announcement, *session, *party)
                });
                verified.map(drop).map_err(|error| Refusal::Object(error.to_string()))
            }
            Key::Round(_, _, of_round) => match of_round {
                RoundKey::Open => self.signed::<Open>(key, bytes),
                RoundKey::Commit(_) => self.signed::<Commit>(key, bytes),
                RoundKey::Checked(..) => self.signed::<Checked>(key, bytes),
                RoundKey::End => self.signed::<End>(key, bytes),
                RoundKey::Folded(_) => self.signed::<Folded>(key, bytes),
                RoundKey::Done => self.signed::<Done>(key, bytes),
                RoundKey::Asked => self.signed::<Asked>(key, bytes),
                RoundKey::Answered => self.signed::<Answered>(key, bytes),
                RoundKey::Taken => self.signed::<Taken>(key, bytes),
                RoundKey::Removed => self.signed::<Removed>(key, bytes),
                RoundKey::Part { .. } | RoundKey::Sum(_) | RoundKey::Masked(_) | RoundKey::Answer(_) => {
                    Ok(())
                }
            },
        }
    }

    fn signed<B: Body>(&self, key: &Key, bytes: &[u8]) -> Result<(), Refusal> {
        let party = key.writer(key_holding(&self.consortium));
        let unknown = || objects::Error::UnknownParty { key: *key, party };
        let verified = self
            .consortium
            .member(party)
            .map_err(|_| unknown())
            .and_then(|member| Signed::<B>::verify(bytes, key, party, &member.signing));
        verified.map(drop).map_err(|error| Refusal::Object(error.to_string()))
    }

    fn session(&self, session: SessionId) -> Result<OpenSession, Refusal> {
        Ok(OpenSession::find(&self.store, &self.consortium, Some(session))?)
    }

    /// A declared round. It stays as it is, so that it is read once.
    fn round(&self, session: SessionId, number: u64) -> Result<OpenRound, Refusal> {
        let name = (session, number);
        let rounds = || self.rounds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(round) = rounds().get(&name) {
            return Ok(round.clone());
        }
        let round = self.session(session)?.round(Some(number))?;
        let mut rounds = rounds();
        while rounds.len() >= ROUNDS_KEPT {
            rounds.pop_first();
        }
        rounds.insert(name, round.clone());
        Ok(round)
    }
}

fn refuse_late(round: &OpenRound) -> Result<(), Refusal> {
    let ended = round.store().length(&round.key(RoundKey::End))?.is_some();
    if ended { Err(Refusal::RoundOver) } else { Ok(()) }
}
