//! Many small values in one plaintext.

mod integer;
mod layout;

pub use integer::{Integer, IntegerRange};
pub use layout::Layout;
