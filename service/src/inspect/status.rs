//! The state of a session's rounds.

use cipherfold::federated::Party;
use serde::Serialize;

use crate::{
    error::{Error, Result},
    objects::{Key, Outcome},
    parties::label,
    round::{OpenRound, OpenSession},
};

/// A session and its rounds.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The session's name.
    pub session: String,
    /// The consortium's name.
    pub consortium: String,
    /// Bits of the key.
    pub key_bits: u32,
    /// The party that has the secret key: `server` or `key-holder`.
    pub key_owner: String,
    /// Parties that have announced a key.
    pub announced: Vec<String>,
    /// The rounds, in ascending order.
    pub rounds: Vec<RoundStatus>,
}

/// A round.
#[derive(Clone, Debug, Serialize)]
pub struct RoundStatus {
    /// Its number.
    pub round: u64,
    /// `open`, `closed`, `aborted`, `done`, `saved`; with a key holder `asked` and `answered` after
    /// `done`; `invalid` with a problem.
    pub state: &'static str,
    /// The fault, if an object of the round is invalid.
    pub problem: Option<String>,
    /// The time at which it closes, in seconds since 1970.
    pub deadline: u64,
    /// The minimum number of clients.
    pub min_clients: u32,
    /// The maximum number of clients.
    pub max_clients: u32,
    /// Ciphertexts of an update.
    pub ciphertexts: u64,
    /// Bytes of an update.
    pub update_bytes: u64,
    /// Number of objects of an update.
    pub shards: u32,
    /// Clients that have committed.
    pub committed: Vec<String>,
    /// Clients in the sum.
    pub participants: Vec<String>,
    /// Clients that committed but are not in the sum, each with the reason.
    pub refused: Vec<(String, String)>,
    /// Whether contributions and sums were removed.
    pub removed: bool,
    /// Objects of the round.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Reads the state of a session.
///
/// # Errors
///
/// Those of the store.
pub fn status(session: &OpenSession) -> Result<Status> {
    let names = session.store().list(&format!("{}/key", session.id()))?;
    let announced = names.iter().filter_map(|entry| match entry.name.parse() {
        Ok(Key::Announcement(_, party)) => Some(label(party)),
        _ => None,
    });
    let rounds = session.rounds()?.into_iter().map(|number| round_status(session, number));
    Ok(Status {
        session: session.id().to_string(),
        consortium: session.consortium().name().to_owned(),
        key_bits: session.offer().key_bits(),
        key_owner: label(session.offer().key_holding().party()),
        announced: announced.collect(),
        rounds: rounds.collect::<Result<_>>()?,
    })
}

fn round_status(session: &OpenSession, number: u64) -> Result<RoundStatus> {
    let (objects, bytes) = session.store().usage(&format!("{}/{number}", session.id()))?;
    let mut status = RoundStatus {
        round: number,
        state: "invalid",
        problem: None,
        deadline: 0,
        min_clients: 0,
        max_clients: 0,
        ciphertexts: 0,
        update_bytes: 0,
        shards: 0,
        committed: Vec::new(),
        participants: Vec::new(),
        refused: Vec::new(),
        removed: false,
        objects,
        bytes,
    };
    let read = session.round(Some(number)).and_then(|round| fill(&mut status, &round));
    match read {
        Ok(()) => Ok(status),
        Err(error @ Error::Store(crate::store::Error::Unreachable { .. })) => Err(error),
        Err(error) => Ok(RoundStatus { state: "invalid", problem: Some(error.to_string()), ..status }),
    }
}

fn fill(status: &mut RoundStatus, round: &OpenRound) -> Result<()> {
    let (parameters, costs) = (round.spec().parameters(), round.spec().costs());
    let client = |number: u32| label(Party::Client(number));
    status.deadline = round.declared().body().deadline;
    (status.min_clients, status.max_clients) = (parameters.min_clients, parameters.max_clients);
    (status.ciphertexts, status.update_bytes) = (costs.ciphertexts, costs.update_bytes);
    status.shards = round.shards();
    status.committed = round.commits()?.into_iter().map(client).collect();
    if let Some(end) = round.end()? {
        if let Outcome::Closed(participants) = &end.body().outcome {
            status.participants = participants.iter().map(|p| client(p.client)).collect();
        }
        let refused = &end.body().refused;
        status.refused = refused.iter().map(|r| (client(r.client), r.reason.to_string())).collect();
    }
    status.removed = round.removed()?.is_some();
    status.state = round.state()?.name();
    Ok(())
}
