//! Aggregators that stop at any moment, and continue in another process.

use std::sync::Arc;

use cipherfold::{
    backend::BackendChoice,
    federated::{
        channel,
        round::{self, Aggregator, KeyOwner},
    },
    paillier,
};

use super::support::{Session, assert_bytes, rng};

/// After every single step the aggregator is dropped and restored from its bytes.
#[test]
fn an_aggregator_continues_after_every_step() {
    let session = Session::new(41);
    for at_once in [false, true] {
        let spec = session.bytes(u64::from(at_once));
        let restart = |mut aggregator: Aggregator| {
            let bytes = aggregator.to_bytes().unwrap();
            assert_eq!(aggregator.to_bytes().unwrap(), bytes, "looking changes nothing");
            let channel = Arc::clone(&session.channel);
            Aggregator::from_bytes(&spec, session.key(), channel, &bytes).unwrap()
        };
        let mut aggregator = session.aggregator(&spec);
        if at_once {
            aggregator = aggregator.adding_at_once();
        }
        let sent: Vec<_> = (0..3).map(|client| session.send_bytes(client, &spec, client as u8 + 1)).collect();
        for (client, messages) in (0..).zip(&sent) {
            for message in messages {
                assert!(!aggregator.accept(client, message).unwrap().repeated);
                aggregator = restart(aggregator);
                assert!(
                    aggregator.accept(client, message).unwrap().repeated,
                    "it is known after the restart"
                );
            }
            // The last client sends everything, and does not commit: only where nothing was added
            // yet.
            if client < 2 || at_once {
                aggregator.commit(client).unwrap();
            }
            aggregator = restart(aggregator);
        }
        let participants: &[u32] = if at_once { &[0, 1, 2] } else { &[0, 1] };
        assert_eq!(aggregator.participants(), participants);
        let sum = aggregator.close().unwrap().for_server().unwrap();
        let expected = if at_once { 1 + 2 + 3 } else { 1 + 2 };
        assert_bytes(&session.open(&spec, sum).unwrap(), participants, expected);
    }
}

#[test]
fn the_state_of_another_round_or_session_is_refused() {
    let (session, other) = (Session::new(42), Session::new(43));
    let (spec, next) = (session.bytes(0), session.bytes(1));
    let mut aggregator = session.aggregator(&spec);
    session.contribute(&aggregator, 1);
    let bytes = aggregator.to_bytes().unwrap();
    let restore = |spec, key, bytes: &[u8]| {
        Aggregator::from_bytes(spec, key, Arc::clone(&session.channel), bytes).err()
    };
    assert_eq!(restore(&spec, session.key(), &bytes), None);
    let expected = round::Error::OtherRound { expected: next.digest(), found: spec.digest() };
    assert_eq!(restore(&next, session.key(), &bytes), Some(expected));
    let foreign = restore(&spec, other.key(), &bytes);
    assert!(matches!(foreign, Some(round::Error::OtherOffer { .. })), "{foreign:?}");
    for cut in 0..bytes.len().min(400) {
        assert!(restore(&spec, session.key(), &bytes[..cut]).is_some(), "{cut} bytes");
    }
    let newer = [&[2], &bytes[1..]].concat();
    assert_eq!(
        restore(&spec, session.key(), &newer),
        Some(round::Error::Channel(channel::Error::EncodingVersion { expected: 1, found: 2 }))
    );
}

/// A server that restarts with its stored seeds sends the same requests to the key holder.
#[test]
fn a_server_continues_with_the_seeds_of_its_masks() {
    let session = Session::with_key_holder(44);
    let spec = session.bytes(0);
    let sums = session.for_server(session.closed(&spec, &[0, 2]), 1);
    let seed = |number: usize| rng(100 + number as u64);
    let holder = session.key_holder();

    let mut first = session.server(&spec);
    let asked: Vec<_> =
        sums.iter().enumerate().map(|(i, sum)| first.mask(sum, &mut seed(i)).unwrap()).collect();
    let answered = holder.decrypt_masked(&spec, &asked[0], &mut rng(2)).unwrap();
    first.unmask(&answered).unwrap();
    drop(first);

    let mut second = session.server(&spec);
    for (i, sum) in sums.iter().enumerate() {
        let question = second.mask(sum, &mut seed(i)).unwrap();
        assert_eq!(question, asked[i]);
        second.unmask(&holder.decrypt_masked(&spec, &question, &mut rng(3)).unwrap()).unwrap();
    }
    assert_bytes(&second.finish().unwrap(), &[0, 2], 1 + 3);

    // With other masks it would be another request about an opened round.
    let mut third = session.server(&spec);
    let question = third.mask(&sums[0], &mut rng(4)).unwrap();
    let refused = holder.decrypt_masked(&spec, &question, &mut rng(5)).unwrap_err();
    assert_eq!(refused, round::Error::AlreadyOpened { round: 0 });
}

/// The owner of the keys continues with the same offer, the same key, and its opened rounds.
#[test]
fn an_owner_of_keys_is_restored_from_its_bytes() {
    let session = Session::new(45);
    let spec = session.bytes(0);
    let first = session.closed(&spec, &[0, 1]);
    session.open(&spec, first).unwrap();

    let bytes = session.owner.expose_bytes();
    let owner = KeyOwner::from_bytes_vartime(&bytes, BackendChoice::Portable).unwrap();
    assert_eq!(owner.offer(), session.owner.offer());
    assert_eq!(*owner.expose_bytes(), *bytes);
    let restored = Session { owner, channel: Arc::clone(&session.channel) };

    let next = session.bytes(1);
    let sum = restored.closed(&next, &[1, 2]);
    assert_bytes(&restored.open(&next, sum).unwrap(), &[1, 2], 2 + 3);
    let second = restored.closed(&spec, &[1, 2]);
    assert_eq!(restored.open(&spec, second).unwrap_err(), round::Error::AlreadyOpened { round: 0 });
}

#[test]
fn bytes_that_are_not_an_owner_of_keys_are_refused() {
    let [bytes, others] = [46, 47].map(|seed| Session::new(seed).owner.expose_bytes());
    let restore = |bytes: &[u8]| KeyOwner::from_bytes_vartime(bytes, BackendChoice::Portable).unwrap_err();
    for cut in 0..bytes.len() {
        restore(&bytes[..cut]);
    }
    restore(&[&bytes[..], &[0]].concat());
    let newer = [&[2], &bytes[1..]].concat();
    assert_eq!(
        restore(&newer),
        round::Error::Channel(channel::Error::EncodingVersion { expected: 1, found: 2 })
    );

    // The offer of one session before the secret key of another one.
    let offer = 1 + Session::new(46).owner.offer().to_bytes().len();
    let mixed = [&bytes[..offer], &others[offer..]].concat();
    let refused = restore(&mixed);
    assert!(matches!(refused, round::Error::Paillier(paillier::Error::KeyMismatch { .. })), "{refused:?}");
}
