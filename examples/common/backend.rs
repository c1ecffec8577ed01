//! The argument that selects a backend.

use cipherfold::backend::Choice;
use clap::builder::{PossibleValuesParser, TypedValueParser};

/// A parser for a backend's name, for clap.
///
/// ```text
/// #[arg(long, default_value = "auto", value_name = "NAME", value_parser = backend())]
/// backend: Choice,
/// ```
pub(crate) fn backend() -> impl TypedValueParser<Value = Choice> {
    PossibleValuesParser::new(Choice::NAMES).map(|name| name.parse().expect("a choice's own name"))
}
