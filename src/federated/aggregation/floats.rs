//! Structures of floating-point numbers, and computations of aggregations on them at a client.

use ndarray::{ArrayD, ArrayViewD};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    federated::{
        Error, Numeric, Portable, Result,
        tensor::{Scalar, Tensors, weight::divides},
    },
    packing::{Float, Quantized},
    privacy::{self, SMALLEST_CLIP},
};

/// `f32` and `f64`. Sealed.
#[diagnostic::on_unimplemented(
    message = "elements of type `{Self}` are not floating-point numbers",
    note = "means, clipping by a norm and noise are for `f32` and `f64`"
)]
pub trait Real: Scalar + Float + Quantized<Sum = Self> + Numeric<Sum = Self> {
    /// Distance from one to the next larger number.
    #[doc(hidden)]
    const EPSILON: f64;

    /// A distance that a `Quantizer` of any number of bits can divide into steps.
    #[doc(hidden)]
    const SMALLEST_DISTANCE: f64;
}

impl Real for f32 {
    // Exact: every f32 is an f64.
    const EPSILON: f64 = f32::EPSILON as f64;
    const SMALLEST_DISTANCE: f64 = f32::MIN_POSITIVE as f64;
}

impl Real for f64 {
    const EPSILON: f64 = f64::EPSILON;
    // 2^-900.
    const SMALLEST_DISTANCE: f64 = f64::from_bits((1023 - 900) << 52);
}

/// [`Tensors`] of floating-point numbers that keep their type in computations. These are all
/// structures that own their numbers, except arrays `[T; N]`, which become `Vec`s.
///
/// Sums and means of them have the same type. Sealed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an owned structure of floating-point tensors",
    note = "numbers, `ndarray` arrays, and `Vec`s, tuples, `BTreeMap`s and `Structure`s of them are, with elements of type \
            `f32` or `f64`"
)]
pub trait Floats:
    Tensors<Scalar = <Self as Floats>::Float, With<<Self as Floats>::Float> = Self> + Clone + Portable
{
    /// The type of all elements.
    type Float: Real;

    /// The same structure on an integer grid.
    #[doc(hidden)]
    type Steps: Tensors<Scalar = i32, With<i32> = Self::Steps, With<i64> = Self::StepSums> + Clone + Portable;

    /// Sums of these.
    #[doc(hidden)]
    type StepSums: Tensors<Scalar = i64, With<<Self as Floats>::Float> = Self> + Clone + Portable;

    /// Numbers of the grid, in order, as this structure.
    #[doc(hidden)]
    fn steps(&self, flat: &[i32]) -> Self::Steps;
}

impl<T, F> Floats for T
where
    F: Real,
    T: Tensors<Scalar = F, With<F> = T> + Clone + Portable,
    T::With<i32>: Tensors<Scalar = i32, With<i32> = T::With<i32>, With<i64> = T::With<i64>> + Portable,
    T::With<i64>: Tensors<Scalar = i64, With<F> = T> + Portable,
{
    type Float = F;
    type Steps = T::With<i32>;
    type StepSums = T::With<i64>;

    fn steps(&self, flat: &[i32]) -> T::With<i32> {
        let mut rest = flat.iter().copied();
        self.map_tensors(|_, tensor| fill(&tensor, &mut rest))
    }
}

/// The kind of a norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Norm {
    /// The square root of the sum of squares.
    L2,
    /// The maximum magnitude.
    LInf,
}

impl Norm {
    /// The norm of all elements of all tensors together. NaN if an element is NaN.
    pub(super) fn of<T: Floats>(self, values: &T) -> f64 {
        let views = values.tensors();
        let elements = || views.iter().flatten().map(|x| x.to_f64().abs());
        // No branches and no early stop, because the values are secret.
        let (mut largest, mut not_a_number) = (0.0_f64, false);
        for x in elements() {
            largest = largest.max(x);
            not_a_number |= x.is_nan();
        }
        if not_a_number {
            return f64::NAN;
        }
        if self == Self::LInf {
            return largest;
        }
        // The scale prevents overflow for squares of large numbers, and underflow for squares of
        // small ones.
        let scale = if largest > 0.0 && largest.is_finite() { largest } else { 1.0 };
        let sum: f64 = elements().map(|x| (x / scale).powi(2)).sum();
        scale * sum.sqrt()
    }
}

