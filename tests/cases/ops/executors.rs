//! Executors, and how they determine the number of clients.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

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
    let settings = Settings {
        clients: setting(&case.num_clients)?,
        max_fanout: setting(&max_fanout)?,
        max_concurrent_clients: setting(&at_a_time)?,
        ..Settings::default()
    };
    let parties = settings.build()?;
    if case.clients.is_some() {
        return collected(case, &parties);
    }
    case.member()?;
    if let (Some(clients), Some(limit)) = (settings.clients, settings.max_concurrent_clients) {
        let most = most_at_a_time(&parties, clients)?;
        if most > limit as usize {
            return Err(Stop::Failed(format!("{most} clients at a time, of at most {limit}")));
        }
    }
    if case.expect.as_ref().is_some_and(|expect| expect.get("leaf_executors").is_some()) {
        let why = "clients are not bound to executors that could be counted; \
                   how many work at a time is limited, and was within the limit";
        return Err(Stop::NoMeaning(why.to_owned()));
    }
    Ok(Answer::Other(json!("constructed")).into())
}

/// The maximum number of clients that work at the same time.
fn most_at_a_time(parties: &Parties, clients: u32) -> Result<usize, Stop> {
    let (working, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&most);
    let ones = Value::<u32, Clients>::eval(move |_| {
        seen.fetch_max(working.fetch_add(1, SeqCst) + 1, SeqCst);
        thread::sleep(Duration::from_millis(2));
        working.fetch_sub(1, SeqCst);
        1
    });
    match parties.run(ones.sum(), Inputs::new) {
        Ok(sum) if sum == u64::from(clients) => Ok(most.load(SeqCst)),
        other => Err(Stop::Failed(format!("{clients} clients, and {other:?} found"))),
    }
}

/// `infer_cardinalities`: from the lists in a structure, one for each input.
pub fn infer(case: &Case, parties: &Parties) -> Result<Found, Stop> {
    let (value,): (Json,) = case.fields(&["value"], &[])?;
    let mut lists = Vec::new();
    lists_of(&value, &mut lists)?;
    count(parties, &lists)
}

/// The lists of items at the leaves of a structure.
fn lists_of(json: &Json, lists: &mut Vec<Vec<String>>) -> Result<(), Rule> {
    match json {
        Json::Object(members) => members.values().try_for_each(|member| lists_of(member, lists)),
        Json::Array(items) => {
            lists.push(items.iter().map(Json::to_string).collect());
            Ok(())
        }
        _ => Err(Rule::NotAList),
    }
}

/// The number of clients, if inputs of these items agree.
fn count(parties: &Parties, lists: &[Vec<String>]) -> Result<Found, Stop> {
    let inputs: Vec<_> = lists.iter().map(|_| Value::<String, Clients>::input("items")).collect();
    let bind = || {
        let pairs = inputs.iter().zip(lists);
        pairs.fold(Inputs::new(), |bound, (input, items)| bound.clients(input, items.clone()))
    };
    let count = parties.run(Value::all(inputs.clone()).secure_count(), bind)?;
    Ok(Answer::Other(json!({"CLIENTS": count})).into())
}

/// `merge_cardinalities`: merges the inputs' numbers of clients.
pub fn merge(case: &Case, parties: &Parties) -> Result<Found, Stop> {
    let (maps,): (Vec<Map<String, Json>>,) = case.fields(&["value"], &[])?;
    let mut lists = Vec::new();
    for (placement, count) in maps.iter().flatten() {
        if placement != "CLIENTS" {
            return Err(Stop::NoMeaning(format!("only clients are counted, never {placement}")));
        }
        let count = integer(count).map_err(|_| not_understood(format!("{count} clients")))?;
        lists.push(vec![String::new(); unsigned(count)?]);
    }
    count(parties, &lists)
}
