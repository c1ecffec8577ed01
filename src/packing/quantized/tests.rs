use super::*;
use crate::test_support::replayable;
use proptest::prelude::*;

fn encoded<T: Quantized>(quantized: &QuantizedSum<T>, values: &[T]) -> Vec<u64> {
    let mut out = vec![0; values.len()];
    quantized.encode(values, &mut out).unwrap();
    assert!(out.iter().all(|&encoding| encoding <= quantized.max_encoding()));
    out
}

fn sum_of<T: Quantized>(lower: T, upper: T, values: &[T]) -> T::Sum {
    let quantized = QuantizedSum::new(lower, upper).unwrap();
    let sum = encoded(&quantized, values).into_iter().map(u128::from).sum();
    quantized.decode_sum(sum, values.len() as u64).unwrap()
}

#[test]
fn bounds_in_the_wrong_order_or_not_finite_are_refused() {
    assert_eq!(QuantizedSum::new(1_i32, -1), Err(Error::IntegerRange { min: 1, max: -1 }));
    assert_eq!(QuantizedSum::new(1_i64, -1), Err(Error::IntegerRange { min: 1, max: -1 }));
    for (lower, upper) in
        [(1.0, -1.0), (f64::NAN, 1.0), (0.0, f64::NAN), (0.0, f64::INFINITY), (f64::MIN, f64::MAX)]
    {
        let error = QuantizedSum::new(lower, upper).unwrap_err();
        assert!(matches!(error, Error::QuantizerRange { .. }), "[{lower}, {upper}]: {error}");
    }
    // Infinitely far apart as f32, though not as f64.
    let error = QuantizedSum::new(f32::MIN, f32::MAX).unwrap_err();
    assert!(matches!(error, Error::QuantizerRange { .. }));
}

#[test]
fn bounds_far_from_zero_in_steps_are_refused_and_equal_ones_are_not() {
    for (lower, upper) in [(1e10, 1e10 + 1.0), (0.0, 5e-324), (-1.0 - f64::EPSILON, -1.0)] {
        let error = QuantizedSum::new(lower, upper).unwrap_err();
        assert_eq!(error, Error::QuantizedSumTooFine { lower, upper });
    }
    // 2^30 times the span from zero: just within the limit.
    let (lower, upper) = (f64::from(1 << 30) - 1.0, f64::from(1 << 30));
    assert_eq!(sum_of(lower, upper, &[lower]).round(), lower);
    for bound in [0.0, -1.1, 1e300, f64::MAX / 2.0] {
        assert_eq!(sum_of(bound, bound, &[0.0, 3.0]), 2.0 * bound);
    }
    assert_eq!(sum_of(7_i64, 7, &[0, 9, i64::MIN]), 21);
}

#[test]
fn numbers_that_are_not_finite_are_refused_by_their_index() {
    let quantized = QuantizedSum::new(-1.0_f32, 1.0).unwrap();
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut out = [7; 3];
        assert_eq!(quantized.encode(&[0.0, bad, bad], &mut out), Err(Error::NotFinite { index: 1 }));
        assert_eq!(out, [0; 3]);
    }
}

#[test]
fn sums_that_no_clients_can_reach_are_refused() {
    let quantized = QuantizedSum::new(-1_i32, 1).unwrap();
    assert_eq!(quantized.decode_sum(u128::from(STEPS) * 2, 2), Ok(2 * i64::from(u32::MAX) - 2));
    for sum in [u128::from(STEPS) * 2 + 1, u128::MAX] {
        assert_eq!(quantized.decode_sum(sum, 2), Err(Error::QuantizedSumOutOfRange { weight: 2 }));
    }
    assert_eq!(quantized.decode_sum(0, 0), Ok(0));
    // Twice the largest f32 does not fit an f32: refused, not infinite.
    let quantized = QuantizedSum::new(f32::MAX, f32::MAX).unwrap();
    assert_eq!(quantized.decode_sum(0, 1), Ok(f32::MAX));
    assert_eq!(quantized.decode_sum(0, 2), Err(Error::QuantizedSumOutOfRange { weight: 2 }));
    let quantized = QuantizedSum::new(0.0, f64::MAX).unwrap();
    assert_eq!(quantized.decode_sum(u128::from(STEPS), 1), Ok(f64::MAX));
    assert_eq!(
        quantized.decode_sum(2 * u128::from(STEPS), 2),
        Err(Error::QuantizedSumOutOfRange { weight: 2 })
    );
    // 2^63 times 2^32 does not fit an i64: refused, not wrapped.
    let quantized = QuantizedSum::new(-1_i32, 1).unwrap();
    let weight = 1 << 63;
    let sum = u128::from(STEPS) * u128::from(weight);
    assert_eq!(quantized.decode_sum(sum, weight), Err(Error::QuantizedSumOutOfRange { weight }));
}

