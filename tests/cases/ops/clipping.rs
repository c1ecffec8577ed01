//! Means, and clipping or zeroing before a sum or a mean: in the clear, and again over secure sums.

use cipherfold::federated::{
    Error,
    aggregation::{
        AggregationFactory, Clipping, Floats, Mean, MeanSums, NormOrder, SecureClippingSum, Sum,
        UnweightedMean, WeightedAggregationFactory, Zeroing,
    },
};
use serde_json::Value as Json;
use static_assertions::assert_not_impl_any;

use super::aggregations::{
    AsTree, Bound, Rounds, Tensors, clients_or_zeros, found, rounds, run, run_weighted, typed,
};
use crate::{
    format::Case,
    judge::{Answer, Found, Replayed, Theirs, measurement},
    parties::Parties,
    refusal::{Refusal, Rule},
    split::floats,
    types::Dtype,
    value::{self, Element, Elements, Tensor, Tolerance, Tree},
};

// The type behind `Rule::NoElement`.
assert_not_impl_any!(Mean: WeightedAggregationFactory<i32>, WeightedAggregationFactory<i64>, WeightedAggregationFactory<bool>);
assert_not_impl_any!(UnweightedMean: AggregationFactory<i32>, AggregationFactory<i64>, AggregationFactory<bool>);

/// The first step.
#[derive(Clone, Copy, Debug)]
enum Outer {
    Nothing,
    Clipping(Bound),
    Zeroing(Bound, NormOrder),
}

/// The last step.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Inner {
    Sum,
    UnweightedMean,
    Mean { no_nan_division: bool },
}

/// `MeanFactory`, `UnweightedMeanFactory`, `clipping_factory+…`, `zeroing_factory+…`.
pub(crate) fn replay(case: &Case, parties: &Parties) -> Result<Replayed, String> {
    case.check(&[
        "clip",
        "norm",
        "norm_order",
        "weights",
        "no_nan_division",
        "rounds",
        "expect_measurements",
    ])?;
    let (outer, inner) =
        case.op.split_once('+').map_or((None, case.op.as_str()), |(outer, inner)| (Some(outer), inner));
    let bound = |field| Bound::read(case, field)?.ok_or_else(|| format!("not understood: no `{field}`"));
    let outer = match outer {
        None => Outer::Nothing,
        Some("clipping_factory") => Outer::Clipping(bound("clip")?),
        _ => match order(case)? {
            Ok(order) => Outer::Zeroing(bound("norm")?, order),
            Err(reason) => return Ok(Replayed::NoMeaning(reason)),
        },
    };
    let inner = match inner {
        "sum" => Inner::Sum,
        "UnweightedMeanFactory" => Inner::UnweightedMean,
        _ => Inner::Mean { no_nan_division: case.flag("no_nan_division")? },
    };
    replay_on(case, parties, outer, inner).map(Replayed::from)
}

/// The order of the norm for zeroing: infinite unless stated.
fn order(case: &Case) -> Result<Result<NormOrder, String>, String> {
    match case.float("norm_order")? {
        None | Some(f64::INFINITY) => Ok(Ok(NormOrder::LInf)),
        Some(2.0) => Ok(Ok(NormOrder::L2)),
        Some(order) => Ok(Err(format!("norms are of order 2 or infinity here, not {order}"))),
    }
}

fn replay_on(case: &Case, parties: &Parties, outer: Outer, inner: Inner) -> Result<Found, String> {
    let shape = case.type_of()?.member;
    if shape.iter().any(|leaf| !matches!(leaf.dtype, Dtype::F32 | Dtype::F64)) {
        return Ok(Rule::NoElement.into());
    }
    let (clients, data) = clients_or_zeros(case, &shape)?;
    let weights: Option<Vec<f64>> = match case.get("weights") {
        None => None,
        Some(Json::Array(weights)) => Some(
            weights
                .iter()
                .map(|weight| {
                    value::float(weight).ok_or_else(|| format!("not understood: a weight of {weight}"))
                })
                .collect::<Result<_, _>>()?,
        ),
        Some(other) => return Err(format!("not understood: weights of {other}")),
    };
    let weighted = matches!(inner, Inner::Mean { .. });
    let weights = match (weights, weighted) {
        (Some(weights), true) => weights,
        (None, true) if !data => vec![1.0; clients.len()],
        (None, true) => return Err("not understood: no `weights`".to_owned()),
        (Some(_), false) => return Err("not understood: weights of what has none".to_owned()),
        (None, false) => Vec::new(),
    };
    // One element type for a whole structure: the wider one, if there are two.
    let wide = shape.iter().any(|leaf| leaf.dtype == Dtype::F64);
    let dtype = if wide { Dtype::F64 } else { Dtype::F32 };
    let clients: Vec<Tree> = clients.iter().map(|client| as_type(client, dtype)).collect();
    let task = Work { parties, outer, inner, weights: &weights, rounds: rounds(case)? };
    let plain = floats!(dtype, T => task.plain(&arrays::<T>(&clients))?, else unreachable!("one of both"));
    if let (Ok(plain), Some(bounds)) = (&plain, Bounds::of(&clients, &weights)) {
        let secure = floats!(dtype, T => task.secure(&arrays::<T>(&clients), bounds)?, else unreachable!("one of both"));
        agree(plain, secure, bounds.error(clients.len(), &weights), case.tolerance()?)?;
    }
    let mut found = found(case, plain);
    if matches!(&found.answer, Err(Refusal::Crate(Error::Client { source, .. })) if **source == Error::Weight)
        && matches!(outer, Outer::Nothing)
    {
        let why = "a negative weight is refused at its client, here";
        found.theirs.push(Theirs::Gives(Answer::Value(mean(&clients, &weights)), why));
    }
    found.theirs.extend(not_a_number(&found, &clients, &weights));
    Ok(if data { found } else { typed(found, &shape) })
}

