//! Many small values in one plaintext.

mod layout;

pub use layout::Layout;
