//! The floating-point types that can be quantised.

use core::fmt::{Debug, Display};

/// The floating-point types that can be quantised: `f32` and `f64`. Sealed.
///
/// ```
/// use cipherfold::packing::Float;
///
/// fn mean<F: Float>(values: &[F]) -> F {
///     F::from_f64(values.iter().map(|value| value.to_f64()).sum::<f64>() / values.len() as f64)
/// }
/// assert_eq!(mean(&[0.5_f32, 1.0]), 0.75);
/// assert_eq!(<f32 as Float>::NAME, "f32");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a floating-point type that can be quantised",
    label = "elements of type `{Self}`",
    note = "a `Quantizer` takes `f32` and `f64`; integers are summed exactly, in an `IntegerRange`"
)]
pub trait Float: Finite + Copy + PartialOrd + Debug + Display + Send + Sync + 'static {
    /// The name of the type in Rust.
    const NAME: &'static str;

    /// The same number as an `f64`, exactly. NaN and infinities stay.
    fn to_f64(self) -> f64;

    /// The nearest number of this type; a number too large for it becomes infinite.
    fn from_f64(x: f64) -> Self;
}

/// The finite numbers of a type. Private, so that no other type is a [`Float`].
pub trait Finite: Sized {
    /// The maximum of the type.
    const MAX_FINITE: f64;

    /// The nearest finite number of this type. NaN stays NaN.
    fn nearest_finite(x: f64) -> Self;
}

impl Finite for f32 {
    // Exact: every f32 is an f64.
    const MAX_FINITE: f64 = f32::MAX as f64;

    fn nearest_finite(x: f64) -> Self {
        Self::from_f64(x.clamp(-Self::MAX_FINITE, Self::MAX_FINITE))
    }
}

impl Finite for f64 {
    const MAX_FINITE: f64 = f64::MAX;

    fn nearest_finite(x: f64) -> Self {
        x.clamp(-Self::MAX_FINITE, Self::MAX_FINITE)
    }
}

impl Float for f32 {
    const NAME: &'static str = "f32";

    fn to_f64(self) -> f64 {
        self.into()
    }

    #[expect(clippy::cast_possible_truncation, reason = "documented to round")]
    fn from_f64(x: f64) -> Self {
        x as f32
    }
}

impl Float for f64 {
    const NAME: &'static str = "f64";

    fn to_f64(self) -> f64 {
        self
    }

    fn from_f64(x: f64) -> Self {
        x
    }
}
