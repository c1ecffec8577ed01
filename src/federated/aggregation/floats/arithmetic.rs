//! Computations of aggregations on structures of floating-point numbers, at a client.

use zeroize::Zeroizing;

use super::{
    element::FloatElement,
    norm::NormOrder,
    structure::{Floats, fill},
};
use crate::{
    federated::tensor::{self, Tensors as _, weight::divides},
    packing::Float,
    privacy::{self, MIN_CLIP},
};

/// A norm to which vectors can be clipped so that no noisy sum exceeds the maximum number of the
/// type. A learned norm is replaced by the nearest such norm.
///
/// # Errors
///
/// [`privacy::Error::Parameter`] if it is not a number, or if it is fixed and outside this range.
pub(in crate::federated::aggregation) fn usable_clip<F: FloatElement>(
    clip: f64,
    fixed: bool,
) -> Result<f64, privacy::Error> {
    let range = MIN_CLIP..=F::MAX_FINITE * TWO_POW_MINUS_64;
    if range.contains(&clip) {
        Ok(clip)
    } else if clip.is_nan() || fixed {
        let allowed = "from 2^-960 to the largest number of the elements' type over 2^64";
        Err(privacy::Error::Parameter { name: "clip", value: clip, allowed })
    } else {
        Ok(clip.clamp(*range.start(), *range.end()))
    }
}

const TWO_POW_MINUS_64: f64 = 1.0 / 18_446_744_073_709_551_616.0;

/// All elements, in order.
pub(in crate::federated::aggregation) fn flat<T: Floats>(values: &T) -> Zeroizing<Vec<f64>> {
    // The full capacity is reserved first: growing would leave copies behind.
    let mut flat = Zeroizing::new(Vec::with_capacity(values.elements()));
    for view in values.tensors() {
        flat.extend(view.iter().map(|x| x.to_f64()));
    }
    flat
}

/// Elements, in order, in the structure of a template.
pub(in crate::federated::aggregation) fn like<T: Floats>(template: &T, flat: &[f64]) -> T {
    let mut rest = flat.iter().map(|x| T::Float::from_f64(*x));
    template.map_tensors(|_, tensor| fill(&tensor, &mut rest))
}

// These functions depend on the type alone, not on closures, so they are compiled once for all
// aggregations of a type.

/// Every element multiplied by a factor, computed in `f64`.
pub(in crate::federated::aggregation) fn multiplied<T: Floats>(values: &T, factor: f64) -> T {
    values.map_tensors(|_, tensor| tensor.mapv(|x| T::Float::from_f64(x.to_f64() * factor)))
}

/// Values of this L2 norm, scaled down to a limit. Branches and addresses do not depend on finite
/// values and norms.
pub(in crate::federated::aggregation) fn shortened<T: Floats>(values: &T, norm: f64, limit: f64) -> T {
    if norm != f64::INFINITY || limit == f64::INFINITY {
        return multiplied(values, if norm > limit { limit / norm } else { 1.0 });
    }
    // The norm overflows, although the values may not. In units of the maximum magnitude it does
    // not.
    let unit = NormOrder::LInf.of(values);
    let in_units = values.map_tensors(|_, tensor| tensor.mapv(|x| x.to_f64() / unit));
    let norm = in_units.tensors().iter().flatten().map(|x| x * x).sum::<f64>().sqrt();
    values.map_tensors(|_, tensor| tensor.mapv(|x| T::Float::from_f64(x.to_f64() / unit * (limit / norm))))
}

/// Sums divided by a total weight, computed in `f64`.
///
/// # Errors
///
/// [`tensor::Error::ZeroTotalWeight`] for a total of zero or less, unless the mean is defined as
/// zero for it; [`tensor::Error::NotFiniteSum`].
pub(in crate::federated::aggregation) fn mean<T: Floats>(
    sums: &T,
    total: f64,
    no_nan_division: bool,
) -> Result<T, tensor::Error> {
    let divides = divides(total, no_nan_division)?;
    let mean = sums.map_tensors(|_, tensor| {
        tensor.mapv(|x| T::Float::from_f64(if divides { x.to_f64() / total } else { 0.0 }))
    });
    if is_finite(&mean) { Ok(mean) } else { Err(tensor::Error::NotFiniteSum) }
}

