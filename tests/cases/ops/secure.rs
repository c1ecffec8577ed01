//! The three secure sums of integers: up to a width, up to a maximum, modulo a number.

use cipherfold::{
    federated::tensor::{Codec, Encoding},
    packing::{IntegerRange, Modular},
};
use static_assertions::{assert_impl_all, assert_not_impl_any};

use super::prelude::*;

// The type behind `Rule::NoElement`.
assert_not_impl_any!(IntegerRange: Codec<f32>, Codec<f64>, Codec<bool>);
assert_not_impl_any!(Modular: Codec<f32>, Codec<f64>, Codec<bool>);
assert_impl_all!(IntegerRange: Codec<i8>, Codec<i16>, Codec<i32>, Codec<i64>, Codec<u8>, Codec<u16>, Codec<u32>, Codec<u64>);

/// The meaning of the parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sum {
    Bitwidth,
    UpTo,
    Modular,
}

/// `secure_sum`, `secure_sum_bitwidth`, `secure_modular_sum`.
pub fn replay(case: &Case, parties: &Parties) -> Result<Found, Stop> {
    let (sum, field) = match case.op.as_str() {
        "secure_sum" => (Sum::UpTo, "max_input"),
        "secure_sum_bitwidth" => (Sum::Bitwidth, "bitwidth"),
        _ => (Sum::Modular, "modulus"),
    };
    let (parameter, param_type, _): (Option<Parameter>, Option<Type>, Option<Placement>) =
        case.fields(&[], &[field, "param_type", "value_placement"])?;
    let shape = case.member_at_clients()?;
    if !shape.iter().all(|leaf| leaf.dtype.is_integer()) {
        return Err(Rule::NoElement.into());
    }
    let numbers = numbers(parameter.as_ref(), param_type.as_ref(), shape)?;
    let clients = case.clients_or_zeros()?;
    let encodings = numbers.clone().try_map(|number| encoding(sum, number));
    let answer = answered(encodings.and_then(|encodings| aggregate(parties, shape, &clients, encodings)))?;
    let difference = difference(case, &clients, sum, &numbers, &answer)?;
    let one_for_many = numbers.as_leaf().is_some() && shape.as_leaf().is_none();
    let spreads = case.clients.is_none() && sum == Sum::Bitwidth && parameter.is_some() && one_for_many;
    let wide = sum == Sum::Bitwidth && numbers.iter().any(|bits| (63..=64).contains(bits));
    let too_wide = &["InvalidArgument", "InvalidArgumentError", "ValueError"];
    Ok(Found::of(answer)
        .or(difference)
        .or(wide.then(|| Difference::refuses(too_wide, WIDE)))
        .or(spreads.then(|| Difference::refuses(&["TypeError"], SPREADS))))
}

/// The parameter, or an example of its type.
fn numbers(
    parameter: Option<&Parameter>,
    stated: Option<&Type>,
    shape: &Shape,
) -> Result<Structure<i128>, Stop> {
    if parameter.is_some_and(|parameter| parameter.placement().is_some())
        || stated.is_some_and(|stated| stated.placement.is_some())
    {
        return Err(Rule::ParameterPlaced.into());
    }
    // One number for each tensor, for any shape.
    let is_number = |leaf: &Leaf| leaf.dtype.is_integer() && leaf.shape.iter().all(|len| *len == 1);
    if stated.is_some_and(|stated| !stated.member.iter().all(is_number)) {
        return Err(Rule::ParameterType.into());
    }
    match (parameter, stated) {
        (Some(parameter), _) => {
            let number = |number: Number| Ok(number.integer().ok_or(Rule::ParameterType)?);
            parameter.numbers(shape)?.try_map(number)
        }
        (None, Some(Type { member, .. })) => Ok(member.as_ref().map(|_| EXAMPLE)),
        (None, None) => Err(not_understood("no parameter")),
    }
}

