//! Means, and clipping or zeroing before a sum or a mean, over sums in the clear.
//!
//! `tests/aggregations` replays the same cases over secure sums.

use cipherfold::federated::aggregation::{
    AggregationFactory, Clipping, Mean, NormOrder, Sum, UnweightedMean, WeightedAggregationFactory, Zeroing,
};
use static_assertions::assert_not_impl_any;

use super::{
    combine::{mean_of, not_a_number},
    prelude::*,
    rounds::{self, Bound, run, run_weighted},
};

// The type behind `Rule::NoElement`.
assert_not_impl_any!(Mean: WeightedAggregationFactory<i32>, WeightedAggregationFactory<i64>, WeightedAggregationFactory<bool>);
assert_not_impl_any!(UnweightedMean: AggregationFactory<i32>, AggregationFactory<i64>, AggregationFactory<bool>);

/// The step before a sum or a mean, with its norm.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Limit {
    Nothing,
    Clipping(Bound),
    Zeroing(Bound, NormOrder),
}

/// Runs an aggregation after the first step, whose type depends on the step and on its norm.
macro_rules! limited {
    ($limit:expr, $last:expr, $make:ident => $run:expr) => {{
        let last = made($last);
        match $limit {
            Limit::Nothing => limited!($make = last, $run),
            Limit::Clipping(norm) if norm.is_process() => {
                limited!($make = || Ok(Clipping::new(norm.schedule(), last()?)), $run)
            }
            Limit::Clipping(norm) => limited!($make = || Ok(Clipping::new(norm.fixed()?, last()?)), $run),
            Limit::Zeroing(norm, order) if norm.is_process() => {
                limited!($make = || Ok(Zeroing::new(norm.schedule(), order, last()?)), $run)
            }
            Limit::Zeroing(norm, order) => {
                limited!($make = || Ok(Zeroing::new(norm.fixed()?, order, last()?)), $run)
            }
        }
    }};
    ($make:ident = $value:expr, $run:expr) => {{
        let $make = $value;
        $run
    }};
}

/// `MeanFactory`, `UnweightedMeanFactory`, `clipping_factory+…`, `zeroing_factory+…`.
pub fn replay(case: &Case, parties: &Parties) -> Result<Found, Stop> {
    let (clip, norm, norm_order): (Option<Bound>, Option<Bound>, Option<Json>);
    let (stated, no_nan_division, stated_rounds): (Option<Vec<Json>>, Option<bool>, Option<usize>);
    (clip, norm, norm_order, stated, no_nan_division, stated_rounds) =
        case.fields(&[], &["clip", "norm", "norm_order", "weights", "no_nan_division", "rounds"])?;
    let needed = |norm: Option<Bound>| norm.ok_or_else(|| not_understood("no norm"));
    let (limit, last) = case.op.split_once('+').unwrap_or(("", &case.op));
    let limit = match limit {
        "clipping_factory" => Limit::Clipping(needed(clip)?),
        "zeroing_factory" => Limit::Zeroing(needed(norm)?, order(norm_order.as_ref())?),
        _ => Limit::Nothing,
    };
    let is_mean = !matches!(last, "sum" | "UnweightedMeanFactory");
    let shape = case.member()?;
    if !shape.iter().all(|leaf| leaf.dtype.is_real()) {
        return Err(Rule::NoElement.into());
    }
    // One element type for a whole structure: the wider one, if there are two.
    let wide = shape.iter().any(|leaf| leaf.dtype == Dtype::Float64);
    let dtype = if wide { Dtype::Float64 } else { Dtype::Float32 };
    let as_type = |client: Tree| client.map(|tensor| Tensor { dtype, ..tensor });
    let clients: Vec<Tree> = case.clients_or_zeros()?.into_iter().map(as_type).collect();

    let weights: Vec<f64> = match stated {
        Some(weights) if is_mean => weights.iter().map(real).collect::<Result<_, _>>()?,
        Some(_) => return Err(not_understood("weights of an aggregation that has none")),
        None if is_mean && case.clients.is_some() => return Err(not_understood("no `weights`")),
        None => vec![1.0; clients.len()],
    };
    let rounds = rounds::number(stated_rounds)?;
    let results = answered(with_type!(floats dtype, T => {
        let clients = value::arrays::<T>(&clients);
        let mean = || {
            let mean = Mean::default();
            Ok(if no_nan_division == Some(true) { mean.no_nan_division() } else { mean })
        };
        match last {
            "sum" => limited!(limit, || Ok(Sum), make => run(parties, make, &clients, rounds)),
            "UnweightedMeanFactory" => {
                limited!(limit, || Ok(UnweightedMean::default()), make => run(parties, make, &clients, rounds))
            }
            _ => limited!(limit, mean, make => run_weighted(parties, make, (&clients, &weights), rounds)),
        }
    }))?;
    let refusal = results.as_ref().err();
    let has_no_mean = not_a_number(refusal, &clients, &weights);
    let is_negative = refusal.and_then(Refusal::root) == Some(Error::Tensor(tensor::Error::Weight))
        && limit == Limit::Nothing;
    let signed = if is_negative { mean_of(&clients, &weights) } else { None };
    rounds::found(results, stated_rounds)
        .or(signed.map(|mean| Difference::gives(mean, "this crate refuses a negative weight at its client")))
        .or(has_no_mean)
        .type_if_no_data(case)
}

fn order(stated: Option<&Json>) -> Result<NormOrder, Stop> {
    match stated.map(real).transpose()? {
        None | Some(f64::INFINITY) => Ok(NormOrder::LInf),
        Some(2.0) => Ok(NormOrder::L2),
        Some(order) => Err(Stop::NoMeaning(format!("norms are of order 2 or infinity here, not {order}"))),
    }
}

/// The same function, with the crate's type of errors.
fn made<A>(make: impl Fn() -> federated::Result<A>) -> impl Fn() -> federated::Result<A> {
    make
}
