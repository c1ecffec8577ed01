//! Sums, means and extremes of the clients' values, in the clear.

use cipherfold::{
    federated::{computation::Numeric, tensor::Scalar},
    packing::Float,
};
use static_assertions::assert_not_impl_any;

use super::prelude::*;

// The type behind `Rule::NoElement`.
assert_not_impl_any!(bool: Numeric);
assert_not_impl_any!(i32: Float);

/// An operation over all clients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Combination {
    Sum,
    Min,
    Max,
    Mean,
    WeightedMean,
}

/// `federated_sum`, `federated_min`, `federated_max`, `federated_mean`, `federated_weighted_mean`.
pub fn replay(case: &Case, parties: &Parties, how: Combination) -> Result<Found, Stop> {
    let (numbers, _): (Option<Vec<Real>>, Option<Placement>) =
        case.fields(&["weights", "value_placement"])?;
    let numbers: Option<Vec<f64>> = numbers.map(|weights| weights.iter().map(|weight| weight.0).collect());
    let shape = case.member_at_clients()?;
    let is_mean = matches!(how, Combination::Mean | Combination::WeightedMean);
    if !shape.iter().all(|leaf| leaf.dtype.is_real() || leaf.dtype.is_integer() && !is_mean) {
        return Err(Rule::NoElement.into());
    }
    if numbers.is_some() && !is_mean || numbers.is_none() && how == Combination::WeightedMean {
        return Err(Stop::not_understood("`weights` belong to means"));
    }
    let clients = case.clients_or_zeros()?;
    let input = Value::<f64, Clients>::input("weights");
    let weights = numbers.as_deref().map(|numbers| (&input, numbers));
    let answer = run_parts(parties, shape, &parts(shape), &clients, weights, |values, part| {
        if is_mean {
            let weights = weights.map(|(input, _)| input);
            return with_type!(floats part.dtype, T => Ok(mean::<T>(&part.of_value(values), weights)));
        }
        if part.dtype.is_integer() {
            with_type!(integers part.dtype, T => Ok(total::<T>(&part.of_value(values), how)))
        } else {
            with_type!(floats part.dtype, T => Ok(total::<T>(&part.of_value(values), how)))
        }
    });
    let answer = answered(answer)?;
    let not_a_number = not_a_number(answer.as_ref().err(), &clients, numbers.as_deref());
    Found::from(answer.map(Answer::Value)).or_wrapped(shape).or(not_a_number).type_if_no_data(case)
}

fn total<T: Element + Numeric<Sum: Element>>(
    values: &Value<Tensors<T>, Clients>,
    how: Combination,
) -> Value<Tree, Server> {
    match how {
        Combination::Min => tree(&values.min()),
        Combination::Max => tree(&values.max()),
        _ => tree(&values.sum()),
    }
}

fn mean<T: Element + Scalar + Float>(
    values: &Value<Tensors<T>, Clients>,
    weights: Option<&Value<f64, Clients>>,
) -> Value<Tree, Server> {
    tree(&weights.map_or_else(|| values.mean(), |weights| values.weighted_mean(weights)))
}

/// The answer of other implementations where this crate has no mean: NaN.
pub fn not_a_number(refusal: Option<&Refusal>, clients: &[Tree], weights: Option<&[f64]>) -> Option<Theirs> {
    let why = match refusal?.root()? {
        Error::ZeroTotalWeight => {
            "a total weight of zero is an error here, unless `no_nan_division` makes the mean zero"
        }
        Error::NotFiniteSum => "a mean that is not finite is an error here",
        _ => return None,
    };
    Some(Theirs::Gives(Answer::Value(mean_of(clients, weights)?), why))
}

/// The mean of other implementations, with weights that may be negative.
pub fn mean_of(clients: &[Tree], weights: Option<&[f64]>) -> Option<Tree> {
    let ones = vec![1.0; clients.len()];
    let weights = weights.unwrap_or(&ones);
    let total: f64 = weights.iter().sum();
    let mean = |(place, first): (usize, &Tensor)| {
        let mut sums = first.elements.mapv(|_| 0.0);
        for (client, weight) in clients.iter().zip(weights) {
            let tensor = client.iter().nth(place).expect("all clients have one structure");
            sums.zip_mut_with(&tensor.elements, |sum, x| *sum += x.to_f64() * weight);
        }
        Tensor {
            dtype: first.dtype,
            elements: sums.mapv(|sum| Number::Float(first.dtype.round(sum / total))),
        }
    };
    Some(value::map_leaves(clients.first()?, mean))
}
