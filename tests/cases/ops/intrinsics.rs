//! The other intrinsics of the simulation: values at the clients and at the server, and functions
//! of them.

use cipherfold::{
    federated::computation::{Computation, Context},
    packing::Quantizer,
};
use ndarray::arr0;

use super::prelude::*;

/// `federated_aggregate`.
pub fn aggregate(case: &Case, parties: &Parties) -> Result<Found, Stop> {
    let (zero, accumulate, merge, report): (Json, Operator, Operator, Option<String>) =
        case.fields(&["zero", "accumulate", "merge"], &["report"])?;
    let zero = case::value("zero", &zero, case.member()?)?;
    let report = understood(report, &zero)?;
    let found = parties.combine(&case.needed_clients()?, |values| {
        values.aggregate(
            zero,
            move |a, x| value::combine(accumulate, &a, &x),
            move |a, b| value::combine(merge, &a, &b),
            move |a| expression::map(&report, &a).expect("it was understood"),
        )
    })?;
    Ok(found.into())
}

/// `federated_reduce`.
pub fn reduce(case: &Case, parties: &Parties) -> Result<Found, Stop> {
    let (zero, operator): (Json, Operator) = case.fields(&["zero", "reduce"], &[])?;
    let zero = case::value("zero", &zero, case.member()?)?;
    let found = parties.combine(&case.needed_clients()?, |values| {
        values.reduce(zero, move |a, b| value::combine(operator, &a, &b))
    })?;
    Ok(found.into())
}

/// `federated_collect`.
pub fn collect(case: &Case, parties: &Parties) -> Result<Found, Stop> {
    case.no_fields()?;
    collected(case, parties)
}

/// The clients' values at the server.
pub fn collected(case: &Case, parties: &Parties) -> Result<Found, Stop> {
    Ok(Answer::list(parties.combine(&case.needed_clients()?, Value::collect)?).into())
}

/// `federated_broadcast`, `federated_value_at_clients`, `federated_value_at_server`.
pub fn sent(case: &Case, parties: &Parties) -> Result<Found, Stop> {
    let (sent,): (Json,) = case.fields(&["server_value"], &[])?;
    let sent = case::value("server_value", &sent, case.member()?)?;
    let server = Value::<Tree, Server>::input("value");
    Ok(match case.op.as_str() {
        "federated_value_at_server" => {
            parties.run(Value::<Tree, Server>::constant(sent), Inputs::new)?.into()
        }
        "federated_value_at_clients" => {
            Answer::AtClients(parties.at_clients(Value::constant(sent), Inputs::new)?).into()
        }
        _ => {
            let inputs = || Inputs::new().server(&server, sent.clone());
            Answer::AtClients(parties.at_clients(server.broadcast(), inputs)?).into()
        }
    })
}

/// `federated_apply`, `federated_map`: at the clients if they have values, at the server if it has one.
pub fn map_at(case: &Case, parties: &Parties) -> Result<Found, Stop> {
    let (server_value, function): (Json, Option<String>) = case.fields(&[], &["server_value", "fn"])?;
    let function = understood(function, &case.zeros()?)?;
    let apply = move |tree: &Tree| expression::map(&function, tree).ok_or("the function has no value");
    if let Some(clients) = case.clients()? {
        return Ok(Answer::AtClients(parties.map(&clients, |values| values.try_map(apply))?).into());
    }
    let sent = case::value("server_value", &server_value, case.member()?)?;
    let value = Value::<Tree, Server>::input("value");
    Ok(parties.run(value.try_map(apply), || Inputs::new().server(&value, sent.clone()))?.into())
}

/// A function of `x`, the identity unless stated, if it is understood for values like this one.
fn understood(function: Option<String>, like: &Tree) -> Result<String, Stop> {
    let function = function.unwrap_or("identity".to_owned());
    match expression::map(&function, like) {
        Some(_) => Ok(function),
        None => Err(not_understood(format!("the function `{function}`"))),
    }
}

/// The value of a function without an argument, of the case's type.
fn constant(function: &str, case: &Case) -> Result<Tree, Stop> {
    let value = expression::constant(function, &case.zeros()?);
    value.ok_or_else(|| not_understood(format!("the function `{function}`")))
}

