//! The three secure sums of integers: up to a width, up to a maximum, modulo a number.

use cipherfold::{
    federated::tensor::{Codec, Scalar},
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
pub enum Sum {
    Bitwidth,
    UpTo,
    Modular,
}

/// `secure_sum`, `secure_sum_bitwidth`, `secure_modular_sum`.
pub fn replay(case: &Case, parties: &Parties, sum: Sum) -> Result<Found, Stop> {
    let name = match sum {
        Sum::Bitwidth => "bitwidth",
        Sum::UpTo => "max_input",
        Sum::Modular => "modulus",
    };
    let (parameter, param_type, _): (Option<Parameter>, Option<Type>, Option<Placement>) =
        case.fields(&[name, "param_type", "value_placement"])?;
    let shape = case.member_at_clients()?;
    if !shape.iter().all(|leaf| leaf.dtype.is_integer()) {
        return Err(Rule::NoElement.into());
    }
    let numbers = numbers(parameter.as_ref(), param_type.as_ref(), shape)?;
    let clients = case.clients_or_zeros()?;
    let answer = answered(run(parties, shape, &clients, sum, &numbers))?;
    let theirs = theirs(case, &clients, sum, &numbers, &answer)?;
    let is_one_for_many = matches!(numbers, PerTensor::All(_)) && shape.as_leaf().is_none();
    let spreads = case.clients.is_none() && sum == Sum::Bitwidth && parameter.is_some() && is_one_for_many;
    Found::from(answer.map(Answer::Value))
        .or(theirs)
        .or(too_wide(sum, &numbers))
        .or(spreads.then_some(Theirs::Refuses(&["TypeError"], SPREADS)))
        .type_if_no_data(case)
}

/// The parameter, or an example of its type.
fn numbers(
    parameter: Option<&Parameter>,
    stated: Option<&Type>,
    shape: &Shape,
) -> Result<PerTensor<i128>, Stop> {
    if let Some(stated) = stated {
        if stated.placement.is_some() {
            return Err(Rule::ParameterPlaced.into());
        }
        // One number for each tensor, for any shape.
        if !stated
            .member
            .iter()
            .all(|leaf| leaf.dtype.is_integer() && leaf.shape.iter().all(|len| *len == Some(1)))
        {
            return Err(Rule::ParameterType.into());
        }
        if parameter.is_none() {
            return Ok(match stated.member.as_leaf() {
                Some(_) => PerTensor::All(EXAMPLE),
                None => PerTensor::Nested(stated.member.as_ref().map(|_| EXAMPLE)),
            });
        }
    }
    let parameter = parameter.ok_or_else(|| Stop::not_understood("no parameter"))?;
    let numbers = parameter.per_tensor(shape)?;
    if parameter.placement().is_some() {
        return Err(Rule::ParameterPlaced.into());
    }
    let integer = |json: Json| Number::read(&json).and_then(Number::integer).ok_or(Rule::ParameterType);
    Ok(try_map(&numbers, integer)?)
}

/// The sum over the clients.
fn run(
    parties: &Parties,
    shape: &Shape,
    clients: &[Tree],
    sum: Sum,
    numbers: &PerTensor<i128>,
) -> Result<Tree, Stop> {
    let parts = parts(shape);
    if let (PerTensor::Nested(numbers), 2..) = (numbers, parts.len()) {
        // The crate gets them leaf by leaf.
        shape.zip_with(numbers, |_, _| ())?;
    }
    run_parts(parties, shape, &parts, clients, None, |values, part| {
        let numbers = part.parameter(numbers);
        with_type!(integers part.dtype, T => sum_of::<T>(&part.of_value(values), sum, &numbers))
    })
}

fn sum_of<T: Element + Scalar>(
    values: &Value<Tensors<T>, Clients>,
    sum: Sum,
    numbers: &PerTensor<i128>,
) -> Result<Value<Tree, Server>, Stop>
where
    IntegerRange: Codec<T, Output: Element>,
    Modular: Codec<T, Output = i64>,
{
    Ok(match (sum, numbers) {
        (Sum::Bitwidth, PerTensor::All(bits)) => tree(&values.secure_sum_bitwidth(unsigned(*bits)?)?),
        (Sum::UpTo, PerTensor::All(max)) => tree(&values.secure_sum_up_to(unsigned(*max)?)),
        (Sum::Bitwidth, bits) => {
            tree(&values.secure_sum(try_map(bits, |bits| {
                Ok::<_, Stop>(IntegerRange::unsigned_bits(unsigned(bits)?)?)
            })?))
        }
        (Sum::UpTo, max) => {
            tree(&values.secure_sum(try_map(max, |max| Ok::<_, Stop>(IntegerRange::up_to(unsigned(max)?)))?))
        }
        (Sum::Modular, moduli) => tree(&values.secure_modular_sum(try_map(moduli, |modulus| {
            Ok::<_, Stop>(Modular::new(unsigned(modulus)?)?)
        })?)),
    })
}

/// An integer of a type without a sign.
pub fn unsigned<U: TryFrom<i128>>(x: i128) -> Result<U, Rule> {
    U::try_from(x).map_err(|_| Rule::Sign)
}

/// The answer of other implementations, if this crate differs on purpose.
fn theirs(
    case: &Case,
    clients: &[Tree],
    sum: Sum,
    numbers: &PerTensor<i128>,
    answer: &Result<Tree, Refusal>,
) -> Result<Option<Theirs>, Stop> {
    let shape = case.member()?;
    let number = |place| of_leaf(numbers, place).copied();
    let why = match answer {
        Ok(_) if sum == Sum::Modular => {
            let sum = wrapped_residues(clients, shape, |place| number(place).unwrap_or(1));
            return Ok(sum.map(|sum| Theirs::Gives(Answer::Value(sum), WRAPS)));
        }
        Ok(_) => WRAPS,
        Err(refusal) if case.is_seed() && (refusal.is_out_of_range() || is_impossible(sum, numbers)) => {
            IGNORES_WIDTH
        }
        Err(refusal) if refusal.is_out_of_range() => {
            // Negative values, where all others are in their ranges.
            let most = |place| match sum {
                Sum::Bitwidth => number(place).map_or(0, |bits| (1 << bits) - 1),
                _ => number(place).unwrap_or(0),
            };
            let integers = || value::numbers(clients).filter_map(|(place, x)| Some((place, x.integer()?)));
            let negative = integers().any(|(_, x)| x < 0) && integers().all(|(place, x)| x <= most(place));
            if !negative {
                return Ok(None);
            }
            NEGATIVE
        }
        Err(_) => return Ok(None),
    };
    let total = value::total(clients);
    Ok(total.map(|total| Theirs::Gives(Answer::Value(value::wrapped(&total, shape)), why)))
}

/// A sum modulo a number in other implementations: the sum of residues wraps in the type of the
/// values before it is reduced.
pub fn wrapped_residues(clients: &[Tree], shape: &Shape, modulus: impl Fn(usize) -> i128) -> Option<Tree> {
    let residues = |tree: &Tree| value::map_integers(tree, |place, x| x.rem_euclid(modulus(place)));
    let clients: Vec<Tree> = clients.iter().map(residues).collect();
    Some(residues(&value::wrapped(&value::total(&clients)?, shape)))
}

/// Widths that no implementation supports.
fn is_impossible(sum: Sum, numbers: &PerTensor<i128>) -> bool {
    sum == Sum::Bitwidth && values(numbers).into_iter().any(|bits| *bits > 64)
}

/// Widths that other implementations do not support.
fn too_wide(sum: Sum, numbers: &PerTensor<i128>) -> Option<Theirs> {
    let any = values(numbers).into_iter().any(|bits| (63..=64).contains(bits));
    let names = &["InvalidArgument", "InvalidArgumentError", "ValueError"];
    (sum == Sum::Bitwidth && any)
        .then_some(Theirs::Refuses(names, "TFF stops at 62 bits, where Paillier has room for 64"))
}

/// A parameter if only its type is given: a width, a maximum, a modulus.
const EXAMPLE: i128 = 8;

const SPREADS: &str =
    "TFF 0.16.1 wanted one width for each leaf; later versions spread one, and so does this crate";
const NEGATIVE: &str =
    "a negative value is out of range, and refused at its client; TFF's test backend lets it pass";
const IGNORES_WIDTH: &str = "the prototype ignores the width that is stated, this crate holds clients to it";
