use super::*;
use crate::packing::float::Finite;
use crate::test_support::replayable;
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::from_seed([42; 32])
}

fn encoded<F: Float>(quantizer: &Quantizer, values: &[F]) -> Vec<u64> {
    let mut out = vec![0; values.len()];
    quantizer.encode(values, &mut out, &mut rng()).unwrap();
    out
}

fn decoded(quantizer: &Quantizer, encoded: u64) -> f64 {
    quantizer.decode_sum(encoded.into(), 1)
}

fn both_roundings(quantizer: Quantizer) -> [Quantizer; 2] {
    [quantizer, quantizer.stochastic()]
}

/// Ranges of all magnitudes and bits: around zero, one-sided, and many steps from zero.
fn quantizers() -> impl Strategy<Value = Quantizer> {
    let bound = || (-1.0..1.0_f64, -60..60_i32).prop_map(|(m, e)| m * f64::from(e).exp2());
    let near = (bound(), -46..0_i32).prop_map(|(a, e)| (a, a + a.abs() * f64::from(e).exp2()));
    let symmetric = bound().prop_map(|a| (-a.abs(), a.abs()));
    let one_sided = bound().prop_map(|a| (a.min(0.0), a.max(0.0)));
    let any = (bound(), bound()).prop_map(|(a, b)| (a.min(b), a.max(b)));
    (prop_oneof![near, symmetric, one_sided, any], 2..=48_u32)
        .prop_filter_map("not a range", |((lower, upper), bits)| Quantizer::new(lower, upper, bits).ok())
}

#[test]
fn a_symmetric_range_has_its_bounds_and_zero_on_the_grid() {
    for bits in 2..=48 {
        for clip in [1.0, 0.1, 1e-30, 3e200] {
            let quantizer = Quantizer::symmetric(clip, bits).unwrap();
            let half = (1_i64 << (bits - 1)) - 1;
            assert_eq!((quantizer.first, quantizer.last), (-half, half), "{quantizer:?}");
            let ends = encoded(&quantizer, &[-clip, 0.0, clip]);
            assert_eq!(ends, [0, half.cast_unsigned(), 2 * half.cast_unsigned()]);
        }
    }
}

#[test]
fn a_range_from_zero_has_its_bounds_on_the_grid() {
    for bits in 2..=48 {
        let quantizer = Quantizer::new(0.0, 0.3, bits).unwrap();
        assert_eq!((quantizer.first, quantizer.last), (0, (1 << bits) - 2));
        let quantizer = Quantizer::new(-0.3, 0.0, bits).unwrap();
        assert_eq!((quantizer.first, quantizer.last), (2 - (1 << bits), 0));
    }
}

#[test]
fn impossible_quantizers_are_refused() {
    for bits in [0, 1, 49, u32::MAX] {
        assert_eq!(Quantizer::symmetric(1.0, bits), Err(Error::QuantizerBits { bits }));
    }
    for (lower, upper) in [
        (1.0, 1.0),
        (1.0, -1.0),
        (0.0, f64::INFINITY),
        (f64::NEG_INFINITY, 0.0),
        (f64::INFINITY, f64::INFINITY),
        (f64::NAN, 1.0),
        (0.0, f64::NAN),
        (f64::MIN, f64::MAX),
        (0.0, f64::MAX),
        (0.0, MAX_BOUND.next_up()),
        (-MAX_BOUND.next_up(), 0.0),
    ] {
        let error = Quantizer::new(lower, upper, 16).unwrap_err();
        assert!(matches!(error, Error::QuantizerRange { .. }), "[{lower}, {upper}]: {error}");
    }
    for (lower, upper, bits) in [(0.0, f64::MIN_POSITIVE, 2), (0.0, 1e-300, 48), (0.0, 5e-324, 2)] {
        let error = Quantizer::new(lower, upper, bits).unwrap_err();
        assert!(matches!(error, Error::QuantizerStep { .. }), "[{lower}, {upper}]: {error}");
    }
    for (lower, upper, bits) in [(1.0, 1.0_f64.next_up(), 2), (-1e9, 1.0 - 1e9, 20), (2.0, 3.0, 48)] {
        let error = Quantizer::new(lower, upper, bits).unwrap_err();
        assert_eq!(error, Error::QuantizerTooFine { lower, upper, bits });
    }
}

