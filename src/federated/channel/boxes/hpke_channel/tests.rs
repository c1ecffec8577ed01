use std::sync::Barrier;
use std::thread;

use super::*;
use crate::federated::Digest;
use crate::federated::channel::tests::{
    ends_reach_each_other, envelope, honours_envelopes, opens_in_any_order_and_again,
    refuses_a_party_whose_secret_is_elsewhere, refuses_alterations, refuses_short_messages_and_equal_ends,
    rng,
};

const ENCAPSULATED: core::ops::Range<usize> = Envelope::ENCODED_LEN..Envelope::ENCODED_LEN + 32;
const NONCE: core::ops::Range<usize> = ENCAPSULATED.end..ENCAPSULATED.end + 24;

#[test]
fn honours_every_field_of_the_envelope() {
    honours_envelopes(&HpkeChannel::new());
}

#[test]
fn messages_open_in_any_order() {
    opens_in_any_order_and_again(&HpkeChannel::new());
}

#[test]
fn short_messages_and_equal_ends_are_refused() {
    refuses_short_messages_and_equal_ends(&HpkeChannel::new());
}

#[test]
fn refuses_every_altered_byte_and_every_truncation() {
    refuses_alterations(&HpkeChannel::new(), Envelope::ENCODED_LEN);
}

/// A box opens only with the session, round, number, sender, receiver and context of its sealing.
#[test]
fn an_envelope_cannot_be_replaced() {
    let channel = HpkeChannel::new();
    let sent = envelope(1, 1);
    let others = [
        Envelope { session: SessionId::from_bytes([2; 16]), ..sent },
        Envelope { round: 2, ..sent },
        Envelope { sequence: 2, ..sent },
        Envelope { from: Party::Client(2), ..sent },
        Envelope { to: Party::Server, ..sent },
        Envelope { from: sent.to, to: sent.from, ..sent },
        Envelope { context: Digest::NONE, ..sent },
    ];
    let mut rng = rng(3);
    for other in others {
        let mut wire = channel.seal(&sent, b"payload", &mut rng).unwrap();
        channel.seal(&other, b"payload", &mut rng).unwrap();
        wire[..Envelope::ENCODED_LEN].copy_from_slice(&other.to_bytes());
        let refused = Error::BoxOpen { from: other.from, to: other.to };
        assert_eq!(channel.open_expected(&other, &wire), Err(refused));
    }
}

#[test]
fn a_key_is_encapsulated_once_a_round_and_direction() {
    let channel = HpkeChannel::new();
    let mut rng = rng(1);
    let mut encapsulated = |envelope: Envelope| {
        let wire = channel.seal(&envelope, b"", &mut rng).unwrap();
        channel.open_expected(&envelope, &wire).unwrap();
        wire[ENCAPSULATED].to_vec()
    };
    let first = encapsulated(envelope(0, 0));
    assert_eq!(encapsulated(envelope(0, 1)), first);
    let (from, to) = (Party::Aggregator, Party::Client(1));
    let others = [
        encapsulated(envelope(1, 0)),
        encapsulated(Envelope { from, to, ..envelope(0, 0) }),
        encapsulated(Envelope { from: Party::Client(2), ..envelope(0, 0) }),
        encapsulated(Envelope { session: SessionId::from_bytes([2; 16]), ..envelope(0, 0) }),
    ];
    for (i, other) in others.iter().enumerate() {
        assert!(*other != first && !others[..i].contains(other), "{i}");
    }
}

#[test]
fn memory_does_not_grow_with_rounds() {
    let channel = HpkeChannel::new();
    let session = envelope(0, 0).session;
    let mut wires = Vec::new();
    for round in 0..20 {
        let envelope = envelope(round, 0);
        let wire = channel.seal(&envelope, &[1], &mut rng(round)).unwrap();
        assert_eq!(channel.open_expected(&envelope, &wire).unwrap().as_slice(), [1]);
        wires.push((envelope, wire));
    }
    assert_eq!(channel.session(session).unwrap().agreements(), (8, 8));
    // Late messages of a round whose agreement was dropped can still be opened and sealed.
    for (envelope, wire) in &wires {
        assert_eq!(channel.open_expected(envelope, wire).unwrap().as_slice(), [1]);
    }
    let late = envelope(0, 1);
    let wire = channel.seal(&late, &[2], &mut rng(99)).unwrap();
    assert_eq!(channel.open_expected(&late, &wire).unwrap().as_slice(), [2]);
    assert_eq!(channel.session(session).unwrap().agreements(), (8, 8));
}

