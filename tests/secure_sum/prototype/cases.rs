//! The prototype's own tests, and the tests of the sums whose definition it adopted, if they have
//! data.

use cipherfold::{
    federated::{
        Error, LocalExecutor,
        tensor::{self, Scalar},
    },
    packing::{self, Integer, IntegerRange, Quantizer},
};
use ndarray::{Array, ArrayD, Axis, IxDyn, arr0, array};

use crate::support::{builder, executor};

/// Sums of any number of clients. Some of the prototype's cases have one.
fn sum<T>(clients: &[ArrayD<T>], range: IntegerRange) -> ArrayD<T::Sum>
where
    T: Integer<Sum: Scalar> + Scalar,
{
    builder().min_clients(1).build().unwrap().secure_sum(clients, range).unwrap().value
}

#[test]
fn scalars_of_stated_width() {
    for (bits, clients, expected) in [
        (32, vec![1], 1_i64),
        (32, vec![0, 5, 10, 15, 20], 50),
        (8, vec![1, 2, 3], 6),
        (64, vec![1, 2, 3, 4, 5], 15), // above the 62 bits that are the maximum elsewhere
        (4, vec![15, 15], 30),
    ] {
        let clients: Vec<_> = clients.into_iter().map(|x: i32| arr0(x).into_dyn()).collect();
        assert_eq!(sum(&clients, IntegerRange::unsigned_bits(bits).unwrap()), arr0(expected).into_dyn());
    }
}

#[test]
fn scalars_up_to_a_maximum() {
    for (clients, expected) in [(vec![1], 1_i64), (vec![1, 2, 10], 13), (vec![0, 5, 10, 15, 20], 50)] {
        let clients: Vec<_> = clients.into_iter().map(|x: i32| arr0(x).into_dyn()).collect();
        assert_eq!(sum(&clients, IntegerRange::up_to(30)), arr0(expected).into_dyn());
    }
}

#[test]
fn values_above_the_stated_maximum_are_refused_at_the_client() {
    let refused = |clients: &[i32], range: IntegerRange| {
        let clients = clients.iter().map(|x| arr0(*x)).collect::<Vec<_>>();
        executor().secure_sum(clients, range).unwrap_err()
    };
    let error = |client, max| {
        let source = Box::new(packing::Error::ValueOutOfRange { index: 0, min: 0, max }.into());
        Error::Client { client, source: Box::new(Error::Tensor(tensor::Error::Tensor { tensor: 0, source })) }
    };
    assert_eq!(refused(&[2, 4], IntegerRange::up_to(1)), error(0, 1));
    assert_eq!(refused(&[1, 4], IntegerRange::up_to(1)), error(1, 1));
    assert_eq!(refused(&[16, 1], IntegerRange::unsigned_bits(4).unwrap()), error(0, 15));
    // A negative number under a width without a sign: the prototype returned its low bits.
    assert_eq!(refused(&[3, -1], IntegerRange::unsigned_bits(4).unwrap()), error(1, 15));
}

#[test]
fn structures_of_tensors() {
    let scalars = [(1, 2), (3, 4)].map(|(a, b)| [arr0(a), arr0(b)]);
    let bits = IntegerRange::unsigned_bits(32).unwrap();
    assert_eq!(executor().secure_sum(scalars, bits).unwrap().value, [arr0(4_i64), arr0(6)]);

    let vector_and_scalar = [2, 4].map(|x| vec![Array::ones(10).into_dyn(), arr0::<i32>(x).into_dyn()]);
    let expected = [Array::from_elem(10, 2_i64).into_dyn(), arr0(6).into_dyn()];
    for range in [bits, IntegerRange::up_to(100)] {
        assert_eq!(executor().secure_sum(&vector_and_scalar, range).unwrap().value, expected);
        assert_eq!(executor().secure_sum(&vector_and_scalar, [range, bits]).unwrap().value, expected);
    }
    // One parameter spreads over all tensors; any other number must match.
    assert_eq!(
        executor().secure_sum(&vector_and_scalar, [bits; 3]).unwrap_err(),
        Error::Tensor(tensor::Error::ParameterCount { tensors: 2, found: 3 })
    );
}

#[test]
fn ones_of_every_rank() {
    let bits = IntegerRange::unsigned_bits(64).unwrap();
    for rank in 1..=5 {
        let clients = vec![ArrayD::<i32>::ones(vec![2; rank]); 5];
        assert_eq!(sum(&clients, bits), ArrayD::from_elem(vec![2; rank], 5));
    }
}

#[test]
fn ones_of_many_clients_and_many_sizes() {
    let bits = IntegerRange::unsigned_bits(64).unwrap();
    for (clients, edge) in [(5, 1), (20, 1), (50, 1), (5, 2), (5, 5), (5, 10)] {
        let total = i64::from(clients);
        let clients = vec![ArrayD::<i32>::ones(vec![edge, edge]); clients as usize];
        assert_eq!(sum(&clients, bits), ArrayD::from_elem(vec![edge, edge], total));
    }
}