/// Whether all elements are finite.
pub(in crate::federated::aggregation) fn is_finite<T: Floats>(values: &T) -> bool {
    values.tensors().iter().flatten().fold(true, |all, x| all & x.to_f64().is_finite())
}

/// The values, or zeros in place of all elements. Branches and addresses do not depend on `zeroed`.
pub(in crate::federated::aggregation) fn zeros_if<T: Floats>(values: &T, zeroed: bool) -> T {
    // Not a product with zero, which is NaN for an infinite value.
    let mask = u64::from(zeroed).wrapping_sub(1);
    let masked = |x: T::Float| T::Float::from_f64(f64::from_bits(x.to_f64().to_bits() & mask));
    values.map_tensors(|_, tensor| tensor.mapv(masked))
}

/// The minimum and the maximum element. Without elements, they are +∞ and −∞.
pub(in crate::federated::aggregation) fn extremes<T: Floats>(values: &T) -> (f64, f64) {
    let views = values.tensors();
    let elements = views.iter().flatten().map(|x| x.to_f64());
    elements
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(minimum, maximum), x| (minimum.min(x), maximum.max(x)))
}

#[cfg(test)]
mod tests {
    use super::{super::structure::OnGrid as _, *};
    use ndarray::{Array1, Array2, array};

    type Model = (Array2<f32>, Array1<f32>);

    fn model() -> Model {
        (array![[3.0, -4.0], [0.0, 0.0]], array![-12.0])
    }

    #[test]
    fn structures_become_flat_and_come_back() {
        let flat_model = flat(&model());
        assert_eq!(flat_model.as_slice(), [3.0, -4.0, 0.0, 0.0, -12.0]);
        assert_eq!(like(&zeros_if(&model(), true), &flat_model), model());
        assert_eq!(model().steps(&[1, 2, 3, 4, 5]), (array![[1, 2], [3, 4]], array![5]));
        assert_eq!(multiplied(&model(), 0.5).1, array![-6.0]);
        let not_finite = array![f32::INFINITY, f32::NAN];
        assert_eq!(zeros_if(&not_finite, true), array![0.0, 0.0]);
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
            let short: Array1<f64> = shortened(&values, NormOrder::L2.of(&values), limit);
            assert!((NormOrder::L2.of(&short) / limit - 1.0).abs() < 1e-12, "{short}");
            assert!((short[0] / short[1] + 0.75).abs() < 1e-12, "{short}");
            assert_eq!(shortened(&values, NormOrder::L2.of(&values), f64::INFINITY), values);
        }
        assert_eq!(shortened(&array![0.0, 0.0], 0.0, 0.0), array![0.0, 0.0]);
        assert_eq!(shortened(&array![3.0, 4.0], 5.0, 0.0), array![0.0, 0.0]);
        // The sum refuses such values.
        let infinite = array![f64::INFINITY, 1.0];
        assert!(!is_finite(&shortened(&infinite, NormOrder::L2.of(&infinite), 1.0)));
    }

    #[test]
    fn learned_norms_are_always_usable_for_clipping() {
        for clip in [MIN_CLIP, 1e-40, 1.0, 1e19] {
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
                Err(privacy::Error::Parameter { name: "clip", .. })
            ));
        }
    }

    #[test]
    fn means_are_finite_or_an_error() {
        assert_eq!(mean(&model(), 2.0, false).unwrap().1, array![-6.0]);
        assert_eq!(mean(&model(), 0.0, false), Err(tensor::Error::ZeroTotalWeight));
        assert_eq!(mean(&model(), 0.0, true).unwrap().1, array![0.0]);
        assert_eq!(mean(&array![f32::INFINITY], 1.0, true), Err(tensor::Error::NotFiniteSum));
        assert_eq!(mean(&array![1e30_f32], 1e-30, false), Err(tensor::Error::NotFiniteSum));
    }
}
