//! Input and output of Python arrays.
//!
//! | module | |
//! | :-- | :-- |
//! | [`source`] | the objects that are accepted as arrays, and the refusals of others |
//! | [`elements`] | copies of parts of an array, which Rust owns |
//! | [`tree`] | mappings and lists of arrays, in the structure of a round |
//! | [`output`] | decoded tensors as NumPy arrays |

mod elements;
mod output;
mod source;
mod tree;

pub(crate) use elements::Elements;
pub(crate) use output::to_python;
pub(crate) use source::Source;
pub(crate) use tree::{codecs_for, gather, names_of, sources_of, structure_of};
