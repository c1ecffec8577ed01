//! The sum is the same over all channels. Without a channel there is no sum.

use std::sync::Arc;

use cipherfold::{
    federated::{
        Error, Party,
        PlacementKind::{self, Aggregator, Clients, Server},
        channel::{self, BoxChannel, BoxSecretKey, Channel, ChannelGrid, HpkeChannel, PlaintextChannel},
    },
    packing::IntegerRange,
};
use ndarray::{Array1, array};

use crate::support::{Executor, Spy, builder, contributions_through, rng};

fn sum(executor: &Executor) -> cipherfold::federated::Result<Array1<i64>> {
    let clients = [array![1_i16, -2, 300], array![40, 5, -6], array![-7, 80, 9]];
    executor.secure_sum(&clients, IntegerRange::signed_bits(12).unwrap()).map(|sum| sum.value)
}

const PAIRS: [(PlacementKind, PlacementKind); 3] =
    [(Clients, Aggregator), (Clients, Server), (Server, Aggregator)];

#[test]
fn the_sum_is_the_same_over_any_channels() {
    for boxed in 0..16 {
        let mut grid = ChannelGrid::empty();
        for (i, (a, b)) in PAIRS.into_iter().enumerate() {
            let channel: Arc<dyn Channel> = match (boxed >> i & 1 == 1, boxed & 8 == 0) {
                (true, true) => Arc::new(BoxChannel::new()),
                (true, false) => Arc::new(HpkeChannel::new()),
                (false, _) => Arc::new(PlaintextChannel::new()),
            };
            grid = grid.with(a, b, channel).unwrap();
        }
        let executor = builder().channels(grid).chunk_ciphertexts(1).build().unwrap();
        for _ in 0..2 {
            assert_eq!(sum(&executor).unwrap(), array![34, 83, 303], "boxed: {boxed:04b}");
        }
    }
}

#[test]
fn one_channel_may_join_all_pairs() {
    let channels: [Arc<dyn Channel>; 3] =
        [Arc::new(HpkeChannel::new()), Arc::new(BoxChannel::new()), Arc::new(PlaintextChannel::new())];
    for channel in channels {
        let grid = PAIRS
            .into_iter()
            .fold(ChannelGrid::empty(), |grid, (a, b)| grid.with(a, b, Arc::clone(&channel)).unwrap());
        let executor = builder().channels(grid.clone()).build().unwrap();
        assert_eq!(sum(&executor).unwrap(), array![34, 83, 303]);
        let report = executor
            .secure_sum([array![1_u8], array![2]], IntegerRange::of::<u8>())
            .unwrap()
            .report()
            .clone();
        assert_eq!(report.channel_setup_bytes, channel.setup_bytes(), "counted once");
        // Another session over the same channel.
        let executor = builder().channels(grid).build().unwrap();
        assert_eq!(sum(&executor).unwrap(), array![34, 83, 303]);
    }
}

#[test]
fn a_missing_channel_is_noticed_before_any_client_works() {
    for (a, b) in PAIRS {
        let grid = ChannelGrid::default().without(a, b).unwrap();
        let executor = builder().channels(grid).build().unwrap();
        let mut asked = 0;
        let clients = (0..3).map(|_| {
            asked += 1;
            array![1_u8]
        });
        let error = executor.secure_sum(clients, IntegerRange::of::<u8>()).unwrap_err();
        let Error::Channel(channel::Error::MissingChannel { from, to }) = error else { panic!("{error}") };
        assert_eq!((from.min(to), from.max(to)), (a.min(b), a.max(b)));
        assert_eq!(asked, 0, "{a} and {b}");
    }
}

#[test]
fn an_imported_key_opens_its_boxes_elsewhere() {
    let key = || BoxSecretKey::from_bytes([7; 32]);
    let channel = Spy::on(BoxChannel::new().with_key(Party::Aggregator, key()));
    let executor = builder().channels(contributions_through(Arc::<Spy>::clone(&channel))).build().unwrap();
    sum(&executor).unwrap();
    let log = channel.log();
    assert_eq!(log.len(), 3);

    // An aggregator elsewhere that has the same key; it learns the clients' public keys from them.
    // Here each client's is imported, too, and the ends open each other's boxes.
    let client = |i: u8| BoxSecretKey::from_bytes([i + 1; 32]);
    let here = (0..3_u8)
        .fold(BoxChannel::new().with_peer(Party::Aggregator, key().public_key()), |channel, i| {
            channel.with_key(Party::Client(i.into()), client(i))
        });
    let there = (0..3_u8).fold(BoxChannel::new().with_key(Party::Aggregator, key()), |channel, i| {
        channel.with_peer(Party::Client(i.into()), client(i).public_key())
    });
    for sent in &log {
        let wire = here.seal(&sent.envelope, &sent.payload, &mut rng(3)).unwrap();
        assert_eq!(wire.len(), sent.wire.len());
        assert_eq!(there.open_expected(&sent.envelope, &wire).unwrap().as_slice(), sent.payload);
        // Under another key nothing opens, in either direction.
        let error = there.open_expected(&sent.envelope, &sent.wire).unwrap_err();
        assert_eq!(error, channel::Error::BoxOpen { from: sent.envelope.from, to: Party::Aggregator });
    }
}

#[test]
fn a_client_whose_box_key_is_elsewhere_cannot_be_simulated() {
    let elsewhere = BoxSecretKey::from_bytes([9; 32]).public_key();
    let channel = Arc::new(BoxChannel::new().with_peer(Party::Client(1), elsewhere));
    let executor =
        builder().channels(contributions_through(channel)).max_concurrent_clients(1).build().unwrap();
    let source = Box::new(Error::Channel(channel::Error::MissingSecretKey { party: Party::Client(1) }));
    assert_eq!(sum(&executor).unwrap_err(), Error::Client { client: 1, source });
}

#[test]
fn imported_keys_are_used_by_all_parties() {
    let channel = (0..3).fold(BoxChannel::new(), |channel, i| {
        channel.with_key(Party::Client(i), BoxSecretKey::from_bytes([i as u8 + 1; 32]))
    });
    let channel = Arc::new(channel.with_key(Party::Aggregator, BoxSecretKey::from_bytes([99; 32])));
    let executor = builder().channels(contributions_through(Arc::clone(&channel) as _)).build().unwrap();
    assert_eq!(sum(&executor).unwrap(), array![34, 83, 303]);
    for i in 0..3 {
        let expected = BoxSecretKey::from_bytes([i as u8 + 1; 32]).public_key();
        assert_eq!(channel.public_key(Party::Client(i)), Some(expected));
    }
    assert_eq!(channel.setup_bytes(), 3 * 64);
}