/// A norm to which vectors can be clipped so that no noisy sum exceeds the maximum number of the
/// type. A learned norm is replaced by the nearest such norm.
///
/// # Errors
///
/// [`privacy::Error::Parameter`] if it is not a number, or if it is fixed and outside this range.
pub(super) fn usable_clip<F: Real>(clip: f64, fixed: bool) -> Result<f64> {
    let range = SMALLEST_CLIP..=F::LARGEST * TWO_POW_MINUS_64;
    if range.contains(&clip) {
        Ok(clip)
    } else if clip.is_nan() || fixed {
        let allowed = "from 2^-960 to the largest number of the elements' type over 2^64";
        Err(privacy::Error::Parameter { name: "clip", value: clip, allowed }.into())
    } else {
        Ok(clip.clamp(*range.start(), *range.end()))
    }
}

const TWO_POW_MINUS_64: f64 = 1.0 / 18_446_744_073_709_551_616.0;

/// All elements, in order.
pub(super) fn flat<T: Floats>(values: &T) -> Zeroizing<Vec<f64>> {
    // The full capacity is reserved first: growing would leave copies behind.
    let mut flat = Zeroizing::new(Vec::with_capacity(values.elements()));
    for view in values.tensors() {
        flat.extend(view.iter().map(|x| x.to_f64()));
    }
    flat
}

/// Elements, in order, in the structure of a template.
pub(super) fn like<T: Floats>(template: &T, flat: &[f64]) -> T {
    let mut rest = flat.iter().map(|x| T::Float::from_f64(*x));
    template.map_tensors(|_, tensor| fill(&tensor, &mut rest))
}

// These functions depend on the type alone, not on closures, so they are compiled once for all
// aggregations of a type.

/// Every element multiplied by a factor, computed in `f64`.
pub(super) fn multiplied<T: Floats>(values: &T, factor: f64) -> T {
    values.map_tensors(|_, tensor| tensor.mapv(|x| T::Float::from_f64(x.to_f64() * factor)))
}

/// Values of this L2 norm, scaled down to a limit. Branches and addresses do not depend on finite
/// values and norms.
pub(super) fn shortened<T: Floats>(values: &T, norm: f64, limit: f64) -> T {
    if norm != f64::INFINITY || limit == f64::INFINITY {
        return multiplied(values, if norm > limit { limit / norm } else { 1.0 });
    }
    // The norm overflows, although the values may not. In units of the maximum magnitude it does
    // not.
    let unit = Norm::LInf.of(values);
    let in_units = values.map_tensors(|_, tensor| tensor.mapv(|x| x.to_f64() / unit));
    let norm = in_units.tensors().iter().flatten().map(|x| x * x).sum::<f64>().sqrt();
    values.map_tensors(|_, tensor| tensor.mapv(|x| T::Float::from_f64(x.to_f64() / unit * (limit / norm))))
}

/// Sums divided by a total weight, computed in `f64`.
///
/// # Errors
///
/// [`Error::ZeroTotalWeight`] for a total of zero or less, unless the mean is defined as zero for
/// it; [`Error::NotFiniteSum`].
pub(super) fn mean<T: Floats>(sums: &T, total: f64, no_nan_division: bool) -> Result<T> {
    let divides = divides(total, no_nan_division)?;
    let mean = sums.map_tensors(|_, tensor| {
        tensor.mapv(|x| T::Float::from_f64(if divides { x.to_f64() / total } else { 0.0 }))
    });
    if is_finite(&mean) { Ok(mean) } else { Err(Error::NotFiniteSum) }
}

/// Whether all elements are finite.
pub(super) fn is_finite<T: Floats>(values: &T) -> bool {
    values.tensors().iter().flatten().fold(true, |all, x| all & x.to_f64().is_finite())
}

/// The values, or zeros in place of all elements. Branches and addresses do not depend on `zeroed`.
pub(super) fn zeros_if<T: Floats>(values: &T, zeroed: bool) -> T {
    // Not a product with zero, which is NaN for an infinite value.
    let mask = u64::from(zeroed).wrapping_sub(1);
    let masked = |x: T::Float| T::Float::from_f64(f64::from_bits(x.to_f64().to_bits() & mask));
    values.map_tensors(|_, tensor| tensor.mapv(masked))
}

/// The minimum and the maximum element. Without elements, they are +∞ and −∞.
pub(super) fn extremes<T: Floats>(values: &T) -> (f64, f64) {
    let views = values.tensors();
    let elements = views.iter().flatten().map(|x| x.to_f64());
    elements
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(minimum, maximum), x| (minimum.min(x), maximum.max(x)))
}

/// A tensor with the given shape, from the next elements.
fn fill<T, U: Copy>(shape: &ArrayViewD<'_, T>, elements: &mut impl Iterator<Item = U>) -> ArrayD<U> {
    ArrayD::from_shape_simple_fn(shape.raw_dim(), || {
        elements.next().expect("there is an element for each place")
    })
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "the tests check exact equality")]
mod tests {
    use super::*;
    use ndarray::{Array1, Array2, array};

    type Model = (Array2<f32>, Array1<f32>);

