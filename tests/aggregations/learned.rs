//! A process continues for every value of its estimate.

use cipherfold::{
    federated::{
        aggregation::{
            AggregationFactory, Bounds, CentralDpSum, Clipping, DistributedDpSum, Estimation, Mean, MeanSums,
            NormOrder, Process, Quantile, Schedule, SecureClippingSum, Sum, WeightedProcess, Zeroing,
            secure_aggregator,
        },
        tensor::TensorTree,
    },
    privacy::{AffineMap, DistributedParameters, QuantileEstimator, QuantileParameters},
};
use ndarray::{Array1, array};

use super::support::{Executor, clear, clear_for_one};

fn geometric(initial: f64) -> QuantileEstimator {
    QuantileEstimator::geometric(QuantileParameters { initial, target: 0.5, learning_rate: 0.4 }).unwrap()
}

fn linear(initial: f64) -> QuantileEstimator {
    QuantileEstimator::linear(QuantileParameters { initial, target: 0.5, learning_rate: 0.4 }).unwrap()
}

/// Estimates at the ends of the number range, below zero, and in between.
fn estimates() -> Vec<QuantileEstimator> {
    let magnitudes = [f64::MIN_POSITIVE, 1e-300, 1e-45, 0.2, 1e30, 1e38, 1e300, f64::MAX];
    let linears = magnitudes.iter().flat_map(|x| [linear(*x), linear(-x)]);
    let far = QuantileEstimator::geometric(QuantileParameters {
        initial: f64::MAX,
        target: 0.5,
        learning_rate: 0.4,
    })
    .unwrap()
    .reporting(AffineMap { multiplier: f64::MAX, increment: f64::MAX })
    .unwrap();
    magnitudes.into_iter().map(geometric).chain(linears).chain([linear(0.0), far]).collect()
}

/// Clients' values: all zeros, small and large numbers, and equal values.
fn clients() -> [Vec<Array1<f64>>; 4] {
    [
        vec![array![0.0, 0.0]; 3],
        vec![array![1e-310, -1e-300], array![0.0, 0.0], array![1e-45, 0.0]],
        vec![array![1e200, -1e250], array![-1e3, 1e4], array![1.0, 2.0]],
        vec![array![0.25, 0.25]; 3],
    ]
}

fn good<A>(executor: &Executor, clients: &[Array1<f64>], aggregation: A, of: &str)
where
    A: AggregationFactory<Array1<f64>, Result = Array1<f64>>,
{
    let mut process = Process::new(aggregation);
    for round in 0..3 {
        let found = process.run(executor, clients.to_vec());
        let found = found.unwrap_or_else(|error| panic!("{of}, round {round}: {error} of {clients:?}"));
        assert!(found.value.iter().all(|x| x.is_finite()), "{of}: {:?}", found.value);
    }
}

fn good_f32<A>(executor: &Executor, clients: &[Array1<f64>], aggregation: A, of: &str)
where
    A: AggregationFactory<Array1<f32>, Result = Array1<f32>>,
{
    let clients: Vec<_> =
        clients.iter().map(|client| client.mapv(|x| (x as f32).clamp(f32::MIN, f32::MAX))).collect();
    let found = Process::new(aggregation).run(executor, clients.clone());
    let found = found.unwrap_or_else(|error| panic!("{of}: {error} of {clients:?}"));
    assert!(found.value.iter().all(|x| x.is_finite()), "{of}: {:?}", found.value);
}

#[test]
fn every_round_succeeds_wherever_an_estimate_is() {
    let executor = clear();
    let parameters = DistributedParameters {
        noise_multiplier: 0.5,
        clients: 3,
        dimension: 2,
        ..DistributedParameters::DEFAULTS
    };
    for estimator in estimates() {
        let quantile = || Quantile::new(estimator);
        for clients in clients() {
            let clients = &clients[..];
            let of = |name| format!("{name} with {estimator:?}");
            good(&executor, clients, SecureClippingSum::adaptive(quantile()), &of("symmetric"));
            good_f32(&executor, clients, SecureClippingSum::adaptive(quantile()), &of("symmetric"));
            for bits in [2, 16, 48] {
                let sum = || SecureClippingSum::adaptive(quantile()).with_bits(bits).unwrap();
                good(&executor, clients, sum(), &of("symmetric with bits"));
                good_f32(&executor, clients, sum(), &of("symmetric with bits"));
            }
            for other in [
                linear(0.3),
                geometric(1.0),
                linear(estimator.estimate().next_up().clamp(f64::MIN, f64::MAX)),
            ] {
                let sum = || {
                    SecureClippingSum::adaptive_between(Bounds {
                        lower: quantile(),
                        upper: Quantile::new(other),
                    })
                };
                good(&executor, clients, sum(), &of("between"));
                good_f32(&executor, clients, sum(), &of("between"));
                for bits in [2, 16, 48] {
                    let sum = || sum().with_bits(bits).unwrap();
                    good(&executor, clients, sum(), &of("between with bits"));
                    good_f32(&executor, clients, sum(), &of("between with bits"));
                }
            }
            let inner = || SecureClippingSum::adaptive(Quantile::new(geometric(1.0)));
            good(&executor, clients, Clipping::new(quantile(), inner()), &of("clipping"));
            good(&executor, clients, Zeroing::new(quantile(), NormOrder::L2, inner()), &of("zeroing"));
            good(&executor, clients, CentralDpSum::new(quantile(), 1.0).unwrap(), &of("central"));
            good_f32(&executor, clients, CentralDpSum::new(quantile(), 1.0).unwrap(), &of("central"));
            let distributed = DistributedDpSum::new(Array1::zeros(2), parameters).unwrap();
            good(&executor, clients, distributed.with_norm(quantile()), &of("distributed"));
            let distributed = DistributedDpSum::new(Array1::zeros(2), parameters).unwrap();
            good_f32(&executor, clients, distributed.with_norm(quantile()), &of("distributed"));
        }
    }
}

