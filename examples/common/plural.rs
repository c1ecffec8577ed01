//! Counts with singular and plural.

use std::fmt::Display;

/// `1 client`, `2 clients`.
pub(crate) fn count(number: impl Display, one: &str, many: &str) -> String {
    let number = number.to_string();
    let noun = if number == "1" { one } else { many };
    format!("{number} {noun}")
}
