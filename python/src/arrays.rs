//! Arrays of Python, in and out.
//!
//! | module | |
//! | :-- | :-- |
//! | [`source`] | which objects are taken as arrays, and which are refused by name |
//! | [`elements`] | copies of a part of an array, which Rust owns |
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
