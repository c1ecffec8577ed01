//! Whole rounds.

use cipherfold::{
    federated::{
        round::{RoundResult, RoundSpec, SumSpec, TensorSpec, Update},
        tensor::{DType, Encoding, Structure, Tensor},
    },
    packing::{IntegerRange, Modular, QuantizedSum, Quantizer},
    paillier::Exponents,
};
use ndarray::{ArrayD, IxDyn};

use super::support::{Session, assert_bytes, rng, shuffle, view};

/// The data of a client in the round below.
struct Data {
    weight: u32,
    model: ArrayD<f32>,
    gradient: ArrayD<f64>,
    counts: ArrayD<i16>,
    residues: ArrayD<i64>,
    levels: ArrayD<i32>,
}

impl Data {
    fn of(client: u32) -> Self {
        let c = f64::from(client);
        let array = |shape: &[usize], f: &dyn Fn(usize) -> f64| {
            let len = shape.iter().product();
            ArrayD::from_shape_vec(IxDyn(shape), (0..len).map(f).collect()).unwrap()
        };
        Self {
            weight: 10 * client + 3,
            model: array(&[3, 40], &|i| (i as f64 + 7.0 * c).sin()).mapv(|x| x as f32),
            gradient: array(&[5], &|i| (i as f64 - c) / 8.0),
            counts: array(&[2, 35], &|i| i as f64 * (c - 1.0)).mapv(|x| x as i16),
            residues: array(&[7], &|i| (i as f64 * 300.0 + c) * 1000.0).mapv(|x| x as i64 - 2_000_000),
            levels: array(&[2], &|i| i as f64 * 1000.0 - c).mapv(|x| x as i32),
        }
    }

    /// An update for each of the sums.
    fn updates(&self) -> Vec<Update<'_>> {
        let leaf = Structure::leaf;
        let floats =
            Structure::named([("gradient", leaf(view(&self.gradient))), ("model", leaf(view(&self.model)))]);
        let integers = Structure::tuple([
            leaf(view(&self.counts)),
            leaf(view(&self.residues)),
            leaf(view(&self.levels)),
        ]);
        vec![
            Update::of_views(integers.unwrap()),
            Update::of_views(floats.unwrap()).weighted(self.weight),
            Update::of_views(leaf(view(&self.model))),
        ]
    }
}

fn quantizer() -> Quantizer {
    Quantizer::symmetric(1.0, 16).unwrap()
}

fn sums() -> Vec<SumSpec> {
    let leaf = |dtype, shape: &[usize], encoding| Structure::leaf(TensorSpec::new(dtype, shape, encoding));
    let mean = |dtype, shape: &[usize]| leaf(dtype, shape, Encoding::Mean(quantizer()));
    let integers = Structure::tuple([
        leaf(DType::I16, &[2, 35], Encoding::Integers(IntegerRange::signed_bits(9).unwrap())),
        leaf(DType::I64, &[7], Encoding::Modular(Modular::new(1009).unwrap())),
        leaf(DType::I32, &[2], Encoding::QuantizedI32(QuantizedSum::new(-1000, 1000).unwrap())),
    ]);
    let floats = Structure::named([
        ("gradient", leaf(DType::F64, &[5], Encoding::Sum(quantizer()))),
        ("model", mean(DType::F32, &[3, 40])),
    ]);
    vec![
        SumSpec::new(integers.unwrap()),
        SumSpec::new(floats.unwrap()).weighted(100),
        SumSpec::new(mean(DType::F32, &[3, 40])),
    ]
}

/// All messages, in a random order.
fn run(session: &Session, spec: &RoundSpec, clients: &[u32], seed: u64) -> RoundResult {
    let data: Vec<_> = clients.iter().map(|client| (*client, Data::of(*client))).collect();
    let sent = data.iter().flat_map(|(client, data)| {
        session.send(*client, spec, &data.updates()).into_iter().map(|wire| (*client, wire))
    });
    let mut sent: Vec<_> = sent.collect();
    shuffle(&mut sent, seed);
    let aggregator = session.aggregator(spec);
    for (client, wire) in &sent {
        if aggregator.accept(*client, wire).unwrap().missing == 0 {
            aggregator.commit(*client).unwrap();
        }
    }
    let sum = aggregator.close().unwrap().for_server().unwrap();
    assert_eq!(sum.participants(), clients);
    session.open(spec, sum).unwrap()
}

