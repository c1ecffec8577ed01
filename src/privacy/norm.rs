//! The L2 norm of an update, and clipping to a norm.

use super::{
    check::checked,
    error::{Error, Result},
};

/// The L2 norm of a vector: the square root of the sum of its squares.
///
/// Squares of large numbers do not overflow, and squares of small ones do not vanish. Infinite if
/// the norm exceeds the largest float. Infinite or NaN if one of the values is.
pub(super) fn l2_norm(values: &[f64]) -> f64 {
    let (scale, norm) = scaled_norm(values);
    scale * norm
}

/// Shortens a vector to an L2 norm of `bound` if it is longer, and returns its original norm.
///
/// The result is within the bound up to a few rounding errors of `f64`. An exact bound must be
/// enforced on integers, as the conditional rounding does.
///
/// If all values are finite, neither branches nor addresses depend on them.
///
/// # Errors
///
/// [`Error::Parameter`] unless the bound is positive and finite, and [`Error::NotFinite`] if a
/// value is infinite or not a number. Then the vector is unchanged.
pub(super) fn clip_l2(values: &mut [f64], bound: f64) -> Result<f64> {
    checked("clip", bound, bound > 0.0 && bound.is_finite(), "positive and finite")?;
    if !values.iter().fold(true, |all, x| all & x.is_finite()) {
        let index = values.iter().position(|x| !x.is_finite());
        return Err(Error::NotFinite { index: index.expect("one of them is not finite") });
    }
    let (scale, norm) = scaled_norm(values);
    // Both are computed, so that the time does not reveal whether the vector was too long.
    let above = u64::from(scale * norm > bound).wrapping_neg();
    // For a vector of zeros the quotient is NaN, but it is not used.
    let factor = bound / norm;
    for x in values {
        // Every |x / scale| is below 2 and at most `norm`, so no result exceeds the bound.
        let clipped = *x / scale * factor;
        *x = f64::from_bits(clipped.to_bits() & above | x.to_bits() & !above);
    }
    Ok(scale * norm)
}

/// Scales every number x to `x / bound`, or to `x / norm` if the L2 norm exceeds the bound. The
/// result has a norm of at most 1, up to rounding errors of `f64`, for numbers of any magnitude.
/// The numbers must be finite, and the bound positive.
pub(crate) fn in_units_of(bound: f64, values: &[f64]) -> impl Iterator<Item = f64> {
    let (scale, norm) = scaled_norm(values);
    let above = u64::from(scale * norm > bound).wrapping_neg();
    values.iter().map(move |x| {
        let (clipped, whole) = (x / scale / norm, x / bound);
        f64::from_bits(clipped.to_bits() & above | whole.to_bits() & !above)
    })
}

/// A power of two next to the largest value, and the norm of the values divided by it.
fn scaled_norm(values: &[f64]) -> (f64, f64) {
    const EXPONENT: u64 = 0x7FF0_0000_0000_0000;
    let largest = values.iter().fold(0.0_f64, |largest, x| largest.max(x.abs()));
    // Dividing by a power of two is exact, and the smallest normal one is small enough.
    let scale = f64::from_bits(largest.clamp(f64::MIN_POSITIVE, f64::MAX).to_bits() & EXPONENT);
    // Sums of 64 squares each: the error of a long sum grows with the number of its parts.
    let sum: f64 = values.chunks(64).map(|part| part.iter().map(|x| (x / scale).powi(2)).sum::<f64>()).sum();
    (scale, sum.sqrt())
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these tests compare for exact equality")]
mod tests {
    use super::*;

    #[test]
    fn norms_of_extreme_values_are_right() {
        assert_eq!(l2_norm(&[]), 0.0);
        assert_eq!(l2_norm(&[0.0, -0.0]), 0.0);
        assert_eq!(l2_norm(&[3e300, 4e300]), 5e300);
        assert_eq!(l2_norm(&[3.0, 4.0].map(|x| x * 1e-320)), 5e-320);
        assert_eq!(l2_norm(&[f64::MAX, f64::MAX]), f64::INFINITY);
        assert_eq!(l2_norm(&[1.0, f64::NEG_INFINITY]), f64::INFINITY);
        assert!(l2_norm(&[1.0, f64::NAN]).is_nan());
        let many = vec![0.1; 1_000_000];
        assert!((l2_norm(&many) / 100.0 - 1.0).abs() < 1e-13);
    }

    #[test]
    fn clipping_shortens_long_vectors_and_leaves_short_ones() {
        for scale in [1e-300, 1e-3, 1.0, 1e300] {
            let mut values = [3.0, -4.0, 12.0].map(|x| x * scale);
            let original = values;
            assert!((clip_l2(&mut values, 13.1 * scale).unwrap() / (13.0 * scale) - 1.0).abs() < 1e-15);
            assert_eq!(values, original);
            clip_l2(&mut values, 1e-3 * scale).unwrap();
            assert!((l2_norm(&values) / (1e-3 * scale) - 1.0).abs() < 1e-15);
            assert!((values[0] / values[2] - 0.25).abs() < 1e-15);
        }
        // Vectors of zeros do not change.
        let mut zeros = [0.0, -0.0];
        assert_eq!((clip_l2(&mut zeros, 1.0), zeros), (Ok(0.0), [0.0; 2]));
        // A norm beyond the largest float is clipped like any other.
        let mut values = [f64::MAX, -f64::MAX];
        assert_eq!(clip_l2(&mut values, 1.0), Ok(f64::INFINITY));
        assert!(values.iter().zip([0.5_f64.sqrt(), -0.5_f64.sqrt()]).all(|(x, y)| (x - y).abs() < 1e-15));
    }

    #[test]
    fn units_are_right_for_extreme_bounds() {
        let norm = |values: &[f64], bound| l2_norm(&in_units_of(bound, values).collect::<Vec<_>>());
        for bound in [5e-324, 1e-310, 1e-300, 1.0, 1e300, f64::MAX] {
            for values in [[3.0, 4.0], [f64::MAX, f64::MAX], [1e-320, 2e-320], [5e-324, 0.0]] {
                let expected = if l2_norm(&values) > bound { 1.0 } else { l2_norm(&values) / bound };
                assert!(
                    (norm(&values, bound) - expected).abs() <= 1e-2 * expected.min(1.0),
                    "{values:?} {bound}"
                );
            }
            assert_eq!(norm(&[0.0, 0.0], bound), 0.0);
        }
    }

    #[test]
    fn bad_bounds_and_values_are_refused() {
        for bound in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let error = clip_l2(&mut [1.0], bound).unwrap_err();
            assert!(matches!(error, Error::Parameter { name: "clip", .. }), "{error}");
        }
        let mut values = [1e9, f64::NAN];
        assert_eq!(clip_l2(&mut values, 1.0), Err(Error::NotFinite { index: 1 }));
        assert_eq!(values[0], 1e9);
    }
}
