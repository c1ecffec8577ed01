//! Structures that are declared before clients start.

#![expect(clippy::cast_possible_truncation, reason = "small numbers")]

use std::collections::BTreeMap;

use cipherfold::{
    federated::{
        Clients, Error, Server,
        computation::{self, Computation, Inputs, LeakKind, Value},
        report::AbsenceReason,
        tensor::{self, DType, Structure, TensorType, Tensors},
    },
    packing::{IntegerRange, QuantizedSum, Quantizer},
};
use ndarray::{Array0, Array1, ArrayD, array};

use super::support::{Count, builder};

fn tensor(dtype: DType, shape: &[usize]) -> Structure<TensorType> {
    Structure::leaf(TensorType { dtype, shape: shape.to_vec() })
}

/// Whether the structure of a secure sum of such values is known without a declaration.
fn is_fixed<T: Tensors<Scalar = u32> + 'static>() -> bool {
    let sum = Value::<T, Clients>::input("x").secure_sum(IntegerRange::up_to(9));
    let leaks = Computation::new(sum).leaks();
    assert!(leaks.iter().all(|leak| leak.kind == LeakKind::UndeclaredStructure));
    leaks.is_empty()
}

#[test]
fn types_with_one_structure_declare_themselves() {
    assert!(is_fixed::<u32>());
    assert!(is_fixed::<[u32; 3]>());
    assert!(is_fixed::<(u32, [u32; 2], (u32,))>());
    assert!(is_fixed::<[[u32; 3]; 2]>());
    assert!(is_fixed::<Array0<u32>>());
    assert!(is_fixed::<(Array0<u32>, [(u32, u32); 2])>());
    assert!(!is_fixed::<Vec<u32>>());
    assert!(!is_fixed::<[Vec<u32>; 2]>());
    assert!(!is_fixed::<(u32, Array1<u32>)>());
    assert!(!is_fixed::<ArrayD<u32>>());
    assert!(!is_fixed::<BTreeMap<String, u32>>());
    assert!(!is_fixed::<Structure<u32>>());
}

/// Words, shapes and names that depend on clients' data: the check refuses and lists them. After a
/// declaration they are harmless.
#[test]
fn structures_that_depend_on_clients_data_are_leaks() {
    let range = IntegerRange::up_to(100);
    let text = Value::<String, Clients>::input("text");
    let words = text.map(|text| {
        let mut counts = BTreeMap::<String, u32>::new();
        text.split(' ').for_each(|word| *counts.entry(word.into()).or_default() += 1);
        counts
    });
    let number = Value::<u32, Clients>::input("number");
    let zeros = number.map(|number| Array1::<u32>::zeros(*number as usize));
    let names = number.map(|number| {
        let names = (*number..number + 3).map(|name| (name.to_string(), Structure::leaf(1_u32)));
        Structure::named(names).unwrap()
    });
    for (computation, source) in [
        (Computation::new(words.secure_sum(range).map(|_| ())), "text"),
        (Computation::new(zeros.secure_sum(range).map(|_| ())), "number"),
        (Computation::new(names.secure_sum(range).map(|_| ())), "number"),
    ] {
        let leaks = computation.leaks();
        assert_eq!(leaks.len(), 1);
        assert_eq!(leaks[0].kind, LeakKind::UndeclaredStructure);
        let path =
            format!("secure_sum takes its structure from a client: input `{source}` → map → secure_sum");
        assert_eq!(leaks[0].to_string(), path);
        assert_eq!(
            computation.secure_only().unwrap_err(),
            computation::Error::Leaks { leaks: leaks.clone() }
        );
    }
    let executor = builder().min_clients(2).secure_only().build().unwrap();
    let count = Computation::new(words.secure_sum(range));
    let texts = || ["the secret", "the other", "word the word"].map(String::from);
    let error = executor.run(&count, Inputs::new().clients(&text, texts())).unwrap_err();
    assert!(matches!(error, Error::Computation(computation::Error::Leaks { .. })), "{error}");

    // Declared: a list of words that the server requests. Other words of a client never leave it.
    let asked = BTreeMap::from(["other", "the"].map(|word| (word.to_owned(), 0_u32)));
    let kept = asked.clone();
    let answers = text.map(move |text| {
        let count = |word: &str| text.split(' ').filter(|found| *found == word).count() as u32;
        if text.contains("secret") {
            return BTreeMap::from([("secret".to_owned(), 1)]);
        }
        kept.keys().map(|word| (word.clone(), count(word))).collect()
    });
    let sum = answers.declare_like(&asked).unwrap().secure_sum(range);
    let computation = Computation::new(sum).secure_only().unwrap();
    let run = executor.run(&computation, Inputs::new().clients(&text, texts())).unwrap();
    assert_eq!(run.value, BTreeMap::from([("other".to_owned(), 1), ("the".to_owned(), 2)]));
    let [absence] = &run.report().absent[..] else { panic!("{:?}", run.report().absent) };
    assert_eq!((absence.client, absence.reason), (0, AbsenceReason::Structure));
    let details = "the value does not have the declared structure <other=u32,the=u32>".to_owned();
    assert_eq!(absence.details, Some(details), "not even where the client's own errors are shown");
}

