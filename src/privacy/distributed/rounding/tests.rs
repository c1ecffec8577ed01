use super::*;
use crate::privacy::test_support::{moments, rng};
use proptest::prelude::*;

fn beta() -> f64 {
    (-0.5_f64).exp()
}

fn norm(values: &[i64]) -> f64 {
    to_float(values.iter().map(|x| usize::try_from(x * x).unwrap()).sum()).sqrt()
}

#[test]
fn the_bound_is_that_of_the_paper() {
    // By hand: c = 10, d = 64, β = exp(−2): 100 + 16 + 2·(10 + 4) = 144 < 18².
    assert!(
        (inflated_l2_bound(RoundingParameters { l2_bound: 10.0, beta: (-2.0_f64).exp(), dimension: 64 })
            .unwrap()
            - 12.0)
            .abs()
            < 1e-14
    );
    // c = 10, d = 1, β = exp(−50): 100 + 1/4 + 10·10.5 > 11².
    assert_eq!(
        inflated_l2_bound(RoundingParameters { l2_bound: 10.0, beta: (-50.0_f64).exp(), dimension: 1 }),
        Ok(11.0)
    );
    assert_eq!(inflated_l2_bound(RoundingParameters { l2_bound: 10.0, beta: 0.0, dimension: 64 }), Ok(18.0));
    assert_eq!(inflated_l2_bound(RoundingParameters { l2_bound: 0.0, beta: 0.0, dimension: 0 }), Ok(0.0));

    for (bound, beta) in [(-1.0, 0.0), (f64::NAN, 0.0), (2e12, 0.0), (1.0, -0.1), (1.0, 1.0), (1.0, f64::NAN)]
    {
        assert!(matches!(
            inflated_l2_bound(RoundingParameters { l2_bound: bound, beta, dimension: 4 }),
            Err(Error::Parameter { .. })
        ));
    }
}

#[test]
fn most_attempts_are_short_enough() {
    // The worst case for the length: all fractions are one half, and the vector has the maximum
    // length.
    for (dimension, value) in [(4, 0.5), (100, 2.5), (1000, -7.5), (1, 100.5)] {
        let values = vec![value; dimension];
        for beta in [0.0, 0.05, beta()] {
            let rounding =
                ConditionalRounding::new(RoundingParameters { l2_bound: l2_norm(&values), beta, dimension })
                    .unwrap();
            let rng = &mut rng(1);
            let mut out = vec![0; dimension];
            let attempts = 500;
            let good = (0..attempts).filter(|_| {
                ConditionalRounding::attempt(&values, 1.0, &mut out, rng) <= rounding.squared_limit
            });
            let missing = f64::from(attempts) * (1.0 - beta) - to_float(good.count());
            assert!(missing <= 5.0 * (f64::from(attempts) * beta).sqrt(), "{missing}, {dimension}, {beta}");
        }
    }
}

#[test]
fn long_outcomes_are_drawn_again() {
    // Without the condition, about one outcome in four of 0.5·(1, 1, 1, 1, …) would have more
    // than 11 of 16 ones.
    let rounding = ConditionalRounding {
        squared_limit: 9,
        ..ConditionalRounding::new(RoundingParameters { l2_bound: 2.0, beta: 0.9, dimension: 16 }).unwrap()
    };
    let rng = &mut rng(2);
    let mut out = [0; 16];
    let (mut lengths, mut long) = ([0; 17], 0);
    for _ in 0..2000 {
        rounding.round_vartime(&[0.5; 16], &mut out, rng).unwrap();
        lengths[usize::try_from(out.iter().sum::<i64>()).unwrap()] += 1;
        long += usize::from(ConditionalRounding::attempt(&[0.5; 16], 1.0, &mut out, rng) > 9);
    }
    assert!(lengths[10..].iter().all(|count| *count == 0) && lengths[9] > 0, "{lengths:?}");
    assert!((355..=555).contains(&long), "{long} of 2000, 0.227 expected");
}

