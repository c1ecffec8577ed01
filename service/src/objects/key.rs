//! Names of objects. A name says what the object is and who writes it.

use std::{fmt, ops::Range, str::FromStr};

use cipherfold::federated::{KeyHolding, Party, SessionId};

use crate::parties::{decimal, from_label, label};

/// The name of an object in a store.
///
/// ```text
/// {session}/session                                    the session's keys                       key owner
/// {session}/key/{party}                                a party's key for sealed messages        that party
/// {session}/{round}/open                               the declared round                       server
/// {session}/{round}/in/{party}/{attempt}/{shard}       sealed contribution                      client
/// {session}/{round}/commit/{party}                     digests of the valid attempt             client
/// {session}/{round}/checked/{i}-of-{n}/{party}         a worker's result for a commitment       aggregator
/// {session}/{round}/end                                clients in the sum, or why there is none  aggregator
/// {session}/{round}/sum/{shard}                        encrypted sum                            aggregator
/// {session}/{round}/folded/{i}-of-{n}                  digests of a worker's sums               aggregator
/// {session}/{round}/done                               digests of the sums                      aggregator
/// {session}/{round}/masked/{shard}                     masked sum, sealed for the key holder    server
/// {session}/{round}/asked                              digests of the masked sums               server
/// {session}/{round}/answer/{shard}                     masked sum, decrypted, for the server    key holder
/// {session}/{round}/answered                           digests of the answers                   key holder
/// {session}/{round}/saved                              the result was saved                     server
/// {session}/{round}/removed                            contributions and sums were removed      server
/// ```
///
/// Each object has one name, and each name has one spelling. The four names from `masked` to
/// `answered` exist only where a key holder has the secret key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The session's keys and terms.
    Session(SessionId),
    /// A party's announced key.
    Announcement(SessionId, Party),
    /// An object of a round.
    Round(SessionId, u64, RoundKey),
}

/// The name of an object within its round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RoundKey {
    /// The declared round.
    Open,
    /// A part of a client's update.
    Part {
        /// The client's number.
        client: u32,
        /// The attempt's number, from 1. A client that starts again uploads under a new number.
        attempt: u32,
        /// The shard's number.
        shard: u32,
    },
    /// A client's commitment to one of its attempts.
    Commit(u32),
    /// A worker's result for a client's commitment.
    Checked(WorkerIndex, u32),
    /// The end of the round, with the clients in the sum.
    End,
    /// The encrypted sum of a shard.
    Sum(u32),
    /// The digests of a worker's sums.
    Folded(WorkerIndex),
    /// All sums are there.
    Done,
    /// The masked sum of a shard, for the key holder.
    Masked(u32),
    /// The digests of the masked sums.
    Asked,
    /// The masked sum of a shard, decrypted, for the server.
    Answer(u32),
    /// The digests of the answers.
    Answered,
    /// The server has saved the result.
    Saved,
    /// Contributions and sums were removed.
    Removed,
}

/// One of several processes that share the aggregator's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerIndex {
    /// Its index, from zero.
    pub index: u32,
    /// The number of workers.
    pub count: u32,
}

impl WorkerIndex {
    /// The worker with this index among `count` workers, if there is one.
    pub fn new(index: u32, count: u32) -> Option<Self> {
        (index < count).then_some(Self { index, count })
    }

    /// This worker's part of `shards` shards.
    pub fn shards(self, shards: u32) -> Range<u32> {
        let bound = |index: u32| {
            let bound = u64::from(shards) * u64::from(index) / u64::from(self.count);
            u32::try_from(bound).expect("not above the number of shards")
        };
        bound(self.index)..bound(self.index + 1)
    }
}

impl fmt::Display for WorkerIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-of-{}", self.index, self.count)
    }
}

impl Key {
    /// The session.
    pub fn session(&self) -> SessionId {
        let (Self::Session(session) | Self::Announcement(session, _) | Self::Round(session, ..)) = self;
        *session
    }

    /// The round, if the object belongs to one.
    pub fn round(&self) -> Option<u64> {
        if let Self::Round(_, round, _) = self { Some(*round) } else { None }
    }

