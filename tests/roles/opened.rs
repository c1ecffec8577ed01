//! A round is opened once: the difference of two sums of one round may be a client's update.

use std::sync::Arc;

use cipherfold::{
    federated::{
        KeyHolding,
        channel::{self, Message, Payload},
        round::{self, KeyOwner, RoundParameters, RoundSpec},
    },
    paillier::{CiphertextBatch, Plaintext, SecretKey, hazmat::InsecureBits512},
};
use std::collections::BTreeSet;

use super::support::{MESSAGES, Session, assert_bytes, bytes, parameters, rng};

type Secret = SecretKey<InsecureBits512>;

/// The owner of the same key in another process, with the announced offer.
fn restarted(session: &Session) -> Session {
    let offer = session.owner.offer();
    let secret: &Secret = session.owner.secret_key().unwrap();
    let parameters = parameters(offer.session(), offer.key_holding());
    // The base is drawn again. The generator has the same state as before, so the base is the same.
    let mut generator = rng(RESTART);
    let owner = KeyOwner::with_secret_key(parameters, secret, &mut generator).unwrap();
    Session { owner, channel: Arc::clone(&session.channel) }
}

const RESTART: u64 = 4242;

/// A session with an owner that can be recreated.
fn session(key_holding: KeyHolding) -> Session {
    let first = match key_holding {
        KeyHolding::Server => Session::new(1),
        _ => Session::with_key_holder(1),
    };
    let session = restarted(&first);
    assert_eq!(session.owner.offer(), restarted(&session).owner.offer());
    session
}

#[test]
fn a_round_is_opened_once() {
    for holding in [KeyHolding::Server, KeyHolding::KeyHolder] {
        let session = session(holding);
        let (spec, next) = (session.bytes(3), session.bytes(4));
        let opened = session.open(&spec, session.closed(&spec, &[0, 1, 2])).unwrap();
        assert_bytes(&opened, &[0, 1, 2], 6);
        // The same round with one client fewer: the difference would be that client's update.
        let refused = session.open(&spec, session.closed(&spec, &[0, 1]));
        assert_eq!(refused, Err(round::Error::AlreadyOpened { round: 3 }));
        // The same round under another specification.
        let parameters = RoundParameters { max_clients: 3, ..session.parameters(3, bytes()) };
        let other = RoundSpec::new(parameters).unwrap();
        let refused = session.open(&other, session.closed(&other, &[0, 1]));
        assert_eq!(refused, Err(round::Error::AlreadyOpened { round: 3 }));
        // Another round may be opened.
        let opened = session.open(&next, session.closed(&next, &[0, 1])).unwrap();
        assert_bytes(&opened, &[0, 1], 3);
    }
}

#[test]
fn the_same_sum_may_be_opened_again() {
    let session = session(KeyHolding::Server);
    let spec = session.bytes(0);
    let wires = session.for_server(session.closed(&spec, &[0, 1]), 1);
    for _ in 0..2 {
        let mut server = session.server(&spec); // the results of the first server were lost
        for wire in &wires {
            server.open(wire).unwrap();
        }
        assert_bytes(&server.finish().unwrap(), &[0, 1], 3);
    }
    let session = session_with_holder();
    let (spec, mut rng) = (session.bytes(0), rng(1));
    let wires = session.for_server(session.closed(&spec, &[0, 1]), 1);
    let mut server = session.server(&spec);
    for wire in &wires {
        let question = server.mask(wire, &mut rng).unwrap();
        let lost = session.key_holder().decrypt_masked(&spec, &question, &mut rng).unwrap();
        let answer = session.key_holder().decrypt_masked(&spec, &question, &mut rng).unwrap();
        assert_ne!(lost, answer, "sealed anew");
        server.unmask(&answer).unwrap();
    }
    assert_bytes(&server.finish().unwrap(), &[0, 1], 3);
}

fn session_with_holder() -> Session {
    session(KeyHolding::KeyHolder)
}

/// The record of opened rounds survives a restart.
#[test]
fn a_round_is_opened_once_also_after_a_restart() {
    for holding in [KeyHolding::Server, KeyHolding::KeyHolder] {
        let first = session(holding);
        let (spec, half) = (first.bytes(0), first.bytes(1));
        let _ = first.open(&spec, first.closed(&spec, &[0, 1, 2])).unwrap();
        // One message of the second round has been opened when the process ends.
        let wires = first.for_server(first.closed(&half, &[0, 1, 2]), 1);
        let mut randomness = rng(1);
        let mut server = first.server(&half);
        if holding == KeyHolding::Server {
            server.open(&wires[1]).unwrap();
        } else {
            let question = server.mask(&wires[1], &mut randomness).unwrap();
            let _ = first.key_holder().decrypt_masked(&half, &question, &mut randomness).unwrap();
        }
        let kept = first.owner.opened_rounds();

        let second = restarted(&first);
        assert_eq!(second.owner.offer(), first.owner.offer());
        second.owner.restore_opened_rounds(&kept).unwrap();
        assert_eq!(second.owner.opened_rounds(), kept);
        for (round, spec) in [(0, &spec), (1, &half)] {
            let refused = second.open(spec, second.closed(spec, &[0, 1]));
            assert_eq!(refused, Err(round::Error::AlreadyOpened { round }));
        }
        let next = second.bytes(2);
        assert_bytes(&second.open(&next, second.closed(&next, &[0, 1])).unwrap(), &[0, 1], 3);
        // Without the record, the new process would not know the opened rounds.
        let third = restarted(&first);
        assert!(third.open(&spec, third.closed(&spec, &[0, 1])).is_ok());
        assert_eq!(
            third.owner.restore_opened_rounds(&kept).unwrap_err(),
            round::Error::AlreadyOpened { round: 0 }
        );
        for cut in 0..kept.len() {
            let refused = third.owner.restore_opened_rounds(&kept[..cut]).unwrap_err();
            assert!(
                matches!(refused, round::Error::Channel(channel::Error::PayloadDecoding { .. })),
                "{cut} bytes: {refused}"
            );
        }
    }
}

