//! Aggregation processes of integers and between bounds, and functions for all processes, which run
//! round by round.

use core::marker::PhantomData;

use cipherfold::{
    federated::{
        Error, LocalExecutor,
        aggregation::{
            AggregationFactory, Bounds, DistributedDpSum, Fixed, ModularClippingSum, Process, Schedule,
            SecureClippingSum, SecureModularSum, WeightedAggregationFactory, WeightedProcess,
        },
        tensor::Structure,
    },
    packing::IntegerRange,
    paillier::KeySize,
    privacy::DistributedParameters,
};
use ndarray::ArrayD;
use serde_json::Value as Json;
use static_assertions::{assert_impl_all, assert_not_impl_any};

use super::secure::{WIDER, at_server};
use crate::{
    format::Case,
    judge::{Answer, Found, Replayed, Theirs, WRAPS},
    parties::{Parties, Settings, Task},
    refusal::{Refusal, Rule},
    split::{Group, floats, groups, integers},
    types::{Dtype, Shape},
    value::{self, Element, Tensor, Tree},
};

/// The clients' values: tensors of one type in a structure.
pub(crate) type Tensors<T> = Structure<ArrayD<T>>;

// The types behind `Rule::NoElement` and `Rule::BoundsOfOtherType`.
assert_not_impl_any!(SecureModularSum: AggregationFactory<f32>, AggregationFactory<f64>, AggregationFactory<bool>);
assert_not_impl_any!(SecureClippingSum<IntegerRange>: AggregationFactory<f32>, AggregationFactory<f64>, AggregationFactory<bool>);
assert_impl_all!(SecureClippingSum<IntegerRange>: AggregationFactory<Tensors<i32>>, AggregationFactory<Tensors<u64>>);
assert_not_impl_any!(ModularClippingSum<SecureClippingSum<IntegerRange>>: AggregationFactory<f32>, AggregationFactory<f64>);

/// The results of each round: the aggregate, and the measurements.
pub(crate) type Rounds = Vec<(Tree, Json)>;

/// An aggregation over the same clients, round by round.
struct Unweighted<'c, T, A, M> {
    make: M,
    clients: &'c [T],
    rounds: usize,
    aggregation: PhantomData<fn() -> A>,
}

impl<T, A, M> Task for Unweighted<'_, T, A, M>
where
    T: Clone + Send + Sync + 'static,
    A: AggregationFactory<T, Result: AsTree>,
    M: Fn() -> cipherfold::federated::Result<A>,
{
    type Output = Rounds;

    fn run<S: KeySize>(&self, executor: &LocalExecutor<S>) -> cipherfold::federated::Result<Rounds> {
        let mut process = Process::new((self.make)()?);
        let round = |_| {
            let round = process.run(executor, self.clients.to_vec())?;
            Ok((round.value.tree(), measured(&round.measurements)))
        };
        (0..self.rounds).map(round).collect()
    }
}

/// The results of an aggregation's rounds.
pub(crate) fn run<T, A>(
    parties: &Parties,
    make: impl Fn() -> cipherfold::federated::Result<A>,
    clients: &[T],
    rounds: usize,
) -> Result<Result<Rounds, Refusal>, String>
where
    T: Clone + Send + Sync + 'static,
    A: AggregationFactory<T, Result: AsTree>,
{
    let task = Unweighted { make, clients, rounds, aggregation: PhantomData };
    Ok(parties.agree(&task)?.map_err(Refusal::from))
}

struct Weighted<'c, T, A, M> {
    make: M,
    clients: &'c [T],
    weights: &'c [f64],
    rounds: usize,
    aggregation: PhantomData<fn() -> A>,
}

impl<T, A, M> Task for Weighted<'_, T, A, M>
where
    T: Clone + Send + Sync + 'static,
    A: WeightedAggregationFactory<T, Result: AsTree>,
    M: Fn() -> cipherfold::federated::Result<A>,
{
    type Output = Rounds;

    fn run<S: KeySize>(&self, executor: &LocalExecutor<S>) -> cipherfold::federated::Result<Rounds> {
        let mut process = WeightedProcess::new((self.make)()?);
        let round = |_| {
            let round = process.run(executor, self.clients.to_vec(), self.weights.to_vec())?;
            Ok((round.value.tree(), measured(&round.measurements)))
        };
        (0..self.rounds).map(round).collect()
    }
}