#[test]
fn the_first_client_does_not_decide() {
    let x = Value::<Array1<u32>, Clients>::input("x");
    let sum = x.declare(tensor(DType::U32, &[2])).secure_sum(IntegerRange::up_to(9));
    let computation = Computation::new((sum, x.map(Array1::len).collect()));
    let clients = || [array![7, 7, 7], array![1, 1], array![2, 3]];
    let executor = builder().min_clients(2).build().unwrap();
    let run = executor.run(&computation, Inputs::new().clients(&x, clients())).unwrap();
    assert_eq!(run.value, (array![3, 4], vec![2, 2]));
    assert_eq!(run.rounds[0].absent[0].client, 0);
    // If every client is required, the error names it.
    let strict = builder().build().unwrap();
    let error = strict.run(&computation, Inputs::new().clients(&x, clients())).unwrap_err();
    let source = Box::new(Error::NotAsDeclared { declared: "u32[2]".into() });
    assert_eq!(error, Error::Client { client: 0, source });
}

#[test]
fn a_declaration_is_bound_as_its_input_and_survives_names() {
    let x = Value::<Vec<u32>, Clients>::input("x").declare(tensor(DType::U32, &[2])).named("counts");
    let sum = x.clone().named("named again").secure_sum(IntegerRange::up_to(9));
    let computation = Computation::new(sum).secure_only().unwrap();
    let executor = builder().build().unwrap();
    let run = executor.run(&computation, Inputs::new().clients(&x, [[1, 2], [3, 4]].map(Vec::from))).unwrap();
    assert_eq!(run.value, [4, 6]);
    let text = computation.to_string();
    assert!(text.contains("= declare `named again`(v0): Vec<u32>"), "{text}");
    // A declaration applies to its value only: not to earlier values, and not to the output of a
    // closure.
    let y = Value::<Vec<u32>, Clients>::input("y");
    let declared = y.declare(tensor(DType::U32, &[2]));
    for undeclared in [
        &y,
        &declared.map(Vec::clone),
        &Value::from((declared.clone(), y.clone())).map(|pair| pair.0.clone()),
    ] {
        let leaks = Computation::new(undeclared.secure_sum(IntegerRange::up_to(9))).leaks();
        assert_eq!(leaks[0].kind, LeakKind::UndeclaredStructure);
    }
}

/// Whether a declaration fixes the whole structure of such values.
fn says_everything<T: Tensors<Scalar = u32> + 'static>() -> bool {
    let declared = Value::<T, Clients>::input("x").declare(tensor(DType::U32, &[2]));
    let leaks = Computation::new(declared.secure_sum(IntegerRange::up_to(9))).leaks();
    assert!(leaks.iter().all(|leak| leak.kind == LeakKind::UndeclaredStructure));
    leaks.is_empty()
}

#[test]
fn a_declaration_does_not_say_where_members_of_a_structure_begin_that_are_lists() {
    type Array = Array1<u32>;
    assert!(says_everything::<Structure<Array>>());
    assert!(says_everything::<Structure<Vec<u32>>>());
    assert!(says_everything::<Structure<(Array, [u32; 3])>>());
    assert!(says_everything::<Structure<[Array; 2]>>());
    assert!(says_everything::<Vec<BTreeMap<String, Vec<Array>>>>());
    // One client's lists could be another's members.
    assert!(!says_everything::<Structure<Structure<Array>>>());
    assert!(!says_everything::<Structure<Vec<Array>>>());
    assert!(!says_everything::<Structure<[Array; 0]>>());
    assert!(!says_everything::<Structure<BTreeMap<String, u32>>>());
    assert!(!says_everything::<(u32, Vec<Structure<Structure<u32>>>)>());
}

