//! Private sums: the noise is exactly the accounted noise.

use cipherfold::{
    federated::aggregation::{CentralDpSum, DistributedDpSum, Fixed, Process, Quantile, Schedule},
    privacy::{self, Accountant, DistributedParameters, Gaussian, QuantileEstimator, QuantileParameters},
};
use ndarray::{Array1, array};

use super::support::{both, builder, clear, clear_for_one, close};

fn accounted(mechanism: &impl privacy::Mechanism, rounds: u32) -> f64 {
    let mut accountant = Accountant::new();
    accountant.compose(mechanism, rounds);
    accountant.epsilon(1e-5).unwrap()
}

/// Whether a sample has mean zero and this deviation, within five deviations of their estimates.
fn assert_deviation(sample: impl IntoIterator<Item = f64>, stddev: f64) {
    let sample: Vec<f64> = sample.into_iter().collect();
    let count = sample.len() as f64;
    let mean = sample.iter().sum::<f64>() / count;
    let variance = sample.iter().map(|x| x * x).sum::<f64>() / count;
    assert!(mean.abs() < 5.0 * stddev / count.sqrt(), "mean {mean}");
    let ratio = variance / (stddev * stddev);
    assert!((ratio - 1.0).abs() < 5.0 * (2.0 / count).sqrt(), "variance is {ratio} of what was stated");
}

#[test]
fn central_sums_without_noise_are_nearly_exact() {
    for executor in both() {
        let mut process = Process::new(CentralDpSum::new(Fixed::new(2.0).unwrap(), 0.0).unwrap());
        let clients = [array![0.1_f64, -0.2, 0.3], array![1.0, 1.0, 1.0], array![30.0, 0.0, -40.0]];
        let round = process.run(&executor, clients).unwrap();
        let expected = array![1.1 + 1.2, 0.8, 1.3 - 1.6];
        // Half a step of 2/2^20 for each client, and a whole step for the clipped one.
        assert!(
            (&round.value - &expected).iter().all(|error| error.abs() < 2.0 * 2.0 / 1_048_576.0),
            "{}",
            round.value
        );
        assert_eq!(round.measurements.noise_stddev, 0.0);
        assert_eq!(process.epsilon(1e-5), Ok(f64::INFINITY));
    }
}

#[test]
fn central_noise_is_as_wide_as_stated_and_accounted_for() {
    for (clip, noise_multiplier, clients) in [(0.5, 1.0, 3), (10.0, 3.0, 1), (1.0, 100.0, 2)] {
        let executor = clear_for_one();
        let central = CentralDpSum::new(Fixed::new(clip).unwrap(), noise_multiplier)
            .unwrap()
            .averaged_over(clients)
            .unwrap();
        let mut process = Process::new(central);
        let mut noise = Vec::new();
        for _ in 0..3 {
            let round = process.run(&executor, vec![Array1::<f64>::zeros(5000); clients as usize]).unwrap();
            let noise_stddev = round.measurements.noise_stddev;
            assert_eq!(round.measurements.clipping_norm, clip);
            let expected = noise_multiplier * clip / f64::from(clients);
            assert!(close(noise_stddev, expected, 1e-9 * expected), "{noise_stddev}");
            noise.extend(round.value);
        }
        assert_deviation(noise, noise_multiplier * clip / f64::from(clients));
        let expected = accounted(&Gaussian::new(noise_multiplier).unwrap(), 3);
        assert!(close(process.epsilon(1e-5).unwrap(), expected, 1e-5 * expected));
    }
}

