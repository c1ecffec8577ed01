//! Sums of integers are exact, for all types, ranges, shapes and numbers of clients.

use std::{collections::BTreeMap, fmt::Debug};

use cipherfold::{
    federated::{
        Error, LocalExecutor,
        tensor::{self, Scalar, Structure},
    },
    packing::{self, Integer, IntegerRange},
    paillier::{Bits2048, KeySize},
};
use ndarray::{Array, Array1, Array2, ArrayD, ArrayViewD, IxDyn, Slice, array, s};

use crate::support::{Choices, Executor, builder, executor};

/// The tests' requirements for an integer.
trait Number: Integer<Sum: Scalar> + TryFrom<i128, Error: Debug> + Scalar {
    fn from_wide(value: i128) -> Self {
        value.try_into().unwrap()
    }

    fn minimum() -> i128 {
        IntegerRange::of::<Self>().min()
    }

    fn maximum() -> i128 {
        IntegerRange::of::<Self>().max()
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {$( impl Number for $number {} )*};
}

numbers!(i8, i16, i32, i64, u8, u16, u32, u64);

/// The same work in messages of 1, 2 and 3 ciphertexts, with 1, 2 and 8 clients at a time.
fn executors() -> Vec<Executor> {
    let with = |chunk, concurrent| builder().chunk_ciphertexts(chunk).max_concurrent_clients(concurrent);
    [(1, 1), (1, 8), (2, 2), (2, 8), (3, 1), (3, 2), (512, 8)]
        .map(|(chunk, concurrent)| with(chunk, concurrent).build().unwrap())
        .into()
}

fn random_range<T: Number>(choices: &mut Choices) -> IntegerRange {
    let bits = choices.between(1, T::BITS as usize) as u32;
    match choices.below(4) {
        0 => {
            let (a, b) =
                (choices.integer(T::minimum(), T::maximum()), choices.integer(T::minimum(), T::maximum()));
            IntegerRange::new(a.min(b), a.max(b)).unwrap()
        }
        1 => IntegerRange::of::<T>(),
        2 => IntegerRange::unsigned_bits(bits).unwrap(),
        _ if T::SIGNED => IntegerRange::signed_bits(bits).unwrap(),
        _ => IntegerRange::up_to(choices.integer(0, T::maximum()) as u64),
    }
}

fn random_shape(choices: &mut Choices) -> Vec<usize> {
    let rank = choices.below(6);
    let empty = choices.below(8) == 0;
    let mut shape: Vec<_> = (0..rank).map(|_| choices.between(1, [40, 40, 8, 4, 3, 2][rank])).collect();
    if empty && rank > 0 {
        let axis = choices.below(rank);
        shape[axis] = 0;
    }
    shape
}

/// An array of that shape whose elements lie in memory in a random order of axes.
fn random_array<T: Number>(shape: &[usize], range: &IntegerRange, choices: &mut Choices) -> ArrayD<T> {
    let (min, max) = (range.min().max(T::minimum()), range.max().min(T::maximum()));
    let mut axes: Vec<_> = (0..shape.len()).collect();
    for i in (1..axes.len()).rev() {
        axes.swap(i, choices.below(i + 1));
    }
    let stored: Vec<_> = axes.iter().map(|axis| shape[*axis]).collect();
    let mut back = vec![0; axes.len()];
    for (i, axis) in axes.iter().enumerate() {
        back[*axis] = i;
    }
    ArrayD::from_shape_simple_fn(stored, || T::from_wide(choices.integer(min, max)))
        .permuted_axes(IxDyn(&back))
}

/// Every second element of a larger array, axes backwards.
fn scattered<T: Number>(array: &ArrayD<T>) -> ArrayD<T> {
    let larger: Vec<_> = array.shape().iter().map(|len| 2 * len).collect();
    let mut larger = ArrayD::from_elem(larger, T::from_wide(0));
    every_second(larger.view_mut()).assign(array);
    larger
}

fn every_second<S: ndarray::RawData<Elem = T>, T>(
    mut array: ndarray::ArrayBase<S, IxDyn>,
) -> ndarray::ArrayBase<S, IxDyn> {
    for axis in 0..array.ndim() {
        array.slice_axis_inplace(ndarray::Axis(axis), Slice::new(0, None, -2));
    }
    array
}

fn every_second_of_all<T>(client: &Vec<ArrayD<T>>) -> Vec<ArrayViewD<'_, T>> {
    client.iter().map(|array| every_second(array.view())).collect()
}

