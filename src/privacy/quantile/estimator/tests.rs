use super::*;
use crate::privacy::{check::to_float, test_support::rng};
use rand_core::Rng;

#[test]
fn one_step_is_the_rule() {
    // TFF's distributed_dp_test, test_auto_tuning: one client in three below, target 1, rate 1.
    let estimator =
        QuantileEstimator::geometric(QuantileParameters { initial: 1.0, target: 1.0, learning_rate: 1.0 })
            .unwrap();
    assert!((estimator.next(1.0 / 3.0).unwrap().estimate() - (2.0_f64 / 3.0).exp()).abs() < 1e-15);

    let estimator =
        QuantileEstimator::linear(QuantileParameters { initial: 1.0, target: 0.5, learning_rate: 0.2 })
            .unwrap();
    assert!((estimator.next(1.0).unwrap().estimate() - 0.9).abs() < 1e-15);
    assert!((estimator.next(0.25).unwrap().estimate() - 1.05).abs() < 1e-15);
    assert_eq!(estimator.next(0.5).unwrap(), estimator);
    // Noisy fractions outside [0, 1] are clamped.
    assert_eq!(estimator.next(7.0), estimator.next(1.0));
    assert_eq!(estimator.next(-7.0), estimator.next(0.0));
    assert!(estimator.next(f64::NAN).is_err());
}

#[test]
fn reports_are_affine_and_comparisons_are_not() {
    // TFF's zeroing norm.
    let estimator = QuantileEstimator::geometric(QuantileParameters {
        initial: 10.0,
        target: 0.98,
        learning_rate: 10.0_f64.ln(),
    })
    .unwrap()
    .reporting(AffineMap { multiplier: 2.0, increment: 1.0 })
    .unwrap();
    assert_eq!((estimator.estimate(), estimator.report()), (10.0, 21.0));
    assert!(estimator.is_below(10.0) && !estimator.is_below(10.0_f64.next_up()));
    assert_eq!((estimator.target(), estimator.learning_rate()), (0.98, 10.0_f64.ln()));
    assert_eq!(estimator.fields.update, UpdateRule::Geometric);
    assert!(
        (estimator.next(0.0).unwrap().report() - (2.0 * 10.0 * (10.0_f64.ln() * 0.98).exp() + 1.0)).abs()
            < 1e-9
    );
}

#[test]
fn estimates_reach_the_quantile() {
    let rng = &mut rng(1);
    let mut uniform = || f64::from(rng.next_u32()) / f64::from(u32::MAX);
    let mut norms: Vec<f64> = (0..1000).map(|_| 3.0 * uniform().powi(3)).collect();
    norms.sort_by(f64::total_cmp);
    for (target, start, expected) in
        [(0.2, 100.0, norms[199]), (0.5, 1e-6, norms[499]), (0.9, 1.0, norms[899])]
    {
        let mut estimator =
            QuantileEstimator::geometric(QuantileParameters { initial: start, target, learning_rate: 0.2 })
                .unwrap();
        for _ in 0..600 {
            let below = norms.iter().filter(|norm| estimator.is_below(**norm)).count();
            estimator = estimator.next(to_float(below) / 1000.0).unwrap();
        }
        assert!((estimator.estimate() / expected - 1.0).abs() < 0.05, "{target}: {}", estimator.estimate());
    }
    let mut estimator =
        QuantileEstimator::linear(QuantileParameters { initial: 0.0, target: 0.5, learning_rate: 0.1 })
            .unwrap();
    for _ in 0..600 {
        let below = norms.iter().filter(|norm| estimator.is_below(**norm)).count();
        estimator = estimator.next(to_float(below) / 1000.0).unwrap();
    }
    assert!((estimator.estimate() / norms[499] - 1.0).abs() < 0.05, "{}", estimator.estimate());
}

#[test]
fn estimates_stay_floats() {
    let mut up = QuantileEstimator::geometric(QuantileParameters {
        initial: 1e300,
        target: 1.0,
        learning_rate: 500.0,
    })
    .unwrap();
    let mut down = QuantileEstimator::geometric(QuantileParameters {
        initial: 1e-300,
        target: 0.0,
        learning_rate: 500.0,
    })
    .unwrap();
    for _ in 0..10 {
        (up, down) = (up.next(0.0).unwrap(), down.next(1.0).unwrap());
    }
    assert_eq!((up.estimate(), down.estimate()), (f64::MAX, f64::MIN_POSITIVE));
    let far = QuantileEstimator::linear(QuantileParameters {
        initial: f64::MAX,
        target: 1.0,
        learning_rate: 1e308,
    })
    .unwrap()
    .next(0.0)
    .unwrap();
    assert_eq!(far.estimate(), f64::MAX);
}

#[test]
fn bad_parameters_are_refused() {
    for (name, result) in [
        (
            "estimate",
            QuantileEstimator::geometric(QuantileParameters {
                initial: 0.0,
                target: 0.5,
                learning_rate: 0.2,
            }),
        ),
        (
            "estimate",
            QuantileEstimator::geometric(QuantileParameters {
                initial: f64::INFINITY,
                target: 0.5,
                learning_rate: 0.2,
            }),
        ),
        (
            "estimate",
            QuantileEstimator::linear(QuantileParameters {
                initial: f64::NAN,
                target: 0.5,
                learning_rate: 0.2,
            }),
        ),
        (
            "target",
            QuantileEstimator::geometric(QuantileParameters {
                initial: 1.0,
                target: 1.1,
                learning_rate: 0.2,
            }),
        ),
        (
            "target",
            QuantileEstimator::geometric(QuantileParameters {
                initial: 1.0,
                target: -0.1,
                learning_rate: 0.2,
            }),
        ),
        (
            "learning_rate",
            QuantileEstimator::geometric(QuantileParameters {
                initial: 1.0,
                target: 0.5,
                learning_rate: 0.0,
            }),
        ),
        (
            "learning_rate",
            QuantileEstimator::linear(QuantileParameters {
                initial: 1.0,
                target: 0.5,
                learning_rate: f64::NAN,
            }),
        ),
        (
            "multiplier",
            QuantileEstimator::linear(QuantileParameters { initial: 1.0, target: 0.5, learning_rate: 0.2 })
                .unwrap()
                .reporting(AffineMap { multiplier: 0.0, increment: 0.0 }),
        ),
        (
            "increment",
            QuantileEstimator::linear(QuantileParameters { initial: 1.0, target: 0.5, learning_rate: 0.2 })
                .unwrap()
                .reporting(AffineMap { multiplier: 1.0, increment: -1.0 }),
        ),
    ] {
        match result {
            Err(Error::Parameter { name: found, .. }) => assert_eq!(found, name),
            other => panic!("{name}: {other:?}"),
        }
    }
    assert!(
        QuantileEstimator::linear(QuantileParameters { initial: -5.0, target: 0.5, learning_rate: 0.2 })
            .is_ok()
    );
}

#[test]
fn the_state_survives_serialisation_and_is_checked() {
    let estimator =
        QuantileEstimator::geometric(QuantileParameters { initial: 0.1, target: 0.8, learning_rate: 0.2 })
            .unwrap()
            .reporting(AffineMap { multiplier: 2.0, increment: 0.5 })
            .unwrap();
    let text = serde_json::to_string(&estimator).unwrap();
    assert_eq!(serde_json::from_str::<QuantileEstimator>(&text).unwrap(), estimator);
    let bad = text.replace("0.8", "1.8");
    assert_ne!(bad, text);
    assert!(serde_json::from_str::<QuantileEstimator>(&bad).is_err());
}
