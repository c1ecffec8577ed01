//! A mean is within its clients' values, or there is no mean.

use cipherfold::{
    federated::{
        Clients, Error,
        aggregation::{
            AggregationFactory, CentralDpSum, Clipping, Fixed, Mean, MeanSums, NormOrder, Process, Quantile,
            SecureClippingSum, Sum, UnweightedMean, WeightedProcess, Zeroing, secure_aggregator,
        },
        computation::{Computation, Inputs, Value},
        round,
        tensor::{self, MaxWeight},
    },
    packing::Quantizer,
    privacy::{QuantileEstimator, QuantileParameters},
};
use ndarray::{Array1, array};
use proptest::prelude::*;

use super::support::{Executor, both, both_for_one, clear, clear_for_one, close};

fn fixed(value: f64) -> Fixed {
    Fixed::new(value).unwrap()
}

fn mean<V, W>(executor: &Executor, mean: Mean<V, W>, values: &[f32], weights: &[f64]) -> Result<f32, Error>
where
    V: AggregationFactory<f32, Result = f32>,
    W: AggregationFactory<f64, Result = f64>,
{
    let mut process = WeightedProcess::new(mean);
    let round = process.run(executor, values.to_vec(), weights.to_vec());
    round.map(|round| round.value).map_err(|error| error.root())
}

#[test]
fn weights_beyond_their_bounds_count_as_clipped_in_both_sums() {
    let products = || SecureClippingSum::floats_up_to(1e7).unwrap();
    let weights = |upper| SecureClippingSum::floats(0.0, upper).unwrap();
    for executor in both() {
        for weight in [1000.0, 2e6, 5e6, 1e12] {
            let found = mean(
                &executor,
                Mean::new(MeanSums { values: products(), weights: weights(1_048_575.0) }),
                &[0.5; 3],
                &[weight; 3],
            )
            .unwrap();
            assert!(close(found.into(), 0.5, 1e-5), "{weight}: {found}");
        }
        let found = mean(
            &executor,
            Mean::new(MeanSums { values: Sum, weights: weights(100.0) }),
            &[1.0, -1.0],
            &[1000.0, 10.0],
        )
        .unwrap();
        assert!(close(found.into(), 90.0 / 110.0, 1e-6), "{found}");
        // Weights below a lower bound count as the bound, in both sums.
        let between = SecureClippingSum::floats(10.0, 100.0).unwrap();
        let found = mean(
            &executor,
            Mean::new(MeanSums { values: Sum, weights: between }),
            &[1.0, -1.0],
            &[1.0, 30.0],
        )
        .unwrap();
        assert!(close(found.into(), -0.5, 1e-6), "{found}");
    }
}

#[test]
fn other_sums_of_weights_also_count_them_once() {
    let executor = clear();
    let (values, weights) = ([1.0_f32, -1.0, 0.5], [1000.0, 10.0, 50.0]);
    let quantile = |initial| {
        Quantile::new(
            QuantileEstimator::geometric(QuantileParameters { initial, target: 0.5, learning_rate: 0.2 })
                .unwrap(),
        )
    };
    let expected = |weights: [f64; 3]| {
        weights.iter().zip(values).map(|(weight, x)| weight * f64::from(x)).sum::<f64>()
            / weights.iter().sum::<f64>()
    };
    let check = |found: Result<f32, Error>, weights: [f64; 3], of: &str| {
        let (found, expected) = (f64::from(found.unwrap()), expected(weights));
        assert!(close(found, expected, 1e-5), "{of}: {found}, not {expected}");
    };
    let clipped = Mean::new(MeanSums { values: Sum, weights: Clipping::new(fixed(100.0), Sum) });
    check(mean(&executor, clipped, &values, &weights), [100.0, 10.0, 50.0], "clipping");
    let zeroed = Mean::new(MeanSums {
        values: Sum,
        weights: Zeroing::new(fixed(100.0), NormOrder::L2, SecureClippingSum::floats(0.0, 40.0).unwrap()),
    });
    check(mean(&executor, zeroed, &values, &weights), [0.0, 10.0, 40.0], "zeroing");
    let adaptive = Mean::new(MeanSums { values: Sum, weights: SecureClippingSum::adaptive(quantile(20.0)) });
    check(mean(&executor, adaptive, &values, &weights), [20.0, 10.0, 20.0], "adaptive");
    let central = Mean::new(MeanSums {
        values: Sum,
        weights: CentralDpSum::new(Fixed::new(100.0).unwrap(), 0.0).unwrap(),
    });
    check(mean(&executor, central, &values, &weights), [100.0, 10.0, 50.0], "central");
    let central = Mean::new(MeanSums {
        values: Sum,
        weights: CentralDpSum::new(Fixed::new(100.0).unwrap(), 0.0).unwrap().averaged_over(3).unwrap(),
    });
    check(mean(&executor, central, &values, &weights), [100.0, 10.0, 50.0], "central average");
}

