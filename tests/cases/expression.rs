//! Functions in cases: `5+5`, `x+1`, `2*(x-1)`, `identity`.

use crate::{
    number::{Number, Operator},
    scanner::Scanner,
    types::Dtype,
    value::{Tensor, Tree},
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
    let value = |tensor: &Tensor, x| Some(evaluate(text, tensor.dtype, argument(x))?.rounded(tensor.dtype));
    tree.as_ref().try_map(|tensor| tensor.try_map(|x| value(tensor, x)).ok_or(())).ok()
}

/// The value of an expression over numbers of an element type.
fn evaluate(text: &str, dtype: Dtype, x: Option<Number>) -> Option<Number> {
    if text == "identity" {
        return x;
    }
    Scanner::read_all(text, |text| sum(text, dtype, x))
}

fn sum(text: &mut Scanner<'_>, dtype: Dtype, x: Option<Number>) -> Option<Number> {
    let mut sum = product(text, dtype, x)?;
    while let Some(operator) = operator(text, [("+", Operator::Add), ("-", Operator::Sub)]) {
        sum = sum.apply(operator, product(text, dtype, x)?)?;
    }
    Some(sum)
}

fn product(text: &mut Scanner<'_>, dtype: Dtype, x: Option<Number>) -> Option<Number> {
    let mut product = factor(text, dtype, x)?;
    while let Some(operator) = operator(text, [("*", Operator::Mul), ("/", Operator::Div)]) {
        product = product.apply(operator, factor(text, dtype, x)?)?;
    }
    Some(product)
}

fn factor(text: &mut Scanner<'_>, dtype: Dtype, x: Option<Number>) -> Option<Number> {
    if text.skip("(") {
        return sum(text, dtype, x).filter(|_| text.skip(")"));
    }
    if text.skip("-") {
        return Number::Integer(0).cast(dtype)?.apply(Operator::Sub, factor(text, dtype, x)?);
    }
    if text.skip("x") {
        return x;
    }
    let digits = text.take_while(|c| c.is_ascii_digit() || c == '.')?;
    let integer = digits.parse().map(Number::Integer).ok();
    integer.or_else(|| digits.parse().map(Number::Float).ok())?.cast(dtype)
}

/// The next operator, if it is one of these.
fn operator(text: &mut Scanner<'_>, operators: [(&str, Operator); 2]) -> Option<Operator> {
    operators.into_iter().find(|(sign, _)| text.skip(sign)).map(|(_, operator)| operator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_have_the_value_that_they_have_in_python() {
        let integers = |text, x: Option<i128>| evaluate(text, Dtype::Int32, x.map(Number::Integer));
        for (text, x, expected) in [
            ("5+5", None, 10),
            ("2*(x-1)", Some(4), 6),
            ("-x + 3*2", Some(1), 5),
            ("identity", Some(7), 7),
            ("10-2-3", None, 5),
        ] {
            assert_eq!(integers(text, x), Some(Number::Integer(expected)), "{text}");
        }
        for text in ["", "x", "5+", "(1", "1)", "5 5", "f(1)", "1/2", "identity", "0.5"] {
            assert_eq!(integers(text, None), None, "{text}");
        }
        let quarter = evaluate("x/4", Dtype::Float32, Some(Number::Float(1.0)));
        assert_eq!(quarter, Some(Number::Float(0.25)));
    }
}
