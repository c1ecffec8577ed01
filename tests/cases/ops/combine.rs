//! Sums, means and extremes of the clients' values, in the clear.

use cipherfold::{federated::computation::Numeric, packing::Float};
use static_assertions::assert_not_impl_any;

use super::prelude::*;

// The type behind `Rule::NoElement`.
assert_not_impl_any!(bool: Numeric);
assert_not_impl_any!(i32: Float);

/// `federated_sum`, `federated_min`, `federated_max`, `federated_mean`, `federated_weighted_mean`.
pub fn replay(case: &Case, parties: &Parties) -> Result<Found, Stop> {
    let (stated, _): (Option<Vec<Json>>, Option<Placement>) =
        case.fields(&[], &["weights", "value_placement"])?;
    let stated = stated.map(|weights| weights.iter().map(real).collect::<Result<Vec<_>, _>>()).transpose()?;
    let shape = case.member_at_clients()?;
    let is_mean = case.op.ends_with("mean");
    if !shape.iter().all(|leaf| leaf.dtype.is_real() || leaf.dtype.is_integer() && !is_mean) {
        return Err(Rule::NoElement.into());
    }
    if stated.is_some() && !is_mean || stated.is_none() && case.op == "federated_weighted_mean" {
        return Err(not_understood("`weights` belong to means"));
    }
    let clients = case.clients_or_zeros()?;
    let mut input = None;
    let answer = answered(Split::by_type(shape).compute(parties, &clients, |draft, group| {
        if !is_mean {
            return with_type!(numbers group.dtype, T => Ok(total::<T>(&draft.values(group), &case.op)));
        }
        if input.is_none() {
            input = stated.clone().map(|weights| draft.input(weights));
        }
        with_type!(floats group.dtype, T => {
            let values = draft.values::<T>(group);
            Ok(tree(&input.as_ref().map_or_else(|| values.mean(), |weights| values.weighted_mean(weights))))
        })
    }))?;
    let weights = stated.unwrap_or(vec![1.0; clients.len()]);
    let not_a_number = not_a_number(answer.as_ref().err(), &clients, &weights);
    Found::of(answer).or_wrapped(shape).or(not_a_number).type_if_no_data(case)
}

fn total<T: Computed + Numeric<Sum: Element>>(
    values: &Value<Tensors<T>, Clients>,
    op: &str,
) -> Value<Tree, Server> {
    match op {
        "federated_sum" => tree(&values.sum()),
        "federated_min" => tree(&values.min()),
        _ => tree(&values.max()),
    }
}

/// The answer of other implementations where this crate has no mean: NaN.
pub fn not_a_number(refusal: Option<&Refusal>, clients: &[Tree], weights: &[f64]) -> Option<Theirs> {
    let why = match refusal?.root()? {
        Error::Tensor(tensor::Error::ZeroTotalWeight) => {
            "a total weight of zero is an error here, unless `no_nan_division` makes the mean zero"
        }
        Error::Tensor(tensor::Error::NotFiniteSum) => "a mean that is not finite is an error here",
        _ => return None,
    };
    Some(Theirs::gives(mean_of(clients, weights)?, why))
}

/// The mean of other implementations, with weights that may be negative.
pub fn mean_of(clients: &[Tree], weights: &[f64]) -> Option<Tree> {
    let total: f64 = weights.iter().sum();
    let mean = |place, first: &Tensor| {
        let mut sums = first.elements.mapv(|_| 0.0);
        for (client, weight) in clients.iter().zip(weights) {
            let tensor = client.iter().nth(place).expect("all clients have one structure");
            sums.zip_mut_with(&tensor.elements, |sum, x| *sum += x.to_f64() * weight);
        }
        let elements = sums.mapv(|sum| Number::Float(first.dtype.round(sum / total)));
        Tensor { dtype: first.dtype, elements }
    };
    Some(value::map_leaves(clients.first()?, mean))
}
