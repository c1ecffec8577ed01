//! Secure operations: the same results in one shared round as in separate rounds.

use std::collections::BTreeMap;

use cipherfold::{
    federated::{
        Clients, Error, PlacementKind, Server,
        computation::{Computation, Inputs, Value},
        tensor::{self, Structure},
    },
    packing::{self, IntegerRange, Modular, QuantizedSum, Quantizer},
};
use ndarray::{Array1, array};

use super::support::{Count, builder, run};

#[test]
fn sums_by_width_and_by_maximum() {
    // TFF's cases for federated_secure_sum and federated_secure_sum_bitwidth.
    for (clients, expected) in [(vec![1], 1), (vec![1, 2, 10], 13), (vec![0, 5, 10, 15, 20], 50)] {
        let x = Value::<i32, Clients>::input("x");
        let outputs = (
            x.secure_sum_up_to(30),
            x.secure_sum_bitwidth(5).unwrap(),
            x.secure_sum(IntegerRange::signed_bits(8).unwrap()),
        );
        assert_eq!(run(outputs, Inputs::new().clients(&x, clients)), (expected, expected, expected));
    }
    let x = Value::<i32, Clients>::input("x");
    assert_eq!(
        x.secure_sum_bitwidth(65).unwrap_err(),
        Error::Packing(packing::Error::IntegerBits { bits: 65 })
    );

    let sum = Computation::new(x.secure_sum_up_to(1));
    let error = builder().build().unwrap().run(&sum, Inputs::new().clients(&x, [2, 4])).unwrap_err();
    let source = Box::new(packing::Error::ValueOutOfRange { index: 0, min: 0, max: 1 }.into());
    let source = Box::new(Error::Tensor(tensor::Error::Tensor { tensor: 0, source }));
    assert_eq!(error, Error::Client { client: 0, source });
}

#[test]
fn structures_keep_names_and_nesting() {
    type Model = BTreeMap<String, (Array1<i32>, Array1<i32>)>;
    let model = |x: i32| Model::from([("layer".into(), (Array1::ones(10), array![x]))]);
    let x = Value::<Model, Clients>::input("x");
    let sum = run(x.secure_sum_up_to(100), Inputs::new().clients(&x, [model(2), model(4)]));
    assert_eq!(sum["layer"], (Array1::from_elem(10, 2_i64), array![6_i64]));

    let structure = |x: i32| Structure::named([("a", Structure::leaf(x)), ("b", (2 * x).into())]).unwrap();
    let x = Value::<Structure<i32>, Clients>::input("x");
    let ranges = structure(3).map(|x| IntegerRange::up_to(u64::try_from(x).unwrap()));
    let sum = run(x.secure_sum(ranges), Inputs::new().clients(&x, [structure(1), structure(3)]));
    assert_eq!(sum, structure(4).map(i64::from));
}

#[test]
fn modular_and_quantized_sums() {
    let x = Value::<i32, Clients>::input("x");
    let y = Value::<f32, Clients>::input("y");
    let outputs = (
        x.secure_modular_sum(Modular::new(5).unwrap()),
        x.secure_modular_sum(Modular::symmetric(4).unwrap()),
        x.secure_quantized_sum(QuantizedSum::new(-10, 10).unwrap()),
        y.secure_quantized_sum(QuantizedSum::new(-1.0, 1.0).unwrap()),
    );
    let inputs = Inputs::new().clients(&x, [-1, 3, 12]).clients(&y, [0.25, -0.5, 7.0]);
    let (modular, symmetric, integers, floats) = run(outputs, inputs);
    assert_eq!((modular, symmetric, integers), (4, 0, 12));
    assert!((floats - 0.75).abs() < 1e-6);
}

/// The share of readings above a threshold, weighted by the number of readings.
#[test]
fn temperature_sensors() {
    let readings = Value::<Vec<f32>, Clients>::input("readings");
    let threshold = Value::<f32, Server>::input("threshold");
    let above = Value::from((readings.clone(), threshold.broadcast()))
        .map(|(readings, threshold)| readings.iter().filter(|reading| *reading > threshold).count() as f32);
    let number = readings.map(|readings| u32::try_from(readings.len()).unwrap());
    let secure = above.secure_weighted_mean(&number, 30, Quantizer::new(0.0, 30.0, 24).unwrap());
    let computation = Computation::new(secure).secure_only().unwrap();
    let in_the_clear = Computation::new(above.weighted_mean(&number));
    assert_eq!(in_the_clear.leaks()[0].sources, ["input `readings`"]);

    let inputs = || {
        let clients = [10_u16, 20, 30].map(|n| (0..n).map(f32::from).collect::<Vec<_>>());
        Inputs::new().clients(&readings, clients).server(&threshold, 15.0)
    };
    for builder in [builder(), builder().clients(3)] {
        let executor = builder.build().unwrap();
        assert!((executor.run(&computation, inputs()).unwrap().value - 8.333).abs() < 0.0005);
        assert!((executor.run(&in_the_clear, inputs()).unwrap().value - 8.333).abs() < 0.0005);
    }
}

