//! Values with members of different element types, in separate sums.

use std::collections::BTreeMap;

use cipherfold::{
    federated::{
        Error, LocalExecutor, LocalExecutorBuilder,
        report::AbsenceReason,
        round,
        tensor::{self, Encoding, FloatSum, MaxWeight, PerTensor, Structure, Tensor, TensorTree},
    },
    packing::{self, IntegerRange, Modular, QuantizedSum, Quantizer},
    paillier::hazmat::InsecureBits512,
};
use ndarray::{Array1, Array2, ArrayD, arr0, array};

type Executor = LocalExecutor<InsecureBits512>;

fn builder() -> LocalExecutorBuilder<InsecureBits512> {
    Executor::builder().show_client_errors().threads(2)
}

/// An executor that encrypts, and one that does not.
fn executors() -> [Executor; 2] {
    [builder().build().unwrap(), builder().in_the_clear().build().unwrap()]
}

fn quantizer() -> Quantizer {
    Quantizer::new(-8.0, 8.0, 20).unwrap()
}

#[track_caller]
fn assert_close<'a>(found: impl IntoIterator<Item = &'a f32>, expected: &[f32]) {
    let found: Vec<f32> = found.into_iter().copied().collect();
    assert_eq!(found.len(), expected.len());
    let close = found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-3);
    assert!(close, "{found:?} is not {expected:?}");
}

/// Losses, a count, flags modulo 7, and a mean beside a sum.
type Metrics = (Array1<f32>, u32, Vec<i8>, (f32, f64));

fn metrics(i: u8) -> Metrics {
    let x = f32::from(i);
    (array![x, -x], 10 * u32::from(i), vec![1, i.cast_signed()], (x / 2.0, f64::from(i)))
}

#[test]
fn every_member_of_a_tuple_comes_as_its_codec_says() {
    let codecs = (
        quantizer(),
        IntegerRange::up_to(100),
        Modular::new(7).unwrap(),
        (PerTensor::All(FloatSum::new(quantizer())), QuantizedSum::new(-10.0_f64, 10.0).unwrap()),
    );
    let clients = [1, 2, 6].map(metrics);
    let [encrypted, clear] =
        executors().map(|executor| executor.secure_aggregate(&clients, codecs.clone()).unwrap().value);
    assert_eq!(encrypted, clear, "the same with and without encryption");
    let (losses, count, flags, (sum, quantised)) = encrypted;
    assert_close(&losses, &[3.0, -3.0]);
    assert_eq!(count, 90_u64);
    assert_eq!(flags, [3_i64, 2]);
    assert_close([&sum], &[4.5]);
    assert!((quantised - 9.0).abs() < 1e-6, "{quantised}");
}

#[test]
fn tuples_of_one_to_six_members_are_summed() {
    let [executor, _] = executors();
    let range = IntegerRange::up_to(9);
    let one = executor.secure_aggregate([(1_u8,), (2,)], (range,)).unwrap();
    assert_eq!(one.value, (3_u64,));
    let members = |x: u8| (x, f32::from(x), vec![i64::from(x)], [u16::from(x)], arr0(i32::from(x)), (x,));
    let codecs = (range, quantizer(), range, [range], Modular::new(3).unwrap(), (vec![range],));
    let six = executor.secure_aggregate([members(1), members(4)], codecs).unwrap().value;
    assert_close([&six.1], &[2.5]);
    assert_eq!((six.0, six.2, six.3, six.4, six.5), (5, vec![5_i128], vec![5_u64], arr0(2_i64), (5_u64,)));
}

#[test]
fn weights_multiply_every_member() {
    let clients = [(3, (array![2.0_f32], 5_u32)), (1, (array![-2.0], 7)), (0, (array![8.0], 9))];
    let codecs = (quantizer(), IntegerRange::up_to(10));
    for executor in executors() {
        let sum = executor.secure_weighted_aggregate(clients.clone(), 10, codecs).unwrap();
        assert_close(&sum.value.0, &[1.0]);
        assert_eq!(sum.value.1, 22, "3·5 + 7");
        let error = executor.secure_weighted_aggregate(clients.clone(), 2, codecs).unwrap_err();
        let source = Box::new(Error::Round(round::Error::WeightTooLarge { max: 2 }));
        assert_eq!(error, Error::Client { client: 0, source });
        let weightless = [(0, clients[0].1.clone()), (0, clients[1].1.clone())];
        let error = executor.secure_weighted_aggregate(weightless.clone(), 2, codecs).unwrap_err();
        assert!(matches!(error, Error::RoundFailed { .. }));
        assert_eq!(error.root(), Error::Tensor(tensor::Error::ZeroTotalWeight));
        let zero = MaxWeight::new(2).no_nan_division();
        let sum = executor.secure_weighted_aggregate(weightless, zero, codecs).unwrap().value;
        assert_eq!(sum, (array![0.0], 0));
    }
}

