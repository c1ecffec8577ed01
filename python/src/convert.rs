//! Numbers and names, from Python and to Python.

pub(crate) mod integer;
pub(crate) mod number;
pub(crate) mod party;