fn encoding(sum: Sum, number: i128) -> Result<Encoding, Stop> {
    Ok(match sum {
        Sum::Bitwidth => IntegerRange::unsigned_bits(unsigned(number)?)?.into(),
        Sum::UpTo => IntegerRange::up_to(unsigned(number)?).into(),
        Sum::Modular => Modular::new(unsigned(number)?)?.into(),
    })
}

/// The sum over the clients, with these encodings. It must have the structure of their values.
pub fn aggregate(
    parties: &Parties,
    shape: &Shape,
    clients: &[Tree],
    encodings: Structure<Encoding>,
) -> Result<Tree, Stop> {
    let to_crate = |client: &Tree| client.as_ref().try_map(Tensor::to_crate);
    let clients = clients.iter().map(to_crate).collect::<Result<Vec<_>, _>>()?;
    let found = parties.combine(&clients, |values| {
        values.secure_aggregate(per_tensor(encodings)).map(|sum| sum.clone().map(Tensor::from_crate))
    })?;
    shape.zip_with(&found, |_, _| ()).map_err(|error| Stop::Failed(error.to_string()))?;
    Ok(found)
}

/// An integer of a case.
pub fn integer(json: &Json) -> Result<i128, Rule> {
    Number::read(json).and_then(Number::integer).ok_or(Rule::ParameterType)
}

/// An integer of a type without a sign.
pub fn unsigned<U: TryFrom<i128>>(x: i128) -> Result<U, Rule> {
    U::try_from(x).map_err(|_| Rule::Sign)
}

/// The answer of other implementations, if this crate differs on purpose.
fn difference(
    case: &Case,
    clients: &[Tree],
    sum: Sum,
    numbers: &Structure<i128>,
    answer: &Result<Tree, Refusal>,
) -> Result<Option<Difference>, Stop> {
    let shape = case.member()?;
    let number = |place| of_leaf(numbers, place).copied().unwrap_or(1);
    let Err(refusal) = answer else {
        let residues = (sum == Sum::Modular).then(|| wrapped_residues(clients, shape, number)).flatten();
        return Ok(residues.map(|sum| Difference::gives(sum, WRAPS)));
    };
    let most = |place| if sum == Sum::Bitwidth { (1 << number(place)) - 1 } else { number(place) };
    let integers = || value::numbers(clients).filter_map(|(place, x)| Some((place, x.integer()?)));
    let too_wide = sum == Sum::Bitwidth && numbers.iter().any(|bits| *bits > 64);
    let why = match (case.seed == Some(true), refusal.is_out_of_range()) {
        (true, out_of_range) if out_of_range || too_wide => IGNORES_WIDTH,
        // Negative values, where all others are in their ranges.
        (false, true) if integers().any(|(_, x)| x < 0) && integers().all(|(place, x)| x <= most(place)) => {
            NEGATIVE
        }
        _ => return Ok(None),
    };
    Ok(value::total(clients).map(|total| Difference::gives(value::wrapped(&total, shape), why)))
}

/// A sum modulo a number in other implementations: the sum of residues wraps in the type of the
/// values before it is reduced.
pub fn wrapped_residues(clients: &[Tree], shape: &Shape, modulus: impl Fn(usize) -> i128) -> Option<Tree> {
    let residues = |tree: &Tree| value::map_integers(tree, |place, x| x.rem_euclid(modulus(place)));
    let clients: Vec<Tree> = clients.iter().map(residues).collect();
    Some(residues(&value::wrapped(&value::total(&clients)?, shape)))
}

/// A parameter if only its type is given: a width, a maximum, a modulus.
const EXAMPLE: i128 = 8;

const SPREADS: &str =
    "TFF 0.16.1 wanted one width for each leaf; later versions spread one, and so does this crate";
const NEGATIVE: &str =
    "a negative value is out of range, and refused at its client; TFF's test backend lets it pass";
const IGNORES_WIDTH: &str = "the prototype ignores the width that is stated, this crate holds clients to it";
const WIDE: &str = "TFF stops at 62 bits, where Paillier has room for 64";
