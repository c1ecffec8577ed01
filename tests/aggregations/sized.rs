//! Parameters for a maximum number of clients: a round with more clients has no result.

use cipherfold::{
    federated::{
        Error,
        aggregation::{
            CentralDpSum, Clipping, DistributedDpSum, Fixed, Process, Quantile, SecureClippingSum, Sum,
            UnweightedMean,
        },
        round,
    },
    privacy::{DistributedParameters, QuantileEstimator, QuantileParameters},
};
use ndarray::{Array1, array};

use super::support::{both, builder, close};

fn central(expected: u32) -> CentralDpSum<Fixed> {
    CentralDpSum::new(Fixed::new(20.0).unwrap(), 0.0).unwrap().averaged_over(expected).unwrap()
}

fn distributed(expected: u32, max_clients: Option<u32>) -> DistributedDpSum<Array1<f64>> {
    let parameters = DistributedParameters {
        clip: 10.0,
        max_clients,
        noise_multiplier: 0.0,
        clients: expected,
        dimension: 2,
        ..DistributedParameters::DEFAULTS
    };
    DistributedDpSum::new(Array1::zeros(2), parameters).unwrap()
}

#[test]
fn distributed_sums_of_more_clients_than_expected_are_refused() {
    for executor in both() {
        for (expected, found) in [(3, 10), (10, 20), (1, 2)] {
            let updates = || vec![array![6.0, -8.0]; found as usize];
            let mut process = Process::new(distributed(expected, None));
            let before = format!("{:?}", process.state());
            let error = process.run(&executor, updates()).unwrap_err();
            assert_eq!(error, Error::Round(round::Error::MoreClientsThanExpected { expected, found }));
            assert_eq!(format!("{:?}", process.state()), before);
            // Also as an inner aggregation. With a sufficient maximum, the result is the sum.
            let mean =
                UnweightedMean::new(distributed(expected, None), SecureClippingSum::integers(0, 1).unwrap());
            let error = Process::new(mean).run(&executor, updates()).unwrap_err();
            assert_eq!(error, Error::Round(round::Error::MoreClientsThanExpected { expected, found }));
            let mut process = Process::new(distributed(expected, Some(found)));
            let sum = process.run(&executor, updates()).unwrap().value;
            let expected = array![6.0, -8.0] * f64::from(found);
            assert!((&sum - &expected).iter().all(|error| error.abs() < 0.1), "{sum}");
        }
    }
}

#[test]
fn averages_of_more_clients_than_expected_are_refused() {
    for executor in both() {
        let updates = || vec![array![3.0, 4.0]; 8];
        let mut process = Process::new(central(4));
        let error = process.run(&executor, updates()).unwrap_err();
        assert_eq!(error, Error::Round(round::Error::MoreClientsThanExpected { expected: 4, found: 8 }));
        // Unreleased results cost nothing.
        assert_eq!(process.state(), Process::<Array1<f64>, _>::new(central(4)).state());
        let error = Process::new(central(4).at_most(7)).run(&executor, updates()).unwrap_err();
        assert_eq!(error, Error::Round(round::Error::MoreClientsThanExpected { expected: 7, found: 8 }));
        // Rounds with more clients than expected, with the expected number, with fewer, and a sum
        // instead of a mean.
        for (sum, expected) in [
            (central(4).at_most(8), 6.0),
            (central(8), 3.0),
            (central(16), 1.5),
            (CentralDpSum::new(Fixed::new(20.0).unwrap(), 0.0).unwrap(), 24.0),
        ] {
            let found: f64 = Process::new(sum).run(&executor, updates()).unwrap().value[0];
            assert!(close(found, expected, 1e-3), "{found}, not {expected}");
        }
    }
}

#[test]
fn counts_out_of_fewer_clients_than_came_are_refused() {
    let estimator =
        QuantileEstimator::linear(QuantileParameters { initial: 2.5, target: 0.5, learning_rate: 1.0 })
            .unwrap();
    let sum = |quantile| Clipping::new(quantile, Sum);
    for executor in both() {
        let values = [1.0_f64, 2.0, 3.0, 4.0];
        let quantile = || Quantile::new(estimator).out_of(2).unwrap();
        let mut process = Process::new(sum(quantile()));
        let error = process.run(&executor, values).unwrap_err();
        assert_eq!(
            error.root(),
            Error::Round(round::Error::MoreClientsThanExpected { expected: 2, found: 4 })
        );
        assert_eq!(process.state().aggregation.norm.estimator, estimator);
        // As requested: two of two are below. Without an expected number, two of four.
        for (quantile, expected) in [(quantile().at_most(4), 2.0), (Quantile::new(estimator), 2.5)] {
            let mut process = Process::new(sum(quantile));
            let _ = process.run(&executor, values).unwrap();
            assert!(close(process.state().aggregation.norm.estimator.estimate(), expected, 1e-9));
        }
    }
}

#[test]
fn clients_that_drop_out_are_not_too_many() {
    let executor = builder().min_clients(1).build().unwrap();
    for (present, good) in [(3, true), (4, false)] {
        let updates: Vec<_> = (0..10).map(|i| (i < present).then(|| array![6.0, -8.0])).collect();
        let found = Process::<Array1<f64>, _>::new(distributed(3, None)).run(&executor, updates.clone());
        assert_eq!(found.is_ok(), good, "{found:?}");
        let found = Process::<Array1<f64>, _>::new(central(3)).run(&executor, updates);
        assert_eq!(found.is_ok(), good, "{found:?}");
    }
}
