//! Structures of floating-point numbers, and what aggregations compute on them at a client.

use ndarray::{ArrayD, ArrayViewD};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    federated::{Numeric, Portable, Scalar, Tensors},
    packing::{Float, Quantized},
};

/// `f32` and `f64`. Sealed.
#[diagnostic::on_unimplemented(
    message = "elements of type `{Self}` are not floating-point numbers",
    note = "means, clipping by a norm and noise are for `f32` and `f64`"
)]
pub trait Real: Scalar + Float + Quantized<Sum = Self> + Numeric<Sum = Self> {}

impl Real for f32 {}
impl Real for f64 {}

/// [`Tensors`] of floating-point numbers that keep their type when something is computed on them: all that own their
/// numbers, except arrays `[T; N]`, which become `Vec`s.
///
/// Sums and means of them have their own type. Sealed.
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

    /// Sums of those.
    #[doc(hidden)]
    type StepSums: Tensors<Scalar = i64, With<<Self as Floats>::Float> = Self> + Clone + Portable;

    /// Puts numbers, in order, on the grid.
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

/// Which length of a vector is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Norm {
    /// The square root of the sum of squares.
    L2,
    /// The largest magnitude.
    LInf,
}

impl Norm {
    /// The norm of all elements of all tensors together. Not a number if one of them is not.
    pub(super) fn of<T: Floats>(self, values: &T) -> f64 {
        let views = values.tensors();
        let elements = || views.iter().flatten().map(|x| x.to_f64().abs());
        let largest =
            elements().fold(0.0_f64, |largest, x| if x > largest || x.is_nan() { x } else { largest });
        // What is not a number is not greater than any, and stays.
        if self == Self::LInf || !(largest > 0.0 && largest.is_finite()) {
            return largest;
        }
        // Squares of large numbers do not overflow, and those of small ones do not vanish.
        let sum: f64 = elements().map(|x| (x / largest).powi(2)).sum();
        largest * sum.sqrt()
    }
}

/// All elements, in order.
pub(super) fn flat<T: Floats>(values: &T) -> Zeroizing<Vec<f64>> {
    // Room for all from the start: growing would leave copies behind.
    let mut flat = Zeroizing::new(Vec::with_capacity(values.elements()));
    for view in values.tensors() {
        flat.extend(view.iter().map(|x| x.to_f64()));
    }
    flat
}

/// Elements, in order, in a structure like another one.
pub(super) fn like<T: Floats>(template: &T, flat: &[f64]) -> T {
    let mut rest = flat.iter().map(|x| T::Float::from_f64(*x));
    template.map_tensors(|_, tensor| fill(&tensor, &mut rest))
}

// Functions of the type alone, and not of closures: they are compiled once for all aggregations of that type.

/// Every element times a factor, computed in `f64`.
pub(super) fn multiplied<T: Floats>(values: &T, factor: f64) -> T {
    values.map_tensors(|_, tensor| tensor.mapv(|x| T::Float::from_f64(x.to_f64() * factor)))
}

/// Every element divided by a number, computed in `f64`.
pub(super) fn divided<T: Floats>(values: &T, divisor: f64) -> T {
    values.map_tensors(|_, tensor| tensor.mapv(|x| T::Float::from_f64(x.to_f64() / divisor)))
}

/// Zeros in place of all elements, whatever they are.
pub(super) fn zeros<T: Floats>(values: &T) -> T {
    values.map_tensors(|_, tensor| ArrayD::from_elem(tensor.raw_dim(), T::Float::from_f64(0.0)))
}

/// The least and the greatest element. Without any, the least is infinite, and the greatest minus that.
pub(super) fn extremes<T: Floats>(values: &T) -> (f64, f64) {
    let views = values.tensors();
    let elements = views.iter().flatten().map(|x| x.to_f64());
    elements.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, greatest), x| (least.min(x), greatest.max(x)))
}

/// A tensor of another one's shape, from the next elements.
fn fill<T, U: Copy>(shape: &ArrayViewD<'_, T>, elements: &mut impl Iterator<Item = U>) -> ArrayD<U> {
    ArrayD::from_shape_simple_fn(shape.raw_dim(), || elements.next().expect("an element for each place"))
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "where tests compare for equality, they mean it")]
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
        assert_eq!(like(&zeros(&model()), &flat_model), model());
        assert_eq!(model().steps(&[1, 2, 3, 4, 5]), (array![[1, 2], [3, 4]], array![5]));
        assert_eq!((multiplied(&model(), 0.5).1, divided(&model(), 2.0).1), (array![-6.0], array![-6.0]));
        let spoilt = array![f32::INFINITY, f32::NAN];
        assert_eq!(zeros(&spoilt), array![0.0, 0.0]);
        assert_eq!(extremes(&model()), (-12.0, 3.0));
    }
}
