//! What clients hold and send: tensors in structures, their types, and how their elements become small integers.

mod any_tensor;
pub(super) mod codec;
mod codecs;
pub(super) mod column;
mod dtype;
mod encoding;
mod per_tensor;
mod structure;
pub(super) mod summand;
pub(super) mod tensors;
pub(super) mod tree;
pub(super) mod weight;

pub use any_tensor::{Tensor, TensorView};
pub use codec::Codec;
pub use codecs::Codecs;
pub use dtype::{DType, Scalar, TensorType};
pub(super) use encoding::EncodingParameters;
pub use encoding::{Encoding, FloatSum};
pub use per_tensor::PerTensor;
pub use structure::{Member, Path, Structure};
pub use summand::Summand;
pub use tensors::Tensors;
pub use tree::TensorTree;
pub use weight::MaxWeight;
