//! Sums, means and extremes in the clear.

use cipherfold::federated::{
    Clients, Error, PlacementKind,
    computation::{Computation, Inputs, Value},
    tensor,
};
use ndarray::{Array1, array};

use super::support::{builder, run};

#[test]
fn sums_of_other_runtimes() {
    let (x, y) = (Value::<f32, Clients>::input("x"), Value::<i32, Clients>::input("y"));
    let inputs = Inputs::new().clients(&x, [10.0, 11.0, 12.0]).clients(&y, [1, 2, 3]);
    assert_eq!(run((x.sum(), y.sum()), inputs), (33.0, 6));
    let x = Value::<f32, Clients>::input("x");
    let itself = run(x.weighted_mean(&x), Inputs::new().clients(&x, [10.0, 11.0, 12.0]));
    assert!((itself - 11.060_606).abs() < 1e-5);
}

#[test]
fn sums_never_wrap() {
    let (x, y) = (Value::<i32, Clients>::input("x"), Value::<u64, Clients>::input("y"));
    let inputs = Inputs::new().clients(&x, [i32::MIN; 3]).clients(&y, [u64::MAX; 3]);
    assert_eq!(run((x.sum(), y.sum()), inputs), (3 * i64::from(i32::MIN), 3 * u128::from(u64::MAX)));
}

#[test]
fn structures_are_combined_number_by_number() {
    let x = Value::<(Array1<f32>, f32), Clients>::input("x");
    let weights = Value::<u32, Clients>::input("weights");
    let clients = [(array![1.0, 2.0], 3.0), (array![2.0, 5.0], 4.0), (array![3.0, 0.0], 5.0)];
    let outputs = (x.sum(), x.mean(), x.weighted_mean(&weights), x.min(), x.max());
    let inputs = Inputs::new().clients(&x, clients).clients(&weights, [1, 1, 2]);
    let (sum, mean, weighted, min, max) = run(outputs, inputs);
    assert_eq!(sum, (array![6.0, 7.0], 12.0));
    assert_eq!(mean, (array![2.0, 7.0_f32 / 3.0], 4.0));
    assert_eq!(weighted, (array![2.25, 1.75], 4.25));
    assert_eq!(min, (array![1.0, 0.0], 3.0));
    assert_eq!(max, (array![3.0, 5.0], 5.0));
}

#[test]
fn integers_have_extremes_too() {
    let x = Value::<Array1<i8>, Clients>::input("x");
    let clients = [array![-1, 5], array![3, -128], array![0, 127]];
    let (min, max) = run((x.min(), x.max()), Inputs::new().clients(&x, clients));
    assert_eq!((min, max), (array![-1, -128], array![3, 127]));
}

#[test]
fn nan_stays_nan() {
    let x = Value::<Array1<f64>, Clients>::input("x");
    let clients = [array![1.0, f64::NAN, 3.0], array![f64::NAN, 2.0, 1.0], array![0.0, 0.0, 2.0]];
    let (min, max, sum) = run((x.min(), x.max(), x.sum()), Inputs::new().clients(&x, clients));
    for numbers in [&min, &max, &sum] {
        assert!(numbers[0].is_nan() && numbers[1].is_nan());
    }
    assert_eq!((min[2], max[2], sum[2]), (1.0, 3.0, 6.0));
}

#[test]
fn clients_must_have_the_same_structure() {
    let x = Value::<Vec<Array1<f32>>, Clients>::input("x");
    let clients = || [vec![array![1.0]], vec![array![1.0, 2.0]], vec![array![5.0]]];
    let source = Box::new(Error::Tensor(tensor::Error::StructureMismatch {
        expected: "<f32[1]>".into(),
        found: "<f32[2]>".into(),
    }));
    let computation = Computation::new(x.sum());
    // The same if clients may drop out: a partial sum would be wrong.
    for builder in [builder(), builder().min_clients(1)] {
        let run = builder.build().unwrap().run(&computation, Inputs::new().clients(&x, clients()));
        let error = match run.unwrap_err() {
            Error::RoundFailed { report, source } => {
                assert_eq!(report.participants().collect::<Vec<_>>(), [0, 2]);
                let sent = report.traffic(PlacementKind::Clients, PlacementKind::Server).unwrap();
                assert_eq!(sent.messages, 3);
                *source
            }
            error => error,
        };
        assert_eq!(error, Error::Client { client: 1, source: source.clone() });
    }
}

#[test]
fn weights_are_numbers_and_not_negative() {
    let x = Value::<f64, Clients>::input("x");
    let w = Value::<f64, Clients>::input("w");
    let computation = Computation::new(x.weighted_mean(&w));
    let executor = builder().build().unwrap();
    let with = |weights: [f64; 3]| {
        executor.run(&computation, Inputs::new().clients(&x, [1.0, 2.0, 3.0]).clients(&w, weights))
    };
    assert!((with([0.6, 0.3, 0.1]).unwrap().value - 1.5).abs() < 1e-12);
    assert_eq!(with([0.0; 3]).unwrap_err().root(), Error::Tensor(tensor::Error::ZeroTotalWeight));
    for weight in [-1.0, f64::NAN, f64::INFINITY] {
        let error = Error::Client { client: 1, source: Box::new(Error::Tensor(tensor::Error::Weight)) };
        assert_eq!(with([1.0, weight, 1.0]).unwrap_err(), error);
    }
}

#[test]
fn order_and_fanout_alone_decide_rounding() {
    let x = Value::<f64, Clients>::input("x");
    let computation = Computation::new(x.sum());
    let values: Vec<f64> = (0..100).map(|i| f64::from(i).exp().sin()).collect();
    let sum = |fanout: Option<usize>, workers: usize| {
        let builder = builder().max_concurrent_clients(workers);
        let builder = if let Some(fanout) = fanout { builder.max_fanout(fanout) } else { builder };
        let executor = builder.build().unwrap();
        executor.run(&computation, Inputs::new().clients(&x, values.clone())).unwrap().value
    };
    let linear: f64 = values.iter().sum();
    assert_eq!(sum(None, 1), linear);
    assert_eq!(sum(None, 8), linear);
    let groups: f64 = values.chunks(10).map(|group| group.iter().sum::<f64>()).sum();
    assert_eq!(sum(Some(10), 1), groups);
    assert_eq!(sum(Some(10), 8), groups);
    assert_ne!(linear, groups, "so that the test can fail");
}