/// The results of rounds of an aggregation with weights.
pub(crate) fn run_weighted<T, A>(
    parties: &Parties,
    make: impl Fn() -> cipherfold::federated::Result<A>,
    clients: &[T],
    weights: &[f64],
    rounds: usize,
) -> Result<Result<Rounds, Refusal>, String>
where
    T: Clone + Send + Sync + 'static,
    A: WeightedAggregationFactory<T, Result: AsTree>,
{
    let task = Weighted { make, clients, weights, rounds, aggregation: PhantomData };
    Ok(parties.agree(&task)?.map_err(Refusal::from))
}

/// A result, in the common form.
pub(crate) trait AsTree {
    fn tree(&self) -> Tree;
}

impl<T: Element> AsTree for Tensors<T> {
    fn tree(&self) -> Tree {
        self.as_ref().map(Tensor::of)
    }
}

fn measured(measurements: &impl serde::Serialize) -> Json {
    serde_json::to_value(measurements).expect("measurements are plain data")
}

/// The results of rounds in the form of a case: a list if it states the number of rounds.
pub(crate) fn found(case: &Case, rounds: Result<Rounds, Refusal>) -> Found {
    let rounds = match rounds {
        Ok(rounds) => rounds,
        Err(refusal) => return refusal.into(),
    };
    let (results, measurements): (Vec<_>, Vec<_>) = rounds.into_iter().unzip();
    let mut answers: Vec<_> = results.into_iter().map(Answer::Value).collect();
    let answer = if case.get("rounds").is_some() { Answer::List(answers) } else { answers.remove(0) };
    Found { measurements: Some(measurements), ..answer.into() }
}

/// The number of rounds.
pub(crate) fn rounds(case: &Case) -> Result<usize, String> {
    match case.count("rounds")? {
        Some(0) => Err("not understood: no rounds".to_owned()),
        rounds => Ok(rounds.unwrap_or(1) as usize),
    }
}

/// The clients' values, or zeros of one client for a case that is about types.
pub(crate) fn clients_or_zeros(case: &Case, shape: &Shape) -> Result<(Vec<Tree>, bool), String> {
    Ok(match case.clients(shape)? {
        Some(clients) => (clients, true),
        None => (vec![shape.as_ref().map(Tensor::zeros)], false),
    })
}

/// A case without data is about the result's type.
pub(crate) fn typed(found: Found, shape: &Shape) -> Found {
    let answer = match found.answer {
        Ok(Answer::Value(tree)) => Ok(Answer::Type(at_server(value::type_of(&tree)))),
        other => other,
    };
    let mut theirs = found.theirs;
    theirs.retain(|theirs| matches!(theirs, Theirs::Refuses(..)));
    theirs.push(Theirs::Gives(Answer::Type(at_server(shape.clone())), WIDER));
    Found { answer, theirs, measurements: None }
}

/// `SecureModularSumFactory`.
pub(crate) fn secure_modular_sum(case: &Case, parties: &Parties) -> Result<Found, String> {
    case.check(&["modulus", "symmetric_range"])?;
    let shape = case.type_of()?.member;
    let symmetric = match case.get("symmetric_range") {
        None => false,
        Some(Json::Bool(symmetric)) => *symmetric,
        Some(_) => return Ok(Rule::ParameterType.into()),
    };
    let Some(modulus) = value::integer(case.need("modulus")?) else {
        return Ok(Rule::ParameterType.into());
    };
    let Ok(modulus) = u64::try_from(modulus) else {
        return Ok(Rule::Sign.into());
    };
    let make =
        || if symmetric { SecureModularSum::symmetric(modulus) } else { SecureModularSum::new(modulus) };
    if let Err(error) = make() {
        return Ok(error.into());
    }
    if shape.iter().any(|leaf| leaf.dtype.integer().is_none()) {
        return Ok(Rule::NoElement.into());
    }
    let (clients, data) = clients_or_zeros(case, &shape)?;
    let by_group = |group: &Group| {
        integers!(
            group.dtype,
            T => run(parties, make, &of_group::<T>(&clients, group), 1),
            else unreachable!("integers only")
        )
    };
    let mut found = joined(&shape, by_group)?;
    found.theirs.extend(modular(&clients, &shape, i128::from(modulus), symmetric));
    Ok(if data { found } else { typed(found, &shape) })
}

/// The answer of other implementations, where the sum of residues wraps in the type of the values.
fn modular(clients: &[Tree], shape: &Shape, modulus: i128, symmetric: bool) -> Option<Theirs> {
    let divisor = if symmetric { 2 * modulus - 1 } else { modulus };
    let Theirs::Gives(Answer::Value(sum), why) = super::secure::modular(clients, shape, |_| divisor)? else {
        return None;
    };
    let sum = value::map_integers(&sum, |_, x| if x >= modulus { x - divisor } else { x });
    Some(Theirs::Gives(Answer::Value(sum), why))
}

