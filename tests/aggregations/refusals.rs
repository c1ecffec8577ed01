//! Invalid parameters: TensorFlow Federated's cases without data, and further ones. Its type errors
//! do not compile here.

use cipherfold::{
    federated::{
        Error,
        aggregation::{
            self, AggregationFactory, CentralDpSum, Clipping, DistributedDpSum, Fixed, Mean,
            ModularClippingSum, Process, Quantile, Schedule, SecureClippingSum, SecureModularSum, Sum,
            WeightedProcess,
        },
        tensor,
    },
    packing,
    privacy::{self, DistributedParameters, QuantileEstimator, QuantileParameters},
};
use ndarray::{Array1, array};

use super::support::{both, clear, clear_for_one};

#[test]
fn bounds_and_moduli_of_tff() {
    assert_eq!(SecureModularSum::new(0).unwrap_err(), packing::Error::Modulus { modulus: 0 });
    assert_eq!(
        SecureClippingSum::integers(1, -1).unwrap_err(),
        packing::Error::IntegerRange { min: 1, max: -1 }
    );
    for (lower, upper) in [(1, -5), (-1, -2), (3, 2)] {
        let error = ModularClippingSum::new(lower, upper, Sum).unwrap_err();
        assert_eq!(error, Error::Privacy(privacy::Error::ModularRange { lower, upper }));
    }
    // TFF refuses these because its sums have 32 bits. Sums of this crate have 128.
    for (lower, upper) in [(-1_073_741_824, 1_073_741_829), (0, 2_147_483_648)] {
        let mut process = Process::new(ModularClippingSum::new(lower, upper, Sum).unwrap());
        assert_eq!(process.run(&clear(), [i32::MAX; 3]).unwrap().value, {
            let (sum, width) = (3 * i64::from(i32::MAX) - lower, upper - lower);
            lower + sum.rem_euclid(width)
        });
    }
}

#[test]
fn ranges_beyond_32_bits_are_exact() {
    for executor in both() {
        let mut sum = Process::new(SecureClippingSum::integers(-(1_i64 << 33), 1_i64 << 33).unwrap());
        let round = sum.run(&executor, [i64::MAX, 1 << 33, -5, i64::MIN, (1 << 33) - 1]).unwrap();
        assert_eq!(round.value, (2_i128 << 33) - 6);
        let clipped = round.measurements;
        assert_eq!((clipped.secure_upper_clipped_count, clipped.secure_lower_clipped_count), (1, 1));
    }
}

#[test]
fn further_bounds() {
    for upper in [0, -1] {
        let error = SecureClippingSum::integers_up_to(upper).unwrap_err();
        assert_eq!(error, Error::Aggregation(aggregation::Error::SymmetricBound { bound: upper.into() }));
    }
    assert_eq!(SecureClippingSum::integers_up_to(3).unwrap(), SecureClippingSum::integers(-3, 3).unwrap());
    for upper in [0.0, -1.0, f64::INFINITY] {
        assert_eq!(
            SecureClippingSum::floats_up_to(upper).unwrap_err(),
            aggregation::Error::SymmetricBound { bound: upper }
        );
    }
    for (lower, upper) in [(1.0, -1.0), (f64::NEG_INFINITY, 0.0), (f64::MIN, f64::MAX)] {
        assert_eq!(
            SecureClippingSum::floats(lower, upper).unwrap_err(),
            Error::Packing(packing::Error::QuantizerRange { lower, upper })
        );
    }
    assert!(matches!(
        SecureClippingSum::floats(f64::NAN, 1.0),
        Err(Error::Packing(packing::Error::QuantizerRange { .. }))
    ));
    assert_eq!(Fixed::new(f64::INFINITY).unwrap_err(), aggregation::Error::Estimate { value: f64::INFINITY });
}

#[test]
fn invalid_bounds_and_estimates_end_a_run() {
    let executor = clear_for_one();
    let fixed = |value| Fixed::new(value).unwrap();
    let mut clipping = Process::new(Clipping::new(fixed(-1.0), Sum));
    assert_eq!(
        clipping.run(&executor, [3.0_f32]).unwrap_err(),
        Error::Aggregation(aggregation::Error::NormLimit { limit: -1.0 })
    );
    let mut sum = Process::new(SecureClippingSum::adaptive(fixed(-1.0)));
    let error = sum.run(&executor, [3.0_f64]).unwrap_err();
    assert_eq!(error, Error::Packing(packing::Error::QuantizerRange { lower: 1.0, upper: -1.0 }));
    let mut sum = Process::new(SecureClippingSum::floats(1.0, 1.0 + 1e-12).unwrap());
    assert!(matches!(
        sum.run(&executor, [3.0_f64]),
        Err(Error::Packing(packing::Error::QuantizedSumTooFine { .. }))
    ));

    let not_a_number = || Schedule::new(|round| if round == 1 { f64::NAN } else { 1.0 });
    let mut sum = Process::new(SecureClippingSum::adaptive(not_a_number()));
    assert!((sum.run(&executor, [3.0_f64]).unwrap().value - 1.0).abs() < 1e-9);
    assert!(
        matches!(sum.run(&executor, [3.0_f64]), Err(Error::Aggregation(aggregation::Error::Estimate { value })) if value.is_nan())
    );
    // The state is unchanged.
    assert_eq!(sum.state().aggregation, 1);
    let mut clipping = Process::new(Clipping::new(not_a_number(), Sum));
    assert_eq!(clipping.run(&executor, [3.0_f64]).unwrap().value, 1.0);
    assert!(matches!(
        clipping.run(&executor, [3.0_f64]),
        Err(Error::Aggregation(aggregation::Error::NormLimit { .. }))
    ));
    assert_eq!(clipping.state().aggregation.norm, 1);
}

