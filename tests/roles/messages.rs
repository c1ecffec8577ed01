//! Messages that are reordered, repeated, late, replaced, truncated or altered, on all channels.

use cipherfold::{
    federated::{
        KeyHolding, Party,
        channel::{self, Envelope, EnvelopeMismatch},
        round,
    },
    paillier,
};

use super::support::{MESSAGES, Session, assert_bytes, rng, shuffle};

#[test]
fn any_order_and_any_repetition_gives_the_same_sum() {
    for seed in 0..6 {
        let session = if seed % 2 == 0 { Session::new(seed) } else { Session::with_key_holder(seed) };
        let spec = session.bytes(seed);
        // Client to aggregator: everything three times, in any order.
        let aggregator = session.aggregator(&spec);
        let mut sent: Vec<_> = [0, 1, 2]
            .into_iter()
            .flat_map(|client| {
                session.send_bytes(client, &spec, client as u8 + 1).into_iter().map(move |m| (client, m))
            })
            .collect();
        sent = [sent.clone(), sent.clone(), sent].concat();
        shuffle(&mut sent, seed);
        let mut seen = Vec::new();
        for message in &sent {
            let repeated = seen.contains(message);
            seen.push(message.clone());
            let receipt = aggregator.accept(message.0, &message.1).unwrap();
            assert_eq!(receipt.repeated, repeated);
            let of_client = |(client, wire): &(u32, Vec<u8>)| (*client == message.0).then_some(wire.clone());
            let arrived: std::collections::BTreeSet<_> = seen.iter().filter_map(of_client).collect();
            assert_eq!(receipt.missing, MESSAGES - arrived.len() as u64);
            if receipt.missing == 0 {
                aggregator.commit(message.0).unwrap();
            }
        }
        // Aggregator to server, server to key holder and back: the same.
        let mut to_server = session.for_server(aggregator.close().unwrap().for_server().unwrap(), seed);
        to_server = [to_server.clone(), to_server].concat();
        shuffle(&mut to_server, seed);
        let mut server = session.server(&spec);
        if session.owner.offer().key_holding() == KeyHolding::Server {
            for wire in to_server {
                server.open(&wire).unwrap();
            }
        } else {
            let (holder, mut rng) = (session.key_holder(), rng(seed));
            let mut questions: Vec<_> =
                to_server.iter().map(|wire| server.mask(wire, &mut rng).unwrap()).collect();
            shuffle(&mut questions, seed + 1);
            let mut answers: Vec<_> =
                questions.iter().map(|wire| holder.decrypt_masked(&spec, wire, &mut rng).unwrap()).collect();
            shuffle(&mut answers, seed + 2);
            let (mut accepted, mut refused) = (0, 0);
            for wire in answers {
                match server.unmask(&wire) {
                    Ok(()) => accepted += 1,
                    Err(round::Error::MessageNumber { messages: MESSAGES, .. }) => refused += 1, // answered already
                    Err(error) => panic!("{error}"),
                }
            }
            assert_eq!((accepted, refused), (MESSAGES, MESSAGES));
        }
        assert_eq!(server.missing(), 0);
        assert_bytes(&server.finish().unwrap(), &[0, 1, 2], 6);
    }
}

