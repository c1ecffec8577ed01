//! The intrinsics of the simulation: sums, means and extremes in the clear, and values at the
//! clients.

use std::sync::Arc;

use cipherfold::{
    federated::{
        At, Clients, Error, LocalExecutor, Server,
        computation::{Computation, Context, Inputs, Numeric, Value},
        tensor::Structure,
    },
    packing::Quantizer,
    paillier::KeySize,
};
use ndarray::ArrayD;
use serde_json::{Value as Json, json};
use static_assertions::assert_not_impl_any;

use crate::{
    expression,
    format::Case,
    judge::{Answer, Found},
    parties::{Parties, Settings, Task},
    refusal::{Refusal, Rule},
    split::{Draft, Group, floats, integers},
    types::{Dtype, Shape},
    value::{self, Element, Elements, Tensor, Tree},
};

// The type behind `Rule::NoElement`.
assert_not_impl_any!(bool: Numeric);
assert_not_impl_any!(i32: cipherfold::packing::Float);

type Tensors<T> = Structure<ArrayD<T>>;

/// `federated_sum`, `federated_min`, `federated_max`, `federated_mean`, `federated_weighted_mean`.
pub(crate) fn combine(case: &Case, parties: &Parties) -> Result<Found, String> {
    case.check(&["weights", "value_placement"])?;
    let found = case.type_of()?;
    if let Some(rule) = super::secure::misplaced(case, &found)? {
        return Ok(rule.into());
    }
    let shape = &found.member;
    let mean = case.op.ends_with("mean");
    let known = |dtype: Dtype| dtype.integer().is_some() && !mean || matches!(dtype, Dtype::F32 | Dtype::F64);
    if !shape.iter().all(|leaf| known(leaf.dtype)) {
        return Ok(Rule::NoElement.into());
    }
    let (clients, data) = super::aggregations::clients_or_zeros(case, shape)?;
    let weights = match case.get("weights") {
        None if case.op == "federated_weighted_mean" => return Err("not understood: no `weights`".to_owned()),
        None => None,
        Some(_) if !mean => return Err("not understood: `weights`".to_owned()),
        Some(json) => {
            let weights =
                json.as_array().and_then(|list| list.iter().map(value::float).collect::<Option<Vec<_>>>());
            Some(weights.ok_or("not understood: weights that are no numbers")?)
        }
    };
    let mut draft = Draft::new(shape, &clients);
    let numbers = weights.clone().unwrap_or_default();
    let weights = weights.map(|weights| draft.numbers(weights));
    for group in draft.groups() {
        integers!(
            group.dtype,
            T => total::<T>(&mut draft, &group, &case.op),
            else floats!(
                group.dtype,
                T => match (&weights, mean) {
                    (Some(weights), _) => {
                        let mean = draft.input::<T>(&group).weighted_mean(weights);
                        draft.output(&mean);
                    }
                    (None, true) => {
                        let mean = draft.input::<T>(&group).mean();
                        draft.output(&mean);
                    }
                    (None, false) => total::<T>(&mut draft, &group, &case.op),
                },
                else unreachable!("the types were checked")
            )
        );
    }
    let answer = draft.run(parties)?.map_err(Refusal::from);
    let mut found = Found::from(answer.map(Answer::Value)).or_wrapped(shape);
    found.theirs.extend(super::clipping::not_a_number(&found, &clients, &numbers));
    Ok(if data { found } else { super::aggregations::typed(found, shape) })
}

fn total<T: Element + Numeric<Sum: Element>>(draft: &mut Draft<'_>, group: &Group, op: &str) {
    let values: Value<Tensors<T>, Clients> = draft.input(group);
    match op {
        "federated_sum" => draft.output(&values.sum()),
        "federated_min" => draft.output(&values.min()),
        _ => draft.output(&values.max()),
    }
}

/// A function of two values, element by element.
type Binary = (fn(i128, i128) -> i128, fn(f64, f64) -> f64);