fn plain_sum<T: Number>(clients: &[Vec<ArrayD<T>>]) -> Vec<ArrayD<T::Sum>> {
    let tensors = clients[0].len();
    let sum = |tensor: usize| {
        let mut sum = clients[0][tensor].mapv(|_| 0_i128);
        for client in clients {
            sum.zip_mut_with(&client[tensor], |sum, value| *sum += value.to_i128());
        }
        sum.mapv(|sum| T::sum_from_i128(sum).unwrap())
    };
    (0..tensors).map(sum).collect()
}

fn check_random_cases<T: Number>(seed: u64, cases: usize) {
    let executors = executors();
    let mut choices = Choices::new(seed);
    for case in 0..cases {
        let executor = &executors[case % executors.len()];
        let tensors = choices.below(5);
        let one_for_all = choices.below(2) == 0;
        let shapes: Vec<_> = (0..tensors).map(|_| random_shape(&mut choices)).collect();
        let mut ranges: Vec<_> = (0..tensors).map(|_| random_range::<T>(&mut choices)).collect();
        let shared = random_range::<T>(&mut choices);
        if one_for_all {
            ranges.fill(shared);
        }
        let clients = choices.between(2, 40);
        let clients: Vec<Vec<ArrayD<T>>> = (0..clients)
            .map(|_| {
                shapes
                    .iter()
                    .zip(&ranges)
                    .map(|(shape, range)| random_array(shape, range, &mut choices))
                    .collect()
            })
            .collect();
        let expected = plain_sum(&clients);
        let name =
            format!("{} case {case}: {} clients, {shapes:?}, {ranges:?}", <T as Scalar>::NAME, clients.len());
        let found = match choices.below(4) {
            0 if one_for_all => executor.secure_sum(&clients, shared),
            0 => executor.secure_sum(&clients, ranges.as_slice()),
            1 => executor.secure_sum(clients.iter().map(Vec::as_slice), ranges),
            2 => {
                let wide: Vec<Vec<_>> = clients.iter().map(|c| c.iter().map(scattered).collect()).collect();
                executor.secure_sum(wide.iter().map(every_second_of_all), ranges)
            }
            _ => executor.secure_sum(clients, ranges),
        };
        let found = found.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(found.value, expected, "{name}");
    }
}

macro_rules! random_sums {
    ($($test:ident: $number:ty, $seed:literal;)*) => {$(
        #[test]
        fn $test() {
            check_random_cases::<$number>($seed, 50);
        }
    )*};
}

random_sums! {
    random_i8: i8, 1;
    random_i16: i16, 2;
    random_i32: i32, 3;
    random_i64: i64, 4;
    random_u8: u8, 5;
    random_u16: u16, 6;
    random_u32: u32, 7;
    random_u64: u64, 8;
}

fn check_extremes<T: Number>() {
    let executor = builder().chunk_ciphertexts(2).build().unwrap();
    let (min, max) = (T::from_wide(T::minimum()), T::from_wide(T::maximum()));
    for clients in [2, 3, 40] {
        let total = |value: T| T::sum_from_i128(value.to_i128() * clients as i128).unwrap();
        let update = Array1::from_shape_fn(20, |i| if i % 3 == 0 { min } else { max });
        let expected = update.mapv(total);
        let updates = vec![update; clients];
        let sum = executor.secure_sum(&updates, IntegerRange::of::<T>()).unwrap();
        assert_eq!(sum.value, expected, "{clients} clients of {}", <T as Scalar>::NAME);
        // A range of one value: only the offset.
        for value in [min, max] {
            let range = IntegerRange::new(value.to_i128(), value.to_i128()).unwrap();
            let updates = vec![array![value, value]; clients];
            let sum = executor.secure_sum(&updates, range).unwrap();
            assert_eq!(sum.value, array![total(value), total(value)], "{clients} times {value}");
        }
    }
}

#[test]
fn extremes_of_every_type_are_exact() {
    check_extremes::<i8>();
    check_extremes::<i16>();
    check_extremes::<i32>();
    check_extremes::<i64>();
    check_extremes::<u8>();
    check_extremes::<u16>();
    check_extremes::<u32>();
    check_extremes::<u64>();
}