#[test]
fn forged_messages_leave_no_state() {
    let channel = HpkeChannel::new();
    let sent = envelope(0, 0);
    let wire = channel.seal(&sent, b"payload", &mut rng(1)).unwrap();
    for round in 0..3 {
        let mut forged = wire.clone();
        forged[..Envelope::ENCODED_LEN].copy_from_slice(&envelope(round, 0).to_bytes());
        forged[ENCAPSULATED].fill(9);
        let refused = Err(Error::BoxOpen { from: sent.from, to: sent.to });
        assert_eq!(channel.open_expected(&envelope(round, 0), &forged), refused);
        // An encapsulated key that gives a zero agreement.
        forged[ENCAPSULATED].fill(0);
        assert_eq!(channel.open_expected(&envelope(round, 0), &forged), refused);
    }
    assert_eq!(channel.session(sent.session).unwrap().agreements(), (1, 0));
    assert_eq!(channel.open_expected(&sent, &wire).unwrap().as_slice(), b"payload");
}

/// The generator gives both messages the same bytes, as two clones of a seeded generator do.
#[test]
fn a_repeated_generator_reveals_no_payload() {
    let channel = HpkeChannel::new();
    let seal = |envelope: &Envelope, payload: &[u8]| channel.seal(envelope, payload, &mut rng(1)).unwrap();
    let sent = envelope(0, 0);
    // Keys are made first, so that the next messages use the same bytes for the same purpose.
    seal(&envelope(9, 9), b"");
    let [first, second] = [0, 1].map(|round| seal(&envelope(round, 9), b""));
    assert_ne!(first[ENCAPSULATED], second[ENCAPSULATED]);
    let wires = [
        seal(&sent, b"one payload"),
        seal(&sent, b"two payload"),
        seal(&envelope(0, 1), b"one payload"),
        seal(&envelope(1, 0), b"one payload"),
    ];
    for (i, wire) in wires.iter().enumerate() {
        for other in &wires[..i] {
            assert_ne!(wire[NONCE], other[NONCE]);
            // With a common key stream, the exclusive or of the two messages would be that of the
            // payloads.
            let xor = |a: &[u8], b: &[u8]| a.iter().zip(b).map(|(a, b)| a ^ b).collect::<Vec<u8>>();
            let overhead = channel.overhead();
            assert_ne!(xor(&wire[overhead..], &other[overhead..])[3..], [0; 8], "{i}");
        }
    }
    assert_eq!(
        seal(&sent, b"one payload"),
        wires[0],
        "equal messages have equal bytes, and nothing else is revealed"
    );
}

#[test]
fn keys_are_wiped_at_the_end_of_their_session() {
    let channel = HpkeChannel::new();
    let one = envelope(0, 0);
    let two = Envelope { session: SessionId::from_bytes([2; 16]), ..one };
    let mut rng = rng(1);
    let wires = [one, two].map(|envelope| channel.seal(&envelope, b"payload", &mut rng).unwrap());
    let key = |envelope: Envelope| channel.public_key(envelope.session, envelope.to);
    assert_ne!(key(one).unwrap(), key(two).unwrap());
    assert_eq!(channel.setup_bytes(), 2 * 64);

    channel.end_session(one.session);
    let refused = Error::NoSessionKeys { session: one.session };
    assert_eq!(channel.open_expected(&one, &wires[0]), Err(refused));
    assert_eq!(key(one), None);
    assert_eq!(channel.setup_bytes(), 2 * 64);
    assert_eq!(channel.open_expected(&two, &wires[1]).unwrap().as_slice(), b"payload");

    // The session's identifier alone does not restore its keys.
    channel.seal(&one, b"payload", &mut rng).unwrap();
    let refused = Error::BoxOpen { from: one.from, to: one.to };
    assert_eq!(channel.open_expected(&one, &wires[0]), Err(refused));
}

#[test]
fn a_prepared_key_serves_one_session() {
    let channel = HpkeChannel::new();
    let party = envelope(0, 0).to;
    let key_in = |session: u8, seed| {
        let envelope = Envelope { session: SessionId::from_bytes([session; 16]), ..envelope(0, 0) };
        channel.seal(&envelope, b"", &mut rng(seed)).unwrap();
        channel.public_key(envelope.session, party).unwrap()
    };
    channel.prepare(party, &mut rng(1));
    channel.prepare(party, &mut rng(2));
    let first = key_in(1, 3);
    assert_eq!(first, BoxSecretKey::generate(&mut rng(1)).public_key(), "the first prepared key");
    assert_ne!(key_in(2, 4), first);
    assert_eq!(channel.setup_bytes(), 2 * 64, "preparing exchanges no keys");
}

