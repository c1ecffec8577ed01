//! The static check sees through aggregations.

use cipherfold::{
    Error,
    federated::aggregation::{
        CentralGaussian, Clipping, Counts, DistributedGaussian, Fixed, IgnoringWeights, Mean, MeanSums,
        ModularClippingSum, Norm, Process, Quantile, SecureModularSum, SecureSum, Sum, UnweightedMean,
        WeightedProcess, Zeroing, secure_aggregator,
    },
    privacy::{DistributedParameters, QuantileEstimator, QuantileParameters},
};
use ndarray::Array1;

use super::support::builder;

fn fixed() -> Fixed {
    Fixed::new(1.0).unwrap()
}

fn quantile() -> Quantile {
    Quantile::new(
        QuantileEstimator::geometric(QuantileParameters { initial: 1.0, target: 0.5, learning_rate: 0.2 })
            .unwrap(),
    )
}

fn ones() -> impl Counts + Clone {
    SecureSum::integers(0, 1).unwrap()
}

#[test]
fn secure_compositions_show_nothing() {
    type Values = Array1<f32>;
    assert!(WeightedProcess::<Values, _>::new(secure_aggregator()).leaks().is_empty());
    let floats = || SecureSum::floats_up_to(1.0).unwrap();
    let mean = || UnweightedMean::new(floats(), ones());
    let zeroing = || Zeroing::new(quantile(), Norm::L2, Clipping::new(fixed(), mean()));
    assert!(Process::<Values, _>::new(zeroing()).leaks().is_empty());
    assert!(WeightedProcess::<Values, _>::new(IgnoringWeights(zeroing())).leaks().is_empty());
    assert!(Process::<Values, _>::new(CentralGaussian::new(quantile(), 1.0).unwrap()).leaks().is_empty());
    let parameters = DistributedParameters {
        noise_multiplier: 1.0,
        clients: 10,
        dimension: 3,
        ..DistributedParameters::DEFAULTS
    };
    let distributed = DistributedGaussian::new(Values::zeros(3), parameters).unwrap();
    assert!(Process::new(distributed.clone()).leaks().is_empty());
    assert!(Process::new(distributed.with_norm(quantile())).leaks().is_empty());
    let wrapping = ModularClippingSum::new(-4, 4, SecureModularSum::new(8).unwrap()).unwrap();
    assert!(Process::<i32, _>::new(wrapping).leaks().is_empty());
}

#[test]
fn plain_sums_show_what_they_sum_up() {
    let process = WeightedProcess::<f32, _>::new(Mean::default());
    let leaks = process.leaks();
    assert_eq!(leaks.len(), 2, "{leaks:?}");
    assert_eq!(leaks[0].sources, ["input `values`", "input `weights`"]);
    assert_eq!(leaks[1].sources, ["input `weights`"]);
    assert_eq!(leaks[0].to_string(), "sum shows the server: input `values` → zip → map `weighted` → sum");
    assert!(matches!(process.secure_only(), Err(Error::Leaks { leaks }) if leaks.len() == 2));

    // One plain part of an otherwise secure whole is found.
    let values = SecureSum::floats_up_to(1.0).unwrap();
    assert_eq!(WeightedProcess::<f32, _>::new(Mean::new(MeanSums { values, weights: Sum })).leaks().len(), 1);
    let weights = SecureSum::floats(0.0, 1.0).unwrap();
    assert_eq!(WeightedProcess::<f32, _>::new(Mean::new(MeanSums { values: Sum, weights })).leaks().len(), 1);
    assert_eq!(Process::<f32, _>::new(Clipping::new(fixed(), values).counted_by(Sum)).leaks().len(), 1);
    assert_eq!(Process::<f32, _>::new(SecureSum::adaptive(quantile().counted_by(Sum))).leaks().len(), 2);
    assert_eq!(Process::<i32, _>::new(ModularClippingSum::new(0, 8, Sum).unwrap()).leaks().len(), 1);
    let leaks = Process::<f32, _>::new(Clipping::new(fixed(), Sum)).leaks();
    assert_eq!(leaks[0].path.last().unwrap(), "sum");
}

#[test]
fn executors_that_are_secure_only_refuse_before_any_work() {
    let executor = builder().secure_only().build().unwrap();
    let mut plain = Process::new(Sum);
    assert!(matches!(plain.run(&executor, [1_i32, 2]), Err(Error::Leaks { .. })));
    let mut secure = Process::new(SecureSum::integers(0, 9).unwrap());
    assert_eq!(secure.run(&executor, [1_i32, 2]).unwrap().value, 3);
}
