//! The argument that selects a backend.

use cipherfold::backend::BackendChoice;
use clap::builder::{PossibleValuesParser, TypedValueParser};

/// A parser for a backend's name, for clap.
///
/// ```text
/// #[arg(long, default_value = "auto", value_name = "NAME", value_parser = backend())]
/// backend: BackendChoice,
/// ```
pub(crate) fn backend() -> impl TypedValueParser<Value = BackendChoice> {
    PossibleValuesParser::new(BackendChoice::NAMES).map(|name| name.parse().expect("a choice's own name"))
}