fn of_group<T: Element>(clients: &[Tree], group: &Group) -> Vec<Tensors<T>> {
    clients.iter().map(|client| group.of(client)).collect()
}

/// One process for each element type. Sums allow this.
fn joined(
    shape: &Shape,
    run: impl Fn(&Group) -> Result<Result<Rounds, Refusal>, String>,
) -> Result<Found, String> {
    let mut leaves: Vec<Option<Tensor>> = vec![None; shape.iter().count()];
    for group in groups(shape) {
        let sum = match run(&group)? {
            Ok(mut rounds) => rounds.remove(0).0,
            Err(refusal) => return Ok(refusal.into()),
        };
        if group.all {
            shape.zip_with(&sum, |_, _| ()).map_err(|error| error.to_string())?;
        }
        for (place, tensor) in group.places.iter().zip(sum.iter()) {
            leaves[*place] = Some(tensor.clone());
        }
    }
    let mut leaves = leaves.into_iter().flatten();
    let sum = shape.as_ref().map(|_| leaves.next().expect("a group for each leaf"));
    Ok(Found::from(Answer::Value(sum)).or_wrapped(shape))
}

/// A bound or a norm: fixed, or with its changes described in words.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    Integer(i128),
    Float(f64),
    /// `starts at 1.0, +1.0 each round`.
    Process {
        start: f64,
        step: f64,
    },
}

impl Bound {
    pub(crate) fn read(case: &Case, field: &str) -> Result<Option<Self>, String> {
        let Some(json) = case.get(field) else { return Ok(None) };
        let words = || {
            let text = json.as_object().filter(|map| map.len() == 1)?.get("process")?.as_str()?;
            let (start, step) =
                text.strip_prefix("starts at ")?.strip_suffix(" each round")?.split_once(", ")?;
            Some(Self::Process { start: start.parse().ok()?, step: step.parse().ok()? })
        };
        let number =
            || value::integer(json).map(Self::Integer).or_else(|| value::float(json).map(Self::Float));
        number().or_else(words).map(Some).ok_or_else(|| format!("not understood: `{field}` is {json}"))
    }

    /// The estimate, of floats.
    pub(crate) fn schedule(self) -> Schedule {
        match self {
            Self::Integer(x) => Schedule::new(move |_| value::to_float(x)),
            Self::Float(x) => Schedule::new(move |_| x),
            Self::Process { start, step } => Schedule::new(move |round| start + step * round as f64),
        }
    }

    /// The same number in every round.
    pub(crate) fn fixed(self) -> cipherfold::federated::Result<Fixed> {
        match self {
            Self::Integer(x) => Fixed::new(value::to_float(x)),
            Self::Float(x) | Self::Process { start: x, .. } => Fixed::new(x),
        }
    }
}

/// `SecureSumFactory`.
pub(crate) fn secure_sum(case: &Case, parties: &Parties) -> Result<Found, String> {
    case.check(&["upper", "lower", "rounds", "expect_measurements"])?;
    let shape = case.type_of()?.member;
    let upper = Bound::read(case, "upper")?.ok_or("not understood: no `upper`")?;
    let lower = Bound::read(case, "lower")?;
    match (lower, upper) {
        (None | Some(Bound::Integer(_)), Bound::Integer(upper)) => {
            let lower = match lower {
                Some(Bound::Integer(lower)) => Some(lower),
                _ => None,
            };
            let make = || match lower {
                Some(lower) => SecureClippingSum::integers(lower, upper),
                None => SecureClippingSum::integers_up_to(upper),
            };
            of_integers(case, parties, &shape, make, lower == Some(upper))
        }
        (Some(Bound::Integer(_)), _) | (_, Bound::Integer(_)) => Ok(Rule::BoundsOfTwoTypes.into()),
        (None, Bound::Float(upper)) => {
            of_floats(case, parties, &shape, || SecureClippingSum::floats_up_to(upper), None)
        }
        (None, process @ Bound::Process { .. }) => {
            of_floats(case, parties, &shape, || Ok(SecureClippingSum::adaptive(process.schedule())), None)
        }
        (Some(Bound::Float(lower)), Bound::Float(upper)) => {
            let equal = (lower == upper).then_some(EQUAL);
            of_floats(case, parties, &shape, || SecureClippingSum::floats(lower, upper), equal)
        }
        (Some(lower), upper) => {
            let both = matches!((lower, upper), (Bound::Process { .. }, Bound::Process { .. }));
            let mixed = Theirs::Refuses(&["TypeError"], "a fixed bound is an estimate like others, here");
            let mixed = (!both).then_some(mixed);
            let make = || {
                Ok(SecureClippingSum::adaptive_between(Bounds {
                    lower: lower.schedule(),
                    upper: upper.schedule(),
                }))
            };
            of_floats(case, parties, &shape, make, mixed)
        }
    }
}

