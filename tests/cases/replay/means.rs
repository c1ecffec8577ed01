//! Means, and clipping or zeroing before a sum or a mean: in the clear, and again over secure sums.

use cipherfold::federated::aggregation::{
    AggregationFactory, Clipping, Floats, Mean, MeanSums, NormOrder, SecureClippingSum, Sum, UnweightedMean,
    WeightedAggregationFactory, Zeroing,
};
use static_assertions::assert_not_impl_any;

use super::{
    bound::Bound,
    combine::{mean_of, not_a_number},
    prelude::*,
    rounds::{self, AsTree, Rounds, run, run_weighted},
};

// The type behind `Rule::NoElement`.
assert_not_impl_any!(Mean: WeightedAggregationFactory<i32>, WeightedAggregationFactory<i64>, WeightedAggregationFactory<bool>);
assert_not_impl_any!(UnweightedMean: AggregationFactory<i32>, AggregationFactory<i64>, AggregationFactory<bool>);

/// The step before a sum or a mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum First {
    Nothing,
    Clipping,
    Zeroing,
}

/// The last step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Last {
    Sum,
    UnweightedMean,
    Mean,
}

/// `MeanFactory`, `UnweightedMeanFactory`, `clipping_factory+…`, `zeroing_factory+…`.
pub fn replay(case: &Case, parties: &Parties, first: First, last: Last) -> Result<Found, Stop> {
    let (clip, norm, norm_order): (Option<Bound>, Option<Bound>, Option<Real>);
    let (stated, no_nan_division, stated_rounds): (Option<Vec<Real>>, Option<bool>, Option<usize>);
    (clip, norm, norm_order, stated, no_nan_division, stated_rounds) =
        case.fields(&["clip", "norm", "norm_order", "weights", "no_nan_division", "rounds"])?;
    let needed = |norm: Option<Bound>| norm.ok_or_else(|| Stop::not_understood("no norm"));
    let first = match first {
        First::Nothing => Limit::Nothing,
        First::Clipping => Limit::Clipping(needed(clip)?),
        First::Zeroing => Limit::Zeroing(needed(norm)?, order(norm_order)?),
    };
    let shape = case.member()?;
    if !shape.iter().all(|leaf| leaf.dtype.is_real()) {
        return Err(Rule::NoElement.into());
    }
    // One element type for a whole structure: the wider one, if there are two.
    let wide = shape.iter().any(|leaf| leaf.dtype == Dtype::Float64);
    let dtype = if wide { Dtype::Float64 } else { Dtype::Float32 };
    let as_type = |tensor: &Tensor| Tensor { dtype, ..tensor.clone() };
    let clients = case.clients_or_zeros()?;
    let clients: Vec<Tree> = clients.iter().map(|client| client.as_ref().map(as_type)).collect();

    let stated = stated.map(|weights| weights.iter().map(|weight| weight.0).collect());
    let weights: Option<Vec<f64>> = match (stated, last) {
        (None, Last::Mean) if case.clients.is_none() => Some(vec![1.0; clients.len()]),
        (None, Last::Mean) => return Err(Stop::not_understood("no `weights`")),
        (Some(_), Last::Sum | Last::UnweightedMean) => {
            return Err(Stop::not_understood("weights of an aggregation that has none"));
        }
        (stated, _) => stated,
    };
    let weights = weights.as_deref();
    let no_nan_division = no_nan_division == Some(true);
    let rounds = rounds::number(stated_rounds)?;
    let steps = Steps { parties, first, last, no_nan_division, weights: weights.unwrap_or_default(), rounds };
    let plain = answered(with_type!(floats dtype, T => steps.plain(&arrays::<T>(&clients))))?;
    if let (Ok(plain), Some(bounds)) = (&plain, Bounds::of(&clients, weights)) {
        let secure = with_type!(floats dtype, T => steps.secure(&arrays::<T>(&clients), bounds));
        let secure =
            answered(secure)?.map_err(|refusal| Stop::Failed(format!("with secure sums {refusal}")))?;
        let mut tolerance = case.tolerance();
        tolerance.absolute += bounds.error(clients.len(), weights);
        agree(plain, &secure, tolerance)?;
    }
    let refusal = plain.as_ref().err();
    let has_no_mean = not_a_number(refusal, &clients, weights);
    let is_negative = refusal.and_then(Refusal::root) == Some(&Error::Weight) && first == Limit::Nothing;
    let signed = if is_negative { mean_of(&clients, weights) } else { None };
    let why = "a negative weight is refused at its client, here";
    rounds::found(plain, stated_rounds)
        .or(signed.map(|mean| Theirs::Gives(Answer::Value(mean), why)))
        .or(has_no_mean)
        .type_if_no_data(case)
}

fn order(stated: Option<Real>) -> Result<NormOrder, Stop> {
    match stated {
        None | Some(Real(f64::INFINITY)) => Ok(NormOrder::LInf),
        Some(Real(2.0)) => Ok(NormOrder::L2),
        Some(Real(order)) => {
            Err(Stop::NoMeaning(format!("norms are of order 2 or infinity here, not {order}")))
        }
    }
}

/// The first step, with its norm.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Limit {
    Nothing,
    Clipping(Bound),
    Zeroing(Bound, NormOrder),
}

