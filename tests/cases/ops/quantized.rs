//! Quantised sums, and their two halves: the client's encoding, and the server's decoding of the
//! sum.

use cipherfold::{
    federated::{
        Error, Server,
        computation::Value,
        tensor::{Codec, PerTensor, Structure},
    },
    packing::{Quantized, QuantizedSum},
};
use serde_json::Value as Json;
use static_assertions::{assert_impl_all, assert_not_impl_any};

use super::secure::{WIDER, at_server, misplaced};
use crate::{
    format::{Case, Parameter, PerLeaf},
    judge::{Answer, Found, Theirs, WRAPS},
    parties::Parties,
    refusal::{Refusal, Rule},
    split::{Draft, Group},
    types::{Dtype, Shape},
    value::{self, Element, Elements, Tensor, Tree},
};

// The types behind `Rule::NoElement`, `Rule::BoundsOfOtherType` and `Rule::BoundsOfTwoTypes`.
assert_not_impl_any!(i8: Quantized);
assert_not_impl_any!(i16: Quantized);
assert_not_impl_any!(u8: Quantized);
assert_not_impl_any!(u16: Quantized);
assert_not_impl_any!(u32: Quantized);
assert_not_impl_any!(u64: Quantized);
assert_not_impl_any!(bool: Quantized);
assert_impl_all!(QuantizedSum<i32>: Codec<i32>);
assert_not_impl_any!(QuantizedSum<i32>: Codec<i64>, Codec<f32>, Codec<f64>);
assert_not_impl_any!(QuantizedSum<i64>: Codec<i32>, Codec<f32>, Codec<f64>);
assert_not_impl_any!(QuantizedSum<f32>: Codec<i32>, Codec<i64>, Codec<f64>);
assert_not_impl_any!(QuantizedSum<f64>: Codec<i32>, Codec<i64>, Codec<f32>);

/// Runs the same code for every type that can be quantised.
macro_rules! quantized {
    ($dtype:expr, $type:ident => $body:expr, else $other:expr) => {
        match $dtype {
            Dtype::I32 => {
                type $type = i32;
                $body
            }
            Dtype::I64 => {
                type $type = i64;
                $body
            }
            Dtype::F32 => {
                type $type = f32;
                $body
            }
            Dtype::F64 => {
                type $type = f64;
                $body
            }
            _ => $other,
        }
    };
}

/// A lower and an upper bound of a case.
type Bounds = PerLeaf<(Json, Json)>;

/// `secure_quantized_sum`.
pub(crate) fn replay(case: &Case, parties: &Parties) -> Result<Found, String> {
    case.check(&["lower", "upper", "bounds_placement", "value_placement"])?;
    let found = case.type_of()?;
    if let Some(rule) = misplaced(case, &found)? {
        return Ok(rule.into());
    }
    let shape = &found.member;
    let (bounds, at_the_server) = match bounds(case, shape)? {
        Ok(found) => found,
        Err(refusal) => return Ok(refusal.into()),
    };
    let Some(clients) = case.clients(shape)? else {
        let zeros = shape.as_ref().map(Tensor::zeros);
        let answer = run(parties, shape, &[zeros], &bounds, at_the_server)?;
        let answer = answer.map(|sum| Answer::Type(at_server(value::type_of(&sum))));
        let theirs = vec![Theirs::Gives(Answer::Type(at_server(shape.clone())), WIDER)];
        return Ok(Found { answer, theirs, measurements: None });
    };
    let answer = run(parties, shape, &clients, &bounds, at_the_server)?;
    let mut theirs = Vec::new();
    match &answer {
        Ok(sum) => {
            if let Some(padded) = with_zeros(shape, &clients, &bounds) {
                let padded = run(parties, shape, &padded, &bounds, at_the_server)?;
                if padded.as_ref() != Ok(sum) {
                    return Err(format!(
                        "{} is another sum when two clients more have zeros",
                        value::text(sum)
                    ));
                }
            }
            theirs.push(Theirs::Gives(Answer::Value(value::wrapped(sum, shape)), WRAPS));
        }
        Err(Refusal::Crate(Error::Client { .. })) => {
            if let Some(clipped) = clipped(shape, &clients, &bounds)
                && let Ok(sum) = run(parties, shape, &clipped, &bounds, at_the_server)?
            {
                theirs.push(Theirs::Gives(
                    Answer::Value(sum),
                    "what is infinite is refused here, and clipped there",
                ));
            }
        }
        Err(_) => {}
    }
    Ok(Found { answer: answer.map(Answer::Value), theirs, measurements: None })
}