#[test]
fn values_and_weights_out_of_order_are_refused_at_their_client() {
    let source = |error: Error| match error {
        Error::Client { client: 1, source } => match *source {
            Error::Tensor(tensor::Error::Tensor { tensor: 0, source }) => (*source).into(),
            source => source,
        },
        other => panic!("{other}"),
    };
    for executor in both() {
        let mut sum = Process::new(SecureClippingSum::floats_up_to(1.0).unwrap());
        let error = sum.run(&executor, [array![0.5_f32, 0.0], array![1.0, f32::NAN]]).unwrap_err();
        assert_eq!(source(error), Error::Packing(packing::Error::NotFinite { index: 1 }));

        let mut mean = WeightedProcess::new(Mean::default());
        for weight in [-1.0, f64::NAN, f64::INFINITY] {
            let error = mean.run(&executor, [1.0_f32, 2.0], [1.0, weight]).unwrap_err();
            assert_eq!(source(error), Error::Tensor(tensor::Error::Weight));
        }

        // Bounds without any number of the type between them.
        let mut sum = Process::new(SecureClippingSum::integers(-3, 300).unwrap());
        assert_eq!(sum.run(&executor, [255_u8, 7]).unwrap().value, 262);
        let mut sum = Process::new(SecureClippingSum::integers(100, 300).unwrap());
        assert_eq!(sum.run(&executor, [-128_i8, 127]).unwrap().value, 227);
        let mut sum = Process::new(SecureClippingSum::integers(128, 300).unwrap());
        let error = sum.run(&executor, [0_i8, 1]).unwrap_err();
        assert!(matches!(error, Error::Client { .. }), "{error}");

        let parameters = DistributedParameters {
            noise_multiplier: 1.0,
            clients: 2,
            dimension: 3,
            ..DistributedParameters::DEFAULTS
        };
        let mut sum = Process::new(DistributedDpSum::new(Array1::<f32>::zeros(3), parameters).unwrap());
        let error = sum.run(&executor, [Array1::zeros(3), Array1::zeros(4)]).unwrap_err();
        assert!(matches!(source(error), Error::NotAsDeclared { .. }));
        let mut sum = Process::new(CentralDpSum::new(Fixed::new(1.0).unwrap(), 1.0).unwrap());
        let error = sum.run(&executor, [array![0.5_f32], array![f32::INFINITY]]).unwrap_err();
        assert_eq!(source(error), Error::Privacy(privacy::Error::NotFinite { index: 0 }));
    }
}

#[test]
fn parameters_of_distributed_noise() {
    // TFF's cases; an unknown mechanism and bits of 3.14 do not compile.
    let base = DistributedParameters {
        noise_multiplier: 1.0,
        clients: 100,
        dimension: 4,
        ..DistributedParameters::DEFAULTS
    };
    for (name, parameters) in [
        ("noise_multiplier", DistributedParameters { noise_multiplier: -1.0, ..base }),
        ("bits", DistributedParameters { bits: 0, ..base }),
        ("bits", DistributedParameters { bits: 25, ..base }),
        ("modclip_prob", DistributedParameters { modclip_prob: 0.0, ..base }),
        ("modclip_prob", DistributedParameters { modclip_prob: 1.0, ..base }),
    ] {
        match DistributedDpSum::new(Array1::<f32>::zeros(4), parameters).unwrap_err() {
            Error::Privacy(privacy::Error::Parameter { name: found, .. }) => assert_eq!(found, name),
            other => panic!("{name}: {other}"),
        }
    }
    let error = DistributedDpSum::new(Array1::<f32>::zeros(5), base).unwrap_err();
    assert_eq!(error, Error::Privacy(privacy::Error::VectorLength { expected: 5, found: 4 }));
    assert_eq!(
        CentralDpSum::new(Fixed::new(1.0).unwrap(), 1.0).unwrap().averaged_over(0).unwrap_err(),
        Error::NoClients
    );
}

#[test]
fn states_are_checked_when_they_are_read() {
    type State = <Clipping<Quantile, Sum> as AggregationFactory<f32>>::State;
    let estimator =
        QuantileEstimator::geometric(QuantileParameters { initial: 1.0, target: 0.5, learning_rate: 0.2 })
            .unwrap();
    let process = Process::<f32, _>::new(Clipping::new(Quantile::new(estimator), Sum));
    let text = serde_json::to_string(&process.state().aggregation).unwrap();
    assert_eq!(serde_json::from_str::<State>(&text).unwrap(), process.state().aggregation);
    let changed = text.replace("\"target\":0.5", "\"target\":1.5");
    assert!(changed != text && serde_json::from_str::<State>(&changed).is_err());
}
