//! The clients in a sum: clients that never commit, too many and too few clients, and updates of
//! the wrong structure.

use std::{sync::Arc, time::Instant};

use cipherfold::{
    federated::{
        KeyHolding, Party,
        channel::Envelope,
        round::{self, Aggregator, RoundParameters, RoundSpec, SumSpec, TensorSpec, Update},
        tensor::{self, DType, Encoding, Structure, Tensor},
    },
    packing::{self, IntegerRange, Quantizer},
};
use ndarray::{Array1, Array2, ArrayD};

use super::support::{MESSAGES, Session, VALUES, assert_bytes, bytes, rng, view};

#[test]
fn a_client_that_never_commits_is_not_in_the_sum() {
    let session = Session::new(1);
    let spec = session.bytes(0);
    let aggregator = session.aggregator(&spec);
    session.contribute(&aggregator, 0);
    // All of its messages, and no commit.
    for wire in session.send_bytes(1, &spec, 100) {
        let _ = aggregator.accept(1, &wire).unwrap();
    }
    // Some of its messages.
    for wire in &session.send_bytes(2, &spec, 100)[..2] {
        let _ = aggregator.accept(2, wire).unwrap();
    }
    assert_eq!(aggregator.commit(2).unwrap_err(), round::Error::IncompleteUpdate { client: 2, missing: 1 });
    // Never seen.
    let missing = MESSAGES;
    assert_eq!(aggregator.commit(7).unwrap_err(), round::Error::IncompleteUpdate { client: 7, missing });
    session.contribute(&aggregator, 3);
    assert_eq!(aggregator.participants(), [0, 3]);
    let sum = aggregator.close().unwrap().for_server().unwrap();
    assert_eq!(sum.participants(), [0, 3]);
    assert_bytes(&session.open(&spec, sum).unwrap(), &[0, 3], 1 + 4);
}

#[test]
fn a_client_with_repeated_commits_counts_once() {
    let session = Session::new(2);
    let spec = session.bytes(0);
    let aggregator = session.aggregator(&spec);
    for _ in 0..3 {
        session.contribute(&aggregator, 0);
        session.contribute(&aggregator, 1);
    }
    let sum = aggregator.close().unwrap().for_server().unwrap();
    assert_bytes(&session.open(&spec, sum).unwrap(), &[0, 1], 3);
}

#[test]
fn messages_of_a_client_can_be_dropped_before_its_commit() {
    let session = Session::new(3);
    let spec = session.bytes(0);
    let aggregator = session.aggregator(&spec);
    assert!(!aggregator.discard(1), "nothing is there");
    let (first, second) = (session.send_bytes(1, &spec, 100), session.send_bytes(1, &spec, 5));
    for wire in &first {
        let _ = aggregator.accept(1, wire).unwrap();
    }
    assert!(aggregator.discard(1));
    assert_eq!(
        aggregator.commit(1).unwrap_err(),
        round::Error::IncompleteUpdate { client: 1, missing: MESSAGES }
    );
    for wire in &second {
        assert!(!aggregator.accept(1, wire).unwrap().repeated);
    }
    aggregator.commit(1).unwrap();
    assert!(!aggregator.discard(1), "it is in the sum");
    session.contribute(&aggregator, 0);
    let sum = aggregator.close().unwrap().for_server().unwrap();
    assert_bytes(&session.open(&spec, sum).unwrap(), &[0, 1], 6);
}

#[test]
fn more_clients_than_have_room_are_refused() {
    let session = Session::new(4);
    let spec = session.bytes(0);
    let aggregator = session.aggregator(&spec);
    for client in [0, 1, 5, 6] {
        session.contribute(&aggregator, client);
    }
    for wire in session.send_bytes(2, &spec, 3) {
        let _ = aggregator.accept(2, &wire).unwrap();
    }
    assert_eq!(aggregator.commit(2).unwrap_err(), round::Error::TooManyClients { limit: 4, found: 5 });
    aggregator.commit(6).unwrap(); // already committed
    let sum = aggregator.close().unwrap().for_server().unwrap();
    assert_bytes(&session.open(&spec, sum).unwrap(), &[0, 1, 5, 6], 1 + 2 + 6 + 7);
}

#[test]
fn fewer_clients_than_needed_give_nothing() {
    let session = Session::new(5);
    let refused = |minimum, found| round::Error::TooFewClients { minimum, found, absent: Vec::new() };
    for (minimum, clients) in [(2, &[][..]), (2, &[3]), (3, &[0, 1]), (4, &[0, 1, 2])] {
        let parameters = RoundParameters { min_clients: minimum, ..session.parameters(0, bytes()) };
        let spec = RoundSpec::new(parameters).unwrap();
        let aggregator = session.aggregator(&spec);
        for client in clients {
            session.contribute(&aggregator, *client);
        }
        let partial = aggregator.close().unwrap();
        assert_eq!(partial.participants(), clients);
        assert_eq!(partial.for_server().err(), Some(refused(minimum, clients.len() as u32)));
    }
    // It must be requested explicitly.
    let parameters = RoundParameters { min_clients: 1, ..session.parameters(0, bytes()) };
    let spec = RoundSpec::new(parameters).unwrap();
    let sum = session.closed(&spec, &[2]);
    assert_bytes(&session.open(&spec, sum).unwrap(), &[2], 3);
}