/// Two valid messages with the same number: the first one counts.
#[test]
fn a_second_message_in_the_place_of_the_first_is_refused() {
    let session = Session::new(10);
    let spec = session.bytes(0);
    let aggregator = session.aggregator(&spec);
    let (first, second) = (session.send_bytes(1, &spec, 10), session.send_bytes(1, &spec, 200));
    let conflict = |from, number| round::Error::ConflictingMessage { from, number };
    for (number, (first, second)) in (0..).zip(first.iter().zip(&second)) {
        let _ = aggregator.accept(1, first).unwrap();
        assert_eq!(aggregator.accept(1, second).unwrap_err(), conflict(Party::Client(1), number));
        assert!(aggregator.accept(1, first).unwrap().repeated);
    }
    aggregator.commit(1).unwrap();
    // The same after the client's commit.
    assert_eq!(aggregator.accept(1, &second[2]).unwrap_err(), conflict(Party::Client(1), 2));
    assert!(aggregator.accept(1, &first[2]).unwrap().repeated);
    session.contribute(&aggregator, 0);
    let sum = aggregator.close().unwrap().for_server().unwrap();

    // Another sum for the server: over other values of the same clients.
    let to_server = session.for_server(sum, 1);
    let others = session.for_server(session.closed(&spec, &[0, 1]), 2);
    let mut server = session.server(&spec);
    server.open(&to_server[1]).unwrap();
    assert_eq!(server.open(&others[1]).unwrap_err(), conflict(Party::Aggregator, 1));
    server.open(&to_server[1]).unwrap();
    server.open(&to_server[0]).unwrap();
    server.open(&to_server[2]).unwrap();
    assert_bytes(&server.finish().unwrap(), &[0, 1], 11);
}

#[test]
fn a_second_message_between_server_and_key_holder_is_refused() {
    let session = Session::with_key_holder(11);
    let (spec, holder, mut rng) = (session.bytes(3), session.key_holder(), rng(1));
    let to_server = session.for_server(session.closed(&spec, &[0, 1]), 1);
    let others = session.for_server(session.closed(&spec, &[0, 1]), 2);
    let (mut server, mut other_server) = (session.server(&spec), session.server(&spec));
    let question = server.mask(&to_server[0], &mut rng).unwrap();
    assert_eq!(
        server.mask(&others[0], &mut rng).unwrap_err(),
        round::Error::ConflictingMessage { from: Party::Aggregator, number: 0 }
    );
    assert_eq!(server.mask(&to_server[0], &mut rng).unwrap(), question, "the same mask");
    let answer = holder.decrypt_masked(&spec, &question, &mut rng).unwrap();
    // For the key holder, the same sum with another mask looks like another sum.
    let other = other_server.mask(&to_server[0], &mut rng).unwrap();
    assert_ne!(other, question);
    let refused = holder.decrypt_masked(&spec, &other, &mut rng).unwrap_err();
    assert_eq!(refused, round::Error::AlreadyOpened { round: 3 });
    // An answer without a request.
    let unasked = round::Error::MessageNumber { number: 0, messages: MESSAGES };
    assert_eq!(session.server(&spec).unmask(&answer).unwrap_err(), unasked);
    server.unmask(&answer).unwrap();
    assert_eq!(server.unmask(&answer).unwrap_err(), unasked);
    assert_eq!(server.mask(&to_server[0], &mut rng).unwrap_err(), unasked, "answered already");
    assert_eq!(server.missing(), MESSAGES - 1);
    assert_eq!(server.finish().unwrap_err(), round::Error::MissingPart { number: 1 });
}

