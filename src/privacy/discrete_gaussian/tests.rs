use super::{
    bernoulli::{TAIL, uniform_below},
    *,
};
use crate::privacy::{
    check::to_float,
    error::Error,
    test_support::{moments, rng},
};
use proptest::prelude::*;

/// Probabilities of −reach..=reach by definition, in floats.
fn exact(variance: f64, reach: i32) -> Vec<f64> {
    let weight: Vec<f64> =
        (-reach..=reach).map(|x| (-f64::from(x).powi(2) / (2.0 * variance)).exp()).collect();
    let total: f64 = weight.iter().sum();
    weight.iter().map(|w| w / total).collect()
}

fn sample(noise: DiscreteGaussian, count: usize, seed: u8) -> Vec<i64> {
    let mut sample = vec![0; count];
    noise.fill_vartime(&mut sample, &mut rng(seed)).unwrap();
    sample
}

/// χ² and its degrees of freedom over runs of integers. Each run has an expectation of at
/// least 10. The first and the last run include the tails.
fn chi_squared(found: &[i64], probabilities: &[f64], reach: i32) -> (f64, f64) {
    let mut runs = vec![(0.0, 0.0)];
    for (x, probability) in (-i64::from(reach)..).zip(probabilities) {
        let last = runs.last_mut().expect("there is one");
        last.0 += probability * to_float(found.len());
        last.1 += to_float(found.iter().filter(|y| **y == x).count());
        if last.0 >= 10.0 {
            runs.push((0.0, 0.0));
        }
    }
    let (rest, last) = (runs.pop().unwrap(), runs.last_mut().unwrap());
    *last = (last.0 + rest.0, last.1 + rest.1);
    let terms = runs.iter().map(|(expected, observed)| (observed - expected).powi(2) / expected);
    (terms.sum(), to_float(runs.len() - 1))
}

#[test]
fn frequencies_are_the_exact_probabilities() {
    // Below, at and above σ = 1; thirds, which are not exact in floats; scales with and without
    // rejection in the uniform draw.
    for (seed, (numerator, denominator)) in
        [(1, 20), (1, 4), (2, 3), (1, 1), (7, 3), (100, 1), (12_345, 10)].into_iter().enumerate()
    {
        let noise = DiscreteGaussian::from_ratio(numerator, denominator).unwrap();
        let count = 200_000;
        let found = sample(noise, count, u8::try_from(seed).unwrap());
        let reach = i32::try_from(noise.scale).unwrap() * 12;
        let probabilities = exact(noise.variance(), reach);

        assert!(found.iter().all(|x| x.abs() <= reach.into()));
        let (statistic, freedom) = chi_squared(&found, &probabilities, reach);
        let limit = freedom + 5.0 * (2.0 * freedom).sqrt() + 5.0;
        assert!(statistic < limit, "{numerator}/{denominator}: χ² = {statistic} of {freedom}");
    }
}

#[test]
fn mean_and_variance_are_right_at_every_size() {
    for (seed, variance) in
        [0.02, 0.3, 1.0, 50.0, 1e4, 1e9, 3.3e13, DiscreteGaussian::MAX_VARIANCE].into_iter().enumerate()
    {
        let noise = DiscreteGaussian::new(variance).unwrap();
        let count = 100_000;
        let found = sample(noise, count, u8::try_from(seed).unwrap() + 100);
        #[expect(clippy::cast_precision_loss, reason = "below 2^37")]
        let found: Vec<f64> = found.iter().map(|x| *x as f64).collect();
        let (mean, found) = moments(&found);
        // Small variances are below σ²; from 50 on they are equal to it in any float.
        let (expected, fourth) = if variance < 50.0 {
            let moment = |power| {
                let terms = exact(variance, 60).into_iter().zip(-60..=60_i32);
                terms.map(|(p, x)| p * f64::from(x).powi(power)).sum::<f64>()
            };
            (moment(2), moment(4))
        } else {
            (variance, 3.0 * variance.powi(2))
        };
        let count = to_float(count);
        assert!(mean.abs() < 5.0 * (expected / count).sqrt(), "mean {mean} at {variance}");
        let deviation = ((fourth - expected.powi(2)) / count).sqrt();
        assert!((found - expected).abs() < 5.0 * deviation, "variance {found}, not {expected}");
    }
}

#[test]
fn bernoulli_exp_has_its_probability() {
    for (seed, (numerator, denominator)) in
        [(0, 1), (1, 10), (1, 1), (5, 2), (1 << 100, (1 << 99) + 1), (3, u128::MAX)].into_iter().enumerate()
    {
        let (count, rng) = (100_000, &mut rng(u8::try_from(seed).unwrap()));
        let found = (0..count).filter(|_| bernoulli_exp(numerator, denominator, rng).unwrap()).count();
        #[expect(clippy::cast_precision_loss, reason = "for the comparison")]
        let p = (-(numerator as f64 / denominator as f64)).exp();
        let count = f64::from(count);
        let slack = 5.0 * (p * (1.0 - p) * count).sqrt();
        assert!((to_float(found) - p * count).abs() <= slack, "{numerator}/{denominator}: {found}");
    }
}