fn leaves(structure: &Structure<Tensor>) -> Vec<Tensor> {
    structure.iter().cloned().collect()
}

#[test]
fn all_kinds_of_sums_with_and_without_a_key_holder() {
    for session in [Session::new(1), Session::with_key_holder(1)] {
        for (round, clients) in [(0, &[0, 1, 2, 3][..]), (1, &[1, 3])] {
            let spec = RoundSpec::new(session.parameters(round, sums())).unwrap();
            let result = run(&session, &spec, clients, round);
            check(&spec, &result, clients);
            // Keys, boxes and the order of messages change no bit.
            let other = Session::new(2);
            let again = RoundSpec::new(other.parameters(round, sums())).unwrap();
            assert_eq!(run(&other, &again, clients, 99), result);
        }
    }
}

fn check(spec: &RoundSpec, result: &RoundResult, clients: &[u32]) {
    let data: Vec<_> = clients.iter().map(|client| Data::of(*client)).collect();
    assert_eq!(result.participants, clients);
    let bounds: Vec<Vec<f64>> =
        spec.error_bounds().iter().map(|bounds| bounds.iter().copied().collect()).collect();
    let weight: u64 = data.iter().map(|data| u64::from(data.weight)).sum();
    let totals: Vec<_> = result.sums.iter().map(|sum| sum.total_weight).collect();
    assert_eq!(totals, [clients.len() as u64, weight, clients.len() as u64]);
    for (found, declared) in result.sums.iter().zip(spec.sums()) {
        assert_eq!(found.tensors.as_ref().map(|_| ()), declared.tensors().as_ref().map(|_| ()));
    }

    // Exact sums.
    let integers = leaves(&result.sums[0].tensors);
    let counts = data.iter().fold(ArrayD::<i64>::zeros(vec![2, 35]), |sum, x| sum + x.counts.mapv(i64::from));
    assert_eq!(integers[0], Tensor::I64(counts));
    let residues = data.iter().fold(ArrayD::<i64>::zeros(vec![7]), |sum, x| sum + &x.residues);
    assert_eq!(integers[1], Tensor::I64(residues.mapv(|x| x.rem_euclid(1009))));
    let levels = data.iter().fold(ArrayD::<i64>::zeros(vec![2]), |sum, x| {
        sum + x.levels.mapv(|x| i64::from(x.clamp(-1000, 1000)))
    });
    assert_eq!(integers[2], Tensor::I64(levels));
    assert_eq!(bounds[0], [0.0, 0.0, 0.0]);

    // Sums and means within the bounds that the specification states.
    let near = |found: &Tensor, expected: &ArrayD<f64>, bound: f64| {
        let found = match found.clone() {
            Tensor::F32(found) => found.mapv(f64::from),
            Tensor::F64(found) => found,
            other => panic!("{other:?}"),
        };
        assert!(bound > 0.0 && bound < 0.01);
        let rounding = 1e-6; // of f32
        let worst = (&found - expected).iter().fold(0.0_f64, |worst, x| worst.max(x.abs()));
        assert!(worst <= bound + rounding, "{worst} above {bound}");
    };
    let weighted = |tensor: &dyn Fn(&Data) -> ArrayD<f64>| {
        let products = data.iter().map(|data| tensor(data) * f64::from(data.weight));
        products.reduce(|sum, x| sum + x).unwrap()
    };
    let model = |data: &Data| data.model.mapv(|x| f64::from(x).clamp(-1.0, 1.0));
    let floats = leaves(&result.sums[1].tensors);
    near(&floats[1], &(weighted(&model) / weight as f64), bounds[1][1]);
    let total = weighted(&|data| data.gradient.clone());
    let Tensor::F64(gradient) = &floats[0] else { panic!("{:?}", floats[0]) };
    // A bound for the maximum number of clients, each of which counts with its weight.
    let bound = quantizer().error_bound() * weight as f64;
    assert!((gradient - &total).iter().all(|error| error.abs() <= bound + 1e-9));
    let mean = data.iter().map(model).reduce(|sum, x| sum + x).unwrap() / clients.len() as f64;
    near(&leaves(&result.sums[2].tensors)[0], &mean, bounds[2][0]);
}

