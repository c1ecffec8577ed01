//! Executors, and how they determine the number of clients.

use serde_json::Map;

use super::{
    intrinsics::collected,
    prelude::*,
    secure::{integer, unsigned},
};

/// `construct_executor`: with settings, and perhaps a first run.
pub fn construct(case: &Case, _: &Parties) -> Result<Found, Stop> {
    let (max_fanout, at_a_time): (Option<Json>, Option<Json>) =
        case.fields(&[], &["max_fanout", "num_client_executors"])?;
    let setting = |json: &Option<Json>| json.as_ref().map(|json| unsigned(integer(json)?)).transpose();
    let (max_fanout, at_a_time) = (setting(&max_fanout)?, setting(&at_a_time)?);
    let clients = setting(&case.num_clients)?;
    let parties = Parties::build(clients, |mut builder| {
        if let Some(fanout) = max_fanout {
            builder = builder.max_fanout(fanout as usize);
        }
        if let Some(clients) = at_a_time {
            builder = builder.max_concurrent_clients(clients as usize);
        }
        builder
    })?;
    if case.clients.is_some() {
        return collected(case, &parties);
    }
    case.member()?;
    if case.expect.as_ref().is_some_and(|expect| expect.get("leaf_executors").is_some()) {
        let why =
            "clients are not bound to executors that could be counted; how many work at a time is limited";
        return Err(Stop::NoMeaning(why.to_owned()));
    }
    Ok(Answer::Other(json!("constructed")).into())
}

/// `infer_cardinalities`: from the lists in a structure, one for each input.
pub fn infer(case: &Case, parties: &Parties) -> Result<Found, Stop> {
    let (value,): (Json,) = case.fields(&["value"], &[])?;
    let mut lists = Vec::new();
    lists_of(&value, &mut lists)?;
    count(parties, &lists)
}

/// The lengths of the lists at the leaves of a structure.
fn lists_of(json: &Json, lists: &mut Vec<usize>) -> Result<(), Rule> {
    match json {
        Json::Object(members) => members.values().try_for_each(|member| lists_of(member, lists)),
        Json::Array(items) => {
            lists.push(items.len());
            Ok(())
        }
        _ => Err(Rule::NotAList),
    }
}

/// The number of clients, if inputs of these lengths agree.
fn count(parties: &Parties, lengths: &[usize]) -> Result<Found, Stop> {
    let inputs: Vec<_> = lengths.iter().map(|_| Value::<u8, Clients>::input("items")).collect();
    let bind = || {
        let pairs = inputs.iter().zip(lengths);
        pairs.fold(Inputs::new(), |bound, (input, len)| bound.clients(input, vec![0; *len]))
    };
    let count = parties.run(Value::all(inputs.clone()).secure_count(), bind)?;
    Ok(Answer::Other(json!({"CLIENTS": count})).into())
}

/// `merge_cardinalities`: merges the inputs' numbers of clients.
pub fn merge(case: &Case, parties: &Parties) -> Result<Found, Stop> {
    let (maps,): (Vec<Map<String, Json>>,) = case.fields(&["value"], &[])?;
    let mut lengths = Vec::new();
    for (placement, count) in maps.iter().flatten() {
        if placement != "CLIENTS" {
            return Err(Stop::NoMeaning(format!("only clients are counted, never {placement}")));
        }
        let count = count.as_u64().ok_or_else(|| not_understood(format!("{count} clients")))?;
        lengths.push(count as usize);
    }
    count(parties, &lengths)
}