#[test]
fn late_messages_belong_to_a_finished_round() {
    let session = Session::new(12);
    let (first, second) = (session.bytes(0), session.bytes(1));
    let late = session.send_bytes(3, &first, 9);
    let sum = session.closed(&first, &[0, 1]);
    assert_eq!(sum.participants(), [0, 1]);
    assert_bytes(&session.open(&first, sum).unwrap(), &[0, 1], 3);
    // The aggregator of the first round no longer exists. That of the second round refuses the
    // message and names the round.
    let aggregator = session.aggregator(&second);
    let mismatch = EnvelopeMismatch::Round { expected: 1, found: 0 };
    for wire in &late {
        assert_eq!(
            aggregator.accept(3, wire).unwrap_err(),
            round::Error::Channel(channel::Error::WrongEnvelope { mismatch })
        );
    }
    assert_eq!(
        aggregator.commit(3).unwrap_err(),
        round::Error::IncompleteUpdate { client: 3, missing: MESSAGES }
    );

    // The same for the sum, and for the key holder's messages.
    let to_server = session.for_server(session.closed(&first, &[0, 1]), 1);
    assert_eq!(
        session.server(&second).open(&to_server[0]).unwrap_err(),
        round::Error::Channel(channel::Error::WrongEnvelope { mismatch })
    );
    let session = Session::with_key_holder(12);
    let (first, second, mut rng) = (session.bytes(0), session.bytes(1), rng(1));
    let (mut server, mut next, holder) =
        (session.server(&first), session.server(&second), session.key_holder());
    let to_server = session.for_server(session.closed(&first, &[0, 1]), 1);
    assert_eq!(
        next.mask(&to_server[0], &mut rng).unwrap_err(),
        round::Error::Channel(channel::Error::WrongEnvelope { mismatch })
    );
    let question = server.mask(&to_server[0], &mut rng).unwrap();
    let refused = holder.decrypt_masked(&second, &question, &mut rng).unwrap_err();
    assert_eq!(refused, round::Error::Channel(channel::Error::WrongEnvelope { mismatch }));
    let answer = holder.decrypt_masked(&first, &question, &mut rng).unwrap();
    assert_eq!(
        next.unmask(&answer).unwrap_err(),
        round::Error::Channel(channel::Error::WrongEnvelope { mismatch })
    );
}

/// Messages in the clear with a change at any position: refused, without an effect.
#[test]
fn a_message_that_is_refused_changes_nothing() {
    let session = Session::in_the_open(13, KeyHolding::Server);
    let spec = session.bytes(0);
    let aggregator = session.aggregator(&spec);
    let sent = session.send_bytes(0, &spec, 1);
    for number in [0, 1, 2] {
        let wire = &sent[number];
        for cut in [0, 1, Envelope::ENCODED_LEN - 1, Envelope::ENCODED_LEN, wire.len() - 1] {
            assert!(aggregator.accept(0, &wire[..cut]).is_err(), "{cut} bytes");
        }
        for byte in 0..Envelope::ENCODED_LEN {
            let mut altered = wire.clone();
            altered[byte] ^= 1;
            // Bytes 25 to 32 are the message's number. With another valid number, the message is
            // another one of this client's messages, and a plaintext channel cannot detect the
            // change.
            let other_number = byte == 32 && altered[byte] < MESSAGES as u8;
            if !other_number {
                assert!(aggregator.accept(0, &altered).is_err(), "byte {byte}");
            }
        }
        // Zero, and n² or more.
        for fill in [0, 0xff] {
            let mut altered = wire.clone();
            let start = altered.len() - 128;
            altered[start..].fill(fill);
            let refused = aggregator.accept(0, &altered).unwrap_err();
            assert!(
                matches!(
                    refused,
                    round::Error::Paillier(
                        paillier::Error::CiphertextZero { index: 0 }
                            | paillier::Error::CiphertextRange { index: 0 }
                    )
                ),
                "{refused}"
            );
        }
        assert_eq!(aggregator.accept(0, wire).unwrap().missing, 2 - number as u64);
    }
    aggregator.commit(0).unwrap();
    session.contribute(&aggregator, 1);
    let sum = aggregator.close().unwrap().for_server().unwrap();
    assert_bytes(&session.open(&spec, sum).unwrap(), &[0, 1], 3);
}

/// Boxes: every byte of a message is authenticated.
#[test]
fn an_altered_box_is_refused() {
    let session = Session::new(14);
    let spec = session.bytes(0);
    let aggregator = session.aggregator(&spec);
    let wire = &session.send_bytes(0, &spec, 1)[0];
    let closed =
        round::Error::Channel(channel::Error::BoxOpen { from: Party::Client(0), to: Party::Aggregator });
    for byte in 0..wire.len() {
        let mut altered = wire.clone();
        altered[byte] ^= 0x40;
        assert_eq!(aggregator.accept(0, &altered).unwrap_err(), closed, "byte {byte}");
    }
    assert!(!aggregator.accept(0, wire).unwrap().repeated);
}