    fn model() -> Model {
        (array![[3.0, -4.0], [0.0, 0.0]], array![-12.0])
    }

    #[test]
    fn norms_are_of_the_whole_structure() {
        assert_eq!((Norm::L2.of(&model()), Norm::LInf.of(&model())), (13.0, 12.0));
        for norm in [Norm::L2, Norm::LInf] {
            assert_eq!(norm.of(&Array1::<f64>::zeros(3)), 0.0);
            assert_eq!(norm.of(&Array1::<f64>::zeros(0)), 0.0);
            assert_eq!(norm.of(&array![1.0, f64::NEG_INFINITY]), f64::INFINITY);
            for not_a_number in
                [array![f64::NAN, 1.0], array![1.0, f64::NAN, 2.0], array![f64::INFINITY, f64::NAN]]
            {
                assert!(norm.of(&not_a_number).is_nan());
            }
        }
        assert_eq!(Norm::L2.of(&array![3e300, 4e300]), 5e300);
        assert_eq!(Norm::L2.of(&array![3e-300, 4e-300]), 5e-300);
    }

    #[test]
    fn structures_become_flat_and_come_back() {
        let flat_model = flat(&model());
        assert_eq!(flat_model.as_slice(), [3.0, -4.0, 0.0, 0.0, -12.0]);
        assert_eq!(like(&zeros_if(&model(), true), &flat_model), model());
        assert_eq!(model().steps(&[1, 2, 3, 4, 5]), (array![[1, 2], [3, 4]], array![5]));
        assert_eq!(multiplied(&model(), 0.5).1, array![-6.0]);
        let spoilt = array![f32::INFINITY, f32::NAN];
        assert_eq!(zeros_if(&spoilt, true), array![0.0, 0.0]);
        assert_eq!(zeros_if(&model(), false), model());
        assert_eq!(extremes(&model()), (-12.0, 3.0));
    }

    #[test]
    fn values_of_any_size_are_shortened_to_the_limit() {
        for (values, limit) in [
            (array![3.0, -4.0], 1.0),
            (array![3e-300, -4e-300], 1e-300),
            (array![1.2e308, -1.6e308], 1.0), // with a norm beyond the largest float
            (array![1.2e308, -1.6e308], 1e307),
        ] {
            let short: Array1<f64> = shortened(&values, Norm::L2.of(&values), limit);
            assert!((Norm::L2.of(&short) / limit - 1.0).abs() < 1e-12, "{short}");
            assert!((short[0] / short[1] + 0.75).abs() < 1e-12, "{short}");
            assert_eq!(shortened(&values, Norm::L2.of(&values), f64::INFINITY), values);
        }
        assert_eq!(shortened(&array![0.0, 0.0], 0.0, 0.0), array![0.0, 0.0]);
        assert_eq!(shortened(&array![3.0, 4.0], 5.0, 0.0), array![0.0, 0.0]);
        // The sum refuses such values.
        let infinite = array![f64::INFINITY, 1.0];
        assert!(!is_finite(&shortened(&infinite, Norm::L2.of(&infinite), 1.0)));
    }

    #[test]
    fn learned_norms_are_always_usable_for_clipping() {
        for clip in [SMALLEST_CLIP, 1e-40, 1.0, 1e19] {
            assert_eq!(usable_clip::<f32>(clip, true), Ok(clip));
            assert_eq!(usable_clip::<f32>(clip, false), Ok(clip));
        }
        assert_eq!(usable_clip::<f64>(1e280, true), Ok(1e280));
        for clip in [f64::MIN, -1.0, 0.0, 5e-324, 1e20, 1.7e308, f64::INFINITY] {
            assert!(usable_clip::<f32>(clip, true).is_err(), "{clip}");
            let usable = usable_clip::<f32>(clip, false).unwrap();
            assert_eq!(usable_clip::<f32>(usable, true), Ok(usable));
        }
        for fixed in [false, true] {
            assert!(matches!(
                usable_clip::<f64>(f64::NAN, fixed),
                Err(Error::Privacy(privacy::Error::Parameter { name: "clip", .. }))
            ));
        }
    }

    #[test]
    fn means_are_finite_or_an_error() {
        assert_eq!(mean(&model(), 2.0, false).unwrap().1, array![-6.0]);
        assert_eq!(mean(&model(), 0.0, false), Err(Error::ZeroTotalWeight));
        assert_eq!(mean(&model(), 0.0, true).unwrap().1, array![0.0]);
        assert_eq!(mean(&array![f32::INFINITY], 1.0, true), Err(Error::NotFiniteSum));
        assert_eq!(mean(&array![1e30_f32], 1e-30, false), Err(Error::NotFiniteSum));
    }
}