#[test]
fn the_widest_and_the_narrowest_ranges_work() {
    for (lower, upper, bits) in [
        (0.0, MAX_BOUND, 16),
        (-MAX_BOUND, 0.0, 48),
        (-MAX_BOUND, MAX_BOUND, 2),
        (0.0, f64::MIN_POSITIVE * 2.0, 2),
        (f64::from(f32::MIN), f64::from(f32::MAX), 32),
    ] {
        for quantizer in both_roundings(Quantizer::new(lower, upper, bits).unwrap()) {
            for x in [lower, upper, 0.0, lower / 3.0 + upper / 2.0] {
                let found = quantizer.decode_mean(encoded(&quantizer, &[x])[0].into(), 1);
                assert!((found - x).abs() <= quantizer.error_bound(), "{quantizer:?}: {x} gave {found}");
            }
        }
    }
}

#[test]
fn values_outside_are_clipped_and_counted() {
    for quantizer in both_roundings(Quantizer::new(-1.0, 3.0, 8).unwrap()) {
        let values = [-1.0, 3.0, 0.5, (-1.0_f64).next_down(), 3.0_f64.next_up(), f64::MAX, f64::MIN, -0.0];
        let mut out = [0; 8];
        assert_eq!(quantizer.encode(&values, &mut out, &mut rng()), Ok(4));
        for (&value, out) in values.iter().zip(out) {
            let error = decoded(&quantizer, out) - value.clamp(-1.0, 3.0);
            assert!(error.abs() <= quantizer.error_bound());
        }
        assert_eq!(quantizer.encode::<f32>(&[], &mut [], &mut rng()), Ok(0));
    }
}

#[test]
fn values_that_are_not_finite_are_refused_by_index() {
    for quantizer in both_roundings(Quantizer::symmetric(1.0, 8).unwrap()) {
        for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut out = [7; 4];
            let found = quantizer.encode(&[0.5, 9.0, bad, f32::NAN], &mut out, &mut rng());
            assert_eq!(found, Err(Error::NotFinite { index: 2 }));
            assert_eq!(out, [0; 4]);
        }
        let found = quantizer.encode(&[f64::INFINITY], &mut [0], &mut rng());
        assert_eq!(found, Err(Error::NotFinite { index: 0 }));
    }
}

#[test]
fn subnormal_values_are_next_to_zero() {
    let quantizer = Quantizer::symmetric(1.0, 48).unwrap();
    let zero = encoded(&quantizer, &[0.0])[0];
    assert_eq!(encoded(&quantizer, &[1e-40_f32, -1e-40]), [zero, zero]);
    assert_eq!(encoded(&quantizer, &[5e-324, -5e-324]), [zero, zero]);
}

#[test]
fn random_bits_are_drawn_for_stochastic_rounding_only() {
    let quantizer = Quantizer::symmetric(1.0, 8).unwrap();
    let (mut used, mut fresh) = (rng(), rng());
    quantizer.encode(&[0.1, 0.2, 0.3], &mut [0; 3], &mut used).unwrap();
    assert_eq!(used.next_u64(), fresh.next_u64());

    let (mut used, mut fresh) = (rng(), rng());
    quantizer.stochastic().encode(&[0.1, 0.2, 0.3], &mut [0; 3], &mut used).unwrap();
    for _ in 0..3 {
        fresh.next_u64();
    }
    assert_eq!(used.next_u64(), fresh.next_u64());
}

#[test]
fn a_generator_behind_a_reference_to_a_trait_object_is_accepted() {
    let mut rng = rng();
    let rng: &mut dyn CryptoRng = &mut rng;
    Quantizer::symmetric(1.0, 8).unwrap().stochastic().encode(&[0.1], &mut [0], rng).unwrap();
}

