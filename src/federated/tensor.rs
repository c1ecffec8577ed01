//! Tensors: structures, element types, and the encoding of elements as small integers.

mod any_tensor;
pub(super) mod codec;
mod dtype;
mod error;
mod structure;
pub(super) mod summand;
pub(super) mod tensors;
pub(super) mod tree;
pub(super) mod weight;

pub use any_tensor::{Tensor, TensorView};
/// Derive macro: makes a type `ModelOf` beside a struct `Model` whose members may have different
/// element types.
#[cfg(feature = "derive")]
#[doc(inline)]
pub use cipherfold_derive::Summand;
/// Derive macro: makes a type `ModelOf` beside a struct `Model` whose members have one element
/// type.
#[cfg(feature = "derive")]
#[doc(inline)]
pub use cipherfold_derive::Tensors;
pub use codec::{Codec, Codecs, Encoding, FloatSum, PerTensor};
pub(super) use codec::{EncodingParameters, erased};
pub use dtype::{DType, Scalar, TensorType};
pub use error::Error;
pub use structure::{Path, Structure};
pub use summand::Summand;
pub use tensors::Tensors;
pub use tree::TensorTree;
pub use weight::MaxWeight;