#[test]
fn readme_and_example() {
    let clients: Vec<_> = (0..5).map(|i| array![i, i + 1]).collect();
    let bits = IntegerRange::unsigned_bits(32).unwrap();
    assert_eq!(executor().secure_sum(&clients, bits).unwrap().value, array![10_i64, 15]);

    let clients: Vec<_> = (1..6).map(|i| array![i, i + 1]).collect();
    let executor = builder().clients(5).build().unwrap();
    assert_eq!(executor.secure_sum(&clients, bits).unwrap().value, array![15_i64, 20]);
}

#[test]
fn a_wrong_number_of_clients_is_refused() {
    let executor = builder().clients(5).build().unwrap();
    assert_eq!(
        executor.secure_sum([arr0(0)], IntegerRange::up_to(1)).unwrap_err(),
        Error::ClientCount { stated: 5, found: 1 }
    );
}

/// The share of readings above a threshold, weighted by the number of readings.
#[test]
fn temperature_sensors() {
    let above = |readings: u32| f64::from((0..readings).filter(|reading| *reading > 15).count() as u32);
    let clients = [10_u32, 20, 30].map(|readings| (readings, arr0(above(readings) as f32)));
    let quantizer = Quantizer::new(0.0, 30.0, 24).unwrap();
    for stated in [None, Some(3)] {
        let builder = stated.map_or(builder(), |clients| builder().clients(clients));
        let mean = builder.build().unwrap().secure_weighted_mean(clients.clone(), 30, quantizer).unwrap();
        assert!((mean.value.into_scalar() - 8.333).abs() < 0.0005);
    }
}

#[test]
fn means_of_other_runtimes() {
    let quantizer = Quantizer::new(0.0, 20.0, 32).unwrap();
    let close = |found: f32, expected: f32, tolerance| assert!((found - expected).abs() <= tolerance);

    let clients = [1.0_f32, 2.0, 3.0].map(arr0);
    let mean = executor().secure_mean(&clients, quantizer).unwrap();
    close(mean.value.into_scalar(), 2.0, 1e-6);

    // Weights are integers here; tenths are the same mean.
    for (weights, expected) in [([1, 1, 1], 2.0), ([6, 3, 1], 1.5)] {
        let clients = weights.into_iter().zip(&clients);
        let mean = executor().secure_weighted_mean(clients, 10, quantizer).unwrap();
        close(mean.value.into_scalar(), expected, 1e-6);
    }

    let structures = [([1.0_f32, 2.0], 3.0_f32), ([2.0, 5.0], 4.0), ([3.0, 0.0], 5.0)]
        .map(|(vector, scalar)| [array![vector[0], vector[1]].into_dyn(), arr0(scalar).into_dyn()]);
    let mean = executor().secure_mean(&structures, quantizer).unwrap().value;
    close(mean[0][[0]], 2.0, 1e-6);
    close(mean[0][[1]], 7.0 / 3.0, 1e-6);
    close(mean[1].clone().into_dimensionality::<ndarray::Ix0>().unwrap().into_scalar(), 4.0, 1e-6);

    // A client weighted by its own value.
    let clients = [10_u16, 11, 12].map(|x| (u32::from(x), arr0(f32::from(x))));
    let mean = executor().secure_weighted_mean(clients, 12, quantizer).unwrap();
    close(mean.value.into_scalar(), 11.060_606, 1e-5);

    // Other runtimes return not-a-number or zero here.
    let clients = [1.0_f32, 2.0, 3.0].map(|x| (0, arr0(x)));
    assert_eq!(
        executor().secure_weighted_mean(clients, 10, quantizer).unwrap_err().root(),
        Error::Tensor(tensor::Error::ZeroTotalWeight)
    );
}

#[test]
fn the_default_key_size_sums_too() {
    let executor = LocalExecutor::new().unwrap();
    let clients: Vec<_> = (0..5).map(|i| array![i, i + 1]).collect();
    let sum = executor.secure_sum(&clients, IntegerRange::signed_bits(16).unwrap()).unwrap();
    assert_eq!(sum.value, array![10_i64, 15]);
    assert_eq!(sum.report().key_bits, 3072);

    let stacked =
        ndarray::stack(Axis(0), &clients.iter().map(|client| client.view()).collect::<Vec<_>>()).unwrap();
    let rows = stacked.outer_iter().map(|row| row.to_owned().into_shape_with_order(IxDyn(&[2])).unwrap());
    let sum = executor.secure_sum(rows, IntegerRange::signed_bits(16).unwrap()).unwrap();
    assert_eq!(sum.value, array![10_i64, 15].into_dyn());
}
