//! A key holder separate from the server: the same sums, and a view that reveals nothing about
//! them.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use cipherfold::{
    backend::BackendChoice,
    federated::{
        Digest, Error, KeyHolding, LocalExecutorBuilder, Party,
        PlacementKind::{self, Aggregator, Clients, KeyHolder, Server},
        SessionId,
        channel::{self, BoxChannel, ChannelGrid, HpkeChannel, PlaintextChannel},
        report::Phase,
        round::{
            self, Client, KeyOwner, RoundParameters, RoundSpec, Server as RoundServer, SessionParameters,
            SumSpec, TensorSpec,
        },
        tensor::{DType, Encoding, Structure},
    },
    packing::{IntegerRange, Quantizer},
    paillier::Plaintext,
};
use ndarray::{Array1, array};

use crate::support::{Choices, Executor, Key, Sent, Spy, builder, ciphertexts, rng, spied_grid};

fn with_key_holder() -> LocalExecutorBuilder<Key> {
    builder().key_holding(KeyHolding::KeyHolder)
}

/// An executor, and all that the key holder receives and sends.
fn observed(seed: u64) -> (Executor, Arc<Spy>) {
    let spy = Spy::on(BoxChannel::new());
    let grid = ChannelGrid::default().with(Server, KeyHolder, Arc::<Spy>::clone(&spy)).unwrap();
    (with_key_holder().channels(grid).rng(rng(seed)).build().unwrap(), spy)
}

#[test]
fn sums_and_means_are_those_of_the_default_protocol() {
    let mut choices = Choices::new(1);
    let quantizer = Quantizer::symmetric(1.0, 16).unwrap().stochastic();
    for case in 0..10 {
        let (clients, len) = (choices.between(2, 6), choices.between(0, 100));
        let chunk = choices.between(1, 4);
        let updates: Vec<(u32, Array1<f64>)> =
            (0..clients).map(|i| (i as u32 + 1, Array1::from_shape_fn(len, |_| choices.unit()))).collect();
        let integers: Vec<Array1<i16>> =
            updates.iter().map(|(_, x)| x.mapv(|x| (x * 999.0) as i16)).collect();
        let run = |builder: LocalExecutorBuilder<Key>| {
            let executor = builder.chunk_ciphertexts(chunk).rng(rng(case)).build().unwrap();
            let sum = executor.secure_sum(&integers, IntegerRange::of::<i16>()).unwrap().value;
            (sum, executor.secure_weighted_mean(updates.clone(), 9, quantizer).unwrap().value)
        };
        assert_eq!(run(builder()), run(with_key_holder()), "case {case}");
    }
}

#[test]
fn keys_are_at_the_key_holder_and_nowhere_else() {
    let executor = with_key_holder().build().unwrap();
    assert!(executor.secret_key().unwrap().is_none());
    let fingerprint = executor.public_key().unwrap().fingerprint();
    let key = executor.key_holder_secret_key().unwrap().unwrap();
    executor.run_at(|here| assert_eq!(key.get(here).public_key().fingerprint(), fingerprint));
    let executor = builder().build().unwrap();
    assert!(executor.key_holder_secret_key().unwrap().is_none() && executor.secret_key().unwrap().is_some());
}

#[test]
fn messages_follow_the_protocol() {
    let executor = with_key_holder().chunk_ciphertexts(2).build().unwrap();
    for round in 0..2 {
        let report = executor
            .secure_sum(&vec![Array1::<u8>::ones(300); 3], IntegerRange::of::<u8>())
            .unwrap()
            .report()
            .clone();
        let chunks = report.ciphertexts.div_ceil(2);
        let messages = |from, to| report.traffic(from, to).map_or(0, |traffic| traffic.messages);
        let keys = 1 - round; // once a session
        assert_eq!(messages(KeyHolder, Clients), 3 * keys);
        assert_eq!(messages(KeyHolder, Aggregator), keys);
        assert_eq!(messages(Clients, Aggregator), 3 * chunks);
        assert_eq!(messages(Aggregator, Server), chunks);
        assert_eq!(messages(Server, KeyHolder), chunks);
        assert_eq!(messages(KeyHolder, Server), chunks + keys);
        assert_eq!(messages(Server, Clients) + messages(Server, Aggregator), 0);
        assert_eq!(report.traffic(Server, KeyHolder).unwrap().channel, "hpke");
        assert_eq!(report.operations.decryptions, report.ciphertexts);
        assert!(report.time_at(KeyHolder) >= report.time(Phase::Decryption));
        assert!(!report.time(Phase::Masking).is_zero());
    }
}

