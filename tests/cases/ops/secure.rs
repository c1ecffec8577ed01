//! The three secure sums of integers: up to a width, up to a maximum, modulo a number.

use cipherfold::{
    federated::{
        Clients,
        computation::Value,
        tensor::{Codec, PerTensor, Structure},
    },
    packing::{IntegerRange, Modular},
};
use ndarray::ArrayD;
use serde_json::Value as Json;
use static_assertions::{assert_impl_all, assert_not_impl_any};

use crate::{
    format::{Case, Parameter, PerLeaf},
    judge::{Answer, Found, Theirs, WRAPS},
    parties::Parties,
    refusal::{Refusal, Rule},
    split::{Draft, Group, groups, integers},
    types::{Dtype, Shape, Type},
    value::{self, Element, Elements, Tensor, Tree},
};

// The type behind `Rule::NoElement`.
assert_not_impl_any!(IntegerRange: Codec<f32>, Codec<f64>, Codec<bool>);
assert_not_impl_any!(Modular: Codec<f32>, Codec<f64>, Codec<bool>);
assert_impl_all!(IntegerRange: Codec<i8>, Codec<i16>, Codec<i32>, Codec<i64>, Codec<u8>, Codec<u16>, Codec<u32>, Codec<u64>);

/// The kind of sum, with its parameter.
#[derive(Clone, Debug)]
enum Sum {
    Bitwidth(PerLeaf<u32>),
    UpTo(PerLeaf<u64>),
    Modular(PerLeaf<Modular>),
}

/// A number of a case that may be too large for anything.
type Number = i128;

/// `secure_sum`, `secure_sum_bitwidth`, `secure_modular_sum`.
pub(crate) fn replay(case: &Case, parties: &Parties) -> Result<Found, String> {
    let field = match case.op.as_str() {
        "secure_sum" => "max_input",
        "secure_sum_bitwidth" => "bitwidth",
        _ => "modulus",
    };
    case.check(&[field, "param_type", "value_placement"])?;
    let found = case.type_of()?;
    if let Some(rule) = misplaced(case, &found)? {
        return Ok(rule.into());
    }
    let shape = &found.member;
    if shape.iter().any(|leaf| leaf.dtype.integer().is_none()) {
        return Ok(Rule::NoElement.into());
    }
    let numbers = match parameter(case, field, shape)? {
        Ok(numbers) => numbers,
        Err(rule) => return Ok(rule.into()),
    };
    let clients = case.clients(shape)?;
    let sum = match sum(&case.op, numbers.clone()) {
        Ok(sum) => sum,
        Err(refusal) => return Ok(refused_width(case, shape, clients.as_deref(), refusal, &numbers)),
    };
    let Some(clients) = clients else {
        return typed(case, parties, shape, &sum, &numbers);
    };
    let answer = run(parties, shape, &clients, &sum)?;
    let theirs = theirs(case, shape, &clients, &sum, &numbers, answer.as_ref().err());
    Ok(Found { answer: answer.map(Answer::Value), theirs, measurements: None })
}

/// Whether the values are not at the clients.
pub(crate) fn misplaced(case: &Case, found: &Type) -> Result<Option<Rule>, String> {
    let placement = match case.text("value_placement")? {
        None if case.has("value_placement") => return Ok(Some(Rule::NotAtClients)),
        stated => stated.or(found.placement.as_deref()).unwrap_or("CLIENTS"),
    };
    match placement {
        "CLIENTS" => Ok(None),
        "SERVER" | "AGGREGATOR" => Ok(Some(Rule::NotAtClients)),
        other => Err(format!("not understood: the placement {other}")),
    }
}

/// The parameter, or an example of its type.
fn parameter(case: &Case, field: &str, shape: &Shape) -> Result<Result<PerLeaf<Number>, Rule>, String> {
    if let Some(text) = case.text("param_type")? {
        let found = Type::parse(text).map_err(|error| format!("not understood: {error}"))?;
        if found.placement.is_some() {
            return Ok(Err(Rule::ParameterPlaced));
        }
        // One number for each tensor, for any shape.
        let good = |leaf: &crate::types::Leaf| {
            leaf.dtype.integer().is_some() && leaf.shape.iter().all(|len| *len == Some(1))
        };
        if !found.member.iter().all(good) {
            return Ok(Err(Rule::ParameterType));
        }
        if case.get(field).is_none() {
            return Ok(Ok(match found.member.as_leaf() {
                Some(_) => PerLeaf::One(EXAMPLE),
                None => PerLeaf::Each(found.member.map(|_| EXAMPLE)),
            }));
        }
    }
    let parameter = Parameter::read(case.need(field)?, shape)?;
    if parameter.at.is_some() {
        return Ok(Err(Rule::ParameterPlaced));
    }
    Ok(parameter.value.try_map(|json: Json| value::integer(&json).ok_or(Rule::ParameterType)))
}