#[test]
fn uniform_numbers_are_uniform_and_below_their_bound() {
    let rng = &mut rng(5);
    assert_eq!(uniform_below(1, rng), Ok(0));
    for bound in [2_u128, 3, 5, 8, 9] {
        let mut counts = [0_u32; 9];
        for _ in 0..9000 {
            counts[usize::try_from(uniform_below(bound, rng).unwrap()).unwrap()] += 1;
        }
        let expected = 9000.0 / f64::from(u32::try_from(bound).unwrap());
        for (i, count) in counts.into_iter().enumerate() {
            let expected = if i < usize::try_from(bound).unwrap() { expected } else { 0.0 };
            assert!((f64::from(count) - expected).abs() <= 5.0 * expected.sqrt(), "{bound}: {counts:?}");
        }
    }
    // The upper word is used: a third of the draws is in the upper third.
    let bound = 3 << 100;
    let upper = (0..3000).filter(|_| uniform_below(bound, rng).unwrap() >= 2 << 100).count();
    assert!((870..1130).contains(&upper), "{upper}");
}

#[test]
fn a_generator_that_repeats_itself_is_an_error_or_a_sample_in_few_draws() {
    for variance in [1e-9, 0.3, 1.0, 7.0, 1e6, DiscreteGaussian::MAX_VARIANCE] {
        let noise = DiscreteGaussian::new(variance).unwrap();
        for word in (0..=255_u64).map(|byte| byte * 0x0101_0101_0101_0101) {
            let mut calls = 0;
            let mut rng = Constant { word, calls: &mut calls };
            let mut sample = [1; 3];
            if let Err(error) = noise.fill_vartime(&mut sample, &mut rng) {
                assert!(matches!(error, Error::BrokenGenerator { .. }), "{error}");
                assert_eq!(sample, [0; 3]);
            }
            // Every loop stays within its limit: an error takes at most candidates times
            // factors times terms.
            assert!(calls < 1_000_000, "{calls} calls at {variance} with {word:x}");
        }
    }
    let noise = DiscreteGaussian::new(100.0).unwrap();
    for word in [0, u64::MAX] {
        let error = noise.sample_vartime(&mut Constant { word, calls: &mut 0 }).unwrap_err();
        assert!(matches!(error, Error::BrokenGenerator { .. }), "{error}");
    }
}

/// A generator that repeats one word.
struct Constant<'a> {
    word: u64,
    calls: &'a mut u32,
}

impl rand_core::TryRng for Constant<'_> {
    type Error = core::convert::Infallible;

    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        self.try_next_u64().map(|word| word as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        *self.calls += 1;
        Ok(self.word)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        bytes.fill(self.word.to_le_bytes()[0]);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Constant<'_> {}

#[test]
fn no_variance_is_no_noise() {
    assert_eq!(sample(DiscreteGaussian::new(0.0).unwrap(), 10, 0), [0; 10]);
    assert_eq!(DiscreteGaussian::new(-0.0), DiscreteGaussian::new(0.0));
}

#[test]
fn impossible_variances_are_refused() {
    for variance in [-1e-9, f64::NAN, f64::INFINITY, DiscreteGaussian::MAX_VARIANCE.next_up()] {
        let error = DiscreteGaussian::new(variance).unwrap_err();
        assert!(matches!(error, Error::Parameter { name: "variance", .. }), "{error}");
    }
    for (numerator, denominator) in [(1, 0), ((1 << 48) + 1, 1), (1, (1 << 48) + 1)] {
        assert!(DiscreteGaussian::from_ratio(numerator, denominator).is_err());
    }
    assert!(DiscreteGaussian::from_ratio(1 << 48, 1 << 48).is_ok());
}

proptest! {
    #![proptest_config(crate::test_support::replayable(1000))]

    #[test]
    fn a_float_becomes_the_next_fraction(mantissa in 1.0..2.0_f64, exponent in -60..48_i32) {
        let variance = mantissa * f64::from(exponent).exp2();
        let noise = DiscreteGaussian::new(variance).unwrap();
        let excess = noise.variance() - variance;
        prop_assert!(excess >= 0.0 && excess <= (variance * (-47.0_f64).exp2()).max((-48.0_f64).exp2()));
    }

    /// Tests enable overflow checks: this test fails if a step panics.
    #[test]
    fn the_largest_magnitudes_overflow_nowhere(a in 0..=1_u64 << 48, b in 1..=1_u64 << 48, bits in 0..=48_u32) {
        for (a, b) in [(a, b), (a >> bits, b), (a, (b >> bits).max(1)), (1 << 48, 1), (1, 1 << 48)] {
            let noise = DiscreteGaussian::from_ratio(a, b).unwrap();
            let (above, below) = noise.rejection_exponent(noise.scale * TAIL - 1);
            prop_assert!(above < 1 << 124 && below <= 1 << 99);
        }
    }
}
