//! The other intrinsics of the simulation: values at the clients and at the server, and functions
//! of them.

use cipherfold::{
    federated::computation::{Computation, Context},
    packing::Quantizer,
};

use super::prelude::*;

/// `federated_aggregate`.
pub fn aggregate(case: &Case, parties: &Parties) -> Result<Found, Stop> {
    let (zero, accumulate, merge, report): (Json, Operator, Operator, Option<String>) =
        case.fields(&["zero", "accumulate", "merge"], &["report"])?;
    let zero = case::value("zero", &zero, case.member()?)?;
    let report = understood(report, &zero)?;
    let clients = case.needed_clients()?;
    let values = Value::<Tree, Clients>::input("values");
    let found = values.aggregate(
        zero,
        move |a, x| value::combine(accumulate, &a, &x),
        move |a, b| value::combine(merge, &a, &b),
        move |a| expression::map(&report, &a).expect("it was understood"),
    );
    let found = parties.run(found, || Inputs::new().clients(&values, clients.clone()))?;
    Ok(Found::from(found).or_wrapped(case.member()?))
}

/// `federated_reduce`.
pub fn reduce(case: &Case, parties: &Parties) -> Result<Found, Stop> {
    let (zero, operator): (Json, Operator) = case.fields(&["zero", "reduce"], &[])?;
    let zero = case::value("zero", &zero, case.member()?)?;
    let clients = case.needed_clients()?;
    let values = Value::<Tree, Clients>::input("values");
    let found = values.reduce(zero, move |a, b| value::combine(operator, &a, &b));
    let found = parties.run(found, || Inputs::new().clients(&values, clients.clone()))?;
    Ok(Found::from(found).or_wrapped(case.member()?))
}

/// A function of `x`, the identity unless stated, if it is understood for values like this one.
fn understood(function: Option<String>, like: &Tree) -> Result<String, Stop> {
    let function = function.unwrap_or("identity".to_owned());
    match expression::map(&function, like) {
        Some(_) => Ok(function),
        None => Err(not_understood(format!("the function `{function}`"))),
    }
}

/// `federated_broadcast`.
pub fn broadcast(case: &Case, parties: &Parties) -> Result<Found, Stop> {
    let sent = sent(case)?;
    let server = Value::<Tree, Server>::input("value");
    let inputs = || Inputs::new().server(&server, sent.clone());
    Ok(Answer::AtClients(parties.at_clients(server.broadcast(), inputs)?).into())
}

/// `federated_value_at_clients`.
pub fn value_at_clients(case: &Case, parties: &Parties) -> Result<Found, Stop> {
    Ok(Answer::AtClients(parties.at_clients(Value::constant(sent(case)?), Inputs::new)?).into())
}

/// `federated_value_at_server`.
pub fn value_at_server(case: &Case, parties: &Parties) -> Result<Found, Stop> {
    Ok(parties.run(Value::<Tree, Server>::constant(sent(case)?), Inputs::new)?.into())
}

fn sent(case: &Case) -> Result<Tree, Stop> {
    let (sent,): (Json,) = case.fields(&["server_value"], &[])?;
    case::value("server_value", &sent, case.member()?)
}

/// `federated_apply`, `federated_map`: at the clients if they have values, at the server if it has one.
pub fn map_at(case: &Case, parties: &Parties) -> Result<Found, Stop> {
    let (server_value, function): (Json, Option<String>) = case.fields(&[], &["server_value", "fn"])?;
    let shape = case.member()?;
    let function = understood(function, &case.zeros()?)?;
    let apply = move |tree: &Tree| expression::map(&function, tree).ok_or("the function has no value");
    if let Some(clients) = case.clients()? {
        let values = Value::<Tree, Clients>::input("values");
        let inputs = || Inputs::new().clients(&values, clients.clone());
        return Ok(Answer::AtClients(parties.at_clients(values.try_map(apply), inputs)?).into());
    }
    let sent = case::value("server_value", &server_value, shape)?;
    let value = Value::<Tree, Server>::input("value");
    let found = parties.run(value.try_map(apply), || Inputs::new().server(&value, sent.clone()))?;
    Ok(Found::from(found).or_wrapped(shape))
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
    let zeros = case.zeros()?;
    let draw = move |context: &mut Context<'_, Clients>| {
        zeros.as_ref().map(|tensor| random(tensor, || context.rng().next_u64()))
    };
    let values = parties.at_clients(Value::eval(draw), Inputs::new)?;
    let distinct = (1..values.len()).all(|i| !values[..i].contains(&values[i]));
    Ok(Answer::Other(json!(if distinct { "all values distinct" } else { "some values equal" })).into())
}

