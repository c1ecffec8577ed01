//! Input and output of Python arrays.
//!
//! | module | |
//! | :-- | :-- |
//! | [`source`] | the objects that are accepted as arrays, and the refusals of others |
//! | [`elements`] | copies of parts of an array, which Rust owns |
//! | [`tree`] | mappings and lists of arrays, in the structure of a round |
//! | [`kind`] | storage formats of elements, and their names in NumPy |
//! | [`codec`] | the encodings of elements, as Python classes |
//! | [`output`] | decoded tensors as NumPy arrays |

pub(crate) mod codec;
mod elements;
mod kind;
mod output;
mod source;
mod tree;

pub(crate) use codec::{Integers, Modular, Quantizer};
pub(crate) use elements::Elements;
pub(crate) use output::to_python;
pub(crate) use source::Source;
pub(crate) use tree::{codecs_for, gather, names_of, sources_of, structure_of};
