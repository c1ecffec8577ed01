//! Functions in cases: `5+5`, `x+1`, `2*(x-1)`, `identity`.

/// The types of numbers in an expression.
pub(crate) trait Number: Copy {
    fn parse(digits: &str) -> Option<Self>;
    /// `+`, `-`, `*` or `/`.
    fn apply(self, operator: char, other: Self) -> Option<Self>;
}

impl Number for i128 {
    fn parse(digits: &str) -> Option<Self> {
        digits.parse().ok()
    }

    fn apply(self, operator: char, other: Self) -> Option<Self> {
        match operator {
            '+' => self.checked_add(other),
            '-' => self.checked_sub(other),
            '*' => self.checked_mul(other),
            _ => None, // no case defines the division of integers
        }
    }
}

impl Number for f64 {
    fn parse(digits: &str) -> Option<Self> {
        digits.parse().ok()
    }

    fn apply(self, operator: char, other: Self) -> Option<Self> {
        Some(match operator {
            '+' => self + other,
            '-' => self - other,
            '*' => self * other,
            _ => self / other,
        })
    }
}

/// The value of an expression. `x` may occur in it, if it is given.
pub(crate) fn evaluate<N: Number>(text: &str, x: Option<N>) -> Result<N, String> {
    if text == "identity" {
        return x.ok_or_else(|| "not understood: the identity of nothing".to_owned());
    }
    let mut parser = Parser { rest: text, x };
    match parser.sum() {
        Some(value) if parser.rest.trim_start().is_empty() => Ok(value),
        _ => Err(format!("not understood: the expression `{text}`")),
    }
}

struct Parser<'a, N> {
    rest: &'a str,
    x: Option<N>,
}

impl<N: Number> Parser<'_, N> {
    fn sum(&mut self) -> Option<N> {
        let mut value = self.product()?;
        while let Some(operator) = self.takes(&['+', '-']) {
            value = value.apply(operator, self.product()?)?;
        }
        Some(value)
    }

    fn product(&mut self) -> Option<N> {
        let mut value = self.factor()?;
        while let Some(operator) = self.takes(&['*', '/']) {
            value = value.apply(operator, self.factor()?)?;
        }
        Some(value)
    }

    fn factor(&mut self) -> Option<N> {
        if self.takes(&['(']).is_some() {
            let value = self.sum()?;
            return self.takes(&[')']).map(|_| value);
        }
        if self.takes(&['-']).is_some() {
            return N::parse("0")?.apply('-', self.factor()?);
        }
        if self.takes(&['x']).is_some() {
            return self.x;
        }
        let rest = self.rest.trim_start();
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (digits, rest) = rest.split_at(end);
        self.rest = rest;
        N::parse(digits)
    }

    fn takes(&mut self, operators: &[char]) -> Option<char> {
        let rest = self.rest.trim_start();
        let found = rest.chars().next().filter(|c| operators.contains(c))?;
        self.rest = &rest[found.len_utf8()..];
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_have_the_value_that_they_have_in_python() {
        for (text, x, expected) in [
            ("5+5", None, 10),
            ("2*(x-1)", Some(4), 6),
            ("-x + 3*2", Some(1), 5),
            ("identity", Some(7), 7),
            ("10-2-3", None, 5),
        ] {
            assert_eq!(evaluate::<i128>(text, x), Ok(expected), "{text}");
        }
        assert_eq!(evaluate("x/4", Some(1.0)), Ok(0.25));
        for text in ["", "x", "5+", "(1", "1)", "5 5", "f(1)", "1/2", "identity"] {
            assert!(evaluate::<i128>(text, None).is_err(), "{text}");
        }
    }
}
