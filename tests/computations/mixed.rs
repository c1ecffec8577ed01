//! Values with members of different element types, in computations.

use std::collections::BTreeMap;

use cipherfold::{
    federated::{
        Clients, Error, Server,
        computation::{self, Computation, Inputs, LeakKind, Value},
        report::AbsenceReason,
        tensor::{self, Encoding, Summand, Tensor, TensorTree},
    },
    packing::{IntegerRange, Quantizer},
};
use ndarray::{Array1, arr0, array};

use super::support::builder;

type Metrics = (Array1<f32>, u32);

fn codecs() -> (Quantizer, IntegerRange) {
    (Quantizer::symmetric(8.0, 20).unwrap(), IntegerRange::up_to(100))
}

fn like() -> Metrics {
    (Array1::zeros(2), 0)
}

#[test]
fn a_declared_value_is_no_leak_and_an_undeclared_one_is() {
    let metrics = Value::<Metrics, Clients>::input("metrics");
    let leaks = Computation::new(metrics.secure_aggregate(codecs())).leaks();
    assert_eq!(leaks.len(), 1);
    assert_eq!(leaks[0].kind, LeakKind::UndeclaredStructure);
    assert_eq!(
        leaks[0].to_string(),
        "secure_aggregate takes its structure from a client: input `metrics` → secure_aggregate"
    );
    let declared = metrics.declare_like(&like()).unwrap();
    let computation = Computation::new(declared.secure_aggregate(codecs()));
    assert!(computation.leaks().is_empty());
    assert!(computation.to_string().contains("secure_aggregate("), "{computation}");
    // A type that fixes the structure declares it.
    let fixed = Value::<(f32, [u32; 3]), Clients>::input("fixed");
    assert!(Computation::new(fixed.secure_aggregate(codecs())).leaks().is_empty());

    let executor = builder().secure_only().build().unwrap();
    let inputs = Inputs::new().clients(&metrics, [(array![1.0, 2.0], 3), (array![3.0, 4.0], 4)]);
    let error = executor.run(&Computation::new(metrics.secure_aggregate(codecs())), inputs).unwrap_err();
    assert!(matches!(error, Error::Computation(computation::Error::Leaks { .. })));
}

#[test]
fn clients_that_drop_out_or_have_another_structure_are_absent() {
    let metrics = Value::<Metrics, Clients>::input("metrics");
    let sum = metrics.declare_like(&like()).unwrap().secure_aggregate(codecs());
    let computation = Computation::new(sum).secure_only().unwrap();
    for in_the_clear in [false, true] {
        let builder = builder().min_clients(2).secure_only();
        let executor = if in_the_clear { builder.in_the_clear() } else { builder }.build().unwrap();
        let clients = [
            Some((array![1.0, 2.0], 3)),
            None,
            Some((array![1.0], 5)),
            Some((array![3.0, 4.0], 4)),
            Some((array![3.0, 4.0], 101)),
        ];
        let run = executor.run(&computation, Inputs::new().clients(&metrics, clients)).unwrap();
        let (losses, count) = run.value.clone();
        assert!((losses - array![2.0, 3.0]).iter().all(|error| error.abs() < 1e-3));
        assert_eq!(count, 7);
        let absent: Vec<_> =
            run.report().absent.iter().map(|absence| (absence.client, absence.reason)).collect();
        assert_eq!(
            absent,
            [
                (1, AbsenceReason::DroppedOut),
                (2, AbsenceReason::Structure),
                (4, AbsenceReason::Value { tensor: 1 })
            ]
        );
    }
}

#[test]
fn weights_divide_means_and_multiply_sums() {
    let metrics = Value::<Metrics, Clients>::input("metrics");
    let weights = Value::<u32, Clients>::input("weights");
    let declared = metrics.declare_like(&like()).unwrap();
    let sum = declared.secure_weighted_aggregate(&weights, 10, codecs());
    let computation = Computation::new(sum).secure_only().unwrap();
    let executor = builder().build().unwrap();
    let clients = [(array![2.0, 0.0], 5), (array![-2.0, 4.0], 7)];
    let inputs = Inputs::new().clients(&metrics, clients.clone()).clients(&weights, [3, 1]);
    let (mean, sum) = executor.run(&computation, inputs).unwrap().value;
    assert!((mean - array![1.0, 1.0]).iter().all(|error| error.abs() < 1e-3));
    assert_eq!(sum, 22);

    let inputs = Inputs::new().clients(&metrics, clients).clients(&weights, [0, 0]);
    let error = executor.run(&computation, inputs).unwrap_err();
    assert!(matches!(error, Error::RoundFailed { .. }));
    assert_eq!(error.root(), Error::Tensor(tensor::Error::ZeroTotalWeight));
}

