//! Means, and clipping or zeroing before a sum or a mean: in the clear, and again over secure sums.

use cipherfold::federated::aggregation::{
    AggregationFactory, Clipping, Mean, MeanSums, NormOrder, SecureClippingSum, Sum, UnweightedMean,
    WeightedAggregationFactory, Zeroing,
};
use static_assertions::assert_not_impl_any;

use super::{
    combine::{mean_of, not_a_number},
    prelude::*,
    rounds::{self, Bound, Rounds, run, run_weighted},
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
    // With inner sums in the clear, or with secure ones between bounds that no client reaches.
    let aggregate = |bounds: Option<Bounds>| {
        with_type!(floats dtype, T => {
            let clients = value::arrays::<T>(&clients);
            macro_rules! unweighted {
                ($last:expr) => { limited!(limit, $last, make => run(parties, make, &clients, rounds)) };
            }
            macro_rules! weighted {
                ($mean:expr) => {{
                    let last = || {
                        let mean = $mean;
                        Ok(if no_nan_division == Some(true) { mean.no_nan_division() } else { mean })
                    };
                    limited!(limit, last, make => run_weighted(parties, make, (&clients, &weights), rounds))
                }};
            }
            let up_to = SecureClippingSum::floats_up_to;
            match (last, bounds) {
                ("sum", None) => unweighted!(|| Ok(Sum)),
                ("sum", Some(bounds)) => unweighted!(|| Ok(up_to(bounds.value)?)),
                ("UnweightedMeanFactory", None) => unweighted!(|| Ok(UnweightedMean::default())),
                ("UnweightedMeanFactory", Some(bounds)) => unweighted!(|| {
                    Ok(UnweightedMean::new(up_to(bounds.value)?, SecureClippingSum::integers(0, 1)?))
                }),
                (_, None) => weighted!(Mean::default()),
                (_, Some(bounds)) => weighted!({
                    let weights = SecureClippingSum::floats(0.0, bounds.weight)?;
                    Mean::new(MeanSums { values: up_to(bounds.product)?, weights })
                }),
            }
        })
    };
    let plain = answered(aggregate(None))?;
    if let (Ok(plain), Some(bounds)) = (&plain, Bounds::of(&clients, &weights)) {
        let secure = answered(aggregate(Some(bounds)))?;
        let secure = secure.map_err(|refusal| Stop::Failed(format!("with secure sums {refusal}")))?;
        let mut tolerance = case.tolerance();
        tolerance.absolute += bounds.error(&weights, is_mean);
        agree(plain, &secure, tolerance)?;
    }
    let refusal = plain.as_ref().err();
    let has_no_mean = not_a_number(refusal, &clients, &weights);
    let is_negative = refusal.and_then(Refusal::root) == Some(Error::Tensor(tensor::Error::Weight))
        && limit == Limit::Nothing;
    let signed = if is_negative { mean_of(&clients, &weights) } else { None };
    rounds::found(plain, stated_rounds)
        .or(signed.map(|mean| Theirs::gives(mean, "this crate refuses a negative weight at its client")))
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

/// Bounds of secure sums that no client reaches.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    value: f64,
    product: f64,
    weight: f64,
}

impl Bounds {
    /// `None` if a number cannot be summed securely.
    fn of(clients: &[Tree], weights: &[f64]) -> Option<Self> {
        let largest =
            |clients: &[Tree]| value::numbers(clients).map(|(_, x)| x.to_f64().abs()).fold(0.0, f64::max);
        let products = clients.chunks(1).zip(weights).map(|(client, weight)| largest(client) * weight);
        let positive = |x: f64| if x > 0.0 { 1.01 * x } else { 1.0 };
        let numbers = value::numbers(clients).map(|(_, x)| x.to_f64());
        let is_finite = numbers.chain(weights.iter().copied()).all(f64::is_finite);
        is_finite.then(|| Self {
            value: positive(largest(clients)),
            product: positive(products.fold(0.0, f64::max)),
            weight: positive(weights.iter().copied().fold(0.0, f64::max)),
        })
    }

    /// The tolerance between secure and plain results: 2^32 levels, and single precision, for each
    /// client.
    fn error(self, weights: &[f64], is_mean: bool) -> f64 {
        let total: f64 = weights.iter().sum();
        let scale = if is_mean && total > 0.0 { self.product / total } else { self.value };
        1e-6 * scale * weights.len() as f64
    }
}

/// Checks that secure sums in place of plain ones give the same results and measurements.
fn agree(plain: &Rounds, secure: &Rounds, tolerance: Tolerance) -> Result<(), Stop> {
    for ((plain, plainly), (secure, securely)) in plain.iter().zip(secure) {
        let [plain_json, secure_json] = [plain, secure].map(value::json);
        if !value::agrees(secure, &plain_json, tolerance) {
            return Err(Stop::Failed(format!(
                "{secure_json} with secure sums, {plain_json} with plain ones"
            )));
        }
        for name in ["clipped_count", "clipping_norm", "zeroed_count", "zeroing_norm"] {
            let of = |measured| measurement(measured, name).map(Number::to_f64);
            let (plain, secure) = (of(plainly), of(securely));
            if plain != secure {
                let text = format!("{name}: {secure:?} with secure sums, {plain:?} with plain ones");
                return Err(Stop::Failed(text));
            }
        }
    }
    Ok(())
}