#[test]
fn a_round_over_bytes_by_roles_that_know_bytes_only() {
    // Specification and offer are sent as bytes; each role decodes its own copy.
    let session = Session::new(3);
    let spec = session.bytes(5).to_bytes();
    let spec = RoundSpec::from_bytes(&spec).unwrap();
    let aggregator = session.aggregator(&spec);
    for client in [0, 2, 3] {
        session.contribute(&aggregator, client);
    }
    assert_eq!(aggregator.participants(), [0, 2, 3]);
    let sum = aggregator.close().unwrap().for_server().unwrap();
    assert_bytes(&session.open(&spec, sum).unwrap(), &[0, 2, 3], 1 + 3 + 4);
}

/// A round without sums has no messages, and a sum without values has none but weights.
#[test]
fn rounds_without_values() {
    let session = Session::new(4);
    let spec = RoundSpec::new(session.parameters(0, Vec::new())).unwrap();
    assert_eq!(spec.costs().messages, 0);
    let result = run_empty(&session, &spec, &Vec::new);
    assert!(result.sums.is_empty());

    let nothing = TensorSpec::new(DType::F32, [0, 9], Encoding::Mean(quantizer()));
    let sum = SumSpec::new(Structure::leaf(nothing));
    let spec = RoundSpec::new(session.parameters(1, vec![sum.clone().weighted(9), sum])).unwrap();
    assert_eq!((spec.costs().messages, spec.costs().values), (1, 0));
    let empty = ArrayD::<f32>::zeros(vec![0, 9]);
    let leaf = || Update::of_views(Structure::leaf(view(&empty)));
    let result = run_empty(&session, &spec, &|| vec![leaf().weighted(4), leaf()]);
    assert_eq!(result.sums[0].total_weight, 8);
    assert_eq!(leaves(&result.sums[1].tensors), [Tensor::F32(empty.clone())]);
}

fn run_empty<'a>(session: &Session, spec: &RoundSpec, updates: &dyn Fn() -> Vec<Update<'a>>) -> RoundResult {
    let aggregator = session.aggregator(spec);
    for client in [0, 1] {
        for wire in session.send(client, spec, &updates()) {
            let _ = aggregator.accept(client, &wire).unwrap();
        }
        aggregator.commit(client).unwrap();
    }
    session.open(spec, aggregator.close().unwrap().for_server().unwrap()).unwrap()
}

/// Short and half-length exponents in one round: each client chooses, without an announcement.
#[test]
fn clients_choose_the_length_of_their_exponents() {
    for session in [Session::new(6), Session::with_key_holder(6)] {
        let spec = session.bytes(0);
        let (half, short) = (session.key().clone(), session.key().with_short_exponents());
        assert_eq!([half.exponents(), short.exponents()], [Exponents::Half, Exponents::Short]);
        assert_eq!((half.offer(), half.digest()), (short.offer(), short.digest()));
        assert!(format!("{half:?}").contains("Half") && format!("{short:?}").contains("Short"));
        let owner = session.owner.clone().with_short_exponents();
        assert_eq!(owner.offer(), session.owner.offer());
        assert_eq!(owner.encryption_key().exponents(), Exponents::Short);
        let aggregator = session.aggregator(&spec);
        for (number, key) in [(0, &half), (1, &short), (2, owner.encryption_key())] {
            let channel = std::sync::Arc::clone(&session.channel);
            let client = cipherfold::federated::round::Client::new(number, &spec, key, channel).unwrap();
            let update = ndarray::Array1::from_elem(super::support::VALUES, number as u8 + 1);
            let update = client.encode(&[Update::new(&update).unwrap()]).unwrap();
            let mut rng = rng(number.into());
            for message in 0..update.messages() {
                let wire = client.message(&update, message, &mut rng).unwrap();
                let _ = aggregator.accept(number, &wire).unwrap();
            }
            aggregator.commit(number).unwrap();
        }
        let sum = aggregator.close().unwrap().for_server().unwrap();
        assert_bytes(&session.open(&spec, sum).unwrap(), &[0, 1, 2], 6);
    }
}

#[test]
fn a_generator_of_a_client_changes_nothing_but_the_ciphertexts() {
    let session = Session::new(5);
    let spec = session.bytes(0);
    let client = session.client(0, &spec);
    let update = ndarray::Array1::from_elem(super::support::VALUES, 9_u8);
    let update = client.encode(&[Update::new(&update).unwrap()]).unwrap();
    let message = |seed| client.message(&update, 1, &mut rng(seed)).unwrap();
    assert_eq!(message(1), message(1));
    assert_ne!(message(1), message(2));
}