fn binary(case: &Case, field: &str) -> Result<Binary, String> {
    Ok(match case.text(field)? {
        Some("add") => (|a, b| a + b, |a, b| a + b),
        Some("mul" | "multiply") => (|a, b| a * b, |a, b| a * b),
        Some("min" | "minimum") => (i128::min, f64::min),
        Some("max" | "maximum") => (i128::max, f64::max),
        other => return Err(format!("not understood: `{field}` is {other:?}")),
    })
}

fn apply((integers, floats): Binary, a: &Tree, b: &Tree) -> Tree {
    let combined = a.zip_with(b, |a, b| {
        let elements = match (&a.elements, &b.elements) {
            (Elements::Integers(x), Elements::Integers(y)) => {
                Elements::Integers(x.iter().zip(y).map(|(x, y)| integers(*x, *y)).collect())
            }
            (Elements::Floats(x), Elements::Floats(y)) => {
                let each = x.iter().zip(y).map(|(x, y)| value::rounded(floats(*x, *y), a.dtype));
                Elements::Floats(each.collect())
            }
            _ => unreachable!("both are of the case's type"),
        };
        Tensor { elements, ..a.clone() }
    });
    combined.expect("both are of the case's type")
}

/// The value of an expression of `x` for every element.
fn map(text: &str, tree: &Tree) -> Result<Tree, String> {
    evaluate(text, tree, true)
}

/// The value of an expression without an argument, for every element of a value of this type.
fn constant(text: &str, zeros: &Tree) -> Result<Tree, String> {
    evaluate(text, zeros, false)
}

fn evaluate(text: &str, tree: &Tree, argument: bool) -> Result<Tree, String> {
    let mut failed = None;
    let found = tree.as_ref().map(|tensor| {
        let elements = match &tensor.elements {
            Elements::Integers(elements) => {
                let each = |x: &i128| expression::evaluate(text, argument.then_some(*x));
                elements.iter().map(each).collect::<Result<_, _>>().map(Elements::Integers)
            }
            Elements::Floats(elements) => {
                let each = |x: &f64| {
                    expression::evaluate(text, argument.then_some(*x))
                        .map(|x| value::rounded(x, tensor.dtype))
                };
                elements.iter().map(each).collect::<Result<_, _>>().map(Elements::Floats)
            }
        };
        let elements = elements.map_err(|error| failed = Some(error)).unwrap_or(tensor.elements.clone());
        Tensor { elements, ..tensor.clone() }
    });
    failed.map_or(Ok(found), Err)
}

/// `federated_aggregate`, `federated_reduce`.
pub(crate) fn aggregate(case: &Case, parties: &Parties) -> Result<Found, String> {
    let reduce = case.op == "federated_reduce";
    case.check(if reduce { &["zero", "reduce"] } else { &["zero", "accumulate", "merge", "report"] })?;
    let shape = case.type_of()?.member;
    let clients = case.clients(&shape)?.ok_or("not understood: no `clients`")?;
    let zero = case.value("zero", &shape)?;
    let input = Value::<Tree, Clients>::input("values");
    let output = if reduce {
        let op = binary(case, "reduce")?;
        input.reduce(zero, move |a, b| apply(op, &a, &b))
    } else {
        let (accumulate, merge) = (binary(case, "accumulate")?, binary(case, "merge")?);
        let report = case.text("report")?.unwrap_or("identity").to_owned();
        map(&report, &zero)?;
        input.aggregate(
            zero,
            move |a, x| apply(accumulate, &a, &x),
            move |a, b| apply(merge, &a, &b),
            move |a| map(&report, &a).expect("it was understood above"),
        )
    };
    let answer = parties.run(output, || Inputs::new().clients(&input, clients.clone()))?;
    Ok(Found::from(answer.map(Answer::Value).map_err(Refusal::from)).or_wrapped(&shape))
}

/// The clients' results.
struct AtClients<I> {
    computation: Computation<Value<Tree, Clients>>,
    inputs: I,
}