#[test]
fn declarations_that_the_type_cannot_have_are_refused_before_any_client_works() {
    let metrics = Value::<Metrics, Clients>::input("metrics");
    let run = |value: Value<Metrics, Clients>| {
        let computation = Computation::new(value.secure_aggregate(codecs()));
        let clients = [(array![1.0, 2.0], 3), (array![3.0, 4.0], 4)];
        builder()
            .build()
            .unwrap()
            .run(&computation, Inputs::new().clients(&metrics, clients))
            .map(|run| run.value.1)
    };
    let stated = |structure: &dyn Fn() -> String, value| {
        let (expected, found) = ("<f32[2],u32>".to_owned(), structure());
        assert_eq!(
            run(value).unwrap_err(),
            Error::Tensor(tensor::Error::StructureMismatch { expected, found })
        );
    };
    // Element types of a template are ignored; those of a declaration count.
    let other = (array![1_u8, 2], 1.0_f64);
    assert_eq!(run(metrics.declare_like(&other).unwrap()), Ok(7));
    stated(&|| "<u8[2],f64>".into(), metrics.declare(other.structure().unwrap()));
    // Another number of members.
    let three = (array![1.0_f32, 2.0], 1_u32, 2_u32).structure().unwrap();
    let error = run(metrics.declare(three)).unwrap_err();
    let (expected, found) = ("<_,_>".into(), "<f32[2],u32,u32>".into());
    assert_eq!(error, Error::Tensor(tensor::Error::StructureMismatch { expected, found }));
}

#[test]
fn values_are_shaped_like_one_at_the_server() {
    let model = Value::<(Array1<f32>, i64), Server>::input("model and step");
    let update = Value::<Metrics, Clients>::input("update").shaped_like(&model);
    let computation = Computation::new(update.secure_aggregate(codecs())).secure_only().unwrap();
    let inputs = Inputs::new()
        .server(&model, (array![0.0, 0.0], 5))
        .clients(&update, [(array![1.0, 2.0], 3), (array![3.0, 4.0], 4)]);
    let (mean, sum) = builder().build().unwrap().run(&computation, inputs).unwrap().value;
    assert!((mean - array![2.0, 3.0]).iter().all(|error| error.abs() < 1e-3));
    assert_eq!(sum, 7);
}

#[derive(Clone, Debug, Summand)]
struct Update {
    delta: Array1<f32>,
    state: BTreeMap<String, Tensor>,
    count: u8,
}

impl Update {
    fn of(x: f32, batches: i64) -> Self {
        let state = BTreeMap::from([("batches".to_owned(), Tensor::from(arr0(batches).into_dyn()))]);
        Self { delta: array![x], state, count: 1 }
    }
}

#[test]
fn structs_and_state_dictionaries_share_a_round_with_other_sums() {
    let updates = Value::<Update, Clients>::input("updates");
    let updates = updates.declare_like(&Update::of(0.0, 0)).unwrap();
    let (quantizer, range) = codecs();
    let state = BTreeMap::from([("batches".to_owned(), Encoding::Integers(IntegerRange::up_to(500)))]);
    let sum = updates.secure_aggregate(UpdateOf { delta: quantizer, state, count: range });
    let computation = Computation::new((sum, updates.secure_count())).secure_only().unwrap();
    assert_eq!(computation.rounds(), 1);
    let executor = builder().build().unwrap();
    let clients = [Update::of(1.0, 100), Update::of(2.0, 400)];
    let inputs = Inputs::new().clients(&updates, clients);
    let (UpdateOf { delta, state, count }, clients) = executor.run(&computation, inputs).unwrap().value;
    assert!((delta[0] - 1.5_f32).abs() < 1e-3);
    assert_eq!(state["batches"], Tensor::from(arr0(500_i128).into_dyn()));
    assert_eq!((count, clients), (2, 2));
}
