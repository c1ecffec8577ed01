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
    if stated.is_some() && !is_mean || stated.is_none() && case.op == "federated_weighted_mean" {
        return Err(not_understood("`weights` belong to means"));
    }
    let clients = case.clients_or_zeros()?;
    let answer = answered(value::each_leaf(shape, &clients, |_, dtype, clients| {
        if !is_mean {
            return with_type!(numbers dtype, T => {
                parties.combine(&value::arrays::<T>(clients), |values| match case.op.as_str() {
                    "federated_sum" => to_tree(&values.sum()),
                    "federated_min" => to_tree(&values.min()),
                    _ => to_tree(&values.max()),
                })
            });
        }
        with_type!(floats dtype, T => {
            let values = value::arrays::<T>(clients);
            let Some(stated) = &stated else {
                return parties.combine(&values, |values| to_tree(&values.mean()));
            };
            let input = Value::<Tensors<T>, Clients>::input("values");
            let weights = Value::<f64, Clients>::input("weights");
            let inputs = || Inputs::new().clients(&input, values.clone()).clients(&weights, stated.clone());
            parties.run(to_tree(&input.weighted_mean(&weights)), inputs)
        })
    }))?;
    let weights = stated.unwrap_or(vec![1.0; clients.len()]);
    let not_a_number = not_a_number(answer.as_ref().err(), &clients, &weights);
    Ok(Found::of(answer).or(not_a_number))
}

/// The answer of other implementations where this crate has no mean: NaN.
pub fn not_a_number(refusal: Option<&Refusal>, clients: &[Tree], weights: &[f64]) -> Option<Difference> {
    let why = match refusal?.root()? {
        Error::Tensor(tensor::Error::ZeroTotalWeight) => {
            "a total weight of zero is an error here, unless `no_nan_division` makes the mean zero"
        }
        Error::Tensor(tensor::Error::NotFiniteSum) => "a mean that is not finite is an error here",
        _ => return None,
    };
    Some(Difference::gives(mean_of(clients, weights)?, why))
}

/// The mean of other implementations, with weights that may be negative.
pub fn mean_of(clients: &[Tree], weights: &[f64]) -> Option<Tree> {
    let total: f64 = weights.iter().sum();
    let each = |tree: &Tree, function: &dyn Fn(f64) -> f64| {
        value::map(tree, |_, dtype, x| Number::Float(dtype.round(function(x.to_f64()))))
    };
    let products = clients.iter().zip(weights).map(|(client, weight)| each(client, &|x| x * weight));
    Some(each(&value::total(&products.collect::<Vec<_>>())?, &|sum| sum / total))
}
