//! Functions in cases: `5+5`, `x+1`, `2*(x-1)`, `identity`.

use crate::{
    notation::outside,
    number::{Number, Operator},
    types::Dtype,
    value::Tree,
};

/// The value of an expression of `x` for every element, if the expression is understood.
pub fn map(text: &str, tree: &Tree) -> Option<Tree> {
    each(text, tree, Some)
}

/// The value of an expression without `x` for every element of a value of this type.
pub fn constant(text: &str, like: &Tree) -> Option<Tree> {
    each(text, like, |_| None)
}

fn each(text: &str, tree: &Tree, argument: fn(Number) -> Option<Number>) -> Option<Tree> {
    let value = |dtype: Dtype, x| Some(evaluate(text, dtype, argument(x))?.rounded(dtype));
    tree.as_ref().try_map(|tensor| tensor.try_map(|x| value(tensor.dtype, x)).ok_or(())).ok()
}

/// The value of an expression over numbers of an element type.
fn evaluate(text: &str, dtype: Dtype, x: Option<Number>) -> Option<Number> {
    let text = text.trim();
    for rank in [[Operator::ADD, Operator::SUB], [Operator::MUL, Operator::DIV]] {
        let operators =
            outside(text).filter_map(|(i, c)| Some((i, rank.iter().find(|rank| rank.sign == c)?)));
        // The last operator of the lowest rank applies last.
        if let Some((i, operator)) = operators.last() {
            let is_sign = i == 0 && operator.sign == '-';
            let left = if is_sign { Number::zero(dtype) } else { evaluate(&text[..i], dtype, x)? };
            return left.apply(*operator, evaluate(&text[i + 1..], dtype, x)?);
        }
    }
    match text.strip_prefix('(').and_then(|text| text.strip_suffix(')')) {
        Some(inner) => evaluate(inner, dtype, x),
        None if ["x", "identity"].contains(&text) => x,
        None => Number::parse(text, dtype).filter(|_| text.starts_with(|c: char| c.is_ascii_digit())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_have_the_value_that_they_have_in_python() {
        let of_integers = |text, x: Option<i128>| evaluate(text, Dtype::Int32, x.map(Number::Integer));
        for (text, x, expected) in [
            ("5+5", None, 10),
            ("2*(x-1)", Some(4), 6),
            ("-x + 3*2", Some(1), 5),
            ("identity", Some(7), 7),
            ("10-2-3", None, 5),
        ] {
            assert_eq!(of_integers(text, x), Some(Number::Integer(expected)), "{text}");
        }
        assert_eq!(evaluate("x/4", Dtype::Float32, Some(Number::Float(1.0))), Some(Number::Float(0.25)));
    }
}
