//! Quantised sums, and their two halves: the client's encoding, and the server's decoding of the
//! sum.

use cipherfold::{
    federated::tensor::{Codec, Encoding},
    packing::{Quantized, QuantizedSum},
};
use static_assertions::{assert_impl_all, assert_not_impl_any};

use super::{
    prelude::*,
    secure::{aggregate, unsigned},
};
use crate::value::try_each;

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

/// A lower and an upper bound, both integers or both not.
type Pair = (Number, Number);

/// Bounds, one pair for all leaves or one for each.
struct Bounds {
    pairs: Structure<Pair>,
    at_the_server: bool,
}

/// `secure_quantized_sum`.
pub fn replay(case: &Case, parties: &Parties) -> Result<Found, Stop> {
    let (lower, upper, at, _): (Parameter, Parameter, Option<Placement>, Option<Placement>) =
        case.fields(&["lower", "upper"], &["bounds_placement", "value_placement"])?;
    let shape = case.member_at_clients()?;
    let bounds = Bounds::read([&lower, &upper], at, shape)?;
    let clients = case.clients_or_zeros()?;
    let answer = answered(bounds.sum(parties, shape, &clients))?;
    let mut clipped = None;
    if let Err(Refusal::Crate(Error::Client { .. })) = &answer
        && let Some(clients) = bounds.clipped(&clients)
    {
        let sum = answered(bounds.sum(parties, shape, &clients))?.ok();
        clipped = sum.map(|sum| Difference::gives(sum, CLIPS));
    }
    Ok(Found::of(answer).or(clipped))
}

impl Bounds {
    fn read([lower, upper]: [&Parameter; 2], at: Option<Placement>, shape: &Shape) -> Result<Self, Stop> {
        let [place, other] = [lower, upper].map(|bound| bound.placement().or(at));
        if place != other {
            return Err(Rule::BoundsAtTwoPlaces.into());
        }
        let pairs =
            lower.numbers(shape)?.zip_with(&upper.numbers(shape)?, |lower, upper| (*lower, *upper))?;
        let is_mixed = |(a, b): &Pair| a.integer().is_some() != b.integer().is_some();
        if pairs.iter().any(is_mixed) {
            return Err(Rule::BoundsOfTwoTypes.into());
        }
        if matches!(place, Some(Placement::Clients | Placement::Aggregator)) {
            return Err(Rule::ParameterPlaced.into());
        }
        if pairs.as_leaf().is_none() {
            shape.zip_with(&pairs, |_, _| ())?;
        } else if shape.iter().count() > 1 && value::one_dtype(shape).is_none() {
            return Err(Rule::OneBoundForTwoTypes.into());
        }
        Ok(Self { pairs, at_the_server: place.is_some() })
    }

    fn of_leaf(&self, place: usize) -> Pair {
        *of_leaf(&self.pairs, place).expect("bounds for each leaf")
    }

    /// The sum over the clients.
    fn sum(&self, parties: &Parties, shape: &Shape, clients: &[Tree]) -> Result<Tree, Stop> {
        if self.at_the_server {
            // The server's bounds apply to all tensors of a value, so each leaf becomes a separate value.
            return value::each_leaf(shape, clients, |place, dtype, leaves| {
                with_type!(quantized dtype, T => {
                    let bounds = Value::constant(typed::<T>(self.of_leaf(place))?);
                    let sum = |values: &Value<Tensors<T>, _>| values.secure_quantized_sum_between(&bounds);
                    parties.combine(&value::arrays(leaves), |values| to_tree(&sum(values)))
                })
            });
        }
        let mut dtypes = shape.iter().map(|leaf| leaf.dtype);
        let encoding = |pair| {
            let dtype = dtypes.next().unwrap_or(Dtype::Int32);
            with_type!(quantized dtype, T => Ok::<Encoding, Stop>(codec::<T>(pair)?.into()))
        };
        aggregate(parties, shape, clients, self.pairs.clone().try_map(encoding)?)
    }

    /// The clients' values, with infinite ones replaced by bounds, if there are infinite ones.
    fn clipped(&self, clients: &[Tree]) -> Option<Vec<Tree>> {
        value::numbers(clients).find(|(_, x)| x.to_f64().is_infinite())?;
        let clip = |place, _, x: Number| match x.to_f64() {
            f64::INFINITY => self.of_leaf(place).1,
            f64::NEG_INFINITY => self.of_leaf(place).0,
            _ => x,
        };
        Some(clients.iter().map(|client| value::map(client, clip)).collect())
    }
}

/// Bounds of an element type, which must be that of the values.
fn typed<T: Element>((lower, upper): Pair) -> Result<(T, T), Rule> {
    let typed = |bound: Number| {
        let is_of_type = T::DTYPE.is_float() == bound.integer().is_none() && bound.cast(T::DTYPE).is_some();
        if is_of_type { Ok(T::from_number(bound)) } else { Err(Rule::BoundsOfOtherType) }
    };
    Ok((typed(lower)?, typed(upper)?))
}

fn codec<T: Element + Quantized>(bounds: Pair) -> Result<QuantizedSum<T>, Stop> {
    let (lower, upper) = typed::<T>(bounds)?;
    Ok(QuantizedSum::new(lower, upper)?)
}

/// `client_shift`: the clients' encodings.
pub fn client_shift(case: &Case, _: &Parties) -> Result<Found, Stop> {
    let bounds: [Parameter; 2] = case.fields(&["lower", "upper"], &[])?;
    let bounds = Bounds::read(bounds.each_ref(), None, case.member()?)?;
    let encode = |place, tensor: &Tensor| -> Result<Tensor, Stop> {
        with_type!(quantized tensor.dtype, T => {
            let codec = codec::<T>(bounds.of_leaf(place))?;
            let encoded = try_each(&tensor.array::<T>(), |value| {
                let mut encoded = [0_u64];
                codec.encode(&[*value], &mut encoded)?;
                Ok::<_, Stop>(encoded[0])
            });
            Ok(Tensor::of(&encoded?))
        })
    };
    let clients = case.needed_clients()?;
    let encoded = clients.iter().map(|client| value::try_map_leaves(client, encode));
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
            let decoded = try_each(&sums.array::<i64>(), |sum| {
                Ok::<_, Stop>(codec.decode_sum(unsigned((*sum).into())?, summands.into())?)
            });
            Ok(Tensor::of(&decoded?))
        })
    };
    Ok(value::try_map_leaves(&summed, decode)?.into())
}

const CLIPS: &str = "what is infinite is refused here, and clipped there";