#[test]
fn a_value_at_the_server_gives_the_shape_in_every_run() {
    type Model = BTreeMap<String, Array1<f64>>;
    let model = Value::<Model, Server>::input("model");
    let x = Value::<u32, Clients>::input("x");
    // Its element type differs from the model's.
    let update =
        x.zip(&model.broadcast()).map(|(x, model)| model.map_tensors(|_, tensor| tensor.mapv(|_| *x)));
    let update = update.shaped_like(&model);
    let sum = update.secure_sum(IntegerRange::up_to(9));
    // In a later round, from a model that is known only then, and kept by the clients for yet
    // another one.
    let longer = sum.map(|sum| sum.values().map(|tensor| tensor.len() as u32).collect::<Vec<u32>>());
    let later =
        longer.broadcast().zip(&x).map(|(longer, x)| longer.iter().map(|n| n * x).collect::<Vec<u32>>());
    let later = later.shaped_like(&longer);
    let second = later.secure_sum(IntegerRange::up_to(100));
    let third = later.zip(&second.broadcast()).map(|(later, _)| later.clone());
    let third = Value::from((third.shaped_like(&second), later)).map(|(third, _)| third.clone());
    let third = third.shaped_like(&second).secure_sum(IntegerRange::up_to(100));
    let computation = Computation::new((sum, second, third)).secure_only().unwrap();
    assert_eq!(computation.rounds(), 3);
    let executor = builder().secure_only().build().unwrap();
    for len in [1, 3] {
        let named = Model::from([("bias".into(), Array1::zeros(len)), ("weights".into(), Array1::zeros(2))]);
        let inputs = Inputs::new().clients(&x, [4, 5]).server(&model, named);
        let (sum, second, third) = executor.run(&computation, inputs).unwrap().value;
        assert_eq!((&sum["bias"], &sum["weights"]), (&Array1::from_elem(len, 9), &array![9, 9]));
        assert_eq!(second, [9 * len as u64, 18]);
        assert_eq!(third, second);
    }
}

/// Invalid declarations are refused before any client works.
#[test]
fn invalid_declarations_are_refused_before_any_work() {
    let worked = Count::default();
    let x = Value::<u32, Clients>::input("x");
    let list = x.map({
        let worked = worked.clone();
        move |x| vec![*x; 1 + worked.up()]
    });
    let range = IntegerRange::up_to(9);
    let refused = |sum| {
        let executor = builder().min_clients(2).build().unwrap();
        executor.run(&Computation::new(sum), Inputs::new().clients(&x, [1, 2])).unwrap_err()
    };
    let mismatch = |expected: &str, found: &str| {
        Error::Tensor(tensor::Error::StructureMismatch { expected: expected.into(), found: found.into() })
    };
    // Another element type, and a structure that the type does not have.
    let error = refused(list.declare(tensor(DType::F32, &[2])).secure_sum(range));
    assert_eq!(error, mismatch("u32[2]", "f32[2]"));
    let single = x.map(|x| [*x, *x]).declare(tensor(DType::U32, &[3])).secure_sum(range);
    assert_eq!(refused(single.map(Clone::clone)), mismatch("u32[2]", "u32[3]"));
    // Parameters for other tensors.
    let error = refused(list.declare(tensor(DType::U32, &[2])).secure_sum([range; 2]));
    assert_eq!(error, Error::Tensor(tensor::Error::ParameterCount { tensors: 1, found: 2 }));
    let named = Structure::named([("x", Structure::leaf(range))]).unwrap();
    let error = refused(list.declare(tensor(DType::U32, &[2])).secure_sum(named));
    assert!(matches!(error, Error::Tensor(tensor::Error::ParameterStructure { .. })), "{error}");
    assert_eq!(worked.get(), 0);
}

/// Every secure operation needs a declared structure.
#[test]
fn all_secure_operations_are_checked() {
    let x = Value::<Vec<f64>, Clients>::input("x");
    let weight = Value::<u32, Clients>::input("weight");
    let bounds = Value::<(f64, f64), Server>::constant((-1.0, 1.0));
    let quantizer = Quantizer::symmetric(1.0, 16).unwrap();
    let outputs = |x: &Value<Vec<f64>, Clients>| {
        (
            x.secure_mean(quantizer),
            x.secure_weighted_mean(&weight, 5, quantizer),
            x.secure_weighted_mean_with_total(&weight, 5, quantizer),
            x.secure_quantized_sum(QuantizedSum::new(-1.0, 1.0).unwrap()),
            x.secure_quantized_sum_between(&bounds),
            x.secure_count(),
        )
    };
    assert_eq!(Computation::new(outputs(&x)).leaks().len(), 5);
    let declared = x.declare_like(&array![0.0_f32, 0.0]).unwrap();
    let computation = Computation::new(outputs(&declared)).secure_only().unwrap();
    let executor = builder().min_clients(2).secure_only().build().unwrap();
    let clients = [vec![0.5, 0.5, 0.5], vec![0.5, -0.5], vec![0.5, 0.25]];
    let inputs = Inputs::new().clients(&x, clients).clients(&weight, [1, 2, 3]);
    let run = executor.run(&computation, inputs).unwrap();
    assert_eq!((run.value.0.len(), run.value.5), (2, 2));
    // Data that the server knows needs no declaration.
    let model = Value::<Vec<f64>, Server>::input("model");
    assert!(Computation::new(model.broadcast().secure_mean(quantizer)).leaks().is_empty());
}