#[test]
fn clients_may_be_absent() {
    let executor = builder().min_clients(2).build().unwrap();
    let present = |x: f32, n| Some(Ok::<_, String>((vec![x], n)));
    let clients =
        [present(1.0, 3_u32), None, present(3.0, 4), Some(Err("disk full".to_owned())), present(2.0, 99)];
    let codecs = (quantizer(), IntegerRange::up_to(10));
    let sum = executor.secure_aggregate(clients, codecs).unwrap();
    assert_close(&sum.value.0, &[2.0]);
    assert_eq!((sum.value.1, sum.report().clients), (7, 2));
    let reasons: Vec<_> =
        sum.report().absent.iter().map(|absence| (absence.client, absence.reason)).collect();
    assert_eq!(
        reasons,
        [(1, AbsenceReason::DroppedOut), (3, AbsenceReason::Failed), (4, AbsenceReason::Value { tensor: 1 })]
    );
}

#[test]
fn errors_name_tensors_by_their_numbers() {
    let [executor, _] = executors();
    let clients =
        [(vec![vec![1.0_f32], vec![2.0]], vec![1_u32, 2]), (vec![vec![1.0], vec![2.0]], vec![1, 200])];
    let codecs = (quantizer(), IntegerRange::up_to(100));
    let error = executor.secure_aggregate(&clients, codecs).unwrap_err();
    let source = packing::Error::ValueOutOfRange { index: 1, min: 0, max: 100 };
    let source = Error::Tensor(tensor::Error::Tensor { tensor: 2, source: Box::new(source.into()) });
    assert_eq!(error, Error::Client { client: 1, source: Box::new(source) });

    let clients = [(array![1.0_f32], array![1_u32]), (array![1.0], array![1, 2])];
    let error = executor.secure_aggregate(clients, codecs).unwrap_err();
    let (expected, found) = ("u32[1]".into(), "u32[2]".into());
    let source = Error::Tensor(tensor::Error::TensorShape { tensor: 1, expected, found });
    assert_eq!(error, Error::Client { client: 1, source: Box::new(source) });
}

#[test]
fn codecs_have_the_number_and_the_names_of_the_tensors() {
    let [executor, _] = executors();
    let range = IntegerRange::up_to(9);
    let clients = || [(1.0_f32, [array![1_u8], array![2]]), (2.0, [array![1], array![2]])];
    let error = executor.secure_aggregate(clients(), (quantizer(), [range; 3])).unwrap_err();
    assert_eq!(error, Error::Tensor(tensor::Error::ParameterCount { tensors: 2, found: 3 }));
    let names = BTreeMap::from(["a", "b"].map(|name| (name.to_owned(), range)));
    let error = executor.secure_aggregate(clients(), (quantizer(), names)).unwrap_err();
    let (tensors, parameters) = ("<u8[1],u8[1]>".into(), "<a=_,b=_>".into());
    assert_eq!(error, Error::Tensor(tensor::Error::ParameterStructure { tensors, parameters }));
}

/// A model's parameters and an integer buffer, by name.
fn state(weight: f32, batches: i64) -> BTreeMap<String, Tensor> {
    let weight: Array2<f32> = array![[weight, 2.0 * weight]];
    BTreeMap::from([
        ("bn.batches".to_owned(), Tensor::from(arr0(batches).into_dyn())),
        ("fc.weight".to_owned(), Tensor::from(weight.into_dyn())),
    ])
}

fn encodings() -> BTreeMap<String, Encoding> {
    BTreeMap::from([
        ("bn.batches".to_owned(), IntegerRange::up_to(1000).into()),
        ("fc.weight".to_owned(), Encoding::Mean(quantizer())),
    ])
}