/// The server checks the aggregator against the specification's numbers of clients.
#[test]
fn the_server_opens_no_sum_over_too_few_or_too_many_clients() {
    use cipherfold::federated::channel::{Message, Payload};
    use std::collections::BTreeSet;

    let session = Session::in_the_open(6, KeyHolding::Server);
    let spec = session.bytes(0);
    let wire = &session.for_server(session.closed(&spec, &[0, 1]), 1)[0];
    let (header, payload) = wire.split_at(session.channel.overhead());
    let Payload((clients, batch)) = Payload::<(BTreeSet<u32>, Vec<u8>)>::from_bytes(payload).unwrap();
    assert_eq!(clients, BTreeSet::from([0, 1]));
    let forged =
        |clients: BTreeSet<u32>| [header, &Payload((clients, batch.clone())).to_bytes().unwrap()].concat();
    let mut server = session.server(&spec);
    let few = round::Error::TooFewClients { minimum: 2, found: 1, absent: Vec::new() };
    assert_eq!(server.open(&forged([1].into())).unwrap_err(), few);
    let many = round::Error::TooManyClients { limit: 4, found: 5 };
    assert_eq!(server.open(&forged((0..5).collect())).unwrap_err(), many);
    // Refused messages do not count as received.
    assert_eq!(server.missing(), MESSAGES);
    server.open(wire).unwrap();
    assert_eq!(server.missing(), MESSAGES - 1);
}

#[test]
fn contributions_that_are_added_at_once_are_required() {
    let session = Session::new(7);
    let spec = session.bytes(0);
    let aggregator = session.aggregator(&spec).adding_at_once();
    session.contribute(&aggregator, 0);
    session.contribute(&aggregator, 2);
    let sum = aggregator.close().unwrap().for_server().unwrap();
    assert_bytes(&session.open(&spec, sum).unwrap(), &[0, 2], 1 + 3);

    for sent in 1..=MESSAGES as usize {
        let spec = session.bytes(sent as u64);
        let aggregator = session.aggregator(&spec).adding_at_once();
        session.contribute(&aggregator, 0);
        session.contribute(&aggregator, 2);
        for wire in &session.send_bytes(1, &spec, 9)[..sent] {
            let _ = aggregator.accept(1, wire).unwrap();
        }
        assert!(!aggregator.discard(1), "it is in the sums in part");
        let missing = MESSAGES - sent as u64;
        let expected = if missing > 0 {
            round::Error::IncompleteUpdate { client: 1, missing }
        } else {
            round::Error::NotCommitted { client: 1 }
        };
        assert_eq!(aggregator.close().err(), Some(expected));
    }
}

/// An aggregator that cannot close without a commit continues from its state and follows the
/// error's advice.
#[test]
fn a_client_that_was_added_at_once_is_committed_before_the_sums_are_closed() {
    let session = Session::new(11);
    let spec = session.bytes(0);
    let mut aggregator = session.aggregator(&spec).adding_at_once();
    session.contribute(&aggregator, 0);
    for wire in session.send_bytes(3, &spec, 9) {
        let _ = aggregator.accept(3, &wire).unwrap();
    }
    let state = aggregator.to_bytes().unwrap();
    let error = aggregator.close().err().unwrap();
    assert_eq!(error, round::Error::NotCommitted { client: 3 });
    assert!(error.to_string().contains("commit it before"), "{error}");
    let channel = Arc::clone(&session.channel);
    let aggregator = Aggregator::from_bytes(&spec, session.key(), channel, &state).unwrap();
    aggregator.commit(3).unwrap();
    let sum = aggregator.close().unwrap().for_server().unwrap();
    assert_bytes(&session.open(&spec, sum).unwrap(), &[0, 3], 1 + 9);
}

