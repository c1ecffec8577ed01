//! Transfers from one placement to another, in the clear and in boxes.

use core::fmt::Debug;
use std::sync::Arc;

use cipherfold::{
    federated::{
        Aggregator, At, Clients, LocalExecutor, Party, Placed, Placement, PlacementKind,
        Result as RoundResult, Server,
        channel::{BoxChannel, Channel, ChannelGrid, Payload, PlaintextChannel},
    },
    paillier::{KeySize, hazmat::InsecureBits512},
};
use serde::{Serialize, de::DeserializeOwned};

use super::intrinsics::spread;
use crate::{
    format::Case,
    judge::{Answer, Found},
    value::Tree,
};

/// `channel_transfer`.
pub(crate) fn transfer(case: &Case) -> Result<Found, String> {
    case.check(&["channel", "source_placement", "target_placement", "server_value"])?;
    let shape = case.type_of()?.member;
    let placement = |field| -> Result<PlacementKind, String> {
        Ok(match case.text(field)? {
            Some("CLIENTS") => PlacementKind::Clients,
            Some("SERVER") => PlacementKind::Server,
            Some("AGGREGATOR") => PlacementKind::Aggregator,
            other => return Err(format!("not understood: `{field}` is {other:?}")),
        })
    };
    let (from, to) = (placement("source_placement")?, placement("target_placement")?);
    let channel: fn() -> Arc<dyn Channel> = match case.text("channel")? {
        Some("Plaintext") => || Arc::new(PlaintextChannel::new()),
        Some("EasyBox") => || Arc::new(BoxChannel::new()),
        other => return Err(format!("not understood: a channel {other:?}")),
    };
    let executor = match ChannelGrid::empty().with(from, to, channel()) {
        Ok(grid) => LocalExecutor::<InsecureBits512>::builder().channels(grid).threads(1).build(),
        Err(error) => Err(error),
    };
    let executor = match executor {
        Ok(executor) => executor,
        Err(error) => return Ok(error.into()),
    };
    // One for each client that sends or receives.
    let values = if let Some(clients) = case.clients(&shape)? {
        clients
    } else {
        let value = case.value("server_value", &shape)?;
        let clients = case.count("num_clients")?.filter(|_| to == PlacementKind::Clients).unwrap_or(1);
        vec![value; clients as usize]
    };
    let received: RoundResult<Vec<Tree>> = (0..)
        .zip(values)
        .map(|(client, value)| send(&executor, value, party(from, client), party(to, client)))
        .collect();
    Ok(match received {
        Err(error) => error.into(),
        // The value of one party, sent to all clients or to another party.
        Ok(values) if from != PlacementKind::Clients => spread(case, &shape, values).into(),
        Ok(values) => Answer::List(values.into_iter().map(Answer::Value).collect()).into(),
    })
}

fn party(placement: PlacementKind, client: u32) -> Party {
    match placement {
        PlacementKind::Clients => Party::Client(client),
        PlacementKind::Server => Party::Server,
        PlacementKind::Aggregator => Party::Aggregator,
        PlacementKind::KeyHolder => Party::KeyHolder,
    }
}

fn send<S: KeySize>(executor: &LocalExecutor<S>, value: Tree, from: Party, to: Party) -> RoundResult<Tree> {
    match from {
        Party::Client(_) => send_from::<Clients, S>(executor, value, from, to),
        Party::Server => send_from::<Server, S>(executor, value, from, to),
        Party::Aggregator | Party::KeyHolder => send_from::<Aggregator, S>(executor, value, from, to),
    }
}

fn send_from<P: Placement, S: KeySize>(
    executor: &LocalExecutor<S>,
    value: Tree,
    from: Party,
    to: Party,
) -> RoundResult<Tree> {
    match to {
        Party::Client(_) => carry::<_, P, Clients, S>(executor, value, from, to),
        Party::Server => carry::<_, P, Server, S>(executor, value, from, to),
        Party::Aggregator | Party::KeyHolder => carry::<_, P, Aggregator, S>(executor, value, from, to),
    }
}

/// A received value.
pub(crate) fn carry<T, P: Placement, Q: Placement, S: KeySize>(
    executor: &LocalExecutor<S>,
    value: T,
    from: Party,
    to: Party,
) -> RoundResult<T>
where
    T: Serialize + DeserializeOwned + Send + Debug,
{
    let placed = executor.run_at(|here: &At<P>| Placed::new(Payload(value), here));
    let arrived: Placed<Payload<T>, Q> = executor.transfer(placed, from, to)?;
    Ok(executor.run_at(|here: &At<Q>| arrived.into_inner(here).0))
}
