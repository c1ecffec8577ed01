//! The static check looks into aggregations.

use cipherfold::{
    federated::{
        Error,
        aggregation::{
            AggregationFactory, CentralDpSum, Clipping, DistributedDpSum, Fixed, IgnoringWeights, Mean,
            MeanSums, ModularClippingSum, NormOrder, Process, Quantile, SecureClippingSum, SecureModularSum,
            Sum, UnweightedMean, WeightedProcess, Zeroing, secure_aggregator,
        },
        computation::{self, LeakKind},
        report::AbsenceReason,
        tensor::TensorTree,
    },
    privacy::{DistributedParameters, QuantileEstimator, QuantileParameters},
};
use ndarray::{Array1, array};

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

fn ones() -> impl AggregationFactory<u32, Result = u64> + Clone {
    SecureClippingSum::integers(0, 1).unwrap()
}

#[test]
fn secure_compositions_show_nothing() {
    type Values = Array1<f32>;
    let three = Values::zeros(3);
    assert!(WeightedProcess::<Values, _>::new(secure_aggregator()).like(&three).unwrap().leaks().is_empty());
    let floats = || SecureClippingSum::floats_up_to(1.0).unwrap();
    let mean = || UnweightedMean::new(floats(), ones());
    let zeroing = || Zeroing::new(quantile(), NormOrder::L2, Clipping::new(fixed(), mean()));
    assert!(Process::<Values, _>::new(zeroing()).like(&three).unwrap().leaks().is_empty());
    let ignoring = WeightedProcess::<Values, _>::new(IgnoringWeights(zeroing()));
    assert!(ignoring.like(&three).unwrap().leaks().is_empty());
    let central = CentralDpSum::new(quantile(), 1.0).unwrap();
    assert!(Process::<Values, _>::new(central).declared(three.structure().unwrap()).leaks().is_empty());
    let parameters = DistributedParameters {
        noise_multiplier: 1.0,
        clients: 10,
        dimension: 3,
        ..DistributedParameters::DEFAULTS
    };
    let distributed = DistributedDpSum::new(Values::zeros(3), parameters).unwrap();
    assert!(Process::new(distributed.clone()).leaks().is_empty());
    assert!(Process::new(distributed.with_norm(quantile())).leaks().is_empty());
    let wrapping = ModularClippingSum::new(-4, 4, SecureModularSum::new(8).unwrap()).unwrap();
    assert!(Process::<i32, _>::new(wrapping).leaks().is_empty());
    assert!(Process::<Array1<i32>, _>::new(wrapping).like(&three).unwrap().leaks().is_empty());
    let integers = SecureClippingSum::integers(0, 9).unwrap();
    assert!(Process::<Array1<i32>, _>::new(integers).like(&three).unwrap().leaks().is_empty());
}

/// Without a declaration, the check reports the sum of clients' values, but none of the counts
/// beside it.
#[test]
fn an_undeclared_structure_is_a_leak() {
    type Values = Array1<f32>;
    let process = WeightedProcess::<Values, _>::new(secure_aggregator());
    let leaks = process.leaks();
    assert_eq!(leaks.len(), 1, "{leaks:?}");
    assert_eq!(
        (leaks[0].kind, leaks[0].operation.as_str()),
        (LeakKind::UndeclaredStructure, "secure_quantized_sum")
    );
    assert!(matches!(process.secure_only(), Err(computation::Error::Leaks { .. })));
    let central = CentralDpSum::new(fixed(), 1.0).unwrap();
    let mut process = Process::<Values, _>::new(central.clone());
    assert_eq!(process.leaks().len(), 1);
    let executor = builder().secure_only().build().unwrap();
    let clients = || vec![Values::zeros(3); 2];
    assert!(matches!(
        process.run(&executor, clients()),
        Err(Error::Computation(computation::Error::Leaks { .. }))
    ));
    // Both ways to declare it. The last one counts; sampling and state are kept.
    let process = Process::<Values, _>::new(central).sampled(0.5).unwrap().like(&Values::zeros(2)).unwrap();
    let mut process = process.like(&Values::zeros(3)).unwrap().secure_only().unwrap();
    let _ = process.run(&executor, clients()).unwrap();
    assert!(process.epsilon(1e-5).unwrap().is_finite());
}