/// The answer of other implementations where this crate has no mean: NaN.
pub(crate) fn not_a_number(found: &Found, clients: &[Tree], weights: &[f64]) -> Option<Theirs> {
    let Err(Refusal::Crate(error)) = &found.answer else { return None };
    let why = match error.root() {
        Error::ZeroTotalWeight => {
            "a total weight of zero is an error here, unless `no_nan_division` makes the mean zero"
        }
        Error::NotFiniteSum => "a mean that is not finite is an error here",
        _ => return None,
    };
    let ones = vec![1.0; clients.len()];
    Some(Theirs::Gives(Answer::Value(mean(clients, if weights.is_empty() { &ones } else { weights })), why))
}

fn as_type(tree: &Tree, dtype: Dtype) -> Tree {
    tree.as_ref().map(|tensor| Tensor { dtype, ..tensor.clone() })
}

/// The steps to run.
struct Work<'w> {
    parties: &'w Parties,
    outer: Outer,
    inner: Inner,
    weights: &'w [f64],
    rounds: usize,
}

type Made<A> = cipherfold::federated::Result<A>;

impl Work<'_> {
    /// With inner sums in the clear.
    fn plain<V: Floats + AsTree>(&self, clients: &[V]) -> Result<Result<Rounds, Refusal>, String>
    where
        Sum: AggregationFactory<V, Result = V>,
    {
        match self.inner {
            Inner::Sum => self.unweighted(clients, || Ok(Sum)),
            Inner::UnweightedMean => self.unweighted(clients, || Ok(UnweightedMean::default())),
            Inner::Mean { no_nan_division } => {
                self.weighted(clients, || Ok(checked(Mean::default(), no_nan_division)))
            }
        }
    }

    /// With secure inner sums between bounds that no client reaches.
    fn secure<V: Floats + AsTree>(
        &self,
        clients: &[V],
        bounds: Bounds,
    ) -> Result<Result<Rounds, Refusal>, String> {
        let Bounds { value, product, weight, .. } = bounds;
        match self.inner {
            Inner::Sum => self.unweighted(clients, || SecureClippingSum::floats_up_to(value)),
            Inner::UnweightedMean => self.unweighted(clients, || {
                Ok(UnweightedMean::new(
                    SecureClippingSum::floats_up_to(value)?,
                    SecureClippingSum::integers(0, 1)?,
                ))
            }),
            Inner::Mean { no_nan_division } => self.weighted(clients, || {
                let mean = Mean::new(MeanSums {
                    values: SecureClippingSum::floats_up_to(product)?,
                    weights: SecureClippingSum::floats(0.0, weight)?,
                });
                Ok(checked(mean, no_nan_division))
            }),
        }
    }

    fn unweighted<V: Floats, A: AggregationFactory<V, Result: AsTree>>(
        &self,
        clients: &[V],
        inner: impl Fn() -> Made<A>,
    ) -> Result<Result<Rounds, Refusal>, String> {
        let Self { parties, rounds, .. } = *self;
        match self.outer {
            Outer::Nothing => run(parties, inner, clients, rounds),
            Outer::Clipping(norm @ Bound::Process { .. }) => {
                run(parties, || Ok(Clipping::new(norm.schedule(), inner()?)), clients, rounds)
            }
            Outer::Clipping(norm) => {
                run(parties, || Ok(Clipping::new(norm.fixed()?, inner()?)), clients, rounds)
            }
            Outer::Zeroing(norm @ Bound::Process { .. }, order) => {
                run(parties, || Ok(Zeroing::new(norm.schedule(), order, inner()?)), clients, rounds)
            }
            Outer::Zeroing(norm, order) => {
                run(parties, || Ok(Zeroing::new(norm.fixed()?, order, inner()?)), clients, rounds)
            }
        }
    }

    fn weighted<V: Floats, A: WeightedAggregationFactory<V, Result: AsTree>>(
        &self,
        clients: &[V],
        inner: impl Fn() -> Made<A>,
    ) -> Result<Result<Rounds, Refusal>, String> {
        let Self { parties, weights, rounds, .. } = *self;
        match self.outer {
            Outer::Nothing => run_weighted(parties, inner, clients, weights, rounds),
            Outer::Clipping(norm @ Bound::Process { .. }) => run_weighted(
                parties,
                || Ok(Clipping::new(norm.schedule(), inner()?)),
                clients,
                weights,
                rounds,
            ),
            Outer::Clipping(norm) => {
                run_weighted(parties, || Ok(Clipping::new(norm.fixed()?, inner()?)), clients, weights, rounds)
            }
            Outer::Zeroing(norm @ Bound::Process { .. }, order) => run_weighted(
                parties,
                || Ok(Zeroing::new(norm.schedule(), order, inner()?)),
                clients,
                weights,
                rounds,
            ),
            Outer::Zeroing(norm, order) => run_weighted(
                parties,
                || Ok(Zeroing::new(norm.fixed()?, order, inner()?)),
                clients,
                weights,
                rounds,
            ),
        }
    }
}

