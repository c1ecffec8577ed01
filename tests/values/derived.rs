//! Structs of tensors, by the derives.

use cipherfold::{
    federated::{
        LocalExecutor,
        round::{self, SumSpec},
        tensor::{self, FloatSum, Summand, TensorTree, Tensors},
    },
    packing::{IntegerRange, Quantizer},
    paillier::hazmat::InsecureBits512,
};
use ndarray::{Array1, Array2, ArrayView1, array};

type Executor = LocalExecutor<InsecureBits512>;

fn executor() -> Executor {
    Executor::builder().show_client_errors().threads(2).build().unwrap()
}

fn quantizer() -> Quantizer {
    Quantizer::symmetric(8.0, 20).unwrap()
}

#[derive(Clone, Debug, PartialEq, Tensors)]
struct Model {
    weights: Array2<f32>,
    r#bias: Array1<f32>,
}

impl Model {
    fn of(x: f32) -> Self {
        Self { weights: array![[x, -x]], bias: array![2.0 * x] }
    }
}

/// A model beside a loss and a count.
#[derive(Clone, Debug, PartialEq, Summand)]
pub struct Update {
    model: Model,
    /// Mean of the examples.
    pub loss: f32,
    examples: u32,
}

impl Update {
    fn of(x: f32, examples: u32) -> Self {
        Self { model: Model::of(x), loss: x, examples }
    }
}

#[derive(Clone, Debug, PartialEq, Summand)]
struct Pair(Vec<i16>, f64);

/// Generic, with a lifetime, a bound and a default.
#[derive(Clone, Debug, Tensors)]
struct Borrowed<'a, T: tensor::Scalar = u8, const N: usize = 2>
where
    T: Copy,
{
    row: ArrayView1<'a, T>,
    rest: [T; N],
}

#[test]
fn names_of_members_are_names_of_the_structure() {
    let model = Model::of(1.0);
    assert_eq!(model.structure().unwrap().to_string(), "<weights=f32[1,2],bias=f32[1]>");
    assert_eq!((model.elements(), model.tensors().len()), (3, 2));
    let update = Update::of(1.0, 2).structure().unwrap();
    assert_eq!(update.to_string(), "<model=<weights=f32[1,2],bias=f32[1]>,loss=f32,examples=u32>");
    assert_eq!(Pair(vec![1, 2], 0.5).structure().unwrap().to_string(), "<i16[2],f64>");
    let row = array![1_u8, 2];
    let borrowed = Borrowed { row: row.view(), rest: [3, 4] };
    assert_eq!(borrowed.structure().unwrap().to_string(), "<row=u8[2],rest=u8[2]>");
}

#[test]
fn a_struct_of_one_element_type_is_tensors() {
    let doubled = Model::of(1.5).map_tensors(|_, view| view.mapv(|x| f64::from(x) * 2.0));
    let ModelOf { weights, bias } = doubled.clone();
    assert_eq!((weights, bias), (array![[3.0_f64, -3.0]], array![6.0]));
    // The generic struct is tensors, too, and can become the struct where types agree.
    assert_eq!(doubled.structure().unwrap().to_string(), "<weights=f64[1,2],bias=f64[1]>");
    let same = Model::of(1.5).map_tensors(|_, view| view.mapv(|x| x));
    assert_eq!(Model::from(same), Model::of(1.5));
    assert_eq!(ModelOf::from(Model::of(1.0)).bias, array![2.0]);

    let clients = [Model::of(1.0), Model::of(3.0)];
    let mean: Model = executor().secure_mean(&clients, quantizer()).unwrap().value.into();
    assert!((mean.weights - array![[2.0, -2.0]]).iter().all(|error| error.abs() < 1e-3));

    let row = array![1_u8, 2];
    let borrowed = Borrowed { row: row.view(), rest: [3, 4] };
    let sum = executor().secure_sum([&borrowed, &borrowed], IntegerRange::of::<u8>()).unwrap().value;
    assert_eq!((sum.row, sum.rest), (array![2_u64, 4], vec![6_u64, 8]));
}

#[test]
fn a_struct_of_one_element_type_has_a_codec_for_each_member() {
    let clients = [Model::of(1.0), Model::of(3.0)];
    let codecs = ModelOf { weights: quantizer(), bias: FloatSum::new(quantizer()) };
    let ModelOf { weights, bias } = executor().secure_aggregate(clients, codecs).unwrap().value;
    assert!((weights - array![[2.0, -2.0]]).iter().all(|error| error.abs() < 1e-3), "a mean");
    assert!((bias[0] - 8.0_f32).abs() < 1e-3, "a sum");
}

#[test]
fn a_struct_of_several_element_types_is_summed_member_by_member() {
    let codecs = UpdateOf { model: quantizer(), loss: quantizer(), examples: IntegerRange::up_to(1000) };
    let clients = [Update::of(1.0, 10), Update::of(2.0, 32)];
    for in_the_clear in [false, true] {
        let builder = Executor::builder().threads(2);
        let builder = if in_the_clear { builder.in_the_clear() } else { builder };
        let sum = builder.build().unwrap().secure_aggregate(&clients, codecs.clone()).unwrap().value;
        let UpdateOf { model, loss, examples } = sum;
        let model = Model::from(model);
        assert!((model.bias[0] - 3.0).abs() < 1e-3 && (loss - 1.5).abs() < 1e-3);
        assert_eq!(examples, 42_u64);
    }
    // Members that are structs may have a codec for each of their members.
    let model = ModelOf { weights: quantizer(), bias: FloatSum::new(quantizer()) };
    let codecs = UpdateOf { model, loss: quantizer(), examples: IntegerRange::up_to(1000) };
    let sum = executor().secure_aggregate(clients, codecs).unwrap().value;
    assert!((sum.model.bias[0] - 6.0_f32).abs() < 1e-3);

    let codecs = PairOf([IntegerRange::signed_bits(9).unwrap()], quantizer());
    let sum = executor().secure_aggregate([Pair(vec![1, -200], 0.5), Pair(vec![2, -1], 1.5)], codecs);
    let PairOf(counts, mean) = sum.unwrap().value;
    assert_eq!(counts, [3_i64, -201]);
    assert!((mean - 1.0_f64).abs() < 1e-3);
}

#[test]
fn sums_are_declared_by_the_type() {
    let codecs = UpdateOf { model: quantizer(), loss: quantizer(), examples: IntegerRange::up_to(1000) };
    let structure = Update::of(0.0, 0).structure().unwrap();
    let sum = SumSpec::of::<Update, _>(&structure, &codecs).unwrap();
    assert_eq!((sum.structure(), sum.tensors().iter().count()), (structure, 4));
    let error = SumSpec::of::<Update, _>(&Model::of(0.0).structure().unwrap(), &codecs).unwrap_err();
    let (expected, found) = ("<model=_,loss=_,examples=_>".into(), "<weights=f32[1,2],bias=f32[1]>".into());
    assert_eq!(error, round::Error::Tensor(tensor::Error::StructureMismatch { expected, found }));
}

#[test]
fn the_generic_struct_is_compared_cloned_shown_and_serialised() {
    let codecs = ModelOf { weights: 1_u8, bias: "b".to_owned() };
    assert_eq!(codecs.clone(), codecs);
    assert_eq!(format!("{codecs:?}"), r#"ModelOf { weights: 1, bias: "b" }"#);
    let json = serde_json::to_string(&codecs).unwrap();
    assert_eq!(json, r#"{"weights":1,"bias":"b"}"#);
    assert_eq!(serde_json::from_str::<ModelOf<u8, String>>(&json).unwrap(), codecs);
}