/// The rule that refuses these element types if all must be of one kind.
fn elements(shape: &Shape, fits: impl Fn(Dtype) -> bool) -> Option<Rule> {
    let mut dtypes = shape.iter().map(|leaf| leaf.dtype);
    let first = dtypes.next()?;
    if dtypes.any(|dtype| dtype != first) {
        return Some(Rule::ManyElementTypes);
    }
    let known = first.integer().is_some() || matches!(first, Dtype::F32 | Dtype::F64);
    match (known, fits(first)) {
        (false, _) => Some(Rule::NoElement),
        (true, false) => Some(Rule::BoundsOfOtherType),
        (true, true) => None,
    }
}

fn of_integers(
    case: &Case,
    parties: &Parties,
    shape: &Shape,
    make: impl Fn() -> cipherfold::federated::Result<SecureClippingSum<IntegerRange>> + Copy,
    equal: bool,
) -> Result<Found, String> {
    if let Err(error) = make() {
        return Ok(error.into());
    }
    if let Some(rule) = elements(shape, |dtype| dtype.integer().is_some()) {
        return Ok(rule.into());
    }
    let (clients, data) = clients_or_zeros(case, shape)?;
    let group = groups(shape).remove(0);
    let sums = integers!(
        group.dtype,
        T => run(parties, make, &of_group::<T>(&clients, &group), rounds(case)?)?,
        else unreachable!("integers only")
    );
    let mut found = found(case, sums).or_wrapped(shape);
    found.theirs.extend(equal.then_some(EQUAL));
    Ok(if data { found } else { typed(found, shape) })
}

fn of_floats<B>(
    case: &Case,
    parties: &Parties,
    shape: &Shape,
    make: impl Fn() -> cipherfold::federated::Result<SecureClippingSum<B>> + Copy,
    refused: Option<Theirs>,
) -> Result<Found, String>
where
    SecureClippingSum<B>: AggregationFactory<Tensors<f32>, Result = Tensors<f32>>
        + AggregationFactory<Tensors<f64>, Result = Tensors<f64>>,
{
    if let Err(error) = make() {
        return Ok(error.into());
    }
    if let Some(rule) = elements(shape, Dtype::is_float) {
        return Ok(rule.into());
    }
    let (clients, data) = clients_or_zeros(case, shape)?;
    let group = groups(shape).remove(0);
    let sums = floats!(
        group.dtype,
        T => run(parties, make, &of_group::<T>(&clients, &group), rounds(case)?)?,
        else unreachable!("these two only")
    );
    let mut found = found(case, sums);
    found.theirs.extend(refused);
    Ok(if data { found } else { typed(found, shape) })
}

/// `ModularClippingSumFactory`, over a secure sum.
pub(crate) fn modular_clipping_sum(case: &Case, parties: &Parties) -> Result<Found, String> {
    case.check(&["lower", "upper"])?;
    let shape = case.type_of()?.member;
    let bound = |field| case.need(field).map(value::integer);
    let (Some(lower), Some(upper)) = (bound("lower")?, bound("upper")?) else {
        return Ok(Rule::ParameterType.into());
    };
    let wide = (upper - lower > i32::MAX.into()).then_some(Theirs::Refuses(
        &["ValueError"],
        "integers are wide enough here, so that sums of wide ranges do not overflow",
    ));
    let (Ok(lower), Ok(upper)) = (i64::try_from(lower), i64::try_from(upper)) else {
        return Ok(Rule::ParameterType.into());
    };
    let make = || {
        // An empty range is refused as a modular range, before there is a sum over it.
        ModularClippingSum::new(lower, upper, ())?;
        ModularClippingSum::new(lower, upper, SecureClippingSum::integers(lower, upper - 1)?)
    };
    if let Err(error) = make() {
        return Ok(error.into());
    }
    if shape.iter().any(|leaf| leaf.dtype.integer().is_none()) {
        return Ok(Rule::NoElement.into());
    }
    let (clients, data) = clients_or_zeros(case, &shape)?;
    let by_group = |group: &Group| {
        integers!(
            group.dtype,
            T => run(parties, make, &of_group::<T>(&clients, group), 1),
            else unreachable!("integers only")
        )
    };
    let mut found = joined(&shape, by_group)?;
    found.theirs.extend(wide);
    // In other implementations, the sum of the clients' wrapped values wraps again, in the type of
    // the values.
    let (min, width) = (i128::from(lower), i128::from(upper) - i128::from(lower));
    let clip = |tree: &Tree| value::map_integers(tree, |_, x| min + (x - min).rem_euclid(width));
    let clipped: Vec<Tree> = clients.iter().map(clip).collect();
    let sum = value::total(&clipped).map(|sum| clip(&value::wrapped(&sum, &shape)));
    found.theirs.extend(sum.map(|sum| Theirs::Gives(Answer::Value(sum), WRAPS)));
    Ok(if data { found } else { typed(found, &shape) })
}