#[test]
fn accounts_know_of_sampling_and_of_learned_norms() {
    let executor = clear();
    let parameters = QuantileParameters { initial: 1.0, target: 0.5, learning_rate: 0.2 };
    let quantile = || Quantile::new(QuantileEstimator::geometric(parameters).unwrap());
    let run = |process: Process<Array1<f32>, CentralDpSum<Quantile>>| {
        let mut process = process;
        let _ = process.run(&executor, [array![1.0, 2.0], array![0.1, 0.2]]).unwrap();
        process.epsilon(1e-5).unwrap()
    };
    // Noise for updates and counts that together cost as much as a multiplier of 3: 1/3² = 1/3.75²
    // + 1/5².
    let z = 3.75;
    let split = |norm| Process::new(CentralDpSum::new(norm, z).unwrap());
    let noisy = || quantile().with_noise(5.0).unwrap();
    let full = accounted(&Gaussian::new(3.0).unwrap(), 1);
    assert!(close(run(split(noisy())), full, 1e-5));
    let sampled = accounted(&Gaussian::new(3.0).unwrap().sampled(0.1).unwrap(), 1);
    assert!(sampled < full / 2.0);
    assert!(close(run(split(noisy().out_of(2).unwrap()).sampled(0.1).unwrap()), sampled, 1e-5));
    // A fraction of the participants reveals their number. Sampling then does not hide a client.
    assert!(close(run(split(noisy()).sampled(0.1).unwrap()), full, 1e-5));
    // A norm that was learned from exact counts has no finite cost.
    assert_eq!(run(split(quantile())), f64::INFINITY);
    for probability in [0.0, -0.1, 1.1, f64::NAN] {
        assert!(split(noisy()).sampled(probability).is_err());
    }
}

#[test]
fn a_client_contributes_at_most_the_norm() {
    let mut process =
        Process::new(CentralDpSum::new(Schedule::new(|round| 1.0 + round as f64), 0.0).unwrap());
    for round in [1.0, 2.0, 3.0] {
        let found = process.run(&clear_for_one(), [Array1::from_elem(1000, 7.0_f32)]).unwrap();
        let norm = found.value.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        assert!(norm <= round * (1.0 + 1e-6) && norm > round * 0.999, "{norm} in round {round}");
    }
}

fn parameters(noise_multiplier: f64, clients: u32, dimension: usize) -> DistributedParameters {
    DistributedParameters {
        clip: 2.0,
        noise_multiplier,
        clients,
        dimension,
        ..DistributedParameters::DEFAULTS
    }
}

#[test]
fn distributed_sums_without_noise_are_nearly_exact() {
    type Model = (Array1<f32>, Array1<f32>);
    let template: Model = (Array1::zeros(3), Array1::zeros(2));
    let clients: [Model; 4] = [
        (array![0.1, 0.2, 0.3], array![-0.5, 0.0]),
        (array![1.0, 0.0, 0.0], array![0.0, -1.0]),
        (array![0.0, 0.0, 30.0], array![0.0, 40.0]), // of length 50, and clipped to 2
        (array![0.0, 0.0, 0.0], array![0.0, 0.0]),
    ];
    for executor in both() {
        let distributed = DistributedDpSum::new(template.clone(), parameters(0.0, 4, 5)).unwrap();
        let mut process = Process::new(distributed);
        let (first, second) = process.run(&executor, clients.clone()).unwrap().value;
        let expected = (array![1.1, 0.2, 0.3 + 1.2], array![-0.5, -1.0 + 1.6]);
        assert!((&first - &expected.0).iter().all(|error: &f32| error.abs() < 1e-3), "{first}");
        assert!((&second - &expected.1).iter().all(|error: &f32| error.abs() < 1e-3), "{second}");
        assert_eq!(process.epsilon(1e-5), Ok(f64::INFINITY));
    }
}

#[test]
fn distributed_noise_is_as_wide_as_stated_and_accounted_for() {
    let (clients, dimension) = (8, 4096);
    let parameters = parameters(0.75, clients, dimension);
    let distributed = DistributedDpSum::new(Array1::<f64>::zeros(dimension), parameters).unwrap();
    let mut process = Process::new(distributed);
    let executor = clear();
    let mut noise = Vec::new();
    for _ in 0..3 {
        let round = process.run(&executor, vec![Array1::zeros(dimension); clients as usize]).unwrap();
        assert!(close(round.measurements.noise_stddev, 0.75 * 2.0, 1e-3), "{:?}", round.measurements);
        noise.extend(round.value);
    }
    // No rounding errors: zeros are on every grid.
    assert_deviation(noise, 1.5);
    let mechanism = privacy::DistributedGaussian::new(parameters).unwrap();
    let expected = accounted(&mechanism.mechanism(clients).unwrap(), 3);
    assert!(close(process.epsilon(1e-5).unwrap(), expected, 1e-5 * expected));
}

