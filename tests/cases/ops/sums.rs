//! Aggregations that are sums: modulo a number, between bounds, wrapped into a range, with noise.

use core::num::NonZeroUsize;

use cipherfold::{
    federated::aggregation::{
        AggregationFactory, Bounds, DistributedDpSum, ModularClippingSum, SecureClippingSum, SecureModularSum,
    },
    packing::IntegerRange,
    privacy::DistributedParameters,
};
use serde_json::Map;
use static_assertions::{assert_impl_all, assert_not_impl_any};

use super::{
    prelude::*,
    rounds::{self, Bound, run_unweighted},
    secure::{integer, unsigned, wrapped_residues},
};

// The types behind `Rule::NoElement` and `Rule::BoundsOfOtherType`.
assert_not_impl_any!(SecureModularSum: AggregationFactory<f32>, AggregationFactory<f64>, AggregationFactory<bool>);
assert_not_impl_any!(SecureClippingSum<IntegerRange>: AggregationFactory<f32>, AggregationFactory<f64>, AggregationFactory<bool>);
assert_impl_all!(SecureClippingSum<IntegerRange>: AggregationFactory<Tensors<i32>>, AggregationFactory<Tensors<u64>>);
assert_not_impl_any!(ModularClippingSum<SecureClippingSum<IntegerRange>>: AggregationFactory<f32>, AggregationFactory<f64>);

/// `SecureModularSumFactory`.
pub fn modular(case: &Case, parties: &Parties) -> Result<Found, Stop> {
    let (modulus, symmetric): (Json, Option<Json>) = case.fields(&["modulus"], &["symmetric_range"])?;
    let shape = case.member()?;
    let symmetric = symmetric.map_or(Some(false), |json| json.as_bool()).ok_or(Rule::ParameterType)?;
    let modulus: u64 = unsigned(integer(&modulus)?)?;
    let make = || -> Result<_, Error> {
        Ok(if symmetric { SecureModularSum::symmetric(modulus)? } else { SecureModularSum::new(modulus)? })
    };
    make()?;
    let clients = case.clients_or_zeros()?;
    let sum = value::each_leaf(shape, &clients, |_, dtype, clients| {
        with_type!(integers dtype, T => {
            let rounds = run_unweighted(parties, make, &value::arrays::<T>(clients), None);
            Ok(rounds?.remove(0).0)
        })
    })?;
    let modulus = i128::from(modulus);
    let divisor = if symmetric { 2 * modulus - 1 } else { modulus };
    let residues = wrapped_residues(&clients, shape, |_| divisor);
    let centred = |sum| value::map_integers(&sum, |_, x| if x >= modulus { x - divisor } else { x });
    Ok(Found::from(sum).or(residues.map(|sum| Difference::gives(centred(sum), WRAPS))))
}

/// The common element type of a value, if it is one of those that an aggregation takes.
fn element_type(shape: &Shape, takes: fn(Dtype) -> bool) -> Result<Dtype, Rule> {
    match value::one_dtype(shape) {
        Some(dtype) if takes(dtype) => Ok(dtype),
        Some(dtype) if dtype.is_integer() || dtype.is_real() => Err(Rule::BoundsOfOtherType),
        None if shape.iter().count() > 1 => Err(Rule::ManyElementTypes),
        _ => Err(Rule::NoElement),
    }
}

/// `SecureSumFactory`.
pub fn secure(case: &Case, parties: &Parties) -> Result<Found, Stop> {
    let (upper, lower, rounds): (Bound, Option<Bound>, Option<NonZeroUsize>) =
        case.fields(&["upper"], &["lower", "rounds"])?;
    let shape = case.member()?;
    let clients = case.clients_or_zeros()?;
    /// The rounds of a sum over integers, or over floating-point numbers.
    macro_rules! sum {
        ($family:ident, $is_of_family:path, $make:expr) => {{
            let make = || Ok::<_, Error>($make);
            make()?;
            let dtype = element_type(shape, $is_of_family)?;
            with_type!($family dtype, T => run_unweighted(parties, make, &value::arrays::<T>(&clients), rounds))
        }};
        (integers $make:expr) => { sum!(integers, Dtype::is_integer, $make) };
        (floats $make:expr) => { sum!(floats, Dtype::is_real, $make) };
    }
    let sums = match (lower, upper) {
        (None, Bound::Integer(upper)) => sum!(integers SecureClippingSum::integers_up_to(upper)?),
        (Some(Bound::Integer(lower)), Bound::Integer(upper)) => {
            sum!(integers SecureClippingSum::integers(lower, upper)?)
        }
        (Some(Bound::Integer(_)), _) | (_, Bound::Integer(_)) => Err(Rule::BoundsOfTwoTypes.into()),
        (None, Bound::Float(upper)) => sum!(floats SecureClippingSum::floats_up_to(upper)?),
        (None, upper) => sum!(floats SecureClippingSum::adaptive(upper.schedule())),
        (Some(Bound::Float(lower)), Bound::Float(upper)) => {
            sum!(floats SecureClippingSum::floats(lower, upper)?)
        }
        (Some(lower), upper) => sum!(floats {
            let bounds = Bounds { lower: lower.schedule(), upper: upper.schedule() };
            SecureClippingSum::adaptive_between(bounds)
        }),
    };
    let differs = lower.and_then(|lower| match (lower.is_process(), upper.is_process()) {
        (false, false) if lower == upper => {
            Some(Difference::refuses(&["ValueError"], "this crate allows a range of one number"))
        }
        (true, false) | (false, true) => {
            Some(Difference::refuses(&["TypeError"], "in this crate, a fixed bound is an estimate"))
        }
        _ => None,
    });
    Ok(rounds::found(answered(sums)?, rounds).or(differs))
}

