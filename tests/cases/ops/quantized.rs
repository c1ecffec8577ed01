//! Quantised sums, and their two halves: the client's encoding, and the server's decoding of the
//! sum.

use cipherfold::{
    federated::tensor::Codec,
    packing::{Quantized, QuantizedSum},
};
use static_assertions::{assert_impl_all, assert_not_impl_any};

use super::{prelude::*, secure::unsigned};

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

/// A lower and an upper bound.
type Pair = (Number, Number);

/// Bounds of the values' types.
struct Bounds {
    pairs: PerTensor<Pair>,
    at_the_server: bool,
}

/// `secure_quantized_sum`.
pub fn replay(case: &Case, parties: &Parties) -> Result<Found, Stop> {
    let (lower, upper, at, _): (Parameter, Parameter, Option<Placement>, Option<Placement>) =
        case.fields(&["lower", "upper"], &["bounds_placement", "value_placement"])?;
    let shape = case.member_at_clients()?;
    let bounds = Bounds::read([&lower, &upper], at, shape)?;
    let clients = case.clients_or_zeros()?;
    let sum = |clients: &[Tree]| bounds.sum(parties, shape, clients);
    let answer = answered(sum(&clients))?;
    let mut clipped = None;
    match &answer {
        Ok(total) => {
            if let Some(padded) = bounds.with_zeros(&clients)
                && sum(&padded).as_ref() != Ok(total)
            {
                return Err("two more clients with zeros change the sum".into());
            }
        }
        Err(Refusal::Crate(Error::Client { .. })) => {
            let sum = bounds.clipped(&clients).map(|clients| answered(sum(&clients))).transpose()?;
            clipped = sum.and_then(Result::ok).map(|sum| Theirs::gives(sum, CLIPS));
        }
        Err(_) => {}
    }
    Found::of(answer).or(clipped).or_wrapped(shape).type_if_no_data(case)
}

impl Bounds {
    /// The bounds, if they are of the values' types.
    fn read([lower, upper]: [&Parameter; 2], at: Option<Placement>, shape: &Shape) -> Result<Self, Stop> {
        let quantized =
            |leaf: &Leaf| matches!(leaf.dtype, Dtype::Int32 | Dtype::Int64) || leaf.dtype.is_real();
        if !shape.iter().all(quantized) {
            return Err(Rule::NoElement.into());
        }
        let numbers = |bound: &Parameter| {
            let number = |json: Json| Number::read(&json).filter(|_| json.is_number()).ok_or(json);
            try_map(bound.per_tensor(shape)?, number)
                .map_err(|json| not_understood(format!("a bound of {json}")))
        };
        let (lowers, uppers) = (numbers(lower)?, numbers(upper)?);
        let places = [lower, upper].map(|bound| bound.at.or(at));
        if places[0] != places[1] {
            return Err(Rule::BoundsAtTwoPlaces.into());
        }
        let pairs = match (lowers, uppers) {
            (PerTensor::All(lower), PerTensor::All(upper)) => PerTensor::All((lower, upper)),
            (PerTensor::Nested(lower), PerTensor::Nested(upper)) => {
                PerTensor::Nested(lower.zip_with(&upper, |lower, upper| (*lower, *upper))?)
            }
            _ => return Err(Rule::BoundsOfTwoTypes.into()),
        };
        let is_mixed = |(a, b): &Pair| a.integer().is_some() != b.integer().is_some();
        if values(&pairs).into_iter().any(is_mixed) {
            return Err(Rule::BoundsOfTwoTypes.into());
        }
        if matches!(places[0], Some(Placement::Clients | Placement::Aggregator)) {
            return Err(Rule::ParameterPlaced.into());
        }
        match &pairs {
            PerTensor::Nested(pairs) => drop(shape.zip_with(pairs, |_, _| ())?),
            _ if Split::by_type(shape).groups.len() > 1 => return Err(Rule::OneBoundForTwoTypes.into()),
            _ => {}
        }
        let fits = |(place, leaf): (usize, &Leaf)| {
            let is_of_type = |bound: Number| {
                leaf.dtype.is_float() == bound.integer().is_none() && bound.cast(leaf.dtype).is_some()
            };
            of_leaf(&pairs, place).is_some_and(|(lower, upper)| is_of_type(*lower) && is_of_type(*upper))
        };
        if !shape.iter().enumerate().all(fits) {
            return Err(Rule::BoundsOfOtherType.into());
        }
        Ok(Self { pairs, at_the_server: places[0].is_some() })
    }

    fn of_leaf(&self, place: usize) -> Pair {
        *of_leaf(&self.pairs, place).expect("bounds for each leaf")
    }

    /// The sum over the clients.
    fn sum(&self, parties: &Parties, shape: &Shape, clients: &[Tree]) -> Result<Tree, Stop> {
        // The server's bounds apply to all tensors of a value, so each leaf becomes a separate value.
        let split = if self.at_the_server { Split::by_leaf(shape) } else { Split::by_type(shape) };
        split.compute(parties, clients, |draft, group| {
            with_type!(quantized group.dtype, T => self.total::<T>(&draft.values(group), group))
        })
    }