#[test]
fn all_of_i32_and_of_i64() {
    assert_eq!(sum_of(i32::MIN, i32::MAX, &[i32::MIN; 5]), 5 * i64::from(i32::MIN));
    assert_eq!(sum_of(i32::MIN, i32::MAX, &[i32::MAX; 5]), 5 * i64::from(i32::MAX));
    let quantized = QuantizedSum::new(i64::MIN, i64::MAX).unwrap();
    let step = i128::from(u64::MAX / STEPS + 1);
    assert_eq!(sum_of(i64::MIN, i64::MAX, &[i64::MIN; 5]), 5 * i128::from(i64::MIN));
    let sum = sum_of(i64::MIN, i64::MAX, &[i64::MAX; 5]);
    assert!((0..5 * step).contains(&(5 * i128::from(i64::MAX) - sum)));
    assert_eq!(encoded(&quantized, &[i64::MIN, i64::MAX])[0], 0);
}

#[test]
fn halves_round_to_even() {
    let halves = [0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 0.49, -0.51, TWO_POW_52 - 0.5, 2.0 * TWO_POW_52 + 2.0];
    for x in halves {
        assert_eq!(to_float(round(x).into()), x.round_ties_even(), "{x}");
    }
}

proptest! {
    #![proptest_config(replayable(512))]

    #[test]
    fn integers_less_than_two_to_the_32_minus_one_apart_are_exact(
        lower in -(1_i64 << 40)..1 << 40,
        span in 0..i64::from(u32::MAX),
        values in prop::collection::vec(-(1_i64 << 41)..1 << 41, 0..20),
    ) {
        let upper = lower + span;
        let expected = values.iter().map(|&value| i128::from(value.clamp(lower, upper))).sum::<i128>();
        prop_assert_eq!(sum_of(lower, upper, &values), expected);
    }

    #[test]
    fn wide_integers_fall_short_by_less_than_a_step_each(
        (a, b) in any::<(i64, i64)>(),
        values in prop::collection::vec(any::<i64>(), 0..20),
    ) {
        let (lower, upper) = (a.min(b), a.max(b));
        let step = i128::from(lower.abs_diff(upper) / STEPS + 1);
        let exact = values.iter().map(|&value| i128::from(value.clamp(lower, upper))).sum::<i128>();
        let short = exact - sum_of(lower, upper, &values);
        prop_assert!((0..=(step - 1) * values.len() as i128).contains(&short));
    }

    #[test]
    fn floats_err_by_half_a_step_each(
        (a, b) in (-1e6..1e6_f64, -1e6..1e6_f64),
        values in prop::collection::vec(-2e6..2e6_f64, 0..20),
    ) {
        let (lower, upper) = (a.min(b), a.max(b));
        let exact = values.iter().map(|value| value.clamp(lower, upper)).sum::<f64>();
        let step = (upper - lower) / ALL_STEPS;
        // The end points are rounded onto the grid as well, and sums in f64 have rounding
        // errors.
        let allowed = weight_as_float(values.len() as u64) * (step + 1e-9);
        prop_assert!((sum_of(lower, upper, &values) - exact).abs() <= allowed);
    }

    #[test]
    fn sums_of_all_bounds_and_weights_are_finite_or_refused(
        (a, b) in any::<(f32, f32)>(),
        (c, d) in any::<(f64, f64)>(),
        sum in 0..=u128::from(STEPS),
        weight in 1..=1_u64 << 63,
        shift in 0..64_u32,
    ) {
        let weight = (weight >> shift).max(1);
        let sum = sum * u128::from(weight);
        if let Ok(quantized) = QuantizedSum::new(a.min(b), a.max(b)) {
            prop_assert!(quantized.decode_sum(sum, weight).is_ok_and(f32::is_finite)
                || f64::from(a.abs().max(b.abs())) * weight_as_float(weight) > 0.9 * f64::from(f32::MAX));
        }
        if let Ok(quantized) = QuantizedSum::new(c.min(d), c.max(d)) {
            prop_assert!(quantized.decode_sum(sum, weight).is_ok_and(f64::is_finite)
                || c.abs().max(d.abs()) * weight_as_float(weight) > 0.9 * f64::MAX);
        }
    }

    #[test]
    fn zeros_sum_to_zero_and_do_not_change_a_sum(a in -1e6..1e6_f64, b in 0.0..1e6_f64, x in any::<f32>(), zeros in 0..9_usize) {
        let (lower, upper) = (a.min(0.0), b);
        prop_assert_eq!(sum_of(lower, upper, &vec![0.0; zeros + 1]), 0.0);
        let x = if x.is_finite() { f64::from(x) } else { 0.5 };
        let with_zeros = [&[x][..], &vec![0.0; zeros]].concat();
        prop_assert_eq!(sum_of(lower, upper, &with_zeros), sum_of(lower, upper, &[x]));
    }
}