#[test]
fn weights_that_rounding_changes_are_rounded_in_both_sums() {
    // A step of the weights is 2^-12: 2.4e-4.
    let weights = || SecureClippingSum::floats(0.0, 1_048_575.0).unwrap();
    for executor in both() {
        for weight in [1.3e-4, 2e-4, 3.5e-4, 1e-3] {
            for products in [SecureClippingSum::floats_up_to(1.0), SecureClippingSum::floats_up_to(100.0)] {
                let mean = mean(
                    &executor,
                    Mean::new(MeanSums { values: products.unwrap(), weights: weights() }),
                    &[0.5; 3],
                    &[weight; 3],
                );
                assert!(close(mean.unwrap().into(), 0.5, 1e-3), "{weight}");
            }
        }
        let none =
            mean(&executor, Mean::new(MeanSums { values: Sum, weights: weights() }), &[0.5; 3], &[1e-5; 3]);
        assert_eq!(none, Err(Error::Tensor(tensor::Error::ZeroTotalWeight)));
        // The smallest possible numbers: products with them would underflow.
        for weight in [5e-324, 1e-310, 1e-45, 1e-40] {
            assert_eq!(
                mean(&executor, Mean::default(), &[0.6; 3], &[weight; 3]),
                Err(Error::Tensor(tensor::Error::ZeroTotalWeight))
            );
        }
    }
}

#[test]
fn bounds_of_products_are_widened_to_zero() {
    for executor in both() {
        for (lower, upper, value) in [(5.0, 10.0, 1.0), (-10.0, -5.0, -1.0), (5.0, 10.0, 7.0)] {
            let products = SecureClippingSum::floats(lower, upper).unwrap();
            let mut process = WeightedProcess::new(Mean::new(MeanSums {
                values: products,
                weights: SecureClippingSum::floats(0.0, 1.0).unwrap(),
            }));
            let round = process.run(&executor, [value; 3], [1.0; 3]).unwrap();
            assert!(close(round.value, value, 1e-6), "{}", round.value);
            let measured = round.measurements.mean_value;
            let bounds = (measured.secure_lower_threshold, measured.secure_upper_threshold);
            assert_eq!(bounds, (f64::min(lower, 0.0), f64::max(upper, 0.0)));
        }
        // Also within a clipping to a norm.
        let inner = SecureClippingSum::floats(5.0, 10.0).unwrap();
        let mean = Mean::new(MeanSums {
            values: Zeroing::new(fixed(9.0), NormOrder::L2, Clipping::new(fixed(8.0), inner)),
            weights: Sum,
        });
        let found = WeightedProcess::new(mean).run(&executor, [1.0_f32; 3], [1.0; 3]).unwrap().value;
        assert!(close(found.into(), 1.0, 1e-6), "{found}");
    }
}

#[test]
fn weights_below_zero_are_refused_on_every_path() {
    let executor = clear();
    let bounds = SecureClippingSum::floats(-2.0, -1.0).unwrap();
    let error =
        mean(&executor, Mean::new(MeanSums { values: Sum, weights: bounds }), &[1.0, 2.0], &[1.0, 1.0])
            .unwrap_err();
    assert_eq!(error, Error::Tensor(tensor::Error::Weight));
}

#[test]
fn the_secure_aggregator_never_leaves_its_clients_values() {
    let executor = clear();
    let mut process = WeightedProcess::new(secure_aggregator());
    let mut last = 0.0;
    for round in 0..30 {
        let weights = [[2e6, 5e6, 3e6], [1.0, 1e9, 1e-3]][round % 2];
        last = process.run(&executor, [0.5_f64; 3], weights).unwrap().value;
        assert!((-1e-6..=0.5 + 1e-6).contains(&last), "round {round}: {last}");
    }
    assert!(last > 0.49, "{last}");
}

/// Clients with their own values and weights, and bounds for products and weights.
type Setting = (Vec<(f32, f64)>, (f64, f64), (f64, f64));