/// The bounds, if they are of the values' types, and whether the server has them.
fn bounds(case: &Case, shape: &Shape) -> Result<Result<(Bounds, bool), Refusal>, String> {
    if shape.iter().any(|leaf| !matches!(leaf.dtype, Dtype::I32 | Dtype::I64 | Dtype::F32 | Dtype::F64)) {
        return Ok(Err(Rule::NoElement.into()));
    }
    let mut lower = Parameter::read(case.need("lower")?, shape)?;
    let mut upper = Parameter::read(case.need("upper")?, shape)?;
    if let Some(placement) = case.text("bounds_placement")? {
        for bound in [&mut lower, &mut upper] {
            bound.at.get_or_insert_with(|| placement.to_owned());
        }
    }
    if lower.value.iter().chain(upper.value.iter()).any(|bound| value::float(bound).is_none()) {
        return Err("not understood: a bound that is no number".to_owned());
    }
    if lower.at != upper.at {
        return Ok(Err(Rule::BoundsAtTwoPlaces.into()));
    }
    let (at, lower, upper) = (lower.at, lower.value, upper.value);
    let bounds = match (lower, upper) {
        (PerLeaf::One(lower), PerLeaf::One(upper)) => PerLeaf::One((lower, upper)),
        (PerLeaf::Each(lower), PerLeaf::Each(upper)) => {
            match lower.zip_with(&upper, |lower, upper| (lower.clone(), upper.clone())) {
                Ok(bounds) => PerLeaf::Each(bounds),
                Err(error) => return Ok(Err(error.into())),
            }
        }
        _ => return Ok(Err(Rule::BoundsOfTwoTypes.into())),
    };
    if bounds.iter().any(|(lower, upper)| lower.is_f64() != upper.is_f64()) {
        return Ok(Err(Rule::BoundsOfTwoTypes.into()));
    }
    let at_the_server = match at.as_deref() {
        None => false,
        Some("SERVER") => true,
        Some("CLIENTS") => return Ok(Err(Rule::ParameterPlaced.into())),
        Some(other) => return Err(format!("not understood: the placement {other}")),
    };
    let fits = |dtype: Dtype, bound: &Json| match dtype.range() {
        Some((min, max)) => value::integer(bound).is_some_and(|x| (min..=max).contains(&x)),
        None => bound.is_f64() || bound.is_string(),
    };
    let both = |dtype: Dtype, (lower, upper): &(Json, Json)| fits(dtype, lower) && fits(dtype, upper);
    Ok(match &bounds {
        PerLeaf::One(_) if shape.iter().any(|leaf| shape.iter().any(|other| leaf.dtype != other.dtype)) => {
            Err(Rule::OneBoundForTwoTypes.into())
        }
        PerLeaf::One(bound) if shape.iter().all(|leaf| both(leaf.dtype, bound)) => {
            Ok((bounds, at_the_server))
        }
        PerLeaf::One(_) => Err(Rule::BoundsOfOtherType.into()),
        PerLeaf::Each(each) => match shape.zip_with(each, |leaf, bound| both(leaf.dtype, bound)) {
            Ok(fits) if fits.iter().all(|fits| *fits) => Ok((bounds, at_the_server)),
            Ok(_) => Err(Rule::BoundsOfOtherType.into()),
            Err(error) => Err(error.into()),
        },
    })
}

/// A bound as a number of this type.
fn number<T: Element>(bound: &Json) -> T {
    let x = value::float(bound).expect("bounds are numbers");
    let elements = match value::integer(bound) {
        Some(x) if !T::NAMED.is_float() => Elements::Integers(vec![x]),
        _ => Elements::Floats(vec![x]),
    };
    T::from_elements(&elements)[0]
}

/// The sum over the clients.
fn run(
    parties: &Parties,
    shape: &Shape,
    clients: &[Tree],
    bounds: &Bounds,
    at_the_server: bool,
) -> Result<Result<Tree, Refusal>, String> {
    // The server's bounds apply to all tensors of a value, so each leaf becomes a separate value.
    let mut draft =
        if at_the_server { Draft::leaf_by_leaf(shape, clients) } else { Draft::new(shape, clients) };
    for group in draft.groups() {
        let added = quantized!(
            group.dtype,
            T => add::<T>(&mut draft, &group, bounds, at_the_server),
            else unreachable!("the types were checked")
        );
        if let Err(error) = added {
            return Ok(Err(error.into()));
        }
    }
    Ok(draft.run(parties)?.map_err(Refusal::from))
}

