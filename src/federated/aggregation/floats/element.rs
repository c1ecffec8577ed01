//! Elements of structures of floating-point numbers.

use crate::{
    federated::{computation::Numeric, tensor::Scalar},
    packing::{Float, Quantized},
};

/// `f32` and `f64`. Sealed.
#[diagnostic::on_unimplemented(
    message = "elements of type `{Self}` are not floating-point numbers",
    note = "means, clipping by a norm and noise are for `f32` and `f64`"
)]
pub trait FloatElement: Scalar + Float + Quantized<Sum = Self> + Numeric<Sum = Self> {
    /// Distance from one to the next larger number.
    const EPSILON: f64;

    /// A distance that a `Quantizer` of any number of bits can divide into steps.
    const MIN_DISTANCE: f64;
}

impl FloatElement for f32 {
    // Exact: every f32 is an f64.
    const EPSILON: f64 = f32::EPSILON as f64;
    const MIN_DISTANCE: f64 = f32::MIN_POSITIVE as f64;
}

impl FloatElement for f64 {
    const EPSILON: f64 = f64::EPSILON;
    // 2^-900.
    const MIN_DISTANCE: f64 = f64::from_bits((1023 - 900) << 52);
}