fn setting() -> impl Strategy<Value = Setting> {
    let weight = prop_oneof![0.0..10.0_f64, 0.0..1e-4_f64, 0.0..1e7_f64, Just(0.0), Just(1.0)];
    let clients = prop::collection::vec((prop_oneof![-1.0..1.0_f32, 10.0..20.0_f32], weight), 1..6);
    let bound = || prop_oneof![Just(0.0), -100.0..0.0_f64, 0.0..100.0_f64, 1e6..1e7_f64];
    let products = (bound(), bound()).prop_map(|(a, b)| (a.min(b), a.max(b)));
    let weights = (prop_oneof![Just(0.0), 0.0..2.0_f64], prop_oneof![2.0..3.0_f64, 1e3..1e6_f64]);
    (clients, products, weights)
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: proptest::test_runner::RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    /// The expected interval: from the minimum to the maximum value, and including zero if a
    /// product was clipped. The tolerance is half a step of the products for each client, divided
    /// by the total weight, and a rounding of `f32`.
    #[test]
    fn means_are_within_the_values_of_their_clients((clients, products, weights) in setting(), plain: bool) {
        let executor = clear_for_one();
        let (values, raw): (Vec<f32>, Vec<f64>) = clients.iter().copied().unzip();
        let weights_sum = SecureClippingSum::floats(weights.0, weights.1).unwrap();
        let (products, found) = if plain {
            let mut process = WeightedProcess::new(Mean::new(MeanSums { values: Sum, weights: weights_sum }));
            ((0.0, 0.0), process.run(&executor, values.clone(), raw.clone()).map(|round| (round.value, 0)))
        } else {
            let sum = SecureClippingSum::floats(products.0, products.1).unwrap();
            let mut process = WeightedProcess::new(Mean::new(MeanSums { values: sum, weights: weights_sum }));
            let round = process.run(&executor, values.clone(), raw.clone());
            let products = (products.0.min(0.0), products.1.max(0.0));
            (products, round.map(|round| {
                let measured = round.measurements.mean_value;
                (round.value, measured.secure_upper_clipped_count + measured.secure_lower_clipped_count)
            }))
        };
        let step = (weights.1 - weights.0) / f64::from(u32::MAX);
        let total: f64 = raw.iter().map(|weight| weight.clamp(weights.0, weights.1)).sum();
        let (mean, clipped) = match found {
            Err(error) if error.root() == Error::Tensor(tensor::Error::ZeroTotalWeight) => {
                prop_assert!(total <= step * raw.len() as f64, "{total}");
                return Ok(());
            }
            found => found.unwrap(),
        };
        // A minimum for any rounding of the weights: at least one counts for a step.
        let total = (total - step * raw.len() as f64).max(step * 0.99);
        let half_steps = raw.len() as f64 * (products.1 - products.0) / f64::from(u32::MAX) / 2.0;
        let min = values.iter().copied().fold(f32::INFINITY, f32::min);
        let max = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let (min, max) = if clipped > 0 { (min.min(0.0), max.max(0.0)) } else { (min, max) };
        let slack = 1.01 * half_steps / total + 1e-5;
        prop_assert!(
            f64::from(min) - slack <= f64::from(mean) && f64::from(mean) <= f64::from(max) + slack,
            "{mean} of {values:?}, slack {slack}, clipped {clipped}"
        );
    }
}

#[test]
fn a_total_weight_of_zero_is_one_error_and_one_switch() {
    let weights = || SecureClippingSum::floats(0.0, 9.0).unwrap();
    let values = || SecureClippingSum::floats_up_to(9.0).unwrap();
    let none = || SecureClippingSum::integers(0, 0).unwrap();
    let quantizer = Quantizer::symmetric(1.0, 8).unwrap();
    for executor in both_for_one() {
        let zeros = [0.0, 0.0];
        assert_eq!(
            mean(&executor, Mean::default(), &[1.0, 2.0], &zeros),
            Err(Error::Tensor(tensor::Error::ZeroTotalWeight))
        );
        assert_eq!(
            mean(
                &executor,
                Mean::new(MeanSums { values: values(), weights: weights() }),
                &[1.0, 2.0],
                &zeros
            ),
            Err(Error::Tensor(tensor::Error::ZeroTotalWeight))
        );
        assert_eq!(
            mean(&executor, Mean::new(MeanSums { values: Sum, weights: weights() }), &[1.0, 2.0], &zeros),
            Err(Error::Tensor(tensor::Error::ZeroTotalWeight))
        );
        let unweighted = UnweightedMean::new(values(), none());
        assert_eq!(
            Process::new(unweighted).run(&executor, [1.0_f32]).unwrap_err().root(),
            Error::Tensor(tensor::Error::ZeroTotalWeight)
        );
        let clients = [(0, array![0.5_f32]), (0, array![1.0])];
        let secure = executor.secure_weighted_mean(clients.clone(), 5, quantizer);
        assert_eq!(secure.unwrap_err().root(), Error::Tensor(tensor::Error::ZeroTotalWeight));

        let no_nan = [
            mean(&executor, Mean::default().no_nan_division(), &[1.0, 2.0], &zeros).unwrap(),
            mean(
                &executor,
                Mean::new(MeanSums { values: values(), weights: weights() }).no_nan_division(),
                &[1.0, 2.0],
                &zeros,
            )
            .unwrap(),
            Process::new(unweighted.no_nan_division()).run(&executor, [1.0_f32]).unwrap().value,
            executor
                .secure_weighted_mean(clients, MaxWeight::new(5).no_nan_division(), quantizer)
                .unwrap()
                .value[0],
        ];
        assert_eq!(no_nan, [0.0; 4]);
        // The option changes nothing else.
        let found = mean(
            &executor,
            Mean::new(MeanSums { values: Sum, weights: weights() }).no_nan_division(),
            &[1.0, 2.0],
            &[0.0, 3.0],
        )
        .unwrap();
        assert!(close(found.into(), 2.0, 1e-6));
        let clients = [(0, array![0.5_f64]), (3, array![1.0])];
        let found =
            executor.secure_weighted_mean(clients, MaxWeight::new(5).no_nan_division(), quantizer).unwrap();
        assert!(close(found.value[0], 1.0, 1e-6));
    }
}