#[test]
fn the_error_bound_is_tight() {
    for bits in 2..=12 {
        let quantizer = Quantizer::new(-0.7, 1.1, bits).unwrap();
        for (quantizer, draws) in [(quantizer, 1), (quantizer.stochastic(), 40)] {
            let values: Vec<f64> = (0..=20_000).map(|i| -0.7 + 1.8 * f64::from(i) / 20_000.0).collect();
            let mut rng = rng();
            let mut out = vec![0; values.len()];
            let mut worst: f64 = 0.0;
            for _ in 0..draws {
                quantizer.encode(&values, &mut out, &mut rng).unwrap();
                let errors = values.iter().zip(&out).map(|(x, &e)| (decoded(&quantizer, e) - x).abs());
                worst = errors.fold(worst, f64::max);
            }
            let bound = quantizer.error_bound();
            assert!(worst <= bound && worst > 0.95 * bound, "{quantizer:?}: {worst} of {bound}");
        }
    }
}

#[test]
fn stochastic_rounding_is_unbiased() {
    const DRAWS: u32 = 40_000;
    let mut rng = rng();
    // None of these bounds but the symmetric ones is a grid point.
    for (lower, upper, bits) in
        [(-1.0, 1.0, 4), (-0.7, 1.1, 3), (0.35, 1.0, 2), (-5.3, -4.1, 5), (100.3, 101.2, 9)]
    {
        let quantizer = Quantizer::new(lower, upper, bits).unwrap().stochastic();
        let (step, span) = (quantizer.step(), upper - lower);
        let near_zero = 0.0_f64.clamp(lower, upper);
        for x in
            [lower, lower + step / 5.0, lower + span / 3.0, near_zero, upper - step / 3.0, upper, upper + 1.0]
        {
            let mut out = vec![0; DRAWS as usize];
            quantizer.encode(&vec![x; DRAWS as usize], &mut out, &mut rng).unwrap();
            let mean = quantizer.decode_mean(out.into_iter().map(u128::from).sum(), DRAWS.into());
            // A draw deviates by step / 2 at most; five standard deviations of the mean.
            let allowed = 2.5 * step / f64::from(DRAWS).sqrt();
            let x = x.clamp(lower, upper);
            assert!((mean - x).abs() <= allowed, "{quantizer:?}: {x} became {mean}");
        }
    }
}

#[test]
fn stochastic_rounding_takes_both_neighbours_and_no_others() {
    let quantizer = Quantizer::symmetric(7.0, 4).unwrap().stochastic(); // the integers from −7 to 7
    let found = encoded(&quantizer, &[2.25; 1000]);
    assert!(found.iter().all(|e| [9, 10].contains(e)));
    let up = found.iter().filter(|&&e| e == 10).count();
    assert!((200..300).contains(&up), "{up}");
    assert_eq!(encoded(&quantizer, &[-3.0; 100]), [4; 100]);
}

#[test]
fn an_empty_sum_is_zero_and_has_no_mean() {
    let quantizer = Quantizer::symmetric(1.0, 16).unwrap();
    assert_eq!(quantizer.decode_sum(0, 0), 0.0);
    assert!(quantizer.decode_mean(0, 0).is_nan());
    assert!(quantizer.decode_sum(u128::MAX, u64::MAX).is_finite());
}

#[test]
fn sums_of_the_largest_bounds_are_finite() {
    assert_eq!(MAX_BOUND, 2.0_f64.powi(958));
    for bits in [2, 3, 16, 48] {
        let quantizer = Quantizer::new(0.0, MAX_BOUND, bits).unwrap();
        let sum = u128::from(quantizer.intervals()) * u128::from(u64::MAX);
        assert_eq!(quantizer.decode_sum(sum, u64::MAX), MAX_BOUND * to_float(u64::MAX), "{bits} bits");
        assert_eq!(quantizer.decode_mean(sum, u64::MAX), MAX_BOUND, "{bits} bits");
    }
}