/// `federated_eval_at_clients`. Random numbers must differ from client to client.
pub fn eval_at_clients(case: &Case, _: &Parties) -> Result<Found, Stop> {
    let (function,): (String,) = case.fields(&["fn"], &[])?;
    // Fresh executors, so that both draw the same numbers.
    let parties = Parties::of(case.num_clients()?)?;
    if function != "random" {
        let value = constant(&function, case)?;
        let values = parties.at_clients(Value::eval(move |_| value.clone()), Inputs::new)?;
        return Ok(Answer::AtClients(values).into());
    }
    let draw = |context: &mut Context<'_, Clients>| context.rng().next_u64();
    let values = parties.at_clients(Value::eval(draw), Inputs::new)?;
    let distinct = (1..values.len()).all(|i| !values[..i].contains(&values[i]));
    Ok(Answer::Other(json!(if distinct { "all values distinct" } else { "some values equal" })).into())
}

/// `federated_eval_at_server`, `unplaced_computation`: at the server, without clients.
pub fn eval_at_server(case: &Case, _: &Parties) -> Result<Found, Stop> {
    let (function,): (String,) = case.fields(&["fn"], &[])?;
    let value = constant(&function, case)?;
    let value = Value::<Tree, Server>::eval(move |_| value.clone());
    if Computation::new(value.clone()).rounds() > 0 {
        return Err("a computation at the server goes over the clients".into());
    }
    let run = |clients| Parties::of(clients)?.run(value.clone(), Inputs::new);
    let found = run(case.num_clients()?)?;
    if run(Some(1)) != Ok(found.clone()) {
        return Err("the number of clients changes what the server computes".into());
    }
    Ok(found.into())
}

/// `sequence_sum`: of the server's sequence, or of each client's own.
pub fn sequence_sum(case: &Case, parties: &Parties) -> Result<Found, Stop> {
    let (sequence,): (Option<Json>,) = case.fields(&[], &["sequence"])?;
    let shape = case.member()?;
    let zeros = case.zeros()?;
    let sum = move |sequence: &Vec<Tree>| {
        sequence.iter().fold(zeros.clone(), |sum, x| value::combine(Operator::Add, &sum, x))
    };
    if let Some(sequence) = sequence {
        let sequence = case::list("sequence", &sequence, shape)?;
        let value = Value::<Vec<Tree>, Server>::input("sequence");
        return Ok(parties.run(value.map(sum), || Inputs::new().server(&value, sequence.clone()))?.into());
    }
    let sequences = case.client_lists()?;
    let sequences = sequences.iter().map(|json| case::list("clients", json, shape));
    let sequences = sequences.collect::<Result<Vec<_>, _>>()?;
    Ok(Answer::AtClients(parties.map(&sequences, |values| values.map(sum))?).into())
}

/// `temperature_sensor`: the mean over clients of the share of readings above a threshold.
///
/// Once in the clear, and once securely, which may differ by the quantizer's error.
pub fn temperature_sensor(case: &Case, parties: &Parties) -> Result<Found, Stop> {
    let (threshold,): (f64,) = case.fields(&["threshold"], &[])?;
    let readings: Vec<Vec<f64>> =
        serde_json::from_value(case.client_lists()?.into()).map_err(not_understood)?;
    let most = readings.iter().map(Vec::len).max().unwrap_or(0).max(1) as u32;
    let quantizer = Quantizer::new(0.0, f64::from(most), 32)?;

    let input = Value::<Vec<f64>, Clients>::input("readings");
    let limit = Value::<f64, Server>::input("threshold");
    let above = input
        .zip(&limit.broadcast())
        .map(|(readings, limit)| readings.iter().filter(|reading| *reading > limit).count() as f64);
    let count = input.map(|readings| readings.len() as u32);
    let means = (above.weighted_mean(&count), above.secure_weighted_mean(&count, most, quantizer));
    let inputs = || Inputs::new().clients(&input, readings.clone()).server(&limit, threshold);
    let (plain, secure) = parties.run(means, inputs)?;
    if (plain - secure).abs() > 2.0 * quantizer.error_bound() {
        let text = format!("a mean of {plain} in the clear, and of {secure} if computed securely");
        return Err(Stop::Failed(text));
    }
    Ok(Tree::from(Tensor::of(&arr0(plain).into_dyn())).into())
}

/// `identity_at_clients`, perhaps with other clients afterwards.
pub fn identity(case: &Case, parties: &Parties) -> Result<Found, Stop> {
    let (then,): (Option<Json>,) = case.fields(&[], &["then_clients"])?;
    let run = |clients: &[Tree]| {
        Ok::<_, Stop>(Answer::list(parties.map(clients, |values| values.map(Tree::clone))?))
    };
    let first = run(&case.needed_clients()?)?;
    let Some(then) = then else { return Ok(first.into()) };
    let second = run(&case::list("then_clients", &then, case.member()?)?)?;
    Ok(Answer::List(vec![first, second]).into())
}