/// The sum with this parameter, if it is valid.
fn sum(op: &str, numbers: PerLeaf<Number>) -> Result<Sum, Refusal> {
    match op {
        "secure_sum_bitwidth" => numbers
            .try_map(|bits| {
                let bits = u32::try_from(bits).map_err(|_| Rule::Sign)?;
                Ok(IntegerRange::unsigned_bits(bits).map(|_| bits)?)
            })
            .map(Sum::Bitwidth),
        "secure_sum" => {
            numbers.try_map(|max| u64::try_from(max).map_err(|_| Rule::Sign.into())).map(Sum::UpTo)
        }
        _ => numbers
            .try_map(|modulus| Ok(Modular::new(u64::try_from(modulus).map_err(|_| Rule::Sign)?)?))
            .map(Sum::Modular),
    }
}

/// The sum over the clients.
fn run(
    parties: &Parties,
    shape: &Shape,
    clients: &[Tree],
    sum: &Sum,
) -> Result<Result<Tree, Refusal>, String> {
    let mut draft = Draft::new(shape, clients);
    if let Err(refusal) = check_structure(shape, sum) {
        return Ok(Err(refusal));
    }
    for group in draft.groups() {
        integers!(group.dtype, T => group_sum::<T>(&mut draft, &group, sum), else unreachable!("integers only"));
    }
    Ok(draft.run(parties)?.map_err(Refusal::from))
}

/// These tests sort parameters of several element types by type, so their structure must be
/// compared here, too.
fn check_structure(shape: &Shape, sum: &Sum) -> Result<(), Refusal> {
    fn check<P>(shape: &Shape, parameter: &PerLeaf<P>) -> Result<(), Refusal> {
        match parameter {
            PerLeaf::Each(structure) if groups(shape).len() > 1 => {
                shape.zip_with(structure, |_, _| ()).map(drop).map_err(Refusal::from)
            }
            _ => Ok(()),
        }
    }
    match sum {
        Sum::Bitwidth(parameter) => check(shape, parameter),
        Sum::UpTo(parameter) => check(shape, parameter),
        Sum::Modular(parameter) => check(shape, parameter),
    }
}

