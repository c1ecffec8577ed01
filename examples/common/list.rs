//! Arguments that are lists.

use std::str::FromStr;

/// A parser of one item of a list, for clap beside `value_delimiter`: spaces around the items are no part of them.
///
/// ```text
/// #[arg(long, value_delimiter = ',', value_parser = item::<u32>)]
/// weights: Option<Vec<u32>>,
/// ```
pub(crate) fn item<T: FromStr>(text: &str) -> Result<T, T::Err> {
    text.trim().parse()
}