    /// The party that writes the object.
    pub fn writer(&self, key_holding: KeyHolding) -> Party {
        match self {
            Self::Session(_) => key_holding.party(),
            Self::Announcement(_, party) => *party,
            Self::Round(_, _, key) => match key {
                RoundKey::Open
                | RoundKey::Masked(_)
                | RoundKey::Asked
                | RoundKey::Saved
                | RoundKey::Removed => Party::Server,
                RoundKey::Answer(_) | RoundKey::Answered => Party::KeyHolder,
                RoundKey::Part { client, .. } | RoundKey::Commit(client) => Party::Client(*client),
                RoundKey::Checked(..)
                | RoundKey::End
                | RoundKey::Sum(_)
                | RoundKey::Folded(_)
                | RoundKey::Done => Party::Aggregator,
            },
        }
    }
}

impl RoundKey {
    /// Whether the object carries numbers and is sealed for its reader. It has no signature:
    /// another object has its digest.
    pub const fn is_sealed(self) -> bool {
        matches!(self, Self::Part { .. } | Self::Sum(_) | Self::Masked(_) | Self::Answer(_))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(session) => write!(f, "{session}/session"),
            Self::Announcement(session, party) => write!(f, "{session}/key/{}", label(*party)),
            Self::Round(session, round, key) => write!(f, "{session}/{round}/{key}"),
        }
    }
}

impl fmt::Display for RoundKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("open"),
            Self::Part { client, attempt, shard } => {
                write!(f, "in/{}/{attempt}/{shard}", label(Party::Client(*client)))
            }
            Self::Commit(client) => write!(f, "commit/{}", label(Party::Client(*client))),
            Self::Checked(worker, client) => {
                write!(f, "checked/{worker}/{}", label(Party::Client(*client)))
            }
            Self::Folded(worker) => write!(f, "folded/{worker}"),
            Self::End => f.write_str("end"),
            Self::Sum(shard) => write!(f, "sum/{shard}"),
            Self::Done => f.write_str("done"),
            Self::Masked(shard) => write!(f, "masked/{shard}"),
            Self::Asked => f.write_str("asked"),
            Self::Answer(shard) => write!(f, "answer/{shard}"),
            Self::Answered => f.write_str("answered"),
            Self::Saved => f.write_str("saved"),
            Self::Removed => f.write_str("removed"),
        }
    }
}

/// A text is not the name of an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not the name of an object", .0.escape_debug())]
pub struct NotAKey(pub String);