fn group_sum<T>(draft: &mut Draft<'_>, group: &Group, sum: &Sum)
where
    T: Element,
    IntegerRange: Codec<T, Output: Element>,
    Modular: Codec<T, Output = i64>,
{
    let values: Value<Structure<ArrayD<T>>, Clients> = draft.input(group);
    let total = match sum {
        Sum::Bitwidth(PerLeaf::One(bits)) => {
            values.secure_sum_bitwidth(*bits).expect("the width was checked")
        }
        Sum::UpTo(PerLeaf::One(max)) => values.secure_sum_up_to(*max),
        Sum::Bitwidth(bits) => values.secure_sum(ranges(bits, group, |bits| {
            IntegerRange::unsigned_bits(*bits).expect("the width was checked")
        })),
        Sum::UpTo(max) => values.secure_sum(ranges(max, group, |max| IntegerRange::up_to(*max))),
        Sum::Modular(moduli) => {
            let total = values.secure_modular_sum(moduli.per_tensor(&group.places, group.all));
            return draft.output(&total);
        }
    };
    draft.output(&total);
}

fn ranges<P: Clone>(
    parameter: &PerLeaf<P>,
    group: &Group,
    range: impl Fn(&P) -> IntegerRange,
) -> PerTensor<IntegerRange> {
    let ranges: Result<_, core::convert::Infallible> =
        parameter.clone().try_map(|parameter| Ok(range(&parameter)));
    let Ok(ranges) = ranges;
    ranges.per_tensor(&group.places, group.all)
}

/// A case without data: the type of the result for zeros of one client.
fn typed(
    case: &Case,
    parties: &Parties,
    shape: &Shape,
    sum: &Sum,
    numbers: &PerLeaf<Number>,
) -> Result<Found, String> {
    let zeros = shape.as_ref().map(Tensor::zeros);
    let answer = run(parties, shape, &[zeros], sum)?;
    let mut theirs = vec![Theirs::Gives(Answer::Type(at_server(shape.clone())), WIDER)];
    let one_for_many = matches!(sum, Sum::Bitwidth(PerLeaf::One(_))) && shape.as_leaf().is_none();
    if one_for_many && case.get("bitwidth").is_some() {
        theirs.push(Theirs::Refuses(&["TypeError"], SPREADS));
    }
    theirs.extend(too_wide(case, numbers));
    Ok(Found {
        answer: answer.map(|sum| Answer::Type(at_server(value::type_of(&sum)))),
        theirs,
        measurements: None,
    })
}

pub(crate) fn at_server(member: Shape) -> Type {
    Type { member, sequence: false, placement: Some("SERVER".to_owned()), all_equal: true }
}

/// The answer of other implementations, if this crate differs on purpose.
fn theirs(
    case: &Case,
    shape: &Shape,
    clients: &[Tree],
    sum: &Sum,
    numbers: &PerLeaf<Number>,
    refusal: Option<&Refusal>,
) -> Vec<Theirs> {
    let mut theirs = Vec::new();
    let Some(total) = value::total(clients) else {
        return theirs;
    };
    let gives = |sum: &Tree, why| Theirs::Gives(Answer::Value(value::wrapped(sum, shape)), why);
    match (sum, refusal) {
        (Sum::Modular(moduli), _) => {
            let modulus =
                |place: usize| -> Number { at(moduli, place).map_or(1, |modulus| modulus.modulus().into()) };
            theirs.extend(modular(clients, shape, modulus));
        }
        (_, Some(refusal)) if refusal.is_out_of_range() => {
            if case.flag("seed").unwrap_or_default() {
                theirs.push(gives(&total, IGNORES_WIDTH));
            } else if only_negative_ones_are_out_of_range(clients, sum) {
                theirs.push(gives(&total, NEGATIVE));
            }
        }
        _ => theirs.push(gives(&total, WRAPS)),
    }
    theirs.extend(too_wide(case, numbers));
    theirs
}

/// A sum modulo a number in other implementations: the sum of residues wraps before it is reduced.
pub(crate) fn modular(clients: &[Tree], shape: &Shape, modulus: impl Fn(usize) -> Number) -> Option<Theirs> {
    let residues = |tree: &Tree| value::map_integers(tree, |place, x| x.rem_euclid(modulus(place)));
    let clients: Vec<Tree> = clients.iter().map(residues).collect();
    let sum = residues(&value::wrapped(&value::total(&clients)?, shape));
    Some(Theirs::Gives(Answer::Value(sum), WRAPS))
}

/// The parameter of a leaf.
fn at<P>(parameter: &PerLeaf<P>, place: usize) -> Option<&P> {
    match parameter {
        PerLeaf::One(parameter) => Some(parameter),
        PerLeaf::Each(parameters) => parameters.iter().nth(place),
    }
}

/// Whether there are negative values, and all other values are in their ranges.
fn only_negative_ones_are_out_of_range(clients: &[Tree], sum: &Sum) -> bool {
    let max = |place: usize| -> Number {
        match sum {
            Sum::Bitwidth(bits) => at(bits, place).map_or(0, |bits| (1 << bits) - 1),
            Sum::UpTo(max) => at(max, place).map_or(0, |max| i128::from(*max)),
            Sum::Modular(_) => Number::MAX,
        }
    };
    let values = || {
        clients.iter().flat_map(|client| {
            client.iter().enumerate().flat_map(|(place, tensor)| match &tensor.elements {
                Elements::Integers(elements) => elements.iter().map(|x| (place, *x)).collect::<Vec<_>>(),
                Elements::Floats(_) => Vec::new(),
            })
        })
    };
    values().any(|(_, x)| x < 0) && values().all(|(place, x)| x <= max(place))
}

/// Widths that other implementations do not support.
fn too_wide(case: &Case, numbers: &PerLeaf<Number>) -> Option<Theirs> {
    let wide = case.op == "secure_sum_bitwidth" && numbers.iter().any(|bits| (63..=64).contains(bits));
    wide.then_some(Theirs::Refuses(
        &["InvalidArgument", "InvalidArgumentError", "ValueError"],
        "TFF stops at 62 bits, where Paillier has room for 64",
    ))
}

/// A width above 64, which the prototype would have ignored.
fn refused_width(
    case: &Case,
    shape: &Shape,
    clients: Option<&[Tree]>,
    refusal: Refusal,
    numbers: &PerLeaf<Number>,
) -> Found {
    let seed = case.flag("seed").unwrap_or_default() && numbers.iter().any(|bits| *bits > 64);
    let mut found = Found::from(refusal);
    if seed && let Some(total) = clients.and_then(value::total) {
        found.theirs.push(Theirs::Gives(Answer::Value(value::wrapped(&total, shape)), IGNORES_WIDTH));
    }
    found
}

/// A parameter if only its type is given: a width, a maximum, a modulus.
const EXAMPLE: Number = 8;

pub(crate) const WIDER: &str = "sums come in a type wide enough, here";
const SPREADS: &str =
    "TFF 0.16.1 wanted one width for each leaf; later versions spread one, and so does this crate";
const NEGATIVE: &str =
    "a negative value is out of range, and refused at its client; TFF's test backend lets it pass";
const IGNORES_WIDTH: &str = "the prototype ignores the width that is stated, this crate holds clients to it";