impl<I: Fn() -> Inputs<'static>> Task for AtClients<I> {
    type Output = Vec<Tree>;

    fn run<S: KeySize>(&self, executor: &LocalExecutor<S>) -> cipherfold::federated::Result<Vec<Tree>> {
        let found = executor.run(&self.computation, (self.inputs)())?.value;
        let present = found.into_iter().flatten();
        Ok(executor.run_at(|here: &At<Clients>| present.map(|value| value.into_inner(here)).collect()))
    }
}

fn at_clients(
    parties: &Parties,
    output: Value<Tree, Clients>,
    inputs: impl Fn() -> Inputs<'static>,
) -> Result<Result<Vec<Tree>, Refusal>, String> {
    let task = AtClients { computation: Computation::new(output), inputs };
    Ok(parties.agree(&task)?.map_err(Refusal::from))
}

/// One answer if a case expects the same of all clients, otherwise one for each.
pub(crate) fn spread(case: &Case, shape: &Shape, values: Vec<Tree>) -> Answer {
    let one = case.get("expect").is_some_and(|expected| value::read_expected(expected, shape).is_ok());
    match values.split_first() {
        Some((first, others)) if one && others.iter().all(|other| other == first) => {
            Answer::Value(first.clone())
        }
        _ => Answer::List(values.into_iter().map(Answer::Value).collect()),
    }
}

fn found(case: &Case, shape: &Shape, values: Result<Vec<Tree>, Refusal>) -> Found {
    values.map(|values| spread(case, shape, values)).into()
}

/// `federated_broadcast`, `federated_value_at_clients`, `federated_value_at_server`.
pub(crate) fn send(case: &Case) -> Result<Found, String> {
    case.check(&["server_value", "value"])?;
    let shape = case.type_of()?.member;
    let field = if case.get("value").is_some() { "value" } else { "server_value" };
    let sent = case.value(field, &shape)?;
    let parties = &stated(case)?;
    if case.op == "federated_value_at_server" {
        let answer = parties.run(Value::<Tree, Server>::constant(sent), Inputs::new)?;
        return Ok(answer.map(Answer::Value).map_err(Refusal::from).into());
    }
    let values = if case.op == "federated_broadcast" {
        let server = Value::<Tree, Server>::input("value");
        let bind = server.clone();
        at_clients(parties, server.broadcast(), move || Inputs::new().server(&bind, sent.clone()))?
    } else {
        at_clients(parties, Value::constant(sent), Inputs::new)?
    };
    Ok(found(case, &shape, values))
}

/// Separate executors, for the number of clients that the case states.
fn stated(case: &Case) -> Result<Parties, String> {
    let settings = Settings { clients: case.count("num_clients")?, ..Settings::default() };
    settings.build().map_err(|error| error.to_string())
}

/// `federated_apply`, `federated_map`: at the clients if they have values, at the server if it has
/// one.
pub(crate) fn map_at(case: &Case, parties: &Parties) -> Result<Found, String> {
    case.check(&["server_value", "fn"])?;
    let shape = case.type_of()?.member;
    let function = case.text("fn")?.unwrap_or("identity").to_owned();
    map(&function, &shape.as_ref().map(Tensor::zeros))?;
    let function = Arc::new(function);
    let apply = move |tree: &Tree| map(&function, tree);
    if let Some(clients) = case.clients(&shape)? {
        let input = Value::<Tree, Clients>::input("values");
        let bind = input.clone();
        let inputs = move || Inputs::new().clients(&bind, clients.clone());
        return Ok(found(case, &shape, at_clients(parties, input.try_map(apply), inputs)?));
    }
    let sent = case.value("server_value", &shape)?;
    let input = Value::<Tree, Server>::input("value");
    let answer = parties.run(input.try_map(apply), || Inputs::new().server(&input, sent.clone()))?;
    Ok(Found::from(answer.map(Answer::Value).map_err(Refusal::from)).or_wrapped(&shape))
}

