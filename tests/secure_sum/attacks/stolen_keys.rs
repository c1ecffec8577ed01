//! An attacker that recorded all messages and steals keys later: the tests show which messages
//! open.

use std::{collections::BTreeMap, sync::Arc};

use cipherfold::{
    federated::{
        Digest, Party, SessionId,
        channel::{
            self, Announcement, BoxChannel, BoxPublicKey, BoxSecretKey, Channel, Envelope, HpkeChannel,
            Identity, Organisation, Roster, SessionKeys,
        },
    },
    packing::IntegerRange,
};
use ndarray::array;

use crate::support::{Sent, Spy, builder, contributions_through, rng};

const PARTIES: [Party; 4] = [Party::Client(0), Party::Client(1), Party::Aggregator, Party::Server];

/// All messages of a session.
struct Recorded {
    session: SessionId,
    announcements: Vec<[u8; Announcement::ENCODED_LEN]>,
    wires: Vec<Vec<u8>>,
}

/// The long-term keys of all parties, and a roster of them.
fn organisations() -> (Vec<Identity>, Roster) {
    let identities: Vec<_> = (1..5).map(|seed| Identity::generate(&mut rng(seed))).collect();
    let organisations = PARTIES.into_iter().zip(&identities).map(|(party, identity)| Organisation {
        name: party.to_string(),
        party,
        key: identity.key(),
    });
    let roster = Roster::new(organisations).unwrap();
    (identities, roster)
}

/// A session: each party has its own end. Returns the recorded messages, and copies of the session
/// keys for the attacks that must succeed. A real session leaves no such copies.
fn session(identities: &[Identity], roster: &Roster, seed: u64) -> (Recorded, BTreeMap<Party, [u8; 32]>) {
    let mut rng = rng(seed);
    let session = SessionId::random(&mut rng);
    let keys: Vec<_> = PARTIES.map(|party| SessionKeys::new(session, party, &mut rng)).into();
    let announcements: Vec<_> =
        keys.iter().zip(identities).map(|(keys, identity)| keys.announce(identity).to_bytes()).collect();
    let copies = keys.iter().map(|keys| (keys.party(), *keys.secret_key().expose_bytes())).collect();
    let ends: BTreeMap<Party, HpkeChannel> = keys
        .into_iter()
        .map(|keys| {
            let own = keys.party();
            let others = PARTIES.into_iter().zip(&announcements).filter(|(party, _)| *party != own);
            let end = others.fold(HpkeChannel::for_party(keys), |end, (party, bytes)| {
                let announcement = Announcement::from_bytes(bytes).unwrap();
                end.with_peer(party, roster.verify(&announcement, session, party).unwrap())
            });
            (own, end)
        })
        .collect();

    let mut wires = Vec::new();
    for round in 0..2 {
        for (from, to) in [
            (Party::Client(0), Party::Aggregator),
            (Party::Client(1), Party::Aggregator),
            (Party::Aggregator, Party::Server),
            (Party::Server, Party::Client(0)),
        ] {
            for sequence in 0..2 {
                let envelope = Envelope { session, round, sequence, from, to, context: Digest::NONE };
                let payload = format!("{from} to {to}, {round}, {sequence}");
                let wire = ends[&from].seal(&envelope, payload.as_bytes(), &mut rng).unwrap();
                let opened = ends[&to].open_expected(&envelope, &wire).unwrap();
                assert_eq!(opened.as_slice(), payload.as_bytes());
                wires.push(wire);
            }
        }
    }
    for end in ends.values() {
        end.end_session(session);
        for wire in &wires {
            let Envelope { from, to, .. } = envelope_of(wire);
            assert!(end.open(from, to, wire).is_err(), "the end of a party that is over");
        }
    }
    (Recorded { session, announcements, wires }, copies)
}

fn envelope_of(wire: &[u8]) -> Envelope {
    Envelope::from_bytes(wire.first_chunk().unwrap()).unwrap()
}

/// The messages that open with any of the stolen keys in the place of the receiver's key, or of the
/// sender's.
fn opened(recorded: &Recorded, stolen: &[[u8; 32]]) -> Vec<Envelope> {
    let (_, roster) = organisations();
    let announcements = recorded.announcements.iter().map(|bytes| Announcement::from_bytes(bytes).unwrap());
    let announced: BTreeMap<Party, BoxPublicKey> = announcements
        .map(|announcement| {
            let party = announcement.party();
            (party, roster.verify(&announcement, recorded.session, party).unwrap())
        })
        .collect();
    let opens = |wire: &[u8], key: &[u8; 32]| {
        let Envelope { from, to, session, .. } = envelope_of(wire);
        let as_receiver = SessionKeys::from_secret_key(session, to, BoxSecretKey::from_bytes(*key));
        let as_receiver = HpkeChannel::for_party(as_receiver).with_peer(from, announced[&from]);
        let agreed = BoxSecretKey::from_bytes(*key).public_key();
        // The sender, with its own key in place of the receiver's.
        let as_sender = SessionKeys::from_secret_key(session, to, BoxSecretKey::from_bytes(*key));
        let as_sender = HpkeChannel::for_party(as_sender).with_peer(from, agreed);
        let to_sender = SessionKeys::from_secret_key(session, to, BoxSecretKey::from_bytes(*key));
        let to_sender = HpkeChannel::for_party(to_sender).with_peer(from, announced[&to]);
        [as_receiver, as_sender, to_sender].iter().any(|end| end.open(from, to, wire).is_ok())
    };
    let wires = recorded.wires.iter().filter(|wire| stolen.iter().any(|key| opens(wire, key)));
    wires.map(|wire| envelope_of(wire)).collect()
}

