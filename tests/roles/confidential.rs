//! Open channels: every role refuses them if a key holder has the secret key.

use std::sync::Arc;

use cipherfold::federated::{
    PlacementKind,
    channel::{self, Channel, PlaintextChannel},
    round::{self, Aggregator, Client, KeyHolder, Server},
};

use super::support::{MESSAGES, Session, assert_bytes, rng};

/// An open channel that declares itself open.
fn open_channel() -> Arc<dyn Channel> {
    Arc::new(PlaintextChannel::new())
}

fn refused<T>(result: Result<T, round::Error>, from: PlacementKind, to: PlacementKind) {
    assert_eq!(result.err(), Some(round::Error::Channel(channel::Error::OpenChannel { from, to })));
}

#[test]
fn with_a_key_holder_every_role_refuses_an_open_channel() {
    use PlacementKind::{Aggregator as AtAggregator, Clients, KeyHolder as AtHolder, Server as AtServer};
    let session = Session::with_key_holder(1);
    let (spec, key, mut rng) = (session.bytes(0), session.key(), rng(1));
    let boxed = || Arc::clone(&session.channel);

    // Clients to aggregator: both ends.
    refused(Client::new(0, &spec, key, open_channel()), Clients, AtAggregator);
    refused(Aggregator::new(&spec, key, open_channel()), Clients, AtAggregator);
    refused(Aggregator::for_messages(&spec, key, open_channel(), 1..2), Clients, AtAggregator);
    let state = session.aggregator(&spec).to_bytes().unwrap();
    refused(Aggregator::from_bytes(&spec, key, open_channel(), &state), Clients, AtAggregator);
    assert!(Aggregator::from_bytes(&spec, key, boxed(), &state).is_ok());

    // Aggregator to server: both ends. The message is not used up.
    let mut sum = session.closed(&spec, &[0, 1]);
    for number in 0..MESSAGES {
        refused(sum.message(number, &*open_channel(), &mut rng), AtAggregator, AtServer);
    }
    let wires = session.for_server(sum, 1);
    refused(Server::with_key_holder(&spec, key, open_channel(), boxed()), AtAggregator, AtServer);

    // Server to key holder: both ends.
    refused(Server::with_key_holder(&spec, key, boxed(), open_channel()), AtServer, AtHolder);
    let mut server = session.server(&spec);
    let question = server.mask(&wires[0], &mut rng).unwrap();
    let holder = KeyHolder::new(&session.owner, open_channel());
    refused(holder.decrypt_masked(&spec, &question, &mut rng), AtServer, AtHolder);
    assert!(session.key_holder().decrypt_masked(&spec, &question, &mut rng).is_ok());
}

/// If the server has the key, the caller chooses.
#[test]
fn without_a_key_holder_open_channels_are_allowed() {
    let mut session = Session::new(2);
    session.channel = open_channel();
    let spec = session.bytes(0);
    let sum = session.closed(&spec, &[0, 1]);
    assert_bytes(&session.open(&spec, sum).unwrap(), &[0, 1], 3);
}