#[test]
fn a_total_weight_of_zero_in_computations() {
    let quantizer = Quantizer::symmetric(1.0, 8).unwrap();
    let x = Value::<Array1<f64>, Clients>::input("x");
    let w = Value::<u32, Clients>::input("w");
    let max = MaxWeight::new(5).no_nan_division();
    let means = [
        (x.weighted_mean(&w), x.weighted_mean_no_nan(&w)),
        (x.secure_weighted_mean(&w, 5, quantizer), x.secure_weighted_mean(&w, max, quantizer)),
        (
            x.secure_weighted_mean_with_total(&w, 5, quantizer).map(|(mean, _)| mean.clone()),
            x.secure_weighted_mean_with_total(&w, max, quantizer)
                .map(|(mean, total)| mean * (*total + 1) as f64),
        ),
    ];
    // The same for a mean of no numbers.
    for client in [array![0.5, 1.0], array![]] {
        for executor in both() {
            let inputs = || Inputs::new().clients(&x, vec![client.clone(); 2]).clients(&w, [0, 0]);
            for (mean, no_nan) in &means {
                let error = executor.run(&Computation::new(mean.clone()), inputs()).unwrap_err();
                assert_eq!(error.root(), Error::Tensor(tensor::Error::ZeroTotalWeight));
                let found = executor.run(&Computation::new(no_nan.clone()), inputs()).unwrap().value;
                assert_eq!(found, &client * 0.0);
            }
        }
    }
}

#[test]
fn means_that_overflow_are_errors() {
    let executor = clear();
    let far = 3e38_f32;
    let unweighted = Process::new(UnweightedMean::default()).run(&executor, [far; 2]);
    assert_eq!(unweighted.unwrap_err().root(), Error::Tensor(tensor::Error::NotFiniteSum));
    assert_eq!(
        mean(&executor, Mean::default(), &[far; 2], &[1.0; 2]),
        Err(Error::Tensor(tensor::Error::NotFiniteSum))
    );
    assert_eq!(
        mean(&executor, Mean::default(), &[1.0; 2], &[1e308; 2]),
        Err(Error::Tensor(tensor::Error::NotFiniteSum))
    );
    assert_eq!(
        mean(&executor, Mean::default(), &[f32::NAN, 1.0], &[1.0; 2]),
        Err(Error::Tensor(tensor::Error::NotFiniteSum))
    );
    let sum = SecureClippingSum::floats_up_to(1.6e38).unwrap();
    let error = Process::new(sum).run(&executor, [far; 3]).unwrap_err();
    assert_eq!(error.root(), Error::Round(round::Error::SumOutOfRange { tensor: 0, index: 0 }));

    let x = Value::<f64, Clients>::input("x");
    let w = Value::<f64, Clients>::input("w");
    for (values, weights) in [([1.7e308; 2], [1.0; 2]), ([1.0; 2], [1.7e308; 2]), ([f64::NAN, 1.0], [1.0; 2])]
    {
        let inputs = Inputs::new().clients(&x, values).clients(&w, weights);
        let run = executor.run(&Computation::new(x.weighted_mean(&w)), inputs);
        assert_eq!(run.unwrap_err().root(), Error::Tensor(tensor::Error::NotFiniteSum));
    }
    let run = executor.run(&Computation::new(x.mean()), Inputs::new().clients(&x, [1.7e308; 2]));
    assert_eq!(run.unwrap_err().root(), Error::Tensor(tensor::Error::NotFiniteSum));
    let x = Value::<f32, Clients>::input("x");
    let run = executor.run(&Computation::new(x.mean()), Inputs::new().clients(&x, [far; 2]));
    assert_eq!(run.unwrap().value, far);
}