#[test]
fn the_noise_of_dropouts_is_missing() {
    let executor = builder().in_the_clear().min_clients(1).build().unwrap();
    let spent = |present: usize| {
        let distributed = DistributedDpSum::new(Array1::<f32>::zeros(16), parameters(1.0, 8, 16)).unwrap();
        let mut process = Process::<Array1<f32>, _>::new(distributed);
        let clients = (0..8).map(|i| (i < present).then(|| Array1::zeros(16))).collect::<Vec<_>>();
        let round = process.run(&executor, clients).unwrap();
        (process.epsilon(1e-5).unwrap(), round.measurements.noise_stddev)
    };
    let [(all, full), (half, less)] = [spent(8), spent(4)];
    assert!(half > all * 1.3, "{half} and {all}");
    assert!(close(less * 2.0_f64.sqrt(), full, 1e-5));
}

#[test]
fn every_round_rotates_its_own_way_and_draws_its_own_noise() {
    let executor = clear();
    let mut process =
        Process::new(DistributedDpSum::new(Array1::<f64>::zeros(8), parameters(0.5, 2, 8)).unwrap());
    let mut results = Vec::new();
    for _ in 0..3 {
        results.push(process.run(&executor, vec![Array1::zeros(8); 2]).unwrap().value);
    }
    assert!(results[0] != results[1] && results[1] != results[2]);
}

#[test]
fn norms_of_distributed_sums_can_be_learned() {
    for executor in both() {
        let estimator = QuantileEstimator::geometric(QuantileParameters {
            initial: 0.5,
            target: 0.5,
            learning_rate: 0.2,
        })
        .unwrap();
        let norm = Quantile::new(estimator).with_noise(0.5).unwrap();
        let distributed = DistributedDpSum::new(Array1::<f32>::zeros(2), parameters(0.0, 2, 2)).unwrap();
        let mut process = Process::new(distributed.with_norm(norm));
        let round = process.run(&executor, [array![3.0, 4.0], array![-6.0, -8.0]]).unwrap();
        assert_eq!(round.measurements.clipping_norm, 0.5);
        assert!(round.value.iter().all(|x| x.abs() < 1e-3), "{}", round.value);
        assert!(process.state().aggregation.estimator.estimate() != 0.5);
    }
    // A norm of zero has no grid.
    let distributed = DistributedDpSum::new(Array1::<f32>::zeros(2), parameters(0.0, 2, 2)).unwrap();
    let mut process = Process::new(distributed.with_norm(Fixed::new(0.0).unwrap()));
    let error = process.run(&clear(), [array![3.0, 4.0], array![-6.0, -8.0]]).unwrap_err();
    assert!(
        matches!(
            error,
            cipherfold::federated::Error::Privacy(privacy::Error::Parameter { name: "clip", .. })
        ),
        "{error}"
    );
}

#[test]
fn noise_is_the_same_encrypted_and_in_the_clear() {
    let [encrypted, clear] = both().map(|executor| {
        let clients = [array![0.1_f32, 0.2, 0.3], array![1.0, 1.0, 1.0]];
        let mut central = Process::new(CentralDpSum::new(Fixed::new(2.0).unwrap(), 1.0).unwrap());
        let mut distributed =
            Process::new(DistributedDpSum::new(Array1::zeros(3), parameters(1.0, 2, 3)).unwrap());
        [
            central.run(&executor, clients.clone()).unwrap().value,
            distributed.run(&executor, clients).unwrap().value,
        ]
    });
    assert_eq!(encrypted, clear);
}