#[test]
fn results_of_f32_are_finite_whatever_the_clip() {
    for clip in [f64::from(f32::MAX), 6e38, 1e39, 1e200, MAX_BOUND] {
        for bits in [2, 3, 16, 48] {
            for quantizer in both_roundings(Quantizer::symmetric(clip, bits).unwrap()) {
                for x in [f32::MAX, f32::MIN, 0.0] {
                    let mut out = [0; 20];
                    assert_eq!(quantizer.encode(&[x; 20], &mut out, &mut rng()), Ok(0), "{quantizer:?}");
                    for e in out {
                        let found: f32 = quantizer.decode_mean_as(e.into(), 1);
                        assert!(found.is_finite(), "{quantizer:?}: {x} became {found}");
                    }
                }
            }
        }
    }
    let two_bits = Quantizer::symmetric(6e38, 2).unwrap();
    assert_eq!(two_bits.decode_mean_as::<f32>(encoded(&two_bits, &[f32::MAX])[0].into(), 1), f32::MAX);
}

#[test]
fn bounds_are_rounded_to_the_type_of_the_elements() {
    // 0.1 rounds up to f32 and 0.7 rounds down.
    assert!(f64::from(0.1_f32) > 0.1 && f64::from(0.7_f32) < 0.7);
    for (lower, upper) in [(-0.1, 0.1), (-0.7, 0.7), (-0.1, 0.7), (-0.7, 0.1), (0.1, 0.7), (-0.7, -0.1)] {
        for quantizer in both_roundings(Quantizer::new(lower, upper, 16).unwrap()) {
            let (low, high) = (f32::from_f64(lower), f32::from_f64(upper));
            let mut out = [0; 4];
            let values = [low, high, low.next_up(), high.next_down()];
            assert_eq!(quantizer.encode(&values, &mut out, &mut rng()), Ok(0), "{quantizer:?}");
            for (x, e) in values.into_iter().zip(out) {
                let error = decoded(&quantizer, e) - f64::from(x).clamp(lower, upper);
                assert!(error.abs() <= quantizer.error_bound(), "{quantizer:?}: {x}");
                let found: f32 = quantizer.decode_mean_as(e.into(), 1);
                assert!(low <= found && found <= high, "{quantizer:?}: {x} became {found}");
            }
            let beyond = [low.next_down(), high.next_up(), f32::MIN, f32::MAX];
            assert_eq!(quantizer.encode(&beyond, &mut out, &mut rng()), Ok(4), "{quantizer:?}");
            // In f64, the bounds are not rounded.
            let wide = [lower, upper, lower.next_down(), upper.next_up()];
            assert_eq!(quantizer.encode(&wide, &mut out, &mut rng()), Ok(2), "{quantizer:?}");
        }
    }
}

#[test]
#[should_panic(expected = "values and their encodings")]
fn an_output_of_another_length_panics() {
    let _ = Quantizer::symmetric(1.0, 16).unwrap().encode(&[1.0_f32], &mut [0; 2], &mut rng());
}

#[test]
fn floats_convert_as_documented() {
    assert_eq!((f32::NAME, f64::NAME), ("f32", "f64"));
    assert_eq!(<f32 as Float>::from_f64(0.1), 0.1_f32);
    assert_eq!(<f32 as Float>::from_f64(1e300), f32::INFINITY);
    assert_eq!(<f64 as Float>::from_f64(1e300).to_f64(), 1e300);
}

