//! Functions in cases: `5+5`, `x+1`, `2*(x-1)`, `identity`.

use crate::{
    notation::outside,
    number::{Number, Operator},
    types::Dtype,
    value::{self, Tree},
};

/// The value of an expression of `x` for every element, if the expression is understood.
pub fn map(text: &str, tree: &Tree) -> Option<Tree> {
    value::try_map(tree, |_, dtype, x| evaluate(text, dtype, Some(x)))
}

/// The value of an expression without `x` for every element of a value of this type.
pub fn constant(text: &str, like: &Tree) -> Option<Tree> {
    value::try_map(like, |_, dtype, _| evaluate(text, dtype, None))
}

/// The value of an expression over numbers of an element type.
fn evaluate(text: &str, dtype: Dtype, x: Option<Number>) -> Option<Number> {
    let text = text.trim();
    for rank in [[('+', Operator::Add), ('-', Operator::Sub)], [('*', Operator::Mul), ('/', Operator::Div)]] {
        let operators =
            outside(text).filter_map(|(i, c)| Some((i, rank.iter().find(|(sign, _)| *sign == c)?)));
        // The last operator of the lowest rank applies last.
        if let Some((i, (sign, operator))) = operators.last() {
            let is_minus = i == 0 && *sign == '-';
            let left = if is_minus { Number::zero(dtype) } else { evaluate(&text[..i], dtype, x)? };
            return left.apply(*operator, evaluate(&text[i + 1..], dtype, x)?, dtype);
        }
    }
    match text.strip_prefix('(').and_then(|text| text.strip_suffix(')')) {
        Some(inner) => evaluate(inner, dtype, x),
        None if ["x", "identity"].contains(&text) => x,
        None => Number::parse(text, dtype).filter(|_| text.starts_with(|c: char| c.is_ascii_digit())),
    }
}
