//! Arguments that are lists.

use std::str::FromStr;

/// A parser for one item of a list, for clap with `value_delimiter`. Ignores spaces around the
/// items.
///
/// ```text
/// #[arg(long, value_delimiter = ',', value_parser = item::<u32>)]
/// weights: Option<Vec<u32>>,
/// ```
pub(crate) fn item<T: FromStr>(text: &str) -> Result<T, T::Err> {
    text.trim().parse()
}