#[test]
fn sums_beyond_the_type_of_the_values_do_not_wrap() {
    let executor = executor();
    let of = IntegerRange::of::<u64>();
    let sum = executor.secure_sum(vec![array![u64::MAX, 0, 1]; 30], of).unwrap();
    assert_eq!(sum.value, array![30 * u128::from(u64::MAX), 0, 30]);
    let sum = executor.secure_sum(vec![array![i64::MIN]; 30], IntegerRange::of::<i64>()).unwrap();
    assert_eq!(sum.value, array![30 * i128::from(i64::MIN)]);
    let sum = executor.secure_sum(vec![array![i32::MAX, i32::MIN]; 3], IntegerRange::of::<i32>()).unwrap();
    assert_eq!(sum.value, array![3 * i64::from(i32::MAX), 3 * i64::from(i32::MIN)]);
}

#[test]
fn an_update_may_be_owned_or_borrowed_one_array_or_many() {
    let executor = executor();
    let range = IntegerRange::signed_bits(8).unwrap();
    let updates = [array![[1_i8, -2], [3, -4]], array![[10, 20], [30, 40]]];
    let expected = array![[11_i64, 18], [33, 36]];

    let sum = |found: cipherfold::federated::Result<cipherfold::federated::Outcome<Array2<i64>>>| {
        found.unwrap().value
    };
    assert_eq!(sum(executor.secure_sum(&updates, range)), expected);
    assert_eq!(sum(executor.secure_sum(updates.to_vec(), range)), expected);
    assert_eq!(sum(executor.secure_sum(updates.iter().map(|update| update.view()), range)), expected);
    assert_eq!(sum(executor.secure_sum(updates.iter().cloned().map(Array::into_shared), range)), expected);
    assert_eq!(sum(executor.secure_sum(updates.iter().map(Ok::<_, String>), range)), expected);
    let transposed = updates.iter().map(|update| update.t());
    assert_eq!(sum(executor.secure_sum(transposed, range)), expected.t());
    let columns = updates.iter().map(|update| update.slice(s![..;-1, 1]));
    assert_eq!(executor.secure_sum(columns, range).unwrap().value, array![36, 18]);

    let pairs = [[&updates[0], &updates[1]], [&updates[1], &updates[0]]];
    assert_eq!(executor.secure_sum(&pairs, range).unwrap().value, [expected.clone(), expected.clone()]);
    let pairs: Vec<_> = pairs.iter().map(|pair| pair.to_vec()).collect();
    assert_eq!(executor.secure_sum(&pairs, [range; 2]).unwrap().value, [expected.clone(), expected.clone()]);
    let nested = [vec![vec![&updates[0]], vec![]], vec![vec![&updates[1]], vec![]]];
    assert_eq!(executor.secure_sum(&nested, vec![range]).unwrap().value, [vec![expected], vec![]]);
}

#[test]
fn updates_without_values_keep_their_shapes() {
    let executor = executor();
    let range = IntegerRange::of::<i64>();
    let sum = executor.secure_sum(vec![Array::<i64, _>::zeros((2, 0, 3)); 4], range).unwrap();
    assert_eq!(sum.value.shape(), [2, 0, 3]);
    assert_eq!((sum.report().values, sum.report().ciphertexts), (0, 0));
    assert!(sum.report().bytes_per_value().abs() < f64::EPSILON);
    let nothing: [Vec<Array1<u8>>; 3] = [vec![], vec![], vec![]];
    assert!(executor.secure_sum(&nothing, IntegerRange::of::<u8>()).unwrap().value.is_empty());
}