/// After a conflict in one round, no other round is restored either.
#[test]
fn restoring_opened_rounds_takes_all_or_none() {
    let first = session(KeyHolding::Server);
    for round in [0, 1, 5] {
        let spec = first.bytes(round);
        let _ = first.open(&spec, first.closed(&spec, &[0, 1])).unwrap();
    }
    let kept = first.owner.opened_rounds();

    let second = restarted(&first);
    let spec = second.bytes(1);
    // One message of round 1, over other clients.
    let wires = second.for_server(second.closed(&spec, &[0, 2]), 1);
    second.server(&spec).open(&wires[2]).unwrap();
    let before = second.owner.opened_rounds();
    let refused = second.owner.restore_opened_rounds(&kept).unwrap_err();
    assert_eq!(refused, round::Error::AlreadyOpened { round: 1 });
    assert_eq!(second.owner.opened_rounds(), before);
    let zeroth = second.bytes(0);
    assert!(second.open(&zeroth, second.closed(&zeroth, &[0, 2])).is_ok(), "nothing is known of round 0");

    // Without a conflict, both are known afterwards: one message of the same sum is in both.
    let third = restarted(&first);
    let spec = third.bytes(1);
    let same = third.for_server(third.closed(&spec, &[0, 1]), 1);
    let seventh = third.bytes(7);
    let _ = third.open(&seventh, third.closed(&seventh, &[0, 1])).unwrap();
    third.server(&spec).open(&same[0]).unwrap();
    third.owner.restore_opened_rounds(&kept).unwrap();
    for round in [0, 1, 5, 7] {
        let spec = third.bytes(round);
        let refused = third.open(&spec, third.closed(&spec, &[0, 2]));
        assert_eq!(refused, Err(round::Error::AlreadyOpened { round }));
    }
}

/// Plaintexts chosen by the aggregator, encrypted under the session's key.
fn forged(session: &Session, spec: &RoundSpec, words: &[u64]) -> Vec<Vec<u8>> {
    let key = session.key().public_key::<InsecureBits512>().unwrap();
    let plaintext = Plaintext::from_words(words).unwrap();
    let ciphertext = key.encrypt_with(&plaintext, key.randomizer_full_range(&mut rng(2)).unwrap()).unwrap();
    let batch = CiphertextBatch::from_ciphertexts(key.fingerprint(), [ciphertext]).unwrap();
    let payload = Payload((BTreeSet::from([0_u32, 1]), batch.to_bytes())).to_bytes().unwrap();
    let header = session.channel.overhead();
    let honest = session.for_server(session.closed(spec, &[0, 1]), 1);
    honest.iter().map(|wire| [&wire[..header], &payload].concat()).collect()
}

/// 51 slots of 10 bits in the first two plaintexts, 18 in the third; 511 bits may be set at most.
#[test]
fn bits_outside_of_the_slots_are_refused() {
    let mut round = 0;
    for holding in [KeyHolding::Server, KeyHolding::KeyHolder] {
        let session = Session::in_the_open(3, holding);
        for (number, bit, used) in [
            (0, 0, true),
            (0, 501, true),
            (1, 510, false),
            (2, 179, false),
            (2, 171, true),
            (2, 180, false),
            (2, 510, false),
        ] {
            round += 1;
            let spec = session.bytes(round);
            let mut words = [0; 8];
            words[bit / 64] |= 1 << (bit % 64);
            let wire = &forged(&session, &spec, &words)[number];
            let mut server = session.server(&spec);
            let opened = if holding == KeyHolding::Server {
                server.open(wire)
            } else {
                let (mut rng, holder) = (rng(round), session.key_holder());
                let question = server.mask(wire, &mut rng).unwrap();
                server.unmask(&holder.decrypt_masked(&spec, &question, &mut rng).unwrap())
            };
            // The top bit of a slot is 512: two clients reach 510.
            let expected = match (used, bit % 10) {
                (true, _) => Ok(()),
                (false, 9) => Err(round::Error::SumOutOfRange { tensor: 0, index: 102 + bit / 10 }),
                (false, _) => Err(round::Error::UnusedBits { number: number as u64 }),
            };
            assert_eq!(opened, expected, "message {number}, bit {bit}");
            assert_eq!(server.missing(), if used { MESSAGES - 1 } else { MESSAGES });
        }
    }
}
