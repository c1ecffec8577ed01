//! Results in the structure of an update.

use super::{Codec, Structure, Tensor, Tensors};

/// Puts tensors together to the structure of an update.
pub(in crate::federated) type Assembler<O> = Box<dyn FnOnce(Structure<Tensor>) -> O + Send>;

/// Puts decoded tensors together as this update is.
pub(in crate::federated) fn assembler<U: Tensors + ?Sized, C: Codec<U::Scalar>>(
    update: &U,
) -> Assembler<U::With<C::Output>> {
    let rebuild = update.rebuilder::<C::Output>();
    Box::new(|decoded| {
        let mut tensors = Vec::new();
        decoded.map(|tensor| tensors.push(tensor.into_array().expect("decoded by the codec that encoded")));
        rebuild(&mut tensors.into_iter())
    })
}