/// `federated_eval_at_clients`, `federated_eval_at_server`.
pub(crate) fn eval(case: &Case) -> Result<Found, String> {
    case.check(&["fn"])?;
    let shape = case.type_of()?.member;
    let function = case.text("fn")?.ok_or("not understood: no `fn`")?.to_owned();
    // Fresh executors, so that both draw the same numbers.
    let parties = &stated(case)?;
    let zeros = shape.as_ref().map(Tensor::zeros);
    if function == "random" {
        let draw = move |context: &mut Context<'_, Clients>| {
            zeros.as_ref().map(|tensor| random(tensor, &mut || context.rng().next_u64()))
        };
        let values = at_clients(parties, Value::eval(draw), Inputs::new)?;
        let answer = values.map(|values| {
            let distinct = (1..values.len()).all(|i| !values[..i].contains(&values[i]));
            Answer::Other(json!(if distinct { "all values distinct" } else { "some values equal" }))
        });
        return Ok(answer.into());
    }
    let value = constant(&function, &zeros)?;
    if case.op == "federated_eval_at_server" {
        let answer = parties.run(Value::<Tree, Server>::eval(move |_| value.clone()), Inputs::new)?;
        return Ok(answer.map(Answer::Value).map_err(Refusal::from).into());
    }
    let values = at_clients(parties, Value::eval(move |_| value.clone()), Inputs::new)?;
    Ok(found(case, &shape, values))
}

fn random(tensor: &Tensor, word: &mut dyn FnMut() -> u64) -> Tensor {
    let len = tensor.len();
    let elements = if let Some((min, max)) = tensor.dtype.range() {
        let draw = |_| min + i128::from(word()).rem_euclid(max - min + 1);
        Elements::Integers((0..len).map(draw).collect())
    } else {
        let draw = |_| value::rounded((word() >> 11) as f64 / (1_u64 << 53) as f64, tensor.dtype);
        Elements::Floats((0..len).map(draw).collect())
    };
    Tensor { elements, ..tensor.clone() }
}

/// `federated_collect`.
pub(crate) fn collect(case: &Case, parties: &Parties) -> Result<Found, String> {
    case.check(&[])?;
    let shape = case.type_of()?.member;
    let clients = case.clients(&shape)?.ok_or("not understood: no `clients`")?;
    let input = Value::<Tree, Clients>::input("values");
    let answer = parties.run(input.collect(), || Inputs::new().clients(&input, clients.clone()))?;
    let answer = answer.map(|values| Answer::List(values.into_iter().map(Answer::Value).collect()));
    Ok(answer.map_err(Refusal::from).into())
}

/// `sequence_sum`: of the server's sequence, or of each client's own.
pub(crate) fn sequence_sum(case: &Case, parties: &Parties) -> Result<Found, String> {
    case.check(&["sequence"])?;
    let shape = case.type_of()?.member;
    let zeros = shape.as_ref().map(Tensor::zeros);
    let sum = move |sequence: &Vec<Tree>| {
        sequence.iter().fold(zeros.clone(), |sum, x| apply((|a, b| a + b, |a, b| a + b), &sum, x))
    };
    let Some(sequence) = case.list("sequence", &shape)? else {
        let json = case.need("clients")?.as_array().ok_or("not understood: `clients` is no list")?;
        let read = |json: &Json| -> Result<Vec<Tree>, String> {
            let list = json.as_array().ok_or("not understood: a sequence that is no list")?;
            list.iter().map(|json| value::read(json, &shape)).collect()
        };
        let sequences = json.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let input = Value::<Vec<Tree>, Clients>::input("sequences");
        let bind = input.clone();
        let inputs = move || Inputs::new().clients(&bind, sequences.clone());
        return Ok(found(case, &shape, at_clients(parties, input.map(sum), inputs)?));
    };
    let input = Value::<Vec<Tree>, Server>::input("sequence");
    let answer = parties.run(input.map(sum), || Inputs::new().server(&input, sequence.clone()))?;
    Ok(Found::from(answer.map(Answer::Value).map_err(Refusal::from)).or_wrapped(&shape))
}