#[test]
fn all_secure_operations_share_one_round() {
    let count = Count::default();
    let x = Value::<u32, Clients>::input("x");
    let update = x.map({
        let count = count.clone();
        move |x| {
            count.up();
            Array1::from_elem(3, *x as f32)
        }
    });
    let quantizer = Quantizer::new(0.0, 10.0, 16).unwrap();
    let computation = Computation::new((
        x.secure_sum_up_to(10),
        update.secure_mean(quantizer),
        update.secure_weighted_mean_with_total(&x, 10, quantizer),
        x.secure_count(),
        x.collect(),
    ));
    assert_eq!(computation.rounds(), 1);
    let executor = builder().build().unwrap();
    let run = executor.run(&computation, Inputs::new().clients(&x, [2, 4])).unwrap();
    let (sum, mean, (weighted, total), clients, all) = run.value;
    assert_eq!((sum, clients, all, total), (6, 2, vec![2, 4], 6));
    assert!((mean - 3.0).iter().all(|error| error.abs() < 1e-3));
    assert!((weighted - 20.0 / 6.0).iter().all(|error| error.abs() < 1e-3));
    assert_eq!(count.get(), 2);
    // Sums with equal slots share ciphertexts: 4 and 1 bits, 16 bits, 16 bits with weights.
    assert_eq!(run.rounds[0].ciphertexts, 4);
    assert_eq!(run.rounds[0].traffic(PlacementKind::Clients, PlacementKind::Server).unwrap().messages, 2);
}

#[test]
fn rounds_of_secure_operations_follow_one_another() {
    // A mean, and the mean squared distance from it.
    let x = Value::<f64, Clients>::input("x");
    let quantizer = Quantizer::new(0.0, 16.0, 32).unwrap();
    let mean = x.secure_mean(quantizer);
    let distance = x.zip(&mean.broadcast()).map(|(x, mean)| (x - mean).powi(2));
    let variance = distance.secure_mean(quantizer);
    let computation = Computation::new((mean, variance)).secure_only().unwrap();
    assert_eq!(computation.rounds(), 2);
    let executor = builder().secure_only().build().unwrap();
    let run = executor.run(&computation, Inputs::new().clients(&x, [1.0, 2.0, 3.0, 6.0])).unwrap();
    assert!((run.value.0 - 3.0).abs() < 1e-6 && (run.value.1 - 3.5).abs() < 1e-6);
}

#[test]
fn clients_that_drop_out_are_in_no_sum() {
    let x = Value::<u32, Clients>::input("x");
    let computation = Computation::new((x.secure_sum_up_to(10), x.secure_count(), x.sum(), x.collect()));
    let items = [Some(1), None, Some(3), Some(11), Some(5)];
    let executor = builder().min_clients(2).build().unwrap();
    let run = executor.run(&computation, Inputs::new().clients(&x, items)).unwrap();
    // The fourth client is out of range, and excluded from all sums.
    assert_eq!(run.value, (9, 3, 9, vec![1, 3, 5]));
    let absent: Vec<u32> = run.rounds[0].absent.iter().map(|absence| absence.client).collect();
    assert_eq!(absent, [1, 3]);
}

#[test]
fn in_the_clear_results_are_the_same() {
    let x = Value::<f64, Clients>::eval(|context| f64::from(context.rng().next_u32()) / f64::from(u32::MAX));
    let quantizer = Quantizer::new(0.0, 1.0, 8).unwrap();
    let computation = Computation::new((x.secure_mean(quantizer), x.max()));
    let value = |in_the_clear: bool| {
        let rng = <rand_chacha::ChaCha20Rng as rand_core::SeedableRng>::seed_from_u64(3);
        let builder = builder().clients(20).rng(rng);
        let builder = if in_the_clear { builder.in_the_clear() } else { builder };
        builder.build().unwrap().run(&computation, Inputs::new()).unwrap().value
    };
    assert_eq!(value(true), value(false));
}
