//! Aggregations that are sums: modulo a number, between bounds, wrapped into a range, with noise.

use cipherfold::{
    federated::aggregation::{
        AggregationFactory, Bounds, DistributedDpSum, FloatBounds, ModularClippingSum, SecureClippingSum,
        SecureModularSum,
    },
    packing::IntegerRange,
    privacy::DistributedParameters,
};
use serde::Deserialize;
use static_assertions::{assert_impl_all, assert_not_impl_any};

use super::{
    bound::Bound,
    prelude::*,
    rounds::{self, Rounds, element_type, run},
    secure::{unsigned, wrapped_residues},
};

// The types behind `Rule::NoElement` and `Rule::BoundsOfOtherType`.
assert_not_impl_any!(SecureModularSum: AggregationFactory<f32>, AggregationFactory<f64>, AggregationFactory<bool>);
assert_not_impl_any!(SecureClippingSum<IntegerRange>: AggregationFactory<f32>, AggregationFactory<f64>, AggregationFactory<bool>);
assert_impl_all!(SecureClippingSum<IntegerRange>: AggregationFactory<Tensors<i32>>, AggregationFactory<Tensors<u64>>);
assert_not_impl_any!(ModularClippingSum<SecureClippingSum<IntegerRange>>: AggregationFactory<f32>, AggregationFactory<f64>);

/// `SecureModularSumFactory`.
pub fn modular(case: &Case, parties: &Parties) -> Result<Found, Stop> {
    let (modulus, symmetric): (Json, Option<Json>) = case.fields(&["modulus", "symmetric_range"])?;
    let symmetric = match symmetric {
        None => false,
        Some(Json::Bool(symmetric)) => symmetric,
        Some(_) => return Err(Rule::ParameterType.into()),
    };
    let modulus: u64 = unsigned(integer(&modulus)?)?;
    let make =
        || if symmetric { SecureModularSum::symmetric(modulus) } else { SecureModularSum::new(modulus) };
    make()?;
    let clients = case.clients_or_zeros()?;
    let found = by_part(
        case,
        |part| with_type!(integers part.dtype, T => run(parties, make, &part.of_each::<T>(&clients), 1)),
    )?;
    let modulus = i128::from(modulus);
    let divisor = if symmetric { 2 * modulus - 1 } else { modulus };
    let residues = wrapped_residues(&clients, case.member()?, |_| divisor);
    let sum =
        residues.map(|sum| value::map_integers(&sum, |_, x| if x >= modulus { x - divisor } else { x }));
    found.or(sum.map(|sum| Theirs::Gives(Answer::Value(sum), WRAPS))).type_if_no_data(case)
}

/// An integer of any size.
fn integer(json: &Json) -> Result<i128, Rule> {
    Number::read(json).and_then(Number::integer).ok_or(Rule::ParameterType)
}

/// An aggregation of one round over integers: one process for each part.
fn by_part(case: &Case, sum: impl Fn(Part) -> Result<Rounds, Stop>) -> Result<Found, Stop> {
    let shape = case.member()?;
    let parts = parts(shape);
    let sums = parts.iter().map(|part| Ok(sum(*part)?.remove(0).0)).collect::<Result<Vec<_>, Stop>>();
    let sum = answered(sums.and_then(|sums| joined(shape, &parts, &sums)))?;
    Ok(Found::from(sum.map(Answer::Value)).or_wrapped(shape))
}

/// `SecureSumFactory`.
pub fn secure(case: &Case, parties: &Parties) -> Result<Found, Stop> {
    let (lower, upper, rounds): (Option<Bound>, Bound, Option<usize>) =
        case.fields(&["lower", "upper", "rounds"])?;
    let run = Run { case, parties, rounds: rounds::number(rounds)? };
    let sums = answered(match (lower, upper) {
        (None, Bound::Integer(upper)) => run.integers(|| SecureClippingSum::integers_up_to(upper)),
        (Some(Bound::Integer(lower)), Bound::Integer(upper)) => {
            run.integers(|| SecureClippingSum::integers(lower, upper))
        }
        (Some(Bound::Integer(_)), _) | (_, Bound::Integer(_)) => Err(Rule::BoundsOfTwoTypes.into()),
        (None, Bound::Float(upper)) => run.floats(|| SecureClippingSum::floats_up_to(upper)),
        (None, upper) => run.floats(|| Ok(SecureClippingSum::adaptive(upper.schedule()))),
        (Some(Bound::Float(lower)), Bound::Float(upper)) => {
            run.floats(|| SecureClippingSum::floats(lower, upper))
        }
        (Some(lower), upper) => run.floats(|| {
            Ok(SecureClippingSum::adaptive_between(Bounds {
                lower: lower.schedule(),
                upper: upper.schedule(),
            }))
        }),
    })?;
    let differs = lower.and_then(|lower| match (lower.is_process(), upper.is_process()) {
        (false, false) if lower == upper => {
            Some(Theirs::Refuses(&["ValueError"], "a range of one number is good here"))
        }
        (true, false) | (false, true) => {
            Some(Theirs::Refuses(&["TypeError"], "a fixed bound is an estimate like others, here"))
        }
        _ => None,
    });
    rounds::found(sums, rounds).or_wrapped(case.member()?).or(differs).type_if_no_data(case)
}

/// A run of a secure sum between bounds.
struct Run<'r> {
    case: &'r Case,
    parties: &'r Parties,
    rounds: usize,
}