#[test]
fn a_missing_channel_to_the_key_holder_is_found_before_any_work() {
    for (a, b) in [(Server, KeyHolder), (Clients, KeyHolder), (Aggregator, KeyHolder)] {
        let grid = ChannelGrid::default().without(a, b).unwrap();
        let executor = with_key_holder().channels(grid.clone()).build().unwrap();
        let asked = AtomicUsize::new(0);
        let clients = [array![1_u8], array![2]];
        let clients = clients.iter().inspect(|_| _ = asked.fetch_add(1, Ordering::Relaxed));
        let error = executor.secure_sum(clients, IntegerRange::of::<u8>()).unwrap_err();
        let other = if a == KeyHolder { b } else { a };
        assert_eq!(error, Error::Channel(channel::Error::MissingChannel { from: KeyHolder, to: other }));
        assert_eq!(asked.into_inner(), 0);
        // The default protocol has no use for it.
        let executor = builder().channels(grid).build().unwrap();
        let sum = executor.secure_sum([array![1_u8], array![2]], IntegerRange::of::<u8>()).unwrap();
        assert_eq!(sum.value, array![3_u64]);
    }
}

/// The three channels on which the key holder could read a sum or an update if they were open.
const CONFIDENTIAL: [(PlacementKind, PlacementKind); 3] =
    [(Clients, Aggregator), (Aggregator, Server), (Server, KeyHolder)];

#[test]
fn a_grid_with_an_open_channel_is_refused_before_any_work() {
    for (from, to) in CONFIDENTIAL {
        let grid = ChannelGrid::default().with(to, from, Arc::new(PlaintextChannel::new())).unwrap();
        let executor = with_key_holder().channels(grid.clone()).build().unwrap();
        let asked = AtomicUsize::new(0);
        let clients = [array![1_u8], array![2]];
        let clients = clients.iter().inspect(|_| _ = asked.fetch_add(1, Ordering::Relaxed));
        let error = executor.secure_sum(clients, IntegerRange::of::<u8>()).unwrap_err();
        assert_eq!(error, Error::Channel(channel::Error::OpenChannel { from, to }));
        assert_eq!(asked.into_inner(), 0);
        // Without a key holder, the caller may choose them.
        let executor = builder().channels(grid).build().unwrap();
        let sum = executor.secure_sum([array![1_u8], array![2]], IntegerRange::of::<u8>()).unwrap();
        assert_eq!(sum.value, array![3_u64]);
        // Boxes of either kind are enough.
        let grid = ChannelGrid::default().with(from, to, Arc::new(BoxChannel::new())).unwrap();
        let executor = with_key_holder().channels(grid).build().unwrap();
        let sum = executor.secure_sum([array![1_u8], array![2]], IntegerRange::of::<u8>()).unwrap();
        assert_eq!(sum.value, array![3_u64]);
    }
}

#[test]
fn roles_refuse_open_channels_if_a_key_holder_has_the_key() {
    let session = SessionId::from_bytes([1; 16]);
    let roles = |key_holding| {
        let parameters = SessionParameters {
            session,
            key_bits: 512,
            key_holding,
            roster: Digest::NONE,
            backend: BackendChoice::Auto,
        };
        let owner = KeyOwner::generate(parameters, &mut rng(1)).unwrap();
        let encoding = Encoding::Integers(IntegerRange::of::<u8>());
        let tensor = Structure::leaf(TensorSpec::new(DType::U8, [3], encoding));
        let spec = RoundSpec::new(RoundParameters {
            session,
            round: 0,
            key_bits: 512,
            key_holding,
            offer: owner.offer().digest(),
            sums: vec![SumSpec::new(tensor)],
            max_clients: 3,
            min_clients: 2,
            chunk_ciphertexts: 1,
        });
        (owner, spec.unwrap())
    };
    let open = || Arc::new(PlaintextChannel::new());
    let boxed = || Arc::new(HpkeChannel::new());
    let refused = |(from, to)| Some(round::Error::Channel(channel::Error::OpenChannel { from, to }));
    let [contributions, sums, masked] = CONFIDENTIAL;

    let (owner, spec) = roles(KeyHolding::KeyHolder);
    let key = owner.encryption_key();
    assert_eq!(Client::new(0, &spec, key, open()).err(), refused(contributions));
    assert!(Client::new(0, &spec, key, boxed()).is_ok());
    assert_eq!(RoundServer::with_key_holder(&spec, key, open(), boxed()).err(), refused(sums));
    assert_eq!(RoundServer::with_key_holder(&spec, key, boxed(), open()).err(), refused(masked));
    assert!(RoundServer::with_key_holder(&spec, key, boxed(), boxed()).is_ok());

    let (owner, spec) = roles(KeyHolding::Server);
    assert!(Client::new(0, &spec, owner.encryption_key(), open()).is_ok());
    assert!(RoundServer::new(&spec, &owner, open()).is_ok());
}