proptest! {
    #![proptest_config(replayable(2000))]

    #[test]
    fn the_grid_has_at_most_2_to_the_bits_points(quantizer in quantizers()) {
        prop_assert!(quantizer.last - quantizer.first < 1 << quantizer.bits(), "{quantizer:?}");
        // The count is not much smaller either.
        prop_assert!(quantizer.last - quantizer.first >= (1 << quantizer.bits()) - 3, "{quantizer:?}");
        for quantizer in both_roundings(quantizer) {
            for e in encoded(&quantizer, &[quantizer.lower(), quantizer.upper(), f64::MIN, f64::MAX]) {
                prop_assert!(e < 1 << quantizer.bits(), "{quantizer:?} gave {e}");
            }
        }
    }

    #[test]
    fn quantizing_errs_at_most_by_the_bound(
        quantizer in quantizers(),
        places in prop::collection::vec(-0.1..1.1_f64, 1..20),
        seed: [u8; 32],
    ) {
        let (lower, upper) = (quantizer.lower(), quantizer.upper());
        let mut values: Vec<f64> = places.iter().map(|p| lower + p * (upper - lower)).collect();
        // Values right at the bounds and right between grid points.
        values.extend([lower, upper, lower.next_up(), upper.next_down()]);
        let step = quantizer.step();
        let between = places.iter().map(|p| ((lower + p * (upper - lower)) / step).floor() * step + step / 2.0);
        values.extend(between.collect::<Vec<_>>());
        for quantizer in both_roundings(quantizer) {
            let mut out = vec![0; values.len()];
            quantizer.encode(&values, &mut out, &mut ChaCha20Rng::from_seed(seed)).unwrap();
            for (&x, &e) in values.iter().zip(&out) {
                let error = (decoded(&quantizer, e) - x.clamp(lower, upper)).abs();
                prop_assert!(error <= quantizer.error_bound(), "{quantizer:?}: {x} off by {error}");
            }
        }
    }

    #[test]
    fn means_err_at_most_by_the_bound(
        quantizer in quantizers(),
        summands in prop::collection::vec((-0.1..1.1_f64, 1..=u32::MAX), 1..30),
    ) {
        let (lower, upper) = (quantizer.lower(), quantizer.upper());
        let (places, weights): (Vec<f64>, Vec<u32>) = summands.into_iter().unzip();
        let values: Vec<f64> = places.iter().map(|p| lower + p * (upper - lower)).collect();
        let weight: u64 = weights.iter().map(|&w| u64::from(w)).sum();
        let total: f64 = values.iter().zip(&weights).map(|(x, &w)| x.clamp(lower, upper) * f64::from(w)).sum();
        let mean = total / to_float(weight);
        // The rounding of this test itself.
        let slack = 40.0 * f64::EPSILON * lower.abs().max(upper.abs());
        for quantizer in both_roundings(quantizer) {
            let sum = encoded(&quantizer, &values).iter().zip(&weights).map(|(&e, &w)| u128::from(e) * u128::from(w)).sum();
            let bound = quantizer.error_bound() + slack;
            prop_assert!((quantizer.decode_mean(sum, weight) - mean).abs() <= bound, "{quantizer:?}");
            prop_assert!((quantizer.decode_sum(sum, weight) - total).abs() <= bound * to_float(weight), "{quantizer:?}");
        }
    }

    #[test]
    fn sums_of_points_are_those_of_the_nearest_points(
        quantizer in quantizers(),
        places in prop::collection::vec(-0.1..1.1_f64, 1..20),
    ) {
        let (lower, upper) = (quantizer.lower(), quantizer.upper());
        let values: Vec<f64> = places.iter().map(|p| lower + p * (upper - lower)).collect();
        let mut total = 0;
        for (&x, &e) in values.iter().zip(&encoded(&quantizer, &values)) {
            let point = quantizer.nearest_point(x);
            prop_assert_eq!(quantizer.sum_of_points(e.into(), 1), point);
            prop_assert!((point - x.clamp(lower, upper)).abs() <= quantizer.error_bound());
            total += u128::from(e);
        }
        let points: f64 = values.iter().map(|x| quantizer.nearest_point(*x)).sum();
        let count = values.len() as u64;
        // The rounding of this test itself.
        let slack = 40.0 * f64::EPSILON * lower.abs().max(upper.abs());
        prop_assert!((quantizer.sum_of_points(total, count) - points).abs() <= slack * to_float(count));
    }

    #[test]
    fn zeros_sum_to_zero_exactly(quantizer in quantizers(), count in 1..1000_u32) {
        prop_assume!(quantizer.lower() <= 0.0 && quantizer.upper() >= 0.0);
        for quantizer in both_roundings(quantizer) {
            for zero in encoded(&quantizer, &[0.0, -0.0]) {
                prop_assert_eq!(quantizer.decode_sum(u128::from(zero) * u128::from(count), count.into()), 0.0);
            }
        }
    }

    #[test]
    fn decode_inverts_encode_on_the_grid(quantizer in quantizers(), place: u64) {
        let grid_points = (quantizer.last - quantizer.first).cast_unsigned() + 1;
        let e = place % grid_points;
        let x = to_float_wide(i128::from(e) + i128::from(quantizer.first)) * quantizer.step;
        prop_assume!(quantizer.lower() <= x && x <= quantizer.upper());
        prop_assert_eq!(decoded(&quantizer, e), x);
        prop_assert_eq!(encoded(&quantizer, &[x]), [e]);
    }

    #[test]
    fn encoding_keeps_the_order(quantizer in quantizers(), places in prop::collection::vec(-0.5..1.5_f64, 2..20)) {
        let mut values: Vec<f64> =
            places.iter().map(|p| quantizer.lower() + p * (quantizer.upper() - quantizer.lower())).collect();
        values.sort_by(f64::total_cmp);
        prop_assert!(encoded(&quantizer, &values).is_sorted());
    }

    #[test]
    fn results_are_finite_and_between_the_bounds(
        quantizer in quantizers(),
        sum in prop_oneof![any::<u128>(), any::<u64>().prop_map(u128::from)],
        weight in 1..=u64::MAX,
        shift in 0..64_u32,
    ) {
        let weight = (weight >> shift).max(1);
        let (lower, upper) = (quantizer.lower(), quantizer.upper());
        for sum in [sum, sum % (u128::from(quantizer.intervals()) * u128::from(weight) + 1), 0, u128::MAX] {
            let mean = quantizer.decode_mean(sum, weight);
            prop_assert!(lower <= mean && mean <= upper, "{quantizer:?}: {mean}");
            let total = quantizer.decode_sum(sum, weight);
            prop_assert!(total.is_finite(), "{quantizer:?}: {total}");
            let (low, high) = (f32::nearest_finite(lower), f32::nearest_finite(upper));
            let mean: f32 = quantizer.decode_mean_as(sum, weight);
            prop_assert!(mean.is_finite() && low <= mean && mean <= high, "{quantizer:?}: {mean}");
        }
    }

    #[test]
    fn values_beyond_the_bounds_in_their_type_are_clipped(
        quantizer in quantizers(),
        values in prop::collection::vec(any::<f32>(), 0..20),
    ) {
        let (low, high) = (f32::nearest_finite(quantizer.lower()), f32::nearest_finite(quantizer.upper()));
        let mut values: Vec<f32> = values.into_iter().filter(|x| x.is_finite()).collect();
        let near = [low, high, low.next_down(), high.next_up(), low.next_up(), high.next_down()];
        values.extend(near.into_iter().filter(|x| x.is_finite()));
        let beyond = values.iter().filter(|x| **x < low || **x > high).count();
        for quantizer in both_roundings(quantizer) {
            let mut out = vec![0; values.len()];
            prop_assert_eq!(quantizer.encode(&values, &mut out, &mut rng()), Ok(beyond), "{:?}", quantizer);
        }
    }

    #[test]
    fn f32_and_f64_encode_alike(quantizer in quantizers(), values in prop::collection::vec(any::<f32>(), 0..20)) {
        let values: Vec<f32> = values.into_iter().filter(|x| x.is_finite()).collect();
        let wide: Vec<f64> = values.iter().map(|&x| x.into()).collect();
        for quantizer in both_roundings(quantizer) {
            prop_assert_eq!(encoded(&quantizer, &values), encoded(&quantizer, &wide));
        }
    }
}