fn add<T>(
    draft: &mut Draft<'_>,
    group: &Group,
    bounds: &Bounds,
    at_the_server: bool,
) -> cipherfold::federated::Result<()>
where
    T: Element + Quantized,
    QuantizedSum<T>: Codec<T, Output: Element>,
{
    let values = draft.input::<T>(group);
    if at_the_server {
        let (lower, upper) = of_place(bounds, group.places[0]);
        let bounds = Value::<(T, T), Server>::constant((number(lower), number(upper)));
        draft.output(&values.secure_quantized_sum_between(&bounds));
        return Ok(());
    }
    let mut places = 0..;
    let sums = bounds.clone().try_map(|(lower, upper)| {
        // Bounds of another group's leaves may be of another type, and are not used.
        let place = places.next().expect("without end");
        let here = group.all || group.places.contains(&place);
        here.then(|| QuantizedSum::new(number::<T>(&lower), number(&upper))).transpose()
    })?;
    let sums: PerTensor<QuantizedSum<T>> = match sums.per_tensor(&group.places, group.all) {
        PerTensor::All(sum) => PerTensor::All(sum.expect("of the values' type")),
        PerTensor::Each(sums) => {
            PerTensor::Each(sums.into_iter().map(|sum| sum.expect("the same")).collect())
        }
        PerTensor::Nested(sums) => PerTensor::Nested(sums.map(|sum| sum.expect("the same"))),
    };
    draft.output(&values.secure_quantized_sum(sums));
    Ok(())
}

fn of_place(bounds: &Bounds, place: usize) -> &(Json, Json) {
    match bounds {
        PerLeaf::One(bounds) => bounds,
        PerLeaf::Each(bounds) => bounds.iter().nth(place).expect("bounds for each leaf"),
    }
}

/// Adds two clients with only zeros, which cancel to the last bit, if all values are floats and
/// zero is within all bounds.
fn with_zeros(shape: &Shape, clients: &[Tree], bounds: &Bounds) -> Option<Vec<Tree>> {
    let around_zero = |(lower, upper): &(Json, Json)| {
        Some(value::float(lower)? <= 0.0 && value::float(upper)? >= 0.0).filter(|around| *around)
    };
    let floats = shape.iter().all(|leaf| leaf.dtype.is_float());
    let padded =
        floats && clients.len() <= MOST_PADDED && bounds.iter().all(|bounds| around_zero(bounds).is_some());
    let zeros = clients.first()?.as_ref().map(|tensor| Tensor::zeros(&tensor.leaf()));
    padded.then(|| clients.iter().cloned().chain([zeros.clone(), zeros]).collect())
}

/// The clients' values, with infinite ones replaced by bounds. `None` if there are no infinite
/// ones.
fn clipped(shape: &Shape, clients: &[Tree], bounds: &Bounds) -> Option<Vec<Tree>> {
    let mut found = false;
    let clipped = clients.iter().map(|client| {
        let mut places = 0..shape.iter().count();
        client.as_ref().map(|tensor| {
            let (lower, upper) = of_place(bounds, places.next().expect("a place for each leaf"));
            let clip = |x: f64| {
                found |= x.is_infinite();
                let bound = if x > 0.0 { upper } else { lower };
                if x.is_infinite() { value::float(bound).expect("a number") } else { x }
            };
            let elements = match &tensor.elements {
                Elements::Floats(elements) => Elements::Floats(elements.iter().copied().map(clip).collect()),
                integers @ Elements::Integers(_) => integers.clone(),
            };
            Tensor { elements, ..tensor.clone() }
        })
    });
    let clipped = clipped.collect();
    found.then_some(clipped)
}

/// `client_shift`: the clients' encodings.
pub(crate) fn client_shift(case: &Case) -> Result<Found, String> {
    case.check(&["lower", "upper"])?;
    let shape = case.type_of()?.member;
    let (bounds, _) = match bounds(case, &shape)? {
        Ok(found) => found,
        Err(refusal) => return Ok(refusal.into()),
    };
    let clients = case.clients(&shape)?.ok_or("not understood: no `clients`")?;
    let mut answers = Vec::new();
    for client in &clients {
        let mut leaves = Vec::new();
        for (place, tensor) in client.iter().enumerate() {
            let (lower, upper) = of_place(&bounds, place);
            let encoded = quantized!(tensor.dtype, T => encode::<T>(tensor, lower, upper), else unreachable!("checked"));
            match encoded {
                Ok(encoded) => leaves.push(encoded),
                Err(error) => return Ok(error.into()),
            }
        }
        let mut leaves = leaves.into_iter();
        answers.push(Answer::Value(client.as_ref().map(|_| leaves.next().expect("a tensor for each leaf"))));
    }
    Ok(match <[Answer; 1]>::try_from(answers) {
        Ok([answer]) => answer.into(),
        Err(answers) => Answer::List(answers).into(),
    })
}

