//! Vectors on an integer grid, no longer than a norm.

use zeroize::Zeroizing;

use crate::{
    federated::Result,
    privacy::{self, in_units_of},
};

/// A vector, clipped to a norm of `clip`, in units of `clip / steps`, whose norm is at most
/// `steps`, exactly.
///
/// It takes longer if rounding makes the vector too long.
pub(super) fn clip_to_grid(
    values: &[f64],
    clip: f64,
    steps: u32,
) -> Result<Zeroizing<Vec<i32>>, privacy::Error> {
    if !values.iter().fold(true, |all, x| all & x.is_finite()) {
        let index = values.iter().position(|x| !x.is_finite());
        let index = index.expect("one of the values is not finite");
        return Err(privacy::Error::NotFinite { index });
    }
    // The norm is at most 1, within rounding errors, for all magnitudes.
    let mut units = Zeroizing::new(Vec::with_capacity(values.len()));
    units.extend(in_units_of(clip, values));
    let most = u128::from(steps).pow(2);
    let mut on_grid = Zeroizing::new(vec![0; values.len()]);
    let fits =
        |on_grid: &[i32]| on_grid.iter().map(|x| u128::from(x.unsigned_abs()).pow(2)).sum::<u128>() <= most;
    let steps = f64::from(steps);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "at most the number of steps, within rounding errors"
    )]
    let whole = |x: f64| x as i32;
    for (place, x) in on_grid.iter_mut().zip(units.iter()) {
        *place = whole((x * steps).round());
    }
    // Rounding towards zero makes the vector no longer than the exact one. Rounding errors of
    // floats add less than a part in 2^30, which one or two iterations remove.
    for shorter in 0_u32.. {
        if fits(&on_grid) {
            break;
        }
        let steps = steps * (1.0 - f64::from(shorter) / f64::from(1 << 30)).max(0.0);
        for (place, x) in on_grid.iter_mut().zip(units.iter()) {
            *place = whole((x * steps).trunc());
        }
    }
    Ok(on_grid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(crate::test_support::replayable(500))]

        #[test]
        fn vectors_on_the_grid_are_no_longer_than_the_bound(
            values in prop::collection::vec(-10.0..10.0_f64, 0..50),
            clip in 0.01..100.0_f64,
            steps in prop_oneof![8..100_u32, Just(1 << 20)],
        ) {
            let on_grid = clip_to_grid(&values, clip, steps).unwrap();
            let square: i64 = on_grid.iter().map(|x| i64::from(*x).pow(2)).sum();
            prop_assert!(square <= i64::from(steps).pow(2));
            for (x, on_grid) in in_units_of(clip, &values).zip(on_grid.iter()) {
                prop_assert!((x * f64::from(steps) - f64::from(*on_grid)).abs() <= 1.0 + 1e-6);
            }
        }
    }

    /// For the smallest floats, the loop must not take many millions of iterations.
    #[test]
    fn norms_of_all_magnitudes_have_a_grid() {
        for clip in [5e-324, 3e-323, 1e-310, 1e-300, 1.0, 1e300, f64::MAX] {
            let values = [clip, -clip, clip, clip].map(|x: f64| (x * 0.9).clamp(f64::MIN, f64::MAX));
            let on_grid = clip_to_grid(&values, clip, 1 << 20).unwrap();
            let half = (1 << 19) - 1..=1 << 19;
            assert!(on_grid.iter().all(|x| half.contains(&x.abs())), "{clip}: {on_grid:?}");
            assert_eq!(clip_to_grid(&[0.0, -0.0], clip, 1 << 20).unwrap().as_slice(), [0, 0]);
        }
    }

    #[test]
    fn rounding_up_does_not_lengthen() {
        // Four equal coordinates of half the norm, on a grid of 9 steps: 4.5 would become 5, and
        // the norm 10.
        assert_eq!(clip_to_grid(&[7.0; 4], 1.0, 9).unwrap().as_slice(), [4; 4]);
        assert_eq!(clip_to_grid(&[7.0; 4], 1.0, 10).unwrap().as_slice(), [5; 4]);
        assert_eq!(clip_to_grid(&[0.3, 0.0], 1.0, 10).unwrap().as_slice(), [3, 0]);
        assert_eq!(clip_to_grid(&[f64::NAN], 1.0, 10), Err(privacy::Error::NotFinite { index: 0 }));
    }
}