#[test]
fn keys_are_made_once_by_concurrent_threads() {
    const THREADS: u64 = 16;
    for seed in 0..20 {
        let channel = HpkeChannel::new();
        let barrier = Barrier::new(THREADS.try_into().unwrap());
        let encapsulated: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let (channel, barrier) = (&channel, &barrier);
                    scope.spawn(move || {
                        let sent = envelope(0, thread);
                        barrier.wait();
                        let wire = channel.seal(&sent, &[1], &mut rng(seed * 100 + thread)).unwrap();
                        assert_eq!(channel.open_expected(&sent, &wire).unwrap().as_slice(), [1]);
                        wire[ENCAPSULATED].to_vec()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(encapsulated.iter().all(|key| *key == encapsulated[0]));
        assert_eq!(channel.setup_bytes(), 64);
    }
}

/// Two processes, each with its own keys and the other's public key.
fn two_ends() -> (HpkeChannel, HpkeChannel) {
    let sent = envelope(0, 0);
    let mut rng = rng(1);
    let [here, there] = [sent.from, sent.to].map(|party| SessionKeys::new(sent.session, party, &mut rng));
    let (here_public, there_public) = (here.public_key(), there.public_key());
    (
        HpkeChannel::for_party(here).with_peer(sent.to, there_public),
        HpkeChannel::for_party(there).with_peer(sent.from, here_public),
    )
}

#[test]
fn parties_in_two_processes_reach_each_other() {
    let (here, there) = two_ends();
    ends_reach_each_other([&here, &there]);
}

#[test]
fn a_party_whose_secret_is_elsewhere_neither_seals_nor_opens_here() {
    let (here, _) = two_ends();
    refuses_a_party_whose_secret_is_elsewhere(&here);
    // A channel without keys for a party refuses, too.
    let sent = envelope(0, 0);
    let misdirected = Envelope { to: Party::Server, ..sent };
    let refused = Error::NoKeyExchange { from: sent.from, to: Party::Server };
    assert_eq!(here.seal(&misdirected, b"", &mut rng(10)), Err(refused.clone()));
    let mut wire = here.seal(&sent, b"", &mut rng(10)).unwrap();
    wire[..Envelope::ENCODED_LEN].copy_from_slice(&misdirected.to_bytes());
    assert_eq!(here.open_expected(&misdirected, &wire), Err(refused));
}

#[test]
fn the_channel_of_one_party_has_one_session() {
    let (here, there) = two_ends();
    let sent = envelope(0, 0);
    let session = SessionId::from_bytes([2; 16]);
    let refused = Error::NoSessionKeys { session };
    assert_eq!(here.seal(&Envelope { session, ..sent }, b"", &mut rng(1)), Err(refused.clone()));
    assert_eq!(
        here.add_peer(session, Party::Server, BoxSecretKey::from_bytes([1; 32]).public_key()),
        Err(refused)
    );
    let wire = here.seal(&sent, b"", &mut rng(1)).unwrap();
    there.end_session(sent.session);
    here.end_session(sent.session);
    let refused = Error::NoSessionKeys { session: sent.session };
    assert_eq!(there.open_expected(&sent, &wire), Err(refused.clone()));
    assert_eq!(here.seal(&sent, b"", &mut rng(1)), Err(refused));
}

#[test]
fn peers_in_use_are_added_but_not_replaced() {
    let (here, _) = two_ends();
    let session = envelope(0, 0).session;
    let [one, two] = [1, 2].map(|byte| BoxSecretKey::from_bytes([byte; 32]).public_key());
    assert_eq!(here.add_peer(session, Party::Server, one), Ok(()));
    assert_eq!(here.add_peer(session, Party::Server, one), Ok(()), "the same key again");
    let refused = Error::OtherSessionKey { session, party: Party::Server };
    assert_eq!(here.add_peer(session, Party::Server, two), Err(refused));
    assert_eq!(here.public_key(session, Party::Server), Some(one));
    assert_eq!(here.with_peer(Party::Server, two).public_key(session, Party::Server), Some(two));
}

#[test]
fn debug_shows_no_secret() {
    let (here, _) = two_ends();
    assert_eq!(
        format!("{here:?}"),
        "HpkeChannel { sessions: {SessionId(01010101010101010101010101010101): [Client(1), Aggregator]}, .. }"
    );
}
