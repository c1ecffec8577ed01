//! Norms of structures.

use serde::{Deserialize, Serialize};

use super::structure::Floats;
use crate::packing::Float;

/// The order of a norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NormOrder {
    /// The square root of the sum of squares.
    L2,
    /// The maximum magnitude.
    LInf,
}

impl NormOrder {
    /// The norm of all elements of all tensors together. NaN if an element is NaN.
    pub(in crate::federated::aggregation) fn of<T: Floats>(self, values: &T) -> f64 {
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
        assert_eq!((NormOrder::L2.of(&model()), NormOrder::LInf.of(&model())), (13.0, 12.0));
        for norm in [NormOrder::L2, NormOrder::LInf] {
            assert_eq!(norm.of(&Array1::<f64>::zeros(3)), 0.0);
            assert_eq!(norm.of(&Array1::<f64>::zeros(0)), 0.0);
            assert_eq!(norm.of(&array![1.0, f64::NEG_INFINITY]), f64::INFINITY);
            for not_a_number in
                [array![f64::NAN, 1.0], array![1.0, f64::NAN, 2.0], array![f64::INFINITY, f64::NAN]]
            {
                assert!(norm.of(&not_a_number).is_nan());
            }
        }
        assert_eq!(NormOrder::L2.of(&array![3e300, 4e300]), 5e300);
        assert_eq!(NormOrder::L2.of(&array![3e-300, 4e-300]), 5e-300);
    }
}