fn encode<T: Element + Quantized>(
    tensor: &Tensor,
    lower: &Json,
    upper: &Json,
) -> cipherfold::federated::Result<Tensor> {
    let quantized = QuantizedSum::new(number::<T>(lower), number(upper))?;
    let values: Vec<T> = T::from_elements(&tensor.elements);
    let mut encoded = vec![0; values.len()];
    quantized.encode(&values, &mut encoded)?;
    Ok(Tensor { dtype: Dtype::U64, elements: u64::to_elements(encoded.into_iter()), ..tensor.clone() })
}

/// `server_shift`: the server's decoding of a sum of encodings.
pub(crate) fn server_shift(case: &Case) -> Result<Found, String> {
    case.check(&["lower", "upper", "num_summands", "summed"])?;
    let shape = case.type_of()?.member;
    let (bounds, _) = match bounds(case, &shape)? {
        Ok(found) => found,
        Err(refusal) => return Ok(refusal.into()),
    };
    let summands = case.count("num_summands")?.ok_or("not understood: no `num_summands`")?.into();
    let integers = shape.as_ref().map(|leaf| crate::types::Leaf { dtype: Dtype::I64, ..leaf.clone() });
    let summed = case.value("summed", &integers)?;
    let mut leaves = Vec::new();
    for (place, (leaf, tensor)) in shape.iter().zip(summed.iter()).enumerate() {
        let (lower, upper) = of_place(&bounds, place);
        let decoded = quantized!(leaf.dtype, T => decode::<T>(tensor, lower, upper, summands), else unreachable!("checked"));
        match decoded {
            Ok(decoded) => leaves.push(decoded),
            Err(refusal) => return Ok(refusal.into()),
        }
    }
    let mut leaves = leaves.into_iter();
    let answer = summed.as_ref().map(|_| leaves.next().expect("a tensor for each leaf"));
    Ok(Answer::Value(answer).into())
}

fn decode<T>(summed: &Tensor, lower: &Json, upper: &Json, summands: u64) -> Result<Tensor, Refusal>
where
    T: Element + Quantized<Sum: Element>,
{
    let quantized = QuantizedSum::new(number::<T>(lower), number(upper))?;
    let Elements::Integers(sums) = &summed.elements else { unreachable!("read as integers") };
    let decoded = sums.iter().map(|sum| {
        let sum = u128::try_from(*sum).map_err(|_| Rule::Sign)?;
        Ok(quantized.decode_sum(sum, summands)?)
    });
    let decoded: Vec<T::Sum> = decoded.collect::<Result<_, Refusal>>()?;
    let elements = <T::Sum as Element>::to_elements(decoded.into_iter());
    Ok(Tensor { dtype: <T::Sum as Element>::NAMED, elements, ..summed.clone() })
}

/// Maximum number of clients for which sums are repeated with zeros.
const MOST_PADDED: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    /// Two cases state this in words: with a range twice as wide as the number of levels, 0, 1 and
    /// 2 have two different encodings, and sums are too small by less than a step.
    #[test]
    fn steps_of_two_give_two_of_three() {
        let quantized = QuantizedSum::new(-4_294_967_295_i64, 4_294_967_294).unwrap();
        let decoded = [0, 1, 2].map(|x| {
            let mut encoded = [0];
            quantized.encode(&[x], &mut encoded).unwrap();
            quantized.decode_sum(encoded[0].into(), 1).unwrap()
        });
        let distinct: std::collections::BTreeSet<_> = decoded.into_iter().collect();
        assert_eq!(distinct.len(), 2, "{decoded:?}");
    }

    #[test]
    fn structures_of_bounds_do_not_hide_a_leaf() {
        let leaves = [(1, 2), (3, 4)].map(|(a, b)| Structure::leaf((Json::from(a), Json::from(b))));
        let bounds = PerLeaf::Each(Structure::tuple(leaves).expect("one level"));
        assert_eq!(of_place(&bounds, 1), &(Json::from(3), Json::from(4)));
    }
}