    fn total<T: Computed + Quantized>(
        &self,
        values: &Value<Tensors<T>, Clients>,
        group: &Group,
    ) -> Result<Value<Tree, Server>, Stop>
    where
        QuantizedSum<T>: Codec<T, Output: Element>,
    {
        Ok(tree(&if self.at_the_server {
            let (lower, upper) = self.of_leaf(group.places[0]);
            let bounds = Value::constant((T::from_number(lower), T::from_number(upper)));
            values.secure_quantized_sum_between(&bounds)
        } else {
            values.secure_quantized_sum(try_map(group.parameters(&self.pairs), codec::<T>)?)
        }))
    }

    /// Adds two clients with only zeros, which cancel to the last bit, if all values are floats and
    /// zero is within all bounds.
    fn with_zeros(&self, clients: &[Tree]) -> Option<Vec<Tree>> {
        let around_zero = |(lower, upper): &Pair| lower.to_f64() <= 0.0 && upper.to_f64() >= 0.0;
        let floats = value::numbers(clients).all(|(_, x)| x.integer().is_none());
        let padded =
            floats && clients.len() <= MOST_PADDED && values(&self.pairs).into_iter().all(around_zero);
        let zeros = clients.first()?.as_ref().map(|tensor| tensor.map(|_| Number::zero(tensor.dtype)));
        padded.then(|| clients.iter().cloned().chain([zeros.clone(), zeros]).collect())
    }

    /// The clients' values, with infinite ones replaced by bounds, if there are infinite ones.
    fn clipped(&self, clients: &[Tree]) -> Option<Vec<Tree>> {
        value::numbers(clients).find(|(_, x)| x.to_f64().is_infinite())?;
        let clip = |place, tensor: &Tensor| {
            let (lower, upper) = self.of_leaf(place);
            tensor.map(|x| match x.to_f64() {
                f64::INFINITY => upper,
                f64::NEG_INFINITY => lower,
                _ => x,
            })
        };
        Some(clients.iter().map(|client| value::map_leaves(client, clip)).collect())
    }
}

fn codec<T: Element + Quantized>((lower, upper): Pair) -> Result<QuantizedSum<T>, Stop> {
    Ok(QuantizedSum::new(T::from_number(lower), T::from_number(upper))?)
}

/// `client_shift`: the clients' encodings.
pub fn client_shift(case: &Case, _: &Parties) -> Result<Found, Stop> {
    let bounds: [Parameter; 2] = case.fields(&["lower", "upper"], &[])?;
    let bounds = Bounds::read(bounds.each_ref(), None, case.member()?)?;
    let encode = |place, tensor: &Tensor| -> Result<Tensor, Stop> {
        with_type!(quantized tensor.dtype, T => {
            let values: Vec<T> = tensor.array().into_iter().collect();
            let mut encoded = vec![0; values.len()];
            codec::<T>(bounds.of_leaf(place))?.encode(&values, &mut encoded)?;
            Ok(tensor.reshaped(encoded))
        })
    };
    let clients = case.needed_clients()?;
    let encoded = clients.iter().map(|client| value::map_leaves(client, encode).try_map(|encoded| encoded));
    let mut encoded: Vec<Tree> = encoded.collect::<Result<_, _>>()?;
    Ok(if encoded.len() == 1 { encoded.remove(0).into() } else { Answer::list(encoded).into() })
}

/// `server_shift`: the server's decoding of a sum of encodings.
pub fn server_shift(case: &Case, _: &Parties) -> Result<Found, Stop> {
    let (lower, upper, summands, summed): (Parameter, Parameter, u32, Json) =
        case.fields(&["lower", "upper", "num_summands", "summed"], &[])?;
    let shape = case.member()?;
    let bounds = Bounds::read([&lower, &upper], None, shape)?;
    let integers = shape.as_ref().map(|leaf| Leaf { dtype: Dtype::Int64, ..leaf.clone() });
    let summed = case::value("summed", &summed, &integers)?;
    let dtypes: Vec<Dtype> = shape.iter().map(|leaf| leaf.dtype).collect();
    let decode = |place: usize, sums: &Tensor| -> Result<Tensor, Stop> {
        with_type!(quantized dtypes[place], T => {
            let codec = codec::<T>(bounds.of_leaf(place))?;
            let decode = |sum: i64| Ok(codec.decode_sum(unsigned(sum.into())?, summands.into())?);
            Ok(sums.reshaped(sums.array().into_iter().map(decode).collect::<Result<_, Stop>>()?))
        })
    };
    Ok(value::map_leaves(&summed, decode).try_map(|tensor| tensor)?.into())
}

/// Maximum number of clients for which sums are repeated with zeros.
const MOST_PADDED: usize = 20;

const CLIPS: &str = "what is infinite is refused here, and clipped there";

#[cfg(test)]
mod tests {
    use super::*;

    /// Two cases state this in words: with a range twice as wide as the number of levels, 0, 1 and
    /// 2 have two different encodings, and sums are too small by less than a step.
    #[test]
    fn steps_of_two_give_two_of_three() {
        let quantized = QuantizedSum::new(-4_294_967_295_i64, 4_294_967_294).unwrap();
        let mut encoded = [0; 3];
        quantized.encode(&[0, 1, 2], &mut encoded).unwrap();
        let decoded = encoded.map(|x| quantized.decode_sum(x.into(), 1).unwrap());
        let distinct: std::collections::BTreeSet<_> = decoded.into_iter().collect();
        assert_eq!(distinct.len(), 2, "{decoded:?}");
    }
}