/// Long-term keys, unchanged and converted from Ed25519 to X25519.
fn long_term(identities: &[Identity]) -> Vec<[u8; 32]> {
    let bytes: Vec<[u8; 32]> = identities.iter().map(|identity| *identity.expose_bytes()).collect();
    let scalars = bytes.iter().map(|seed| ed25519_dalek::SigningKey::from_bytes(seed).to_scalar_bytes());
    let scalars: Vec<_> = scalars.collect();
    [bytes, scalars].concat()
}

#[test]
fn all_long_term_keys_open_nothing_of_a_session_that_is_over() {
    let (identities, roster) = organisations();
    let (recorded, copies) = session(&identities, &roster, 10);
    let (_, later) = session(&identities, &roster, 11);
    assert_eq!(recorded.wires.len(), 16);

    assert_eq!(opened(&recorded, &long_term(&identities)), []);
    // Nor do the session keys of another session.
    assert_eq!(opened(&recorded, &later.into_values().collect::<Vec<_>>()), []);

    // The attack itself works: with the wiped keys, everything opens.
    let all: Vec<_> = copies.values().copied().collect();
    assert_eq!(opened(&recorded, &all).len(), recorded.wires.len());
    // A receiver's session key opens the messages to that receiver. The sender's does not.
    let to_aggregator = opened(&recorded, &[copies[&Party::Aggregator]]);
    assert_eq!(to_aggregator.len(), 8);
    assert!(to_aggregator.iter().all(|envelope| envelope.to == Party::Aggregator));
    assert_eq!(opened(&recorded, &[copies[&Party::Client(1)]]), []);
}

#[test]
fn a_stolen_identity_cannot_take_the_place_of_a_key_that_was_announced() {
    let (identities, roster) = organisations();
    let session = SessionId::from_bytes([3; 16]);
    let announce = |identity: &Identity, seed| {
        let keys = SessionKeys::new(session, Party::Aggregator, &mut rng(seed));
        roster.verify(&keys.announce(identity), session, Party::Aggregator)
    };
    let end = HpkeChannel::for_party(SessionKeys::new(session, Party::Client(0), &mut rng(1)));
    end.add_peer(session, Party::Aggregator, announce(&identities[2], 2).unwrap()).unwrap();
    // Another key under the true identity: parties that have the first one refuse it.
    let other = announce(&identities[2], 3).unwrap();
    let refused = channel::Error::OtherSessionKey { session, party: Party::Aggregator };
    assert_eq!(end.add_peer(session, Party::Aggregator, other), Err(refused));
    // Another organisation's identity.
    let refused = Err(channel::Error::AnnouncementSignature { party: Party::Aggregator });
    assert_eq!(announce(&identities[0], 4), refused);
}

/// The log of a sum with its contributions over this channel, and the number of them that the
/// channel opens before and after a rotation of keys.
fn before_and_after_rotation(channel: &Arc<dyn Channel>) -> (Vec<Sent>, [usize; 2]) {
    let spy = Spy::around(Arc::clone(channel));
    let grid = contributions_through(Arc::<Spy>::clone(&spy));
    let mut executor = builder().channels(grid).build().unwrap();
    let sum = executor.secure_sum([array![1_u8], array![2]], IntegerRange::of::<u8>()).unwrap();
    assert_eq!(sum.value, array![3_u64]);
    let log = spy.log();
    let opens =
        || log.iter().filter(|sent| channel.open_expected(&sent.envelope, &sent.wire).is_ok()).count();
    let before = opens();
    executor.rotate_keys();
    let after = opens();
    (log, [before, after])
}

#[test]
fn rotation_of_keys_closes_the_boxes_of_the_session() {
    let channel = Arc::new(HpkeChannel::new());
    let (log, opened) = before_and_after_rotation(&(Arc::clone(&channel) as Arc<dyn Channel>));
    assert_eq!(opened, [2, 0]);
    let session = log[0].envelope.session;
    let refused = channel::Error::NoSessionKeys { session };
    assert_eq!(channel.open_expected(&log[0].envelope, &log[0].wire), Err(refused));
}

/// SECURITY.md states it for libsodium's boxes: their keys are long-term keys, which open them
/// forever.
#[test]
fn boxes_of_libsodium_stay_open_to_the_parties_keys() {
    let libsodium: Arc<dyn Channel> = Arc::new(BoxChannel::new());
    assert_eq!(before_and_after_rotation(&libsodium).1, [2, 2]);
}