fn checked<V, W>(mean: Mean<V, W>, no_nan_division: bool) -> Mean<V, W> {
    if no_nan_division { mean.no_nan_division() } else { mean }
}

fn arrays<T: Element>(clients: &[Tree]) -> Vec<Tensors<T>> {
    clients.iter().map(|client| client.as_ref().map(Tensor::array)).collect()
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
        let largest = |client: &Tree| client.iter().flat_map(elements).map(f64::abs).fold(0.0, f64::max);
        let finite = clients
            .iter()
            .flat_map(Tree::iter)
            .flat_map(elements)
            .chain(weights.iter().copied())
            .all(f64::is_finite);
        let ones = vec![1.0; clients.len()];
        let weights = if weights.is_empty() { &ones } else { weights };
        let positive = |x: f64| if x > 0.0 { 1.01 * x } else { 1.0 };
        let products = clients.iter().zip(weights).map(|(client, weight)| largest(client) * weight);
        finite.then(|| Self {
            value: positive(clients.iter().map(largest).fold(0.0, f64::max)),
            product: positive(products.fold(0.0, f64::max)),
            weight: positive(weights.iter().copied().fold(0.0, f64::max)),
        })
    }

    /// The tolerance between secure and plain results: 2^32 levels, and single precision, for each
    /// client.
    fn error(self, clients: usize, weights: &[f64]) -> f64 {
        let total: f64 = weights.iter().sum();
        let scale = if total > 0.0 { self.product / total } else { self.value };
        1e-6 * scale * clients as f64
    }
}

fn elements(tensor: &Tensor) -> Vec<f64> {
    match &tensor.elements {
        Elements::Floats(elements) => elements.clone(),
        Elements::Integers(elements) => elements.iter().copied().map(value::to_float).collect(),
    }
}

/// Checks that secure sums in place of plain ones give the same results and measurements.
fn agree(
    plain: &Rounds,
    secure: Result<Rounds, Refusal>,
    error: f64,
    tolerance: Tolerance,
) -> Result<(), String> {
    let secure = secure.map_err(|refusal| format!("with secure sums {refusal}"))?;
    let tolerance = Tolerance { absolute: tolerance.absolute + error, ..tolerance };
    for ((plain, plainly), (secure, securely)) in plain.iter().zip(&secure) {
        if let Some(difference) = value::difference(secure, plain, tolerance) {
            return Err(format!("secure and plain sums: {difference}"));
        }
        for name in ["clipped_count", "clipping_norm", "zeroed_count", "zeroing_norm"] {
            let (plain, secure) = (measurement(plainly, name), measurement(securely, name));
            if plain != secure {
                return Err(format!("{name}: {secure:?} with secure sums, {plain:?} with plain ones"));
            }
        }
    }
    Ok(())
}

/// The mean of other implementations, with weights that may be negative.
fn mean(clients: &[Tree], weights: &[f64]) -> Tree {
    let total: f64 = weights.iter().sum();
    let first = clients.first().expect("a client has been refused");
    let mut leaves = 0..;
    first.as_ref().map(|tensor| {
        let leaf = leaves.next().expect("without end");
        let mut sums = vec![0.0; tensor.len()];
        for (client, weight) in clients.iter().zip(weights) {
            let tensor = client.iter().nth(leaf).expect("all clients have one structure");
            sums.iter_mut().zip(elements(tensor)).for_each(|(sum, x)| *sum += x * weight);
        }
        let elements = sums.into_iter().map(|sum| value::rounded(sum / total, tensor.dtype)).collect();
        Tensor { elements: Elements::Floats(elements), ..tensor.clone() }
    })
}
