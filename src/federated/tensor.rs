//! What clients hold and send: tensors in structures, their types, and how their elements become small integers.

mod any_tensor;
pub(super) mod assemble;
mod codec;
pub(super) mod column;
mod dtype;
mod encoding;
mod per_tensor;
mod structure;
pub(super) mod tensors;
pub(super) mod weight;

pub use any_tensor::{Tensor, TensorView};
pub use codec::Codec;
pub use dtype::{DType, Scalar, TensorType};
pub use encoding::Encoding;
pub(super) use encoding::{EncodingParameters, SumOf};
pub use per_tensor::PerTensor;
pub use structure::{Member, Path, Structure};
pub use tensors::Tensors;
pub use weight::MaxWeight;
