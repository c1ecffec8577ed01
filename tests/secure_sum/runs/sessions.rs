//! Sessions: each has its own key pair, and messages of one session are refused in another.

use std::sync::{Arc, Mutex};

use cipherfold::{
    federated::{
        Error, KeyHolding, Party,
        PlacementKind::{Aggregator, Server},
        channel::{self, BoxChannel, ChannelGrid, EnvelopeMismatch, PlaintextChannel},
        round,
    },
    packing::IntegerRange,
    paillier,
};
use ndarray::array;

use crate::support::{
    EncryptedSum, Key, Sent, Spy, builder, ciphertexts, contributions_through, failed_round, rng,
};

fn range() -> IntegerRange {
    IntegerRange::of::<u8>()
}

#[test]
fn rotation_makes_another_session_with_another_key() {
    for holding in [KeyHolding::Server, KeyHolding::KeyHolder] {
        let mut executor = builder().key_holding(holding).rng(rng(1)).build().unwrap();
        let mut seen = Vec::new();
        for round in 0..3 {
            for inner in 0..2 {
                let sum = executor.secure_sum([array![1_u8], array![2]], range()).unwrap();
                assert_eq!(sum.value, array![3_u64]);
                assert_eq!(
                    sum.report().round,
                    2 * round + inner,
                    "rounds are counted over the executor's life"
                );
                assert_eq!(sum.report().session, executor.session());
            }
            seen.push((executor.session(), executor.public_key().unwrap().fingerprint()));
            executor.rotate_keys();
        }
        for (i, (session, key)) in seen.iter().enumerate() {
            assert!(seen[..i].iter().all(|(other, other_key)| session != other && key != other_key));
        }
    }
}

#[test]
fn a_supplied_key_serves_the_first_session_only() {
    let key = paillier::SecretKey::<Key>::generate(&mut rng(2)).unwrap();
    let fingerprint = key.public_key().fingerprint();
    let mut executor = builder().secret_key(key).build().unwrap();
    assert_eq!(executor.public_key().unwrap().fingerprint(), fingerprint);
    executor.rotate_keys();
    assert_ne!(executor.public_key().unwrap().fingerprint(), fingerprint);
}

/// A relay that delivers a client's first message in place of all later ones.
#[test]
fn messages_of_another_session_are_refused_and_named() {
    let first: Mutex<Option<Sent>> = Mutex::default();
    let channel = Spy::with_relay(BoxChannel::new(), move |sent| {
        let mut first = first.lock().unwrap();
        if sent.envelope.from == Party::Client(0) {
            first.get_or_insert_with(|| sent.clone()).wire.clone()
        } else {
            sent.wire.clone()
        }
    });
    let mut executor = builder().channels(contributions_through(channel)).build().unwrap();
    let _ = executor.secure_sum([array![1_u8], array![2]], range()).unwrap();
    let old = executor.session();
    executor.rotate_keys();
    let error = executor.secure_sum([array![1_u8], array![2]], range()).unwrap_err();
    let mismatch = EnvelopeMismatch::Session { expected: executor.session(), found: old };
    assert_eq!(
        error,
        Error::Client {
            client: 0,
            source: Box::new(Error::Channel(channel::Error::WrongEnvelope { mismatch }))
        }
    );
}

/// A client that puts a ciphertext of the old key into a message of the new session.
#[test]
fn ciphertexts_of_another_session_are_refused_and_named() {
    let log: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let remembered = Arc::clone(&log);
    let inner = PlaintextChannel::new();
    let channel = Spy::with_relay(inner, move |sent| {
        let mut log = remembered.lock().unwrap();
        log.push(sent.payload.clone());
        let header = sent.wire.len() - sent.payload.len();
        // The payload of the first message, after the right envelope.
        if sent.envelope.from == Party::Client(0) {
            [&sent.wire[..header], &log[0]].concat()
        } else {
            sent.wire.clone()
        }
    });
    let mut executor =
        builder().channels(contributions_through(channel)).max_concurrent_clients(1).build().unwrap();
    let _ = executor.secure_sum([array![1_u8], array![2]], range()).unwrap();
    let old = executor.public_key().unwrap().fingerprint();
    executor.rotate_keys();
    let error = executor.secure_sum([array![1_u8], array![2]], range()).unwrap_err();
    let mismatch = Error::Paillier(paillier::Error::KeyMismatch {
        expected: executor.public_key().unwrap().fingerprint(),
        found: old,
    });
    assert_eq!(error, Error::Client { client: 0, source: Box::new(mismatch) });
    assert_eq!(ciphertexts(&log.lock().unwrap()[0]).len(), 1);
}

/// An aggregator that announces a client that has not contributed. A mean would be divided by two.
#[test]
fn a_sum_of_another_number_of_clients_is_refused() {
    let channel = Spy::with_relay(PlaintextChannel::new(), |sent| {
        if sent.envelope.from != Party::Aggregator {
            return sent.wire.clone();
        }
        let mut sum = EncryptedSum::from_bytes(&sent.payload);
        assert!(sum.clients.insert(1));
        [&sent.envelope.to_bytes()[..], &sum.to_bytes()].concat()
    });
    let grid = ChannelGrid::default().with(Aggregator, Server, channel).unwrap();
    let executor = builder().channels(grid).min_clients(1).build().unwrap();
    let error = executor.secure_sum([Some(array![1_u8]), None], range()).unwrap_err();
    let (report, error) = failed_round(error);
    assert_eq!(error, Error::Round(round::Error::Participants));
    assert_eq!((report.clients, report.absent[0].client), (1, 1));
}