/// For every aggregation: a client with another structure is refused, and its structure is not
/// revealed.
#[test]
fn declared_processes_refuse_other_structures() {
    type Values = Array1<f64>;
    fn check<A: AggregationFactory<Values>>(aggregation: A) {
        let mut process = Process::new(aggregation).like(&Values::zeros(2)).unwrap().secure_only().unwrap();
        let executor = builder().min_clients(2).secure_only().in_the_clear().build().unwrap();
        // The first client has another structure.
        let clients = [array![0.1, 0.2, 0.3], array![0.1, 0.2], array![0.3, 0.4]];
        let round = process.run(&executor, clients).unwrap();
        let absent = &round.report().absent;
        assert_eq!(absent.iter().map(|absence| absence.client).collect::<Vec<_>>(), [0]);
        assert_eq!(absent[0].reason, AbsenceReason::Structure);
        let details = absent[0].details.as_ref().unwrap();
        assert!(details.contains("[2]") && !details.contains("[3]"), "{details}");
    }
    let sum = || SecureClippingSum::floats_up_to(1.0).unwrap();
    check(sum());
    check(SecureClippingSum::adaptive(quantile()));
    check(UnweightedMean::new(sum(), ones()));
    check(Clipping::new(quantile(), sum()));
    check(Zeroing::new(quantile(), NormOrder::L2, Clipping::new(fixed(), sum())));
    check(CentralDpSum::new(fixed(), 1.0).unwrap());
    let parameters = DistributedParameters {
        noise_multiplier: 1.0,
        clients: 3,
        dimension: 2,
        ..DistributedParameters::DEFAULTS
    };
    check(DistributedDpSum::new(Values::zeros(2), parameters).unwrap());
}

#[test]
fn plain_sums_show_what_they_sum_up() {
    let process = WeightedProcess::<f32, _>::new(Mean::default());
    let leaks = process.leaks();
    assert_eq!(leaks.len(), 2, "{leaks:?}");
    assert_eq!(leaks[0].sources, ["input `values`", "input `weights`"]);
    assert_eq!(leaks[1].sources, ["input `weights`"]);
    assert_eq!(leaks[0].to_string(), "sum shows the server: input `values` → zip → map `weighted` → sum");
    assert!(matches!(process.secure_only(), Err(computation::Error::Leaks { leaks }) if leaks.len() == 2));

    // One plain part of an otherwise secure whole is found.
    let values = SecureClippingSum::floats_up_to(1.0).unwrap();
    assert_eq!(WeightedProcess::<f32, _>::new(Mean::new(MeanSums { values, weights: Sum })).leaks().len(), 1);
    let weights = SecureClippingSum::floats(0.0, 1.0).unwrap();
    assert_eq!(WeightedProcess::<f32, _>::new(Mean::new(MeanSums { values: Sum, weights })).leaks().len(), 1);
    assert_eq!(Process::<f32, _>::new(Clipping::new(fixed(), values).counted_by(Sum)).leaks().len(), 1);
    assert_eq!(
        Process::<f32, _>::new(SecureClippingSum::adaptive(quantile().counted_by(Sum))).leaks().len(),
        2
    );
    assert_eq!(Process::<i32, _>::new(ModularClippingSum::new(0, 8, Sum).unwrap()).leaks().len(), 1);
    let leaks = Process::<f32, _>::new(Clipping::new(fixed(), Sum)).leaks();
    assert_eq!(leaks[0].path.last().unwrap(), "sum");
}

#[test]
fn executors_that_are_secure_only_refuse_before_any_work() {
    let executor = builder().secure_only().build().unwrap();
    let mut plain = Process::new(Sum);
    assert!(matches!(
        plain.run(&executor, [1_i32, 2]),
        Err(Error::Computation(computation::Error::Leaks { .. }))
    ));
    let mut secure = Process::new(SecureClippingSum::integers(0, 9).unwrap());
    assert_eq!(secure.run(&executor, [1_i32, 2]).unwrap().value, 3);
}
