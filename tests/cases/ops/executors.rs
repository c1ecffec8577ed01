//! Executors, and how they determine the number of clients.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use cipherfold::federated::{
    Clients,
    computation::{Inputs, Value},
};
use serde_json::{Map, Value as Json, json};

use crate::{
    format::Case,
    judge::{Answer, Found, Replayed},
    parties::{Parties, Settings},
    refusal::{Refusal, Rule},
    types::Shape,
    value,
};

/// `construct_executor`: with settings, and perhaps a first run.
pub(crate) fn construct(case: &Case) -> Result<Replayed, String> {
    case.check(&["max_fanout", "num_client_executors"])?;
    let mut counts = [None; 3];
    for (count, field) in counts.iter_mut().zip(["num_clients", "max_fanout", "num_client_executors"]) {
        let Some(json) = case.get(field) else { continue };
        let Some(number) = value::integer(json) else {
            return Ok(Found::from(Rule::ParameterType).into());
        };
        let Ok(number) = u32::try_from(number) else {
            return Ok(Found::from(Rule::Sign).into());
        };
        *count = Some(number);
    }
    let [clients, max_fanout, at_a_time] = counts;
    let settings = Settings {
        clients,
        max_fanout: max_fanout.map(|fanout| fanout as usize),
        max_concurrent_clients: at_a_time.map(|clients| clients as usize),
        ..Settings::default()
    };
    let parties = match settings.build() {
        Ok(parties) => parties,
        Err(error) => return Ok(Found::from(error).into()),
    };
    let shape: Shape = case.type_of()?.member;
    if let Some(values) = case.clients(&shape)? {
        let input = Value::<value::Tree, Clients>::input("values");
        let answer = parties.run(input.collect(), || Inputs::new().clients(&input, values.clone()))?;
        let answer = answer.map(|values| Answer::List(values.into_iter().map(Answer::Value).collect()));
        return Ok(Found::from(answer.map_err(Refusal::from)).into());
    }
    if let (Some(clients), Some(limit)) = (clients, at_a_time) {
        let most = most_at_a_time(&parties, clients)?;
        if most > limit as usize {
            return Err(format!("{most} clients at a time, of at most {limit}"));
        }
    }
    let counts_leaves = case.get("expect").and_then(|expect| expect.get("leaf_executors")).is_some();
    Ok(if counts_leaves {
        Replayed::NoMeaning(
            "clients are not bound to executors that could be counted; how many work at a time is limited, and was \
             within the limit"
                .to_owned(),
        )
    } else {
        Found::from(Answer::Other(json!("constructed"))).into()
    })
}

/// The maximum number of clients that work at the same time.
fn most_at_a_time(parties: &Parties, clients: u32) -> Result<usize, String> {
    let (working, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&most);
    let ones = Value::<u32, Clients>::eval(move |_| {
        let now = working.fetch_add(1, Ordering::SeqCst) + 1;
        seen.fetch_max(now, Ordering::SeqCst);
        std::thread::sleep(std::time::Duration::from_millis(2));
        working.fetch_sub(1, Ordering::SeqCst);
        1
    });
    match parties.run(ones.sum(), Inputs::new)? {
        Ok(sum) if sum == u64::from(clients) => Ok(most.load(Ordering::SeqCst)),
        other => Err(format!("{clients} clients, and {other:?} found")),
    }
}

/// `infer_cardinalities`: from the lists in a structure, one for each input.
pub(crate) fn infer(case: &Case, parties: &Parties) -> Result<Found, String> {
    case.check(&["value"])?;
    let mut lists = Vec::new();
    if let Err(rule) = lists_of(case.need("value")?, &mut lists) {
        return Ok(rule.into());
    }
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
fn count(parties: &Parties, lists: &[Vec<String>]) -> Result<Found, String> {
    let inputs: Vec<_> = lists.iter().map(|_| Value::<String, Clients>::input("items")).collect();
    let bind = || {
        inputs
            .iter()
            .zip(lists)
            .fold(Inputs::new(), |bound, (input, items)| bound.clients(input, items.clone()))
    };
    let answer = parties.run(Value::all(inputs.clone()).secure_count(), bind)?;
    Ok(answer.map(|count| Answer::Other(json!({"CLIENTS": count}))).map_err(Refusal::from).into())
}

/// `merge_cardinalities`: merges the inputs' numbers of clients.
pub(crate) fn merge(case: &Case, parties: &Parties) -> Result<Replayed, String> {
    case.check(&["value"])?;
    let maps: Option<Vec<&Map<String, Json>>> =
        case.need("value")?.as_array().and_then(|list| list.iter().map(Json::as_object).collect());
    let mut lists = Vec::new();
    for (placement, count) in
        maps.ok_or("not understood: a value that is no list of cardinalities")?.into_iter().flatten()
    {
        if placement != "CLIENTS" {
            return Ok(Replayed::NoMeaning(format!("only clients are counted, never {placement}")));
        }
        let count = value::integer(count).ok_or_else(|| format!("not understood: {count} clients"))?;
        match usize::try_from(count) {
            Ok(count) => lists.push(vec![String::new(); count]),
            Err(_) => return Ok(Found::from(Rule::Sign).into()),
        }
    }
    Ok(count(parties, &lists)?.into())
}