impl Run<'_> {
    fn integers(
        &self,
        make: impl Fn() -> federated::Result<SecureClippingSum<IntegerRange>>,
    ) -> Result<Rounds, Stop> {
        make()?;
        let clients = self.case.clients_or_zeros()?;
        let dtype = element_type(self.case.member()?, Dtype::is_integer)?;
        with_type!(integers dtype, T => run(self.parties, make, &arrays::<T>(&clients), self.rounds))
    }

    fn floats<B: FloatBounds>(
        &self,
        make: impl Fn() -> federated::Result<SecureClippingSum<B>>,
    ) -> Result<Rounds, Stop> {
        make()?;
        let clients = self.case.clients_or_zeros()?;
        let dtype = element_type(self.case.member()?, Dtype::is_real)?;
        with_type!(floats dtype, T => run(self.parties, make, &arrays::<T>(&clients), self.rounds))
    }
}

/// `ModularClippingSumFactory`, over a secure sum.
pub fn modular_clipping(case: &Case, parties: &Parties) -> Result<Found, Stop> {
    let (lower, upper): (Json, Json) = case.fields(&["lower", "upper"])?;
    let (lower, upper) = (integer(&lower)?, integer(&upper)?);
    let wide = (upper - lower > i32::MAX.into()).then_some(Theirs::Refuses(
        &["ValueError"],
        "integers are wide enough here, so that sums of wide ranges do not overflow",
    ));
    let bound = |x: i128| i64::try_from(x).map_err(|_| Rule::ParameterType);
    let [least, end] = [bound(lower)?, bound(upper)?];
    let make = || {
        // An empty range is refused as a modular range, before there is a sum over it.
        ModularClippingSum::new(least, end, ())?;
        ModularClippingSum::new(least, end, SecureClippingSum::integers(least, end - 1)?)
    };
    make()?;
    let clients = case.clients_or_zeros()?;
    let found = by_part(
        case,
        |part| with_type!(integers part.dtype, T => run(parties, make, &part.of_each::<T>(&clients), 1)),
    )?;
    // In other implementations, the sum of the clients' wrapped values wraps again, in the type of
    // the values.
    let clip = |tree: &Tree| value::map_integers(tree, |_, x| lower + (x - lower).rem_euclid(upper - lower));
    let total = value::total(&clients.iter().map(clip).collect::<Vec<_>>());
    let shape = case.member()?;
    let sum = total.map(|sum| Theirs::Gives(Answer::Value(clip(&value::wrapped(&sum, shape))), WRAPS));
    found.or(wide).or(sum).type_if_no_data(case)
}

/// The parameters of `DistributedDpSumFactory`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    noise_multiplier: Option<Json>,
    l2_clip: Option<Json>,
    modclip_prob: Option<Json>,
    beta: Option<Json>,
    bits: Option<Json>,
    expected_clients_per_round: Option<Json>,
    mechanism: Option<Json>,
    rotation_type: Option<Json>,
}

impl Params {
    fn read(&self, dimension: usize) -> Result<DistributedParameters, Stop> {
        let float = |json: &Option<Json>, default| match json {
            None => Ok(default),
            Some(json) => Real::try_from(json.clone()).map(|x| x.0).map_err(|_| Rule::ParameterType),
        };
        let count = |json: &Option<Json>, default| match json {
            None => Ok(default),
            Some(json) => unsigned(integer(json)?),
        };
        let defaults = DistributedParameters::DEFAULTS;
        variant(self.mechanism.as_ref(), "distributed_dgauss", "distributed_dskellam")?;
        variant(self.rotation_type.as_ref(), "hd", "dft")?;
        Ok(DistributedParameters {
            noise_multiplier: float(&self.noise_multiplier, 1.0)?,
            clip: float(&self.l2_clip, defaults.clip)?,
            modclip_prob: float(&self.modclip_prob, defaults.modclip_prob)?,
            beta: float(&self.beta, defaults.beta)?,
            bits: count(&self.bits, defaults.bits)?,
            clients: count(&self.expected_clients_per_round, 100)?,
            dimension,
            ..defaults
        })
    }
}

/// Checks that a variant is the one that the crate has.
fn variant(stated: Option<&Json>, ours: &str, other: &str) -> Result<(), Stop> {
    let Some(json) = stated else { return Ok(()) };
    match json.as_str() {
        None => Err(Rule::ParameterType.into()),
        Some(text) if text == ours => Ok(()),
        Some(text) if text == other => Err(Stop::NoMeaning(format!("there is no `{other}`, only `{ours}`"))),
        Some(_) => Err(Rule::NoSuchVariant.into()),
    }
}

/// `DistributedDpSumFactory`.
pub fn distributed(case: &Case, _: &Parties) -> Result<Found, Stop> {
    let (params,): (Params,) = case.fields(&["params"])?;
    let clients = case.clients_or_zeros()?;
    let dimension =
        clients.first().map_or(0, |client| client.iter().map(|tensor| tensor.elements.len()).sum());
    let parameters = params.read(dimension)?;
    let dtype = element_type(case.member()?, Dtype::is_real)?;
    // Both executors draw the same noise if they start equally.
    let parties = Settings::default().build()?;
    let rounds = with_type!(floats dtype, T => {
        let clients = arrays::<T>(&clients);
        let template = clients.first().ok_or(Error::NoClients)?;
        run(&parties, || DistributedDpSum::new(template.clone(), parameters), &clients, 1)
    });
    rounds::found(answered(rounds)?, None).type_if_no_data(case)
}