#[test]
fn tensors_of_any_type_come_in_their_structure() {
    let clients = [state(1.0, 100), state(2.0, 23)];
    let check = |batches: &Tensor, weight: &Tensor| {
        assert_eq!(batches, &Tensor::from(arr0(123_i128).into_dyn()));
        let weight: ArrayD<f32> = weight.clone().into_array().unwrap();
        assert_eq!(weight.shape(), [1, 2]);
        assert_close(&weight, &[1.5, 3.0]);
    };
    for executor in executors() {
        let map = executor.secure_aggregate(&clients, encodings()).unwrap().value;
        check(&map["bn.batches"], &map["fc.weight"]);

        let list = |state: &BTreeMap<String, Tensor>| state.values().cloned().collect::<Vec<_>>();
        let in_order: Vec<_> = encodings().into_values().collect();
        let list = executor.secure_aggregate(clients.each_ref().map(list), in_order).unwrap().value;
        check(&list[0], &list[1]);

        let named = |state: &BTreeMap<String, Tensor>| {
            let members = state.iter().map(|(name, tensor)| (name, Structure::leaf(tensor.clone())));
            Structure::tuple([Structure::named(members).unwrap()]).unwrap()
        };
        let codecs =
            Structure::named(encodings().into_iter().map(|(name, codec)| (name, codec.into()))).unwrap();
        let codecs = Structure::tuple([codecs]).unwrap();
        let structure = executor.secure_aggregate(clients.each_ref().map(named), codecs).unwrap().value;
        assert_eq!(structure.structure().unwrap().to_string(), "<<bn.batches=i128,fc.weight=f32[1,2]>>");
        check(
            structure.get("0/bn.batches").and_then(Structure::as_leaf).unwrap(),
            structure.get("0/fc.weight").and_then(Structure::as_leaf).unwrap(),
        );
    }
    // One tensor, with one encoding for all; and beside members whose types are known.
    let [executor, _] = executors();
    let tensor = |x: u8| Tensor::from(array![x, 1].into_dyn());
    let range = Encoding::from(IntegerRange::of::<u8>());
    let sum = executor.secure_aggregate([tensor(3), tensor(200)], range).unwrap().value;
    assert_eq!(sum, Tensor::from(array![203_u64, 2].into_dyn()));
    let clients = [(tensor(3), 1_u8), (tensor(4), 2)];
    let sum =
        executor.secure_aggregate(clients, (PerTensor::All(range), IntegerRange::up_to(9))).unwrap().value;
    assert_eq!(sum, (Tensor::from(array![7_u64, 2].into_dyn()), 3));
}

#[test]
fn encodings_that_do_not_fit_tensors_are_refused() {
    let [executor, _] = executors();
    let clients = [state(1.0, 100), state(2.0, 23)];
    let error = executor.secure_aggregate(&clients, Encoding::Mean(quantizer())).unwrap_err();
    assert_eq!(error, Error::Round(round::Error::EncodingType { tensor: 0, dtype: tensor::DType::I64 }));
    let mut codecs = encodings();
    codecs.remove("bn.batches");
    let error = executor.secure_aggregate(&clients, codecs).unwrap_err();
    assert!(matches!(error, Error::Tensor(tensor::Error::ParameterStructure { .. })), "{error}");
    // The second client's buffer has another type.
    let mut other = state(2.0, 23);
    other.insert("bn.batches".to_owned(), Tensor::from(arr0(23_i32).into_dyn()));
    let error = executor.secure_aggregate([state(1.0, 100), other], encodings()).unwrap_err();
    let (expected, found) = ("i64".into(), "i32".into());
    let source = Error::Tensor(tensor::Error::TensorShape { tensor: 0, expected, found });
    assert_eq!(error, Error::Client { client: 1, source: Box::new(source) });
}

#[test]
fn one_element_type_gives_what_the_sums_of_one_type_give() {
    let [executor, _] = executors();
    let clients = [array![1_i32, -2], array![3, 4]];
    let range = IntegerRange::signed_bits(8).unwrap();
    let sum = executor.secure_sum(&clients, range).unwrap().value;
    assert_eq!(executor.secure_aggregate(&clients, range).unwrap().value, sum);
    assert_eq!(executor.secure_aggregate(&clients, PerTensor::All(range)).unwrap().value, sum);
    assert_eq!(executor.secure_aggregate(&clients, [range]).unwrap().value, sum);
}