/// A commit looks at one client only: its time does not depend on the number of other clients. The
/// number survives a restart.
#[test]
fn a_commit_does_not_depend_on_the_number_of_clients() {
    const CLIENTS: u32 = 20_000;
    const BATCH: usize = 200;
    let session = Session::in_the_open(12, KeyHolding::Server);
    let sum = SumSpec::new(TensorSpec::new(DType::U8, [1], Encoding::Integers(IntegerRange::of::<u8>())));
    let parameters = RoundParameters { max_clients: CLIENTS, ..session.parameters(0, vec![sum]) };
    let spec = RoundSpec::new(parameters).unwrap();
    let aggregator = session.aggregator(&spec);
    // All clients send the same ciphertext of 1, each in its own envelope.
    let one = Array1::from_elem(1, 1_u8);
    let wire = session.send(0, &spec, &[Update::new(&one).unwrap()]).remove(0);
    let (envelope, ciphertext) = session.channel.open(Party::Client(0), Party::Aggregator, &wire).unwrap();
    let send = |aggregator: &Aggregator, client| {
        let envelope = Envelope { from: Party::Client(client), ..envelope };
        let wire = session.channel.seal(&envelope, &ciphertext, &mut rng(0)).unwrap();
        assert_eq!(aggregator.accept(client, &wire).unwrap().missing, 0);
    };
    (0..CLIENTS).for_each(|client| send(&aggregator, client));
    let batches: Vec<u32> = (0..CLIENTS).step_by(BATCH).collect();
    let times = batches.iter().map(|first| {
        let start = Instant::now();
        (*first..first + BATCH as u32).for_each(|client| aggregator.commit(client).unwrap());
        start.elapsed()
    });
    let times: Vec<_> = times.collect();
    // The fastest of ten batches, so that a busy machine has no effect.
    let early = times[..10].iter().min().unwrap();
    let late = times[times.len() - 10..].iter().min().unwrap();
    assert!(*late < *early * 5, "{BATCH} commits took {early:?} among the first and {late:?} among the last");

    let mut aggregator = aggregator;
    let state = aggregator.to_bytes().unwrap();
    let channel = Arc::clone(&session.channel);
    let aggregator = Aggregator::from_bytes(&spec, session.key(), channel, &state).unwrap();
    send(&aggregator, CLIENTS);
    let full = round::Error::TooManyClients { limit: CLIENTS, found: CLIENTS + 1 };
    assert_eq!(aggregator.commit(CLIENTS).unwrap_err(), full);
    let sum = aggregator.close().unwrap().for_server().unwrap();
    let result = session.open(&spec, sum).unwrap();
    assert_eq!(result.participants.len(), CLIENTS as usize);
    let total = result.sums[0].tensors.as_leaf().unwrap();
    assert_eq!(total, &Tensor::U64(ArrayD::from_elem(vec![1], u64::from(CLIENTS))));
}

#[test]
fn many_threads_deliver_at_the_same_time() {
    let session = Session::new(8);
    for (round, at_once) in [(0, false), (1, true)] {
        let parameters = RoundParameters { max_clients: 40, ..session.parameters(round, bytes()) };
        let spec = RoundSpec::new(parameters).unwrap();
        let aggregator = session.aggregator(&spec);
        let aggregator = if at_once { aggregator.adding_at_once() } else { aggregator };
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (session, aggregator) = (&session, &aggregator);
                // Two threads deliver the same messages.
                scope.spawn(move || {
                    (0..20).for_each(|client| session.contribute(aggregator, client + thread / 2 * 20));
                });
            }
        });
        let sum = aggregator.close().unwrap().for_server().unwrap();
        let clients: Vec<u32> = (0..40).collect();
        assert_bytes(&session.open(&spec, sum).unwrap(), &clients, (1..=40).sum());
    }
}

