//! A list of numbers is one tensor, in all inputs and outputs. It costs as much as an array of one
//! dimension.

use std::collections::BTreeMap;

use cipherfold::{
    federated::{
        Clients, Error, LocalExecutor, Server,
        aggregation::{Clipping, Fixed, Mean, MeanSums, SecureClippingSum, WeightedProcess},
        computation::{Computation, Inputs, Value},
        tensor::{self, Structure},
    },
    packing::{IntegerRange, QuantizedSum, Quantizer},
    paillier::hazmat::InsecureBits512,
};
use ndarray::Array1;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

type Executor = LocalExecutor<InsecureBits512>;

fn clear() -> Executor {
    Executor::builder().threads(1).in_the_clear().rng(ChaCha20Rng::seed_from_u64(1)).build().unwrap()
}

fn encrypted() -> Executor {
    Executor::builder().threads(1).rng(ChaCha20Rng::seed_from_u64(1)).build().unwrap()
}

#[test]
fn the_sum_of_lists_is_that_of_arrays() {
    let range = IntegerRange::unsigned_bits(8).unwrap();
    let lists = [vec![1_u32, 2, 3, 4, 5], vec![10, 20, 30, 40, 50]];
    let arrays = lists.clone().map(Array1::from_vec);
    for executor in [clear(), encrypted()] {
        // Keys are made and sent before the first round.
        let _ = executor.secure_sum(&arrays, range).unwrap();
        let outcome = executor.secure_sum(&arrays, range).unwrap();
        let (expected, report) = (outcome.value.to_vec(), outcome.report());
        // One parameter is one for each tensor: there is one tensor.
        let sum = executor.secure_sum(&lists, [range]).unwrap();
        assert_eq!((&sum.value, sum.report().values), (&expected, report.values));
        assert_eq!(
            (sum.report().ciphertexts, sum.report().traffic.len()),
            (report.ciphertexts, report.traffic.len())
        );
        for (traffic, other) in sum.report().traffic.iter().zip(&report.traffic) {
            assert_eq!(traffic.payload_bytes, other.payload_bytes, "{} to {}", traffic.from, traffic.to);
        }
        assert_eq!(executor.secure_sum(lists.iter().map(Vec::as_slice), [range]).unwrap().value, expected);
        assert_eq!(executor.secure_sum([[1_u32, 2], [3, 4]], [range]).unwrap().value, [4, 6]);
        assert_eq!(
            executor
                .secure_sum([Some(Ok::<_, Error>(vec![7_u8])), Some(Ok(vec![8]))], [range])
                .unwrap()
                .value,
            [15]
        );
    }
    let error = clear().secure_sum(&lists, [range; 5]).unwrap_err();
    assert_eq!(error, Error::Tensor(tensor::Error::ParameterCount { tensors: 1, found: 5 }));
    let error = clear().secure_sum([vec![1_u8, 2], vec![3]], range).unwrap_err();
    assert!(error.to_string() == "client 1: its update does not have the declared structure", "{error}");
}

#[test]
fn structures_of_lists_have_a_tensor_for_each_list() {
    let range = IntegerRange::unsigned_bits(8).unwrap();
    let executor = clear();
    let pair = |i: i32| (vec![i; 1000], [i, 2 * i]);
    let sum = executor.secure_sum([pair(1), pair(2)], [range; 2]).unwrap();
    assert_eq!(sum.value, (vec![3_i64; 1000], vec![3, 6]));
    let layers = |i: u8| vec![vec![i; 3], vec![], vec![2 * i]];
    assert_eq!(
        executor.secure_sum([layers(1), layers(2)], [range; 3]).unwrap().value,
        [vec![3_u64; 3], vec![], vec![6]]
    );
    let map = |i: u16| BTreeMap::from([("w".to_owned(), vec![i; 2]), ("b".to_owned(), vec![i])]);
    let by_name = BTreeMap::from(["b", "w"].map(|name| (name.to_owned(), range)));
    assert_eq!(executor.secure_sum([map(1), map(2)], by_name).unwrap().value["w"], [3, 3]);
    let structure = |i: i8| Structure::named([("w", vec![i, -i].into()), ("b", vec![i].into())]).unwrap();
    let signed = IntegerRange::signed_bits(8).unwrap();
    let sum = executor.secure_sum([structure(1), structure(2)], [signed; 2]).unwrap().value;
    assert_eq!(sum.to_string_of_lists(), "w=[3, -3] b=[3]");
}

trait Lists {
    fn to_string_of_lists(&self) -> String;
}

impl Lists for Structure<Vec<i64>> {
    fn to_string_of_lists(&self) -> String {
        self.leaves().map(|(path, list)| format!("{path}={list:?}")).collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn lists_go_through_means_computations_and_aggregations() {
    let executor = clear();
    let quantizer = Quantizer::symmetric(4.0, 16).unwrap();
    let lists = || [vec![1.0_f32, -1.0, 0.5], vec![3.0, -3.0, 0.5]];
    let close = |found: &[f32], expected: &[f32]| {
        found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-3)
    };
    let mean = executor.secure_mean(lists(), [quantizer]).unwrap().value;
    assert!(close(&mean, &[2.0, -2.0, 0.5]), "{mean:?}");
    let weighted = lists().into_iter().zip([1, 3]).map(|(list, weight)| (weight, list));
    let mean = executor.secure_weighted_mean(weighted, 10, [quantizer]).unwrap().value;
    assert!(close(&mean, &[2.5, -2.5, 0.5]), "{mean:?}");

    let updates = Value::<Vec<f32>, Clients>::input("updates");
    let offset = Value::<Vec<f32>, Server>::input("offset");
    let moved = updates
        .zip(&offset.broadcast())
        .map(|(update, offset)| -> Vec<f32> { update.iter().zip(offset).map(|(a, b)| a + b).collect() });
    let computation = Computation::new((
        moved.secure_mean([quantizer]),
        moved.secure_quantized_sum([QuantizedSum::new(-10.0, 10.0).unwrap()]),
        moved.sum(),
        updates.max(),
    ));
    let inputs = Inputs::new().clients(&updates, lists()).server(&offset, vec![1.0, 1.0, 1.0]);
    let (mean, sum, plain, largest) = executor.run(&computation, inputs).unwrap().value;
    assert!(close(&mean, &[3.0, -1.0, 1.5]) && close(&sum, &[6.0, -2.0, 3.0]), "{mean:?} {sum:?}");
    assert_eq!((plain, largest), (vec![6.0, -2.0, 3.0], vec![3.0, -1.0, 0.5]));

    let mean = Mean::new(MeanSums {
        values: SecureClippingSum::floats_up_to(10.0).unwrap(),
        weights: SecureClippingSum::floats(0.0, 10.0).unwrap(),
    });
    let mut process = WeightedProcess::<Vec<f32>, _>::new(Clipping::new(Fixed::new(100.0).unwrap(), mean));
    let round = process.run(&executor, lists(), [1.0, 1.0]).unwrap();
    assert!(close(&round.value, &[2.0, -2.0, 0.5]), "{:?}", round.value);
}
