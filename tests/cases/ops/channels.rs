//! Transfers from one placement to another, in the clear and in boxes.

use core::fmt::Debug;
use std::sync::Arc;

use cipherfold::federated::{
    Aggregator, At, Party, Placed, PlacementKind, Result as CrateResult,
    channel::{BoxChannel, Channel, ChannelGrid, Payload, PlaintextChannel},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::prelude::*;

/// The kind of a channel.
#[derive(Clone, Copy, Deserialize)]
enum Kind {
    Plaintext,
    EasyBox,
}

/// `channel_transfer`.
pub fn transfer(case: &Case, _: &Parties) -> Result<Found, Stop> {
    let (channel, from, to, sent): (Kind, Placement, Placement, Json) =
        case.fields(&["channel", "source_placement", "target_placement"], &["server_value"])?;
    let channel: Arc<dyn Channel> = match channel {
        Kind::Plaintext => Arc::new(PlaintextChannel::new()),
        Kind::EasyBox => Arc::new(BoxChannel::new()),
    };
    let executor = executor(channel, from, to)?;
    // One for each client that sends or receives.
    let values = if let Some(clients) = case.clients()? {
        clients
    } else {
        let value = case::value("server_value", &sent, case.member()?)?;
        let clients = case.num_clients()?.filter(|_| to == Placement::Clients).unwrap_or(1);
        vec![value; clients as usize]
    };
    let sent = (0..).zip(values).map(|(client, value)| carry(&executor, value, from, to, client));
    let received = sent.collect::<CrateResult<Vec<_>>>()?;
    // The value of one party, sent to all clients or to another party, may be stated once.
    let one = from != Placement::Clients;
    Ok(if one { Answer::AtClients(received) } else { Answer::list(received) }.into())
}

/// An executor with one channel.
pub fn executor(channel: Arc<dyn Channel>, from: Placement, to: Placement) -> CrateResult<Executor> {
    let kind = |placement| match placement {
        Placement::Clients => PlacementKind::Clients,
        Placement::Server => PlacementKind::Server,
        Placement::Aggregator => PlacementKind::Aggregator,
    };
    let grid = ChannelGrid::empty().with(kind(from), kind(to), channel)?;
    Executor::builder().channels(grid).threads(1).build()
}

/// A received value. `client` is the one that sends or receives.
pub fn carry<T>(executor: &Executor, value: T, from: Placement, to: Placement, client: u32) -> CrateResult<T>
where
    T: Serialize + DeserializeOwned + Send + Debug,
{
    let party = |placement| match placement {
        Placement::Clients => Party::Client(client),
        Placement::Server => Party::Server,
        Placement::Aggregator => Party::Aggregator,
    };
    /// The transfer between two placements of Rust's types.
    macro_rules! between {
        ($($from:ident $to:ident),*) => {
            match (from, to) {
                $((Placement::$from, Placement::$to) => {
                    let placed = executor.run_at(|here: &At<$from>| Placed::new(Payload(value), here));
                    let arrived: Placed<Payload<T>, $to> =
                        executor.transfer(placed, party(from), party(to))?;
                    Ok(executor.run_at(|here: &At<$to>| arrived.into_inner(here).0))
                })*
            }
        };
    }
    between!(
        Clients Clients, Clients Server, Clients Aggregator, Server Clients, Server Server,
        Server Aggregator, Aggregator Clients, Aggregator Server, Aggregator Aggregator
    )
}