/// `ModularClippingSumFactory`, over a secure sum.
pub fn modular_clipping(case: &Case, parties: &Parties) -> Result<Found, Stop> {
    let bounds: [Json; 2] = case.fields(&["lower", "upper"], &[])?;
    let shape = case.member()?;
    let (lower, upper) = (integer(&bounds[0])?, integer(&bounds[1])?);
    let is_wide = upper - lower > i32::MAX.into();
    let wide = is_wide.then(|| Difference::refuses(&["ValueError"], WIDE_ENOUGH));
    let bound = |x: i128| i64::try_from(x).map_err(|_| Rule::ParameterType);
    let (least, end) = (bound(lower)?, bound(upper)?);
    let make = || {
        // An empty range is refused as a modular range, before there is a sum over it.
        ModularClippingSum::new(least, end, ())?;
        ModularClippingSum::new(least, end, SecureClippingSum::integers(least, end - 1)?)
    };
    make()?;
    let clients = case.clients_or_zeros()?;
    let sum = value::each_leaf(shape, &clients, |_, dtype, clients| {
        with_type!(integers dtype, T => {
            let rounds = run_unweighted(parties, make, &value::arrays::<T>(clients), None);
            Ok(rounds?.remove(0).0)
        })
    })?;
    // In other implementations, the sum of the clients' wrapped values wraps again, in the type of
    // the values.
    let clip = |tree: &Tree| value::map_integers(tree, |_, x| lower + (x - lower).rem_euclid(upper - lower));
    let total = value::total(&clients.iter().map(clip).collect::<Vec<_>>());
    let clipped = total.map(|sum| Difference::gives(clip(&value::wrapped(&sum, shape)), WRAPS));
    Ok(Found::from(sum).or(wide).or(clipped))
}

/// `DistributedDpSumFactory`.
pub fn distributed(case: &Case, _: &Parties) -> Result<Found, Stop> {
    let (params,): (Map<String, Json>,) = case.fields(&["params"], &[])?;
    let clients = case.clients_or_zeros()?;
    let parameters = parameters(&params, value::numbers(&clients[..clients.len().min(1)]).count())?;
    let dtype = element_type(case.member()?, Dtype::is_real)?;
    // Both executors draw the same noise if they start equally.
    let parties = Parties::of(None)?;
    let rounds = with_type!(floats dtype, T => {
        let clients = value::arrays::<T>(&clients);
        let template = clients.first().ok_or(Error::NoClients)?;
        run_unweighted(&parties, || DistributedDpSum::new(template.clone(), parameters), &clients, None)
    });
    Ok(rounds::found(answered(rounds)?, None))
}

fn parameters(params: &Map<String, Json>, dimension: usize) -> Result<DistributedParameters, Stop> {
    let defaults = DistributedParameters::DEFAULTS;
    let mut found = DistributedParameters { noise_multiplier: 1.0, clients: 100, dimension, ..defaults };
    for (name, json) in params {
        let float = || real(json).map_err(|_| Rule::ParameterType);
        let count = || integer(json).and_then(unsigned);
        let variant = |known: &str, other: &str| match json.as_str() {
            None => Err(Rule::ParameterType.into()),
            Some(text) if text == known => Ok(()),
            Some(text) if text == other => {
                Err(Stop::NoMeaning(format!("there is no `{other}`, only `{known}`")))
            }
            Some(_) => Err(Rule::NoSuchVariant.into()),
        };
        match name.as_str() {
            "noise_multiplier" => found.noise_multiplier = float()?,
            "l2_clip" => found.clip = float()?,
            "modclip_prob" => found.modclip_prob = float()?,
            "beta" => found.beta = float()?,
            "bits" => found.bits = count()?,
            "expected_clients_per_round" => found.clients = count()?,
            "mechanism" => variant("distributed_dgauss", "distributed_dskellam")?,
            "rotation_type" => variant("hd", "dft")?,
            other => return Err(not_understood(format!("the parameter `{other}`"))),
        }
    }
    Ok(found)
}

const WIDE_ENOUGH: &str = "integers are wide enough here, so that sums of wide ranges do not overflow";