/// Runs an aggregation with the first step, whose type depends on the step and on its norm.
macro_rules! limited {
    ($first:expr, $last:ident, $make:ident => $run:expr) => {
        match $first {
            Limit::Nothing => limited!($make = || $last(), $run),
            Limit::Clipping(norm) if norm.is_process() => {
                limited!($make = || Ok(Clipping::new(norm.schedule(), $last()?)), $run)
            }
            Limit::Clipping(norm) => limited!($make = || Ok(Clipping::new(norm.fixed()?, $last()?)), $run),
            Limit::Zeroing(norm, order) if norm.is_process() => {
                limited!($make = || Ok(Zeroing::new(norm.schedule(), order, $last()?)), $run)
            }
            Limit::Zeroing(norm, order) => {
                limited!($make = || Ok(Zeroing::new(norm.fixed()?, order, $last()?)), $run)
            }
        }
    };
    ($make:ident = $value:expr, $run:expr) => {{
        let $make = $value;
        $run
    }};
}

/// The steps to run.
struct Steps<'s> {
    parties: &'s Parties,
    first: Limit,
    last: Last,
    no_nan_division: bool,
    weights: &'s [f64],
    rounds: usize,
}

impl Steps<'_> {
    /// With inner sums in the clear.
    fn plain<V: Floats + AsTree>(&self, clients: &[V]) -> Result<Rounds, Stop>
    where
        Sum: AggregationFactory<V, Result = V>,
    {
        match self.last {
            Last::Sum => self.unweighted(clients, || Ok(Sum)),
            Last::UnweightedMean => self.unweighted(clients, || Ok(UnweightedMean::default())),
            Last::Mean => self.weighted(clients, || Ok(self.checked(Mean::default()))),
        }
    }

    /// With secure inner sums between bounds that no client reaches.
    fn secure<V: Floats + AsTree>(&self, clients: &[V], bounds: Bounds) -> Result<Rounds, Stop> {
        let Bounds { value, product, weight } = bounds;
        match self.last {
            Last::Sum => self.unweighted(clients, || SecureClippingSum::floats_up_to(value)),
            Last::UnweightedMean => self.unweighted(clients, || {
                Ok(UnweightedMean::new(
                    SecureClippingSum::floats_up_to(value)?,
                    SecureClippingSum::integers(0, 1)?,
                ))
            }),
            Last::Mean => self.weighted(clients, || {
                Ok(self.checked(Mean::new(MeanSums {
                    values: SecureClippingSum::floats_up_to(product)?,
                    weights: SecureClippingSum::floats(0.0, weight)?,
                })))
            }),
        }
    }

    fn checked<V, W>(&self, mean: Mean<V, W>) -> Mean<V, W> {
        if self.no_nan_division { mean.no_nan_division() } else { mean }
    }

    fn unweighted<V: Floats, A: AggregationFactory<V, Result: AsTree>>(
        &self,
        clients: &[V],
        last: impl Fn() -> federated::Result<A>,
    ) -> Result<Rounds, Stop> {
        limited!(self.first, last, make => run(self.parties, make, clients, self.rounds))
    }

    fn weighted<V: Floats, A: WeightedAggregationFactory<V, Result: AsTree>>(
        &self,
        clients: &[V],
        last: impl Fn() -> federated::Result<A>,
    ) -> Result<Rounds, Stop> {
        let weighted = (clients, self.weights);
        limited!(self.first, last, make => run_weighted(self.parties, make, weighted, self.rounds))
    }
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
    fn of(clients: &[Tree], weights: Option<&[f64]>) -> Option<Self> {
        let ones = vec![1.0; clients.len()];
        let weights = weights.unwrap_or(&ones);
        let largest =
            |clients: &[Tree]| value::numbers(clients).map(|(_, x)| x.to_f64().abs()).fold(0.0, f64::max);
        let products = clients.chunks(1).zip(weights).map(|(client, weight)| largest(client) * weight);
        let positive = |x: f64| if x > 0.0 { 1.01 * x } else { 1.0 };
        let is_finite = value::numbers(clients).all(|(_, x)| x.to_f64().is_finite())
            && weights.iter().all(|weight| weight.is_finite());
        is_finite.then(|| Self {
            value: positive(largest(clients)),
            product: positive(products.fold(0.0, f64::max)),
            weight: positive(weights.iter().copied().fold(0.0, f64::max)),
        })
    }

    /// The tolerance between secure and plain results: 2^32 levels, and single precision, for each
    /// client.
    fn error(self, clients: usize, weights: Option<&[f64]>) -> f64 {
        let total: f64 = weights.unwrap_or_default().iter().sum();
        let scale = if total > 0.0 { self.product / total } else { self.value };
        1e-6 * scale * clients as f64
    }
}

/// Checks that secure sums in place of plain ones give the same results and measurements.
fn agree(plain: &Rounds, secure: &Rounds, tolerance: Tolerance) -> Result<(), Stop> {
    for ((plain, plainly), (secure, securely)) in plain.iter().zip(secure) {
        if !value::agrees(secure, &value::json(plain), tolerance) {
            let [plain, secure] = [plain, secure].map(value::text);
            return Err(Stop::Failed(format!("{secure} with secure sums, {plain} with plain ones")));
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
