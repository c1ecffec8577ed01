//! Learned bounds and norms.

use cipherfold::{
    federated::aggregation::{
        Bounds, Clipping, Estimation, Fixed, NormOrder, PrivacyCost, Process, Quantile, Schedule,
        SecureClippingSum, Sum, Zeroing,
    },
    privacy::{AffineMap, QuantileEstimator, QuantileParameters},
};
use ndarray::{Array1, array};

use super::support::{both, clear, close};

fn median(start: f64, rate: f64) -> Quantile {
    Quantile::new(
        QuantileEstimator::geometric(QuantileParameters { initial: start, target: 0.5, learning_rate: rate })
            .unwrap(),
    )
}

#[test]
fn one_round_moves_the_estimate_by_the_rule() {
    for executor in both() {
        // One of three at or below 2: 2·exp(−0.3·(1/3 − 1/2)).
        let mut process = Process::new(Clipping::new(median(2.0, 0.3), Sum));
        let round = process.run(&executor, [1.0_f64, 3.0, 5.0]).unwrap();
        assert_eq!((round.measurements.clipping_norm, round.measurements.clipped_count), (2.0, 2));
        assert_eq!(round.value, 5.0);
        let expected = 2.0 * (0.3 / 6.0_f64).exp();
        assert!(close(process.state().aggregation.norm.estimator.estimate(), expected, 1e-12));
        let round = process.run(&executor, [1.0, 3.0, 5.0]).unwrap();
        assert!(close(round.measurements.clipping_norm, expected, 1e-12));
        assert!(close(round.value, 1.0 + 2.0 * expected, 1e-12));
    }
}

#[test]
fn adaptive_clipping_reaches_the_quantile() {
    let executor = clear();
    let updates: Vec<Array1<f32>> = (1..=10).map(|i| array![0.6, 0.8] * i as f32).collect();
    for (target, between) in [(0.25, 2.0..3.0), (0.5, 5.0..6.0), (0.9, 9.0..10.0)] {
        let estimator =
            QuantileEstimator::geometric(QuantileParameters { initial: 0.1, target, learning_rate: 0.2 })
                .unwrap();
        let mut process = Process::new(Clipping::new(
            Quantile::new(estimator),
            SecureClippingSum::floats_up_to(20.0).unwrap(),
        ));
        let mut norm = 0.0;
        for _ in 0..200 {
            norm = process.run(&executor, updates.clone()).unwrap().measurements.clipping_norm;
        }
        // Slightly beyond either end, because the estimate varies by about a step.
        assert!(between.start * 0.9 < norm && norm < between.end * 1.1, "{target}: {norm}");
    }
}

#[test]
fn noisy_counts_reach_the_quantile_too() {
    let executor = clear();
    let updates: Vec<f32> = (1..=20).map(|i| i as f32).collect();
    let learn = |noise: f64| {
        let norm = median(1.0, 0.1).with_noise(noise).unwrap();
        let mut process = Process::new(Clipping::new(norm, Sum).counted_by(Sum));
        (0..150)
            .map(|_| process.run(&executor, updates.clone()).unwrap().measurements.clipping_norm)
            .collect::<Vec<_>>()
    };
    let (exact, noisy) = (learn(0.0), learn(1.0));
    for (name, norms) in [("exact", &exact), ("noisy", &noisy)] {
        assert!((8.0..13.0).contains(norms.last().unwrap()), "{name}: {norms:?}");
    }
    assert_ne!(exact, noisy);
}

#[test]
fn sums_learn_from_what_was_before_the_clipping() {
    for executor in both() {
        // Maximum magnitudes 1.5, 4 and 0.25, one of which is at most 1. The sum is over clipped
        // values.
        let clients = [array![0.5_f32, -1.5], array![-4.0, 1.0], array![0.25, 0.0]];
        let mut process = Process::new(SecureClippingSum::adaptive(median(1.0, 1.0)));
        let round = process.run(&executor, clients.clone()).unwrap();
        assert!((round.value - array![-0.25, 0.0]).iter().all(|error| error.abs() < 1e-6));
        assert!(close(process.state().aggregation.estimator.estimate(), (1.0 / 6.0_f64).exp(), 1e-12));
        let counts =
            (round.measurements.secure_lower_clipped_count, round.measurements.secure_upper_clipped_count);
        assert_eq!(counts, (2, 0));

        // Minima −1.5, −4, 0; maxima 0.5, 1, 0.25.
        let linear = |start| {
            Quantile::new(
                QuantileEstimator::linear(QuantileParameters {
                    initial: start,
                    target: 0.5,
                    learning_rate: 0.6,
                })
                .unwrap(),
            )
        };
        let mut process = Process::new(SecureClippingSum::adaptive_between(Bounds {
            lower: linear(-1.0),
            upper: linear(0.5),
        }));
        let round = process.run(&executor, clients).unwrap();
        assert!((round.value - array![-0.25, -0.5]).iter().all(|error| error.abs() < 1e-6));
        let (lower, upper) = &process.state().aggregation;
        assert!(close(lower.estimator.estimate(), -1.0 - 0.6 * (2.0 / 3.0 - 0.5), 1e-12));
        assert!(close(upper.estimator.estimate(), 0.5 - 0.6 * (2.0 / 3.0 - 0.5), 1e-12));
    }
}

#[test]
fn reported_estimates_are_affine_functions_of_learned_ones() {
    let parameters = QuantileParameters { initial: 2.0, target: 0.5, learning_rate: 0.5 };
    let estimator = QuantileEstimator::geometric(parameters).unwrap();
    let estimator = estimator.reporting(AffineMap { multiplier: 10.0, increment: 1.0 }).unwrap();
    let executor = clear();
    let mut process = Process::<f32, _>::new(Zeroing::new(Quantile::new(estimator), NormOrder::L2, Sum));
    // The estimate learns from the original values: one of two is always at or below 2.
    for _ in 0..3 {
        assert_eq!(process.run(&executor, [1.0, 9.0]).unwrap().measurements.zeroing_norm, 21.0);
    }
}

#[test]
fn estimates_cost_what_they_reveal() {
    assert_eq!(Fixed::new(1.0).unwrap().cost(), PrivacyCost::nothing());
    assert_eq!(Schedule::new(|_| 1.0).cost(), PrivacyCost::nothing());
    assert_eq!(median(1.0, 0.1).cost(), PrivacyCost::unknown());
    let noisy = median(1.0, 0.1).with_noise(5.0).unwrap();
    let expected = PrivacyCost::count(5.0).unwrap().and(&PrivacyCost::participation());
    assert_eq!(noisy.cost(), expected);
    assert_eq!(noisy.out_of(100).unwrap().cost(), PrivacyCost::count(5.0).unwrap());
    assert!(median(1.0, 0.1).out_of(0).is_err());
}