/// `federated_eval_at_server`.
pub fn eval_at_server(case: &Case, _: &Parties) -> Result<Found, Stop> {
    let (function,): (String,) = case.fields(&["fn"], &[])?;
    let value = constant(&function, case)?;
    let parties = Parties::of(case.num_clients()?)?;
    Ok(parties.run(Value::<Tree, Server>::eval(move |_| value.clone()), Inputs::new)?.into())
}

/// Random numbers from random words.
fn random(Tensor { dtype, elements }: &Tensor, mut word: impl FnMut() -> u64) -> Tensor {
    let number = |_| match dtype.range() {
        Some(_) => Number::Integer(dtype.wrap(word().into())),
        None => Number::Float(dtype.round((word() >> 11) as f64 / (1_u64 << 53) as f64)),
    };
    Tensor { dtype: *dtype, elements: elements.mapv(number) }
}

/// `federated_collect`.
pub fn collect(case: &Case, parties: &Parties) -> Result<Found, Stop> {
    case.no_fields()?;
    collected(case, parties)
}

/// The clients' values at the server.
pub fn collected(case: &Case, parties: &Parties) -> Result<Found, Stop> {
    let clients = case.needed_clients()?;
    let values = Value::<Tree, Clients>::input("values");
    let found = parties.run(values.collect(), || Inputs::new().clients(&values, clients.clone()))?;
    Ok(Answer::list(found).into())
}

/// `sequence_sum`: of the server's sequence, or of each client's own.
pub fn sequence_sum(case: &Case, parties: &Parties) -> Result<Found, Stop> {
    let (sequence,): (Option<Json>,) = case.fields(&[], &["sequence"])?;
    let shape = case.member()?;
    let zeros = case.zeros()?;
    let sum = move |sequence: &Vec<Tree>| {
        sequence.iter().fold(zeros.clone(), |sum, x| value::combine(Operator::ADD, &sum, x))
    };
    if let Some(sequence) = sequence {
        let sequence = case::list("sequence", &sequence, shape)?;
        let value = Value::<Vec<Tree>, Server>::input("sequence");
        let found = parties.run(value.map(sum), || Inputs::new().server(&value, sequence.clone()))?;
        return Ok(Found::from(found).or_wrapped(shape));
    }
    let clients = case.clients.as_ref().and_then(Json::as_array);
    let clients = clients.ok_or_else(|| not_understood("`clients` is no list"))?;
    let sequences = clients.iter().map(|json| case::list("clients", json, shape));
    let sequences = sequences.collect::<Result<Vec<_>, _>>()?;
    let values = Value::<Vec<Tree>, Clients>::input("sequences");
    let inputs = || Inputs::new().clients(&values, sequences.clone());
    Ok(Answer::AtClients(parties.at_clients(values.map(sum), inputs)?).into())
}

/// `temperature_sensor`: the mean over clients of the share of readings above a threshold.
///
/// Once in the clear, and once securely, which may differ by the quantizer's error.
pub fn temperature_sensor(case: &Case, parties: &Parties) -> Result<Found, Stop> {
    let (threshold,): (f64,) = case.fields(&["threshold"], &[])?;
    let readings = case.clients.clone().ok_or_else(|| not_understood("no `clients`"))?;
    let readings: Vec<Vec<f64>> = serde_json::from_value(readings).map_err(not_understood)?;
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
    Ok(value::scalar(plain).into())
}

/// `identity_at_clients`, perhaps with other clients afterwards.
pub fn identity(case: &Case, parties: &Parties) -> Result<Found, Stop> {
    let (then,): (Option<Json>,) = case.fields(&[], &["then_clients"])?;
    let run = |clients: Vec<Tree>| {
        let values = Value::<Tree, Clients>::input("values");
        let inputs = || Inputs::new().clients(&values, clients.clone());
        Ok::<_, Stop>(Answer::list(parties.at_clients(values.map(Tree::clone), inputs)?))
    };
    let first = run(case.needed_clients()?)?;
    let Some(then) = then else { return Ok(first.into()) };
    let second = run(case::list("then_clients", &then, case.member()?)?)?;
    Ok(Answer::List(vec![first, second]).into())
}

/// `unplaced_computation`: at the server, without clients.
pub fn unplaced(case: &Case, _: &Parties) -> Result<Found, Stop> {
    let (function,): (String,) = case.fields(&["fn"], &[])?;
    constant(&function, case)?;
    let value = Value::<Tree, Server>::constant(case.zeros()?)
        .try_map(move |zeros| expression::constant(&function, zeros).ok_or("it was understood"));
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