/// `temperature_sensor`: the mean over clients of the share of readings above a threshold.
///
/// Once in the clear, and once securely, which may differ by the quantizer's error.
pub(crate) fn temperature_sensor(case: &Case, parties: &Parties) -> Result<Found, String> {
    case.check(&["threshold"])?;
    let threshold = case.float("threshold")?.ok_or("not understood: no `threshold`")?;
    let readings: Vec<Vec<f64>> = case
        .need("clients")?
        .as_array()
        .and_then(|clients| {
            clients.iter().map(|client| client.as_array()?.iter().map(value::float).collect()).collect()
        })
        .ok_or("not understood: clients whose readings are no lists of numbers")?;
    let most = readings.iter().map(Vec::len).max().unwrap_or(0).max(1) as u32;
    let quantizer = Quantizer::new(0.0, f64::from(most), 32).map_err(|error| error.to_string())?;

    let input = Value::<Vec<f64>, Clients>::input("readings");
    let limit = Value::<f64, Server>::input("threshold");
    let above = input
        .zip(&limit.broadcast())
        .map(|(readings, limit)| readings.iter().filter(|reading| *reading > limit).count() as f64);
    let count = input.map(|readings| readings.len() as u32);
    let plain = above.weighted_mean(&count);
    let secure = above.secure_weighted_mean(&count, most, quantizer);
    let run = parties
        .run((plain, secure), || Inputs::new().clients(&input, readings.clone()).server(&limit, threshold))?;
    let (plain, secure) = match run {
        Ok(means) => means,
        Err(error) => return Ok(error.into()),
    };
    if (plain - secure).abs() > 2.0 * quantizer.error_bound() {
        return Err(format!("a mean of {plain} in the clear, and of {secure} if computed securely"));
    }
    let scalar = |x| {
        Structure::leaf(Tensor { dtype: Dtype::F64, shape: Vec::new(), elements: Elements::Floats(vec![x]) })
    };
    Ok(Answer::Value(scalar(plain)).into())
}

/// `identity_at_clients`, perhaps with other clients afterwards.
pub(crate) fn identity(case: &Case, parties: &Parties) -> Result<Found, String> {
    case.check(&["then_clients"])?;
    let shape = case.type_of()?.member;
    let mut answers = Vec::new();
    for field in ["clients", "then_clients"] {
        let Some(clients) = case.list(field, &shape)? else { continue };
        let input = Value::<Tree, Clients>::input("values");
        let bind = input.clone();
        let inputs = move || Inputs::new().clients(&bind, clients.clone());
        match at_clients(parties, input.map(Tree::clone), inputs)? {
            Ok(values) => answers.push(Answer::List(values.into_iter().map(Answer::Value).collect())),
            Err(refusal) => return Ok(refusal.into()),
        }
    }
    Ok(match (case.get("then_clients"), answers.pop()) {
        (None, Some(answer)) => answer.into(),
        (Some(_), Some(answer)) => Answer::List(answers.into_iter().chain([answer]).collect()).into(),
        (_, None) => return Err("not understood: no `clients`".to_owned()),
    })
}

/// `unplaced_computation`: at the server, without clients.
pub(crate) fn unplaced(case: &Case) -> Result<Found, String> {
    case.check(&["fn"])?;
    let shape = case.type_of()?.member;
    let function = case.text("fn")?.ok_or("not understood: no `fn`")?.to_owned();
    let zeros = shape.as_ref().map(Tensor::zeros);
    constant(&function, &zeros)?;
    let value = Value::<Tree, Server>::constant(zeros).try_map(move |zeros| constant(&function, zeros));
    if Computation::new(value.clone()).rounds() > 0 {
        return Err("a computation at the server goes over the clients".to_owned());
    }
    let mut answers = Vec::new();
    for clients in [case.count("num_clients")?, Some(1)] {
        let parties =
            Settings { clients, ..Settings::default() }.build().map_err(|error| error.to_string())?;
        answers.push(parties.run(value.clone(), Inputs::new)?);
    }
    let last = answers.pop().unwrap_or(Err(Error::NoClients));
    if answers.iter().any(|answer| *answer != last) {
        return Err("the number of clients changes what the server computes".to_owned());
    }
    Ok(last.map(Answer::Value).map_err(Refusal::from).into())
}
