//! Means, and clipping or zeroing before a sum or a mean, over sums in the clear.
//!
//! `tests/aggregations` replays the same cases over secure sums.

use core::num::NonZeroUsize;

use cipherfold::federated::aggregation::{
    AggregationFactory, Clipping, Floats, IgnoringWeights, Mean, NormOrder, Sum, UnweightedMean,
    WeightedAggregationFactory, Zeroing,
};
use static_assertions::assert_not_impl_any;

use super::{
    combine::{mean_of, not_a_number},
    prelude::*,
    rounds::{self, Bound, Rounds, run},
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

/// The rounds of an aggregation after the first step.
fn run_limited<T: Floats + 'static, A, R: Element>(
    parties: &Parties,
    limit: Limit,
    last: impl Fn() -> federated::Result<A>,
    clients: (&[T], &[f64]),
    rounds: Option<NonZeroUsize>,
) -> Result<Rounds, Stop>
where
    A: WeightedAggregationFactory<T, Result = Tensors<R>>,
{
    match limit {
        Limit::Nothing => run(parties, last, clients, rounds),
        Limit::Clipping(norm) if norm.is_process() => {
            run(parties, || Ok(Clipping::new(norm.schedule(), last()?)), clients, rounds)
        }
        Limit::Clipping(norm) => run(parties, || Ok(Clipping::new(norm.fixed()?, last()?)), clients, rounds),
        Limit::Zeroing(norm, order) if norm.is_process() => {
            run(parties, || Ok(Zeroing::new(norm.schedule(), order, last()?)), clients, rounds)
        }
        Limit::Zeroing(norm, order) => {
            run(parties, || Ok(Zeroing::new(norm.fixed()?, order, last()?)), clients, rounds)
        }
    }
}

/// `MeanFactory`, `UnweightedMeanFactory`, `clipping_factory+…`, `zeroing_factory+…`.
pub fn replay(case: &Case, parties: &Parties) -> Result<Found, Stop> {
    let (clip, norm, norm_order): (Option<Bound>, Option<Bound>, Option<Json>);
    let (stated, no_nan_division, rounds): (Option<Vec<Json>>, Option<bool>, Option<NonZeroUsize>);
    (clip, norm, norm_order, stated, no_nan_division, rounds) =
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
    let results = answered(with_type!(floats dtype, T => {
        let clients = value::arrays::<T>(&clients);
        let clients = (&clients[..], &weights[..]);
        match last {
            "sum" => run_limited(parties, limit, || Ok(IgnoringWeights(Sum)), clients, rounds),
            "UnweightedMeanFactory" => {
                let mean = || Ok(IgnoringWeights(UnweightedMean::default()));
                run_limited(parties, limit, mean, clients, rounds)
            }
            _ if no_nan_division == Some(true) => {
                run_limited(parties, limit, || Ok(Mean::default().no_nan_division()), clients, rounds)
            }
            _ => run_limited(parties, limit, || Ok(Mean::default()), clients, rounds),
        }
    }))?;
    let refusal = results.as_ref().err();
    let has_no_mean = not_a_number(refusal, &clients, &weights);
    let is_negative = refusal.and_then(Refusal::root) == Some(Error::Tensor(tensor::Error::Weight))
        && limit == Limit::Nothing;
    let signed = if is_negative { mean_of(&clients, &weights) } else { None };
    let signed =
        signed.map(|mean| Difference::gives(mean, "this crate refuses a negative weight at its client"));
    Ok(rounds::found(results, rounds).or(signed).or(has_no_mean))
}

fn order(stated: Option<&Json>) -> Result<NormOrder, Stop> {
    match stated.map(real).transpose()? {
        None | Some(f64::INFINITY) => Ok(NormOrder::LInf),
        Some(2.0) => Ok(NormOrder::L2),
        Some(order) => Err(Stop::NoMeaning(format!("norms are of order 2 or infinity here, not {order}"))),
    }
}