/// `DistributedDpSumFactory`.
pub(crate) fn distributed_sum(case: &Case) -> Result<Replayed, String> {
    case.check(&["params"])?;
    let shape = case.type_of()?.member;
    let params = case.need("params")?.as_object().ok_or("not understood: parameters without names")?;
    let (clients, data) = clients_or_zeros(case, &shape)?;
    let dimension = clients.first().map_or(0, |client| client.iter().map(Tensor::len).sum());
    let mut parameters = DistributedParameters {
        noise_multiplier: 1.0,
        clients: 100,
        dimension,
        ..DistributedParameters::DEFAULTS
    };
    for (name, json) in params {
        let float = || value::float(json).ok_or(Rule::ParameterType);
        let count = || {
            let count = value::integer(json).ok_or(Rule::ParameterType)?;
            u32::try_from(count).map_err(|_| Rule::Sign)
        };
        let variant = |known: &str, others: &[&str]| match json.as_str() {
            None => Err(Rule::ParameterType),
            Some(text) if text == known => Ok(None),
            Some(text) if others.contains(&text) => Ok(Some(format!("there is no `{text}`, only `{known}`"))),
            Some(_) => Err(Rule::NoSuchVariant),
        };
        let mut missing = None;
        let read = match name.as_str() {
            "noise_multiplier" => float().map(|x| parameters.noise_multiplier = x),
            "l2_clip" => float().map(|x| parameters.clip = x),
            "modclip_prob" => float().map(|x| parameters.modclip_prob = x),
            "beta" => float().map(|x| parameters.beta = x),
            "bits" => count().map(|x| parameters.bits = x),
            "expected_clients_per_round" => count().map(|x| parameters.clients = x),
            "mechanism" => {
                variant("distributed_dgauss", &["distributed_dskellam"]).map(|found| missing = found)
            }
            "rotation_type" => variant("hd", &["dft"]).map(|found| missing = found),
            other => return Err(format!("not understood: the parameter `{other}`")),
        };
        match (read, missing) {
            (Err(rule), _) => return Ok(Found::from(rule).into()),
            (_, Some(reason)) => return Ok(Replayed::NoMeaning(reason)),
            _ => {}
        }
    }
    if let Some(rule) = elements(&shape, Dtype::is_float) {
        return Ok(Found::from(rule).into());
    }
    // Both executors draw the same noise if they start equally.
    let parties = Settings::default().build().map_err(|error| error.to_string())?;
    let group = groups(&shape).remove(0);
    let sums = floats!(
        group.dtype,
        T => {
            let clients = of_group::<T>(&clients, &group);
            let Some(template) = clients.first().cloned() else {
                return Ok(Found::from(Error::NoClients).into());
            };
            run(&parties, || DistributedDpSum::new(template.clone(), parameters), &clients, 1)?
        },
        else unreachable!("these two only")
    );
    let found = found(case, sums);
    Ok(if data { found } else { typed(found, &shape) }.into())
}

const EQUAL: Theirs = Theirs::Refuses(&["ValueError"], "a range of one number is good here");

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn processes_are_understood_in_words() {
        let read = |bound: Json| {
            let case = json!([{"id": "a", "op": "x", "upper": bound}]).to_string();
            Bound::read(&Case::read_all(&case).unwrap()[0], "upper")
        };
        assert_eq!(read(json!(null)), Ok(None));
        assert_eq!(read(json!(2)), Ok(Some(Bound::Integer(2))));
        assert_eq!(read(json!(2.0)), Ok(Some(Bound::Float(2.0))));
        let process = |text: &str| read(json!({"process": text}));
        let expected = Bound::Process { start: -1.0, step: -0.5 };
        assert_eq!(process("starts at -1.0, -0.5 each round"), Ok(Some(expected)));
        let expected = Bound::Process { start: 10.0, step: 2.0 };
        assert_eq!(process("starts at 10, +2 each round"), Ok(Some(expected)));
        for unknown in ["starts at 1.0", "doubles each round", "starts at one, +1.0 each round"] {
            assert!(process(unknown).is_err(), "{unknown}");
        }
    }
}