/// A key holder that records the channel from aggregator to server sees no part of the sum, which
/// it could open.
#[test]
fn a_listener_between_aggregator_and_server_learns_nothing() {
    let aggregators_message = |holding, tap: Arc<Spy>| {
        let grid = ChannelGrid::default().with(Aggregator, Server, Arc::<Spy>::clone(&tap) as _).unwrap();
        let executor = builder().key_holding(holding).channels(grid).rng(rng(5)).build().unwrap();
        let updates = [array![1_u8, 2, 3], array![10, 20, 30]];
        let _ = executor.secure_sum(updates, IntegerRange::of::<u8>()).unwrap();
        let log = tap.log();
        log.into_iter().find(|sent| sent.envelope.from == Party::Aggregator).unwrap()
    };
    // Every run of 16 bytes of the sum, anywhere in the message.
    let parts_seen = |sent: &Sent| {
        let seen: BTreeSet<_> = sent.wire.windows(16).collect();
        (sent.payload.windows(16).filter(|part| seen.contains(part)).count(), sent.payload.len() - 15)
    };
    let sent = aggregators_message(KeyHolding::KeyHolder, Spy::on(HpkeChannel::new()));
    let (seen, all) = parts_seen(&sent);
    assert!(seen == 0 && all > 100, "{seen} of {all}");
    // On an open channel, which only the default protocol allows, the same recording shows all of
    // it.
    let (seen, all) = parts_seen(&aggregators_message(KeyHolding::Server, Spy::on(PlaintextChannel::new())));
    assert_eq!(seen, all);
}

/// For every sum, the key holder decrypts numbers that are uniform modulo n. For a sum of zeros and
/// for the maximum sum, the counts of every bit, and of every pair of neighbouring bits, are equal
/// within statistical bounds.
#[test]
fn the_key_holders_view_does_not_depend_on_the_sum() {
    const ROUNDS: usize = 1500;
    let views = [0_u8, 255].map(|value| {
        let (executor, spy) = observed(7);
        let update = Array1::from_elem(50, value); // one ciphertext, full slots
        for _ in 0..ROUNDS {
            let sum = executor.secure_sum([&update, &update], IntegerRange::of::<u8>()).unwrap();
            assert_eq!(sum.report().ciphertexts, 1);
            assert_eq!(sum.value[0], 2 * u64::from(value));
        }
        let log = spy.log();
        let masked = log.iter().filter(|sent| sent.envelope.from == Party::KeyHolder);
        // Its own public key message comes first.
        let totals: Vec<Vec<u8>> = masked.skip(1).map(|sent| sent.payload.clone()).collect();
        assert_eq!(totals.len(), ROUNDS);
        assert!(totals.iter().all(|total| total.len() == 64), "one integer modulo n each");
        for sent in log.iter().filter(|sent| sent.envelope.from == Party::Server) {
            assert_eq!(ciphertexts(&sent.payload).len(), 1);
        }
        totals
    });
    // Five standard deviations of a binomial distribution; the top bits of numbers below n are not
    // balanced.
    let bound = 5.0 * (ROUNDS as f64 / 4.0).sqrt();
    for bit in 8..512 {
        let counts = views
            .each_ref()
            .map(|view| view.iter().filter(|total| total[bit / 8] >> (7 - bit % 8) & 1 == 1).count() as f64);
        for count in counts {
            assert!((count - ROUNDS as f64 / 2.0).abs() < bound, "bit {bit}: {count}");
        }
    }
    // All views differ: pads are used once.
    let mut all: Vec<_> = views.concat();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 2 * ROUNDS);
}

/// Without the pads the view is not the sum: no total that the key holder sees decodes to it.
#[test]
fn views_of_the_key_holder_are_not_the_sum() {
    let (executor, spy) = observed(3);
    let sum = executor.secure_sum([array![1_u8, 2], array![3, 4]], IntegerRange::of::<u8>()).unwrap();
    assert_eq!(sum.value, array![4_u64, 6]);
    let last = spy.log().pop().unwrap();
    let total = Plaintext::<Key>::from_be_bytes(&last.payload).unwrap();
    assert!(total.to_u128().is_none(), "two slots of ten bits would be a small number");
}

#[test]
fn all_channels_of_the_default_grid_can_be_recorded() {
    // The grid of the other tests has no channel to the key holder: the error names the channel.
    let (grid, _) = spied_grid();
    let executor = with_key_holder().channels(grid).build().unwrap();
    let error = executor.secure_sum([array![1_u8], array![2]], IntegerRange::of::<u8>()).unwrap_err();
    assert_eq!(error, Error::Channel(channel::Error::MissingChannel { from: KeyHolder, to: Clients }));
}