impl FromStr for Key {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        parse(text).ok_or_else(|| NotAKey(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Key> {
    let (session, rest) = text.split_once('/')?;
    let session = parse_session(session)?;
    let steps: Vec<&str> = rest.split('/').collect();
    match steps[..] {
        ["session"] => Some(Key::Session(session)),
        ["key", by] => Some(Key::Announcement(session, from_label(by)?)),
        [round, ref rest @ ..] => Some(Key::Round(session, decimal(round)?, parse_round(rest)?)),
        [] => None,
    }
}

fn parse_round(steps: &[&str]) -> Option<RoundKey> {
    let client = |party| if let Party::Client(number) = from_label(party)? { Some(number) } else { None };
    Some(match *steps {
        ["open"] => RoundKey::Open,
        ["in", from, attempt, shard] => {
            RoundKey::Part { client: client(from)?, attempt: decimal(attempt)?, shard: decimal(shard)? }
        }
        ["commit", from] => RoundKey::Commit(client(from)?),
        ["checked", by, from] => RoundKey::Checked(worker(by)?, client(from)?),
        ["folded", by] => RoundKey::Folded(worker(by)?),
        ["end"] => RoundKey::End,
        ["sum", shard] => RoundKey::Sum(decimal(shard)?),
        ["done"] => RoundKey::Done,
        ["masked", shard] => RoundKey::Masked(decimal(shard)?),
        ["asked"] => RoundKey::Asked,
        ["answer", shard] => RoundKey::Answer(decimal(shard)?),
        ["answered"] => RoundKey::Answered,
        ["saved"] => RoundKey::Saved,
        ["removed"] => RoundKey::Removed,
        _ => return None,
    })
}

fn worker(text: &str) -> Option<WorkerIndex> {
    let (index, count) = text.split_once("-of-")?;
    WorkerIndex::new(decimal(index)?, decimal(count)?)
}

/// The session with this name: 32 hexadecimal digits in lower case.
pub fn parse_session(text: &str) -> Option<SessionId> {
    let mut bytes = [0; SessionId::LEN];
    base16ct::lower::decode(text, &mut bytes).ok().filter(|found| found.len() == SessionId::LEN)?;
    Some(SessionId::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: SessionId = SessionId::from_bytes([0xab; 16]);

    fn all() -> Vec<Key> {
        let round = |key| Key::Round(SESSION, 12, key);
        vec![
            Key::Session(SESSION),
            Key::Announcement(SESSION, Party::Client(3)),
            Key::Announcement(SESSION, Party::KeyHolder),
            round(RoundKey::Open),
            round(RoundKey::Part { client: 0, attempt: 2, shard: 1564 }),
            round(RoundKey::Commit(7)),
            round(RoundKey::Checked(WorkerIndex { index: 3, count: 8 }, 7)),
            round(RoundKey::Folded(WorkerIndex { index: 0, count: 1 })),
            round(RoundKey::End),
            round(RoundKey::Sum(0)),
            round(RoundKey::Done),
            round(RoundKey::Saved),
            round(RoundKey::Removed),
            round(RoundKey::Masked(3)),
            round(RoundKey::Asked),
            round(RoundKey::Answer(0)),
            round(RoundKey::Answered),
        ]
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for key in all() {
            assert_eq!(key.to_string().parse(), Ok(key), "{key}");
        }
        let part = &all()[4];
        assert_eq!(part.to_string(), format!("{}/12/in/client-0/2/1564", "ab".repeat(16)));
    }

    #[test]
    fn each_name_has_one_spelling() {
        let session = "ab".repeat(16);
        for rest in [
            "",
            "/",
            "/012/open",
            "/12/open/",
            "/12/in/server/1/0",
            "/12/in/client-0/1",
            "/-1/open",
            "/key/me",
            "/12/folded/1-of-1",
            "/12/checked/0-of-2",
            "/12/sum/+1",
            "/12/masked",
            "/12/answer/01",
            "/12/asked/0",
        ] {
            let text = format!("{session}{rest}");
            assert_eq!(text.parse::<Key>(), Err(NotAKey(text.clone())), "{text}");
        }
        assert!(format!("{}/session", "AB".repeat(16)).parse::<Key>().is_err());
        assert!(format!("{}/session", "ab".repeat(15)).parse::<Key>().is_err());
        assert!(format!("../{session}/session").parse::<Key>().is_err());
    }

    #[test]
    fn workers_share_all_shards() {
        for (shards, count) in [(10, 3), (3, 10), (1, 1), (u32::MAX, 7)] {
            let parts = (0..count).map(|index| WorkerIndex::new(index, count).unwrap().shards(shards));
            let end = parts.fold(0, |end, part| {
                assert_eq!(part.start, end);
                part.end
            });
            assert_eq!(end, shards);
        }
        assert_eq!(WorkerIndex::new(3, 3), None);
    }

    #[test]
    fn every_object_has_a_writer() {
        let writers: Vec<_> = all().iter().map(|key| label(key.writer(KeyHolding::Server))).collect();
        let expected = [
            "server",
            "client-3",
            "key-holder",
            "server",
            "client-0",
            "client-7",
            "aggregator",
            "aggregator",
            "aggregator",
            "aggregator",
            "aggregator",
            "server",
            "server",
            "server",
            "server",
            "key-holder",
            "key-holder",
        ];
        assert_eq!(writers, expected);
        assert_eq!(Key::Session(SESSION).writer(KeyHolding::KeyHolder), Party::KeyHolder);
    }
}