#[test]
fn rounding_without_a_condition_is_unbiased() {
    let values = [0.0, 3.0, 0.1, -0.1, 2.75, -2.75, 1e-300, -1e-300];
    let rounding =
        ConditionalRounding::new(RoundingParameters { l2_bound: 5.0, beta: 0.0, dimension: values.len() })
            .unwrap();
    let rng = &mut rng(3);
    let mut columns = vec![vec![]; values.len()];
    for _ in 0..20_000 {
        let mut out = [0; 8];
        rounding.round_vartime(&values, &mut out, rng).unwrap();
        out.iter()
            .zip(&mut columns)
            .for_each(|(x, column)| column.push(f64::from(i32::try_from(*x).unwrap())));
    }
    for (x, column) in values.iter().zip(&columns) {
        let (mean, variance) = moments(column);
        let fraction = x - x.floor();
        assert!(
            (mean - x).abs() <= 5.0 * (fraction * (1.0 - fraction) / 20_000.0).sqrt() + 1e-12,
            "{x}: {mean}"
        );
        assert!((variance - fraction * (1.0 - fraction)).abs() < 0.01, "{x}: {variance}");
        assert!(column.iter().all(|y| (y - x).abs() < 1.0 || *y == *x), "{x}");
    }
}

#[test]
fn a_generator_that_always_rounds_up_is_an_error() {
    // Words of zeros round all numbers up, so the vector becomes too long.
    struct Zeros(u32);
    impl rand_core::TryRng for Zeros {
        type Error = core::convert::Infallible;
        fn try_next_u32(&mut self) -> core::result::Result<u32, Self::Error> {
            Ok(0)
        }
        fn try_next_u64(&mut self) -> core::result::Result<u64, Self::Error> {
            self.0 += 1;
            Ok(0)
        }
        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> core::result::Result<(), Self::Error> {
            bytes.fill(0);
            Ok(())
        }
    }
    impl rand_core::TryCryptoRng for Zeros {}

    for beta in [0.01, beta(), 0.99] {
        let values = [0.5; 64];
        let rounding =
            ConditionalRounding::new(RoundingParameters { l2_bound: 4.0, beta, dimension: 64 }).unwrap();
        let (mut out, mut rng) = ([7; 64], Zeros(0));
        let error = rounding.round_vartime(&values, &mut out, &mut rng).unwrap_err();
        let attempts = rounding.max_attempts;
        assert_eq!(error, Error::BrokenGenerator { drawn: "conditional rounding", attempts });
        assert_eq!((out, rng.0), ([0; 64], 64 * attempts));
        assert!(beta.powi(i32::try_from(attempts).unwrap()) < (-128.0_f64).exp2());
    }
    let error = ConditionalRounding::new(RoundingParameters { l2_bound: 4.0, beta: 0.991, dimension: 64 })
        .unwrap_err();
    assert!(matches!(error, Error::Parameter { name: "beta", .. }));
}

#[test]
fn bad_input_is_refused() {
    let rounding =
        ConditionalRounding::new(RoundingParameters { l2_bound: 5.0, beta: 0.5, dimension: 2 }).unwrap();
    let round = |values: &[f64], len| rounding.round_vartime(values, &mut vec![0; len], &mut rng(0));
    assert_eq!(round(&[1.0; 3], 2), Err(Error::VectorLength { expected: 2, found: 3 }));
    assert_eq!(round(&[1.0; 2], 1), Err(Error::VectorLength { expected: 2, found: 1 }));
    assert_eq!(round(&[1.0, f64::NAN], 2), Err(Error::NotFinite { index: 1 }));
    assert_eq!(round(&[3.1, 4.0], 2), Err(Error::NormAboveBound { bound: 5.0 }));
    assert_eq!(round(&[3.0, 4.0], 2), Ok(()));
    assert_eq!(round(&[3.0, 4.0_f64.next_up()], 2), Ok(()));
}

proptest! {
    #![proptest_config(crate::test_support::replayable(300))]

    #[test]
    fn results_are_neighbours_and_within_the_bound(
        values in prop::collection::vec(-20.0..20.0_f64, 1..50), biased: bool, seed: u8
    ) {
        let rounding =
            ConditionalRounding::new(RoundingParameters { l2_bound: l2_norm(&values), beta: if biased { beta() } else { 0.0 }, dimension: values.len() }).unwrap();
        let mut out = vec![0; values.len()];
        rounding.round_vartime(&values, &mut out, &mut rng(seed)).unwrap();
        prop_assert!(norm(&out) <= rounding.inflated_bound());
        for (x, y) in values.iter().zip(&out) {
            prop_assert!((x - f64::from(i32::try_from(*y).unwrap())).abs() < 1.0);
        }
    }
}