#[test]
fn names_and_nesting_come_back_with_the_sums() {
    let client = |i: i32| {
        let dense =
            BTreeMap::from([("kernel".to_owned(), array![[i, -i]]), ("bias".to_owned(), array![[2 * i]])]);
        (i, vec![dense.clone(), dense])
    };
    let executor = executor();
    let range = IntegerRange::signed_bits(8).unwrap();
    let sum = executor.secure_sum((1..=5).map(client), range).unwrap();
    let (total, layers) = sum.value;
    assert_eq!((total, layers.len()), (15, 2));
    for layer in layers {
        assert_eq!(layer["kernel"], array![[15_i64, -15]]);
        assert_eq!(layer["bias"], array![[30_i64]]);
    }

    let named = |name: &str| Structure::named([(name, Structure::leaf(1_u8))]).unwrap();
    let error = executor.secure_sum([named("w"), named("b")], range).unwrap_err();
    let mismatch =
        Error::Tensor(tensor::Error::StructureMismatch { expected: "<w=u8>".into(), found: "<b=u8>".into() });
    assert_eq!(error, Error::Client { client: 1, source: Box::new(mismatch) });
    let ranges = Structure::named([("b", Structure::leaf(range))]).unwrap();
    let error = executor.secure_sum([named("w"), named("w")], ranges).unwrap_err();
    assert_eq!(
        error,
        Error::Tensor(tensor::Error::ParameterStructure {
            tensors: "<w=u8>".into(),
            parameters: "<b=_>".into()
        })
    );
}

#[test]
fn updates_of_other_structure_are_refused() {
    let executor = executor();
    let range = IntegerRange::of::<i16>();
    let refused = |clients: &[Vec<ArrayD<i16>>]| executor.secure_sum(clients, range).unwrap_err();
    let tensor = |shape: &[usize]| ArrayD::<i16>::zeros(shape);
    let client = |client, source| Error::Client { client, source: Box::new(source) };
    let shape = |tensor, expected: &str, found: &str| {
        Error::Tensor(tensor::Error::TensorShape { tensor, expected: expected.into(), found: found.into() })
    };
    assert_eq!(
        refused(&[vec![tensor(&[2]), tensor(&[])], vec![tensor(&[2]), tensor(&[1])]]),
        client(1, shape(1, "i16", "i16[1]"))
    );
    assert_eq!(
        refused(&[vec![tensor(&[2, 3])], vec![tensor(&[2, 3])], vec![tensor(&[3, 2])]]),
        client(2, shape(0, "i16[2,3]", "i16[3,2]"))
    );
    assert_eq!(
        refused(&[vec![tensor(&[2])], vec![]]),
        client(1, Error::Tensor(tensor::Error::TensorCount { expected: 1, found: 0 }))
    );
}

#[test]
fn the_place_of_a_value_out_of_range_is_named() {
    let executor = builder().chunk_ciphertexts(1).build().unwrap();
    let range = IntegerRange::signed_bits(4).unwrap();
    let mut clients = vec![vec![Array1::<i32>::zeros(3), Array1::zeros(1000)]; 7];
    clients[5][1][777] = 8;
    let source = Box::new(packing::Error::ValueOutOfRange { index: 777, min: -8, max: 7 }.into());
    let source = Box::new(Error::Tensor(tensor::Error::Tensor { tensor: 1, source }));
    let error = executor.secure_sum(&clients, range).unwrap_err();
    assert_eq!(error, Error::Client { client: 5, source });
    assert_eq!(error.to_string(), "client 5: tensor 1: the value at index 777 lies outside [-8, 7]");
}

#[test]
fn sums_that_cannot_fit_are_refused_before_anything_is_encrypted() {
    let executor = builder().clients(u32::MAX).build().unwrap();
    let updates = std::iter::repeat(array![0_u64]);
    // 64 bits and 32 bits of clients still fit 511.
    let error = executor.secure_sum(updates.take(2).filter(|_| true), IntegerRange::of::<u64>()).unwrap_err();
    assert_eq!(error, Error::ClientCount { stated: u32::MAX.into(), found: 2 });
}

fn check_real_size<S: KeySize>() {
    let executor = LocalExecutor::<S>::builder().chunk_ciphertexts(3).build().unwrap();
    let clients: Vec<_> = (0..7).map(|i| Array1::from_shape_fn(500, |j| (i * j) as i32 - 1000)).collect();
    let expected = Array1::from_shape_fn(500, |j| 21 * j as i64 - 7000);
    let sum = executor.secure_sum(&clients, IntegerRange::signed_bits(16).unwrap()).unwrap();
    assert_eq!(sum.value, expected);
    assert_eq!(sum.report().key_bits, S::BITS);
}

#[test]
fn sums_under_a_real_key_are_exact() {
    check_real_size::<Bits2048>();
}