/// A client sends an update only if all of it can be encoded.
#[test]
fn updates_that_do_not_fit_are_refused_at_the_client() {
    let session = Session::new(9);
    let client = session.client(0, &session.bytes(0));
    let refused = |updates: Vec<Update<'_>>| client.encode(&updates).err().unwrap();
    let good = Array1::from_elem(VALUES, 1_u8);
    let update = || Update::new(&good).unwrap();
    assert_eq!(refused(Vec::new()), round::Error::SumCount { expected: 1, found: 0 });
    assert_eq!(refused(vec![update(), update()]), round::Error::SumCount { expected: 1, found: 2 });
    assert_eq!(refused(vec![update().weighted(1)]), round::Error::WeightExpected { expected: false });
    let short = Array1::from_elem(VALUES - 1, 1_u8);
    let shape = round::Error::Tensor(tensor::Error::TensorShape {
        tensor: 0,
        expected: "u8[120]".into(),
        found: "u8[119]".into(),
    });
    assert_eq!(refused(vec![Update::new(&short).unwrap()]), shape);
    let wide = Array1::from_elem(VALUES, 1_i32);
    assert!(matches!(
        refused(vec![Update::new(&wide).unwrap()]),
        round::Error::Tensor(tensor::Error::TensorShape { .. })
    ));
    let square = Array2::from_elem((10, 12), 1_u8);
    assert!(matches!(
        refused(vec![Update::new(&square).unwrap()]),
        round::Error::Tensor(tensor::Error::TensorShape { .. })
    ));
    let pair = vec![good.clone(), good.clone()];
    let error = refused(vec![Update::new(&pair).unwrap()]);
    assert!(
        matches!(
            error,
            round::Error::Tensor(tensor::Error::TensorCount { .. } | tensor::Error::StructureMismatch { .. })
        ),
        "{error}"
    );

    let quantizer = Quantizer::symmetric(1.0, 8).unwrap();
    let range = IntegerRange::new(-3, 3).unwrap();
    let leaf = |dtype, encoding| Structure::leaf(TensorSpec::new(dtype, [4], encoding));
    let sums = vec![
        SumSpec::new(leaf(DType::F64, Encoding::Mean(quantizer))).weighted(10),
        SumSpec::new(Structure::named([("a", leaf(DType::I8, Encoding::Integers(range)))]).unwrap()),
    ];
    let spec = RoundSpec::new(session.parameters(0, sums)).unwrap();
    let client = session.client(0, &spec);
    let floats = ArrayD::from_elem(vec![4], 0.5_f64);
    let numbers = |last: i8| {
        let mut numbers = ArrayD::from_elem(vec![4], 3_i8);
        numbers[3] = last;
        numbers
    };
    let encode = |floats: &ArrayD<f64>, weight: Option<u32>, numbers: &ArrayD<i8>, name: &str| {
        let floats = Update::of_views(Structure::leaf(view(floats)));
        let floats = weight.map_or(floats.clone(), |weight| floats.weighted(weight));
        let numbers = Structure::named([(name, Structure::leaf(view(numbers)))]).unwrap();
        client.encode(&[floats, Update::of_views(numbers)]).map(|update| update.messages())
    };
    assert_eq!(encode(&floats, Some(10), &numbers(-3), "a"), Ok(2));
    assert_eq!(encode(&floats, Some(0), &numbers(-3), "a"), Ok(2));
    assert_eq!(encode(&floats, Some(11), &numbers(3), "a"), Err(round::Error::WeightTooLarge { max: 10 }));
    assert_eq!(encode(&floats, None, &numbers(3), "a"), Err(round::Error::WeightExpected { expected: true }));
    let source = Box::new(packing::Error::ValueOutOfRange { index: 3, min: -3, max: 3 }.into());
    let out_of_range = round::Error::Tensor(tensor::Error::Tensor { tensor: 0, source });
    assert_eq!(encode(&floats, Some(1), &numbers(4), "a"), Err(out_of_range));
    let error = encode(&floats, Some(1), &numbers(3), "b").unwrap_err();
    assert!(matches!(error, round::Error::Tensor(tensor::Error::StructureMismatch { .. })), "{error}");
    let mut bad = floats.clone();
    bad[1] = f64::NAN;
    let not_finite = round::Error::Tensor(tensor::Error::Tensor {
        tensor: 0,
        source: Box::new(packing::Error::NotFinite { index: 1 }.into()),
    });
    assert_eq!(encode(&bad, Some(1), &numbers(3), "a"), Err(not_finite));
}

/// The maximum values are summed correctly: no sum of honest clients leaves its slot.
#[test]
fn the_largest_sums_fit() {
    let session = Session::new(10);
    let range = IntegerRange::of::<i64>();
    let wide = TensorSpec::new(DType::I64, [9], Encoding::Integers(range));
    let quantizer = Quantizer::symmetric(1.0, 32).unwrap();
    let grid = TensorSpec::new(DType::F64, [9], Encoding::Mean(quantizer));
    let sums =
        vec![SumSpec::new(Structure::leaf(wide)), SumSpec::new(Structure::leaf(grid)).weighted(u32::MAX)];
    let spec = RoundSpec::new(session.parameters(0, sums)).unwrap();
    let (integers, floats) = (Array1::from_elem(9, i64::MAX), Array1::from_elem(9, 1.0_f64));
    let aggregator = session.aggregator(&spec);
    for client in 0..4 {
        let updates = vec![Update::new(&integers).unwrap(), Update::new(&floats).unwrap().weighted(u32::MAX)];
        for wire in session.send(client, &spec, &updates) {
            let _ = aggregator.accept(client, &wire).unwrap();
        }
        aggregator.commit(client).unwrap();
    }
    let sum = aggregator.close().unwrap().for_server().unwrap();
    let result = session.open(&spec, sum).unwrap();
    let expected = Tensor::I128(ArrayD::from_elem(vec![9], 4 * i128::from(i64::MAX)));
    assert_eq!(result.sums[0].tensors.as_leaf().unwrap(), &expected);
    assert_eq!(result.sums[1].total_weight, 4 * u64::from(u32::MAX));
    let mean = result.sums[1].tensors.as_leaf().unwrap().clone().into_array::<f64>().unwrap();
    assert!(mean.iter().all(|x| (x - 1.0).abs() <= quantizer.error_bound()));
}