/// Returns to normal numbers after many rounds of zeros, which could otherwise make a round fail.
#[test]
fn a_process_adapts_again_after_zeros() {
    let executor = clear();
    // Without a minimum of the estimate, the second round and all later ones fail.
    let mut process = Process::new(SecureClippingSum::adaptive(Quantile::new(
        QuantileEstimator::linear(QuantileParameters { initial: 0.3, target: 0.5, learning_rate: 1.0 })
            .unwrap(),
    )));
    for _ in 0..20 {
        assert_eq!(process.run(&executor, [0.0_f64, 0.0]).unwrap().value, 0.0);
    }
    let mut sum = 0.0;
    for _ in 0..20 {
        sum = process.run(&executor, [0.25_f64, 0.25]).unwrap().value;
    }
    assert!((sum - 0.5).abs() < 1e-6 || sum == 0.0, "{sum}");
    let norms: Vec<f64> = (0..4)
        .map(|_| process.run(&executor, [0.25_f64, 0.25]).unwrap().measurements.secure_upper_threshold)
        .collect();
    assert!(norms.iter().any(|norm| *norm > 0.25), "{norms:?}");
}

/// Fourteen thousand rounds of zeros leave the secure aggregator's estimates here.
#[test]
fn the_secure_aggregator_survives_endless_zeros() {
    let executor = clear();
    let mut state = WeightedProcess::<Array1<f64>, _>::new(secure_aggregator()).state().clone();
    let smallest = |state: &mut <Quantile as Estimation>::State| {
        for _ in 0..40_000 {
            state.estimator = state.estimator.next(1.0).unwrap();
        }
        assert_eq!(state.estimator.estimate(), f64::MIN_POSITIVE);
    };
    smallest(&mut state.aggregation.norm);
    smallest(&mut state.aggregation.inner.norm);
    smallest(&mut state.aggregation.inner.inner.values);
    let mut process = WeightedProcess::resume(secure_aggregator(), state);
    for _ in 0..3 {
        let round = process.run(&executor, vec![array![0.0, 0.0]; 3], [1.0; 3]).unwrap();
        assert_eq!(round.value, array![0.0, 0.0]);
    }
    // It learns again, each estimate by its rule: no client is below it.
    let _ = process.run(&executor, vec![array![0.3, 0.4]; 3], [1.0; 3]).unwrap();
    let state = &process.state().aggregation;
    let (zeroing, clipping, values) = (&state.norm, &state.inner.norm, &state.inner.inner.values);
    assert!(zeroing.estimator.estimate() > 9.0 * f64::MIN_POSITIVE);
    assert!(clipping.estimator.estimate() > 1.1 * f64::MIN_POSITIVE);
    // An update clipped to this norm has no element above the bound.
    assert!(values.estimator.estimate() >= f64::MIN_POSITIVE);
}

#[test]
fn means_survive_bounds_of_products_and_of_weights_that_are_learned() {
    let executor = clear();
    for estimator in estimates() {
        let adaptive = || {
            SecureClippingSum::adaptive_between(Bounds {
                lower: Quantile::new(linear(0.3)),
                upper: Quantile::new(estimator),
            })
        };
        for bits in [None, Some(32), Some(48)] {
            let (values, weights) = (adaptive(), SecureClippingSum::adaptive(Quantile::new(estimator)));
            let (values, weights) = match bits {
                None => (values, weights),
                Some(bits) => (values.with_bits(bits).unwrap(), weights.with_bits(bits).unwrap()),
            };
            let mean = Mean::new(MeanSums { values, weights }).no_nan_division();
            let mut process = WeightedProcess::new(mean);
            for round in 0..3 {
                let found = process.run(&executor, [1.0_f64, 1.0, 1.0], [0.5, 1.0, 1.5]);
                let found =
                    found.unwrap_or_else(|error| panic!("{estimator:?}, {bits:?}, round {round}: {error}"));
                let found = found.value;
                assert!(
                    (-1e-6..=1.0 + 1e-6).contains(&found),
                    "{estimator:?}, {bits:?}, round {round}: {found}"
                );
            }
        }
    }
}

#[test]
fn schedules_never_end() {
    let executor = clear_for_one();
    let schedule = || Schedule::new(|round| if round == u64::MAX { 2.0 } else { 1.0 });
    for _ in 0..2 {
        let mut state = Process::<f64, _>::new(SecureClippingSum::adaptive(schedule())).state().clone();
        state.aggregation = u64::MAX;
        let mut process = Process::resume(SecureClippingSum::adaptive(schedule()), state);
        for _ in 0..2 {
            assert!((process.run(&executor, [3.0_f64]).unwrap().value - 2.0).abs() < 1e-6);
            assert_eq!(process.state().aggregation, u64::MAX);
        }
    }
    // An estimate that falls below zero has reached it.
    let falling = Schedule::new(|round| 1.0 - 2.0 * round as f64);
    let mut clipping = Process::new(Clipping::new(falling.clone(), Sum));
    let mut sum = Process::new(SecureClippingSum::adaptive(falling.clone()));
    let mut far = Process::new(SecureClippingSum::adaptive(Schedule::new(|_| f64::MAX)));
    for expected in [1.0, 0.0, 0.0] {
        let round = clipping.run(&executor, [3.0_f64]).unwrap();
        assert_eq!((round.value, round.measurements.clipping_norm), (expected, expected));
        assert!((sum.run(&executor, [3.0_f64]).unwrap().value - expected).abs() < 1e-9);
        assert!(far.run(&executor, [3.0_f64]).unwrap().value.elements() == 1);
    }
}
