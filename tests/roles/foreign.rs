//! Messages of another session, round, specification, key or party: the error names the difference.

use std::sync::Arc;

use cipherfold::{
    backend::BackendChoice,
    federated::{
        Digest, KeyHolding, Party, PlacementKind,
        channel::{self, Channel, EnvelopeMismatch, PlaintextChannel},
        round::{
            self, Aggregator, Client, EncryptionKey, KeyOwner, PartialSum, RoundParameters, RoundSpec,
            Server, SessionOffer, Update,
        },
    },
    paillier::{self, Bits2048, SecretKey, hazmat::InsecureBits512},
};
use ndarray::Array1;

use super::support::{MESSAGES, Session, VALUES, bytes, parameters, rng};

fn mismatch(mismatch: EnvelopeMismatch) -> round::Error {
    round::Error::Channel(channel::Error::WrongEnvelope { mismatch })
}

/// Specifications that differ from the first in one property each.
fn others(session: &Session) -> Vec<RoundSpec> {
    let parameters = session.parameters(0, bytes());
    [
        RoundParameters { max_clients: 5, ..parameters.clone() },
        RoundParameters { min_clients: 1, ..parameters.clone() },
        RoundParameters { chunk_ciphertexts: 2, ..parameters.clone() },
        RoundParameters { sums: vec![bytes().remove(0).weighted(1)], ..parameters.clone() },
        RoundParameters { sums: [bytes(), bytes()].concat(), ..parameters },
    ]
    .map(|parameters| RoundSpec::new(parameters).unwrap())
    .into()
}

#[test]
fn another_specification_of_the_same_round_is_refused_on_every_channel() {
    for session in [Session::new(1), Session::with_key_holder(1)] {
        let key_holder = session.owner.offer().key_holding() == KeyHolding::KeyHolder;
        let (spec, mut answer) = (session.bytes(0), None);
        for other in others(&session) {
            let expected = EnvelopeMismatch::Context { expected: other.digest(), found: spec.digest() };
            let aggregator = session.aggregator(&other);
            let wire = &session.send_bytes(0, &spec, 1)[0];
            assert_eq!(aggregator.accept(0, wire).unwrap_err(), mismatch(expected));
            let to_server = session.for_server(session.closed(&spec, &[0, 1]), 1);
            let (mut server, mut rng) = (session.server(&other), rng(1));
            if key_holder {
                assert_eq!(server.mask(&to_server[0], &mut rng).unwrap_err(), mismatch(expected));
                let question = session.server(&spec).mask(&to_server[0], &mut rng).unwrap();
                let holder = session.key_holder();
                let refused = holder.decrypt_masked(&other, &question, &mut rng).unwrap_err();
                assert_eq!(refused, mismatch(expected));
                // The same request each time, because a part of a round is opened once.
                let answer =
                    answer.get_or_insert_with(|| holder.decrypt_masked(&spec, &question, &mut rng).unwrap());
                assert_eq!(server.unmask(answer).unwrap_err(), mismatch(expected));
            } else {
                assert_eq!(server.open(&to_server[0]).unwrap_err(), mismatch(expected));
            }
        }
    }
}

#[test]
fn another_session_is_refused_on_every_channel() {
    // One channel for both, as between unchanged parties.
    let here = Session::new(2);
    let there = Session { owner: Session::new(3).owner, channel: Arc::clone(&here.channel) };
    let (spec, foreign) = (here.bytes(0), there.bytes(0));
    let expected = EnvelopeMismatch::Session { expected: spec.session(), found: foreign.session() };
    let wire = &there.send_bytes(0, &foreign, 1)[0];
    assert_eq!(here.aggregator(&spec).accept(0, wire).unwrap_err(), mismatch(expected));
    let wire = &there.for_server(there.closed(&foreign, &[0, 1]), 1)[0];
    assert_eq!(here.server(&spec).open(wire).unwrap_err(), mismatch(expected));
}

/// A round is declared for one offer. Every role refuses other keys.
#[test]
fn other_keys_than_those_of_the_round_are_refused() {
    let (here, there) = (Session::new(4), Session::new(5));
    let spec = here.bytes(0);
    let refused = round::Error::OtherOffer { expected: here.key().digest(), found: there.key().digest() };
    let channel = || Arc::clone(&here.channel);
    assert_eq!(Client::new(0, &spec, there.key(), channel()).unwrap_err(), refused);
    assert_eq!(Aggregator::new(&spec, there.key(), channel()).err(), Some(refused.clone()));
    assert_eq!(Aggregator::for_messages(&spec, there.key(), channel(), 0..1).err(), Some(refused.clone()));
    assert_eq!(Server::new(&spec, &there.owner, channel()).err(), Some(refused.clone()));
    let part = here.aggregator(&spec).close().unwrap().into_bytes().unwrap();
    assert_eq!(PartialSum::from_bytes(&spec, there.key(), &part).err(), Some(refused));

    let (here, there) = (Session::with_key_holder(4), Session::with_key_holder(5));
    let (spec, mut rng) = (here.bytes(0), rng(1));
    let refused = round::Error::OtherOffer { expected: here.key().digest(), found: there.key().digest() };
    let server =
        Server::with_key_holder(&spec, there.key(), Arc::clone(&here.channel), Arc::clone(&here.channel));
    assert_eq!(server.err(), Some(refused.clone()));
    let question =
        here.server(&spec).mask(&here.for_server(here.closed(&spec, &[0, 1]), 1)[0], &mut rng).unwrap();
    assert_eq!(there.key_holder().decrypt_masked(&spec, &question, &mut rng).unwrap_err(), refused);
}

/// The same secret key in another session has another base and another offer, and gives other
/// messages.
#[test]
fn ciphertexts_under_another_key_are_refused_by_name() {
    let here = Session::in_the_open(6, KeyHolding::Server);
    let there = Session::in_the_open(7, KeyHolding::Server);
    let (spec, foreign) = (here.bytes(0), there.bytes(0));
    let header = here.channel.overhead();
    let (wire, other) = (&here.send_bytes(0, &spec, 1)[0], &there.send_bytes(0, &foreign, 1)[0]);
    let forged = [&wire[..header], &other[header..]].concat();
    let expected = round::Error::Paillier(paillier::Error::KeyMismatch {
        expected: here.key().fingerprint(),
        found: there.key().fingerprint(),
    });
    assert_eq!(here.aggregator(&spec).accept(0, &forged).unwrap_err(), expected);
}

#[test]
fn a_message_of_another_sender_or_for_another_receiver_is_refused() {
    let session = Session::in_the_open(8, KeyHolding::Server);
    let spec = session.bytes(0);
    let wire = &session.send_bytes(0, &spec, 1)[0];
    let expected = EnvelopeMismatch::Sender { expected: Party::Client(1), found: Party::Client(0) };
    assert_eq!(session.aggregator(&spec).accept(1, wire).unwrap_err(), mismatch(expected));
    let expected = EnvelopeMismatch::Sender { expected: Party::Aggregator, found: Party::Client(0) };
    assert_eq!(session.server(&spec).open(wire).unwrap_err(), mismatch(expected));

    let session = Session::new(8);
    let spec = session.bytes(0);
    let wire = &session.send_bytes(0, &spec, 1)[0];
    let _ = session.send_bytes(1, &spec, 1); // has exchanged keys
    let refused = session.aggregator(&spec).accept(1, wire).unwrap_err();
    assert_eq!(
        refused,
        round::Error::Channel(channel::Error::BoxOpen { from: Party::Client(1), to: Party::Aggregator })
    );
}

#[test]
fn an_offer_is_used_only_if_it_is_the_pinned_one() {
    let session = Session::new(9);
    let offer = session.owner.offer();
    let relay = Session::new(10);
    let pinned = offer.digest();
    let refused = EncryptionKey::new(relay.owner.offer(), pinned, BackendChoice::Auto).unwrap_err();
    assert_eq!(refused, round::Error::PinMismatch { pinned, found: relay.owner.offer().digest() });
    let read = SessionOffer::from_bytes(&offer.to_bytes()).unwrap();
    let key = EncryptionKey::new(&read, pinned, BackendChoice::Auto).unwrap();
    assert_eq!(key.fingerprint(), session.key().fingerprint());
    assert_eq!(key.base::<InsecureBits512>(), session.key().base());
    assert!(key.public_key::<Bits2048>().is_none());

    // The same key with another roster, session or holder is another offer.
    let secret: &SecretKey<InsecureBits512> = session.owner.secret_key().unwrap();
    let own = parameters(offer.session(), KeyHolding::Server);
    let mut digests = vec![pinned];
    for parameters in [
        parameters(relay.owner.offer().session(), KeyHolding::Server),
        parameters(offer.session(), KeyHolding::KeyHolder),
        round::SessionParameters { roster: Digest::from_bytes([1; 32]), ..own },
    ] {
        digests.push(KeyOwner::with_secret_key(parameters, secret, &mut rng(1)).unwrap().offer().digest());
    }
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), 4);
    let wrong_size = round::SessionParameters { key_bits: 2048, ..own };
    let refused = KeyOwner::with_secret_key(wrong_size, secret, &mut rng(1)).unwrap_err();
    assert_eq!(
        refused,
        round::Error::Paillier(paillier::Error::KeySizeMismatch { expected: 2048, found: 512 })
    );
    let no_size = round::SessionParameters { key_bits: 1024, ..own };
    assert_eq!(KeyOwner::generate(no_size, &mut rng(1)).unwrap_err(), round::Error::KeyBits { found: 1024 });
}

/// If an attacker's offer is pinned, only a client that requests encryption is affected: it is
/// refused.
#[test]
fn a_base_that_hides_nothing_is_refused_before_anything_is_encrypted() {
    let session = Session::new(11);
    let key = session.key().public_key::<InsecureBits512>().unwrap();
    let one = key.ciphertext_from_integer(&[1]).unwrap().to_bytes();
    let bytes = session.owner.offer().to_bytes();
    let offer = SessionOffer::from_bytes(&[&bytes[..bytes.len() - one.len()], &one].concat()).unwrap();
    let key = EncryptionKey::new(&offer, offer.digest(), BackendChoice::Auto).unwrap();
    assert_eq!(key.prepare().unwrap_err(), round::Error::Paillier(paillier::Error::TrivialBase));
    let parameters =
        RoundParameters { offer: offer.digest(), ..session.parameters(0, super::support::bytes()) };
    let spec = RoundSpec::new(parameters).unwrap();
    let client = Client::new(0, &spec, &key, Arc::clone(&session.channel)).unwrap();
    let update = Array1::from_elem(VALUES, 1_u8);
    let update = client.encode(&[Update::new(&update).unwrap()]).unwrap();
    assert_eq!(
        client.message(&update, 0, &mut rng(1)).unwrap_err(),
        round::Error::Paillier(paillier::Error::TrivialBase)
    );
}

/// Either the server or the key holder has the secret key of a round. The other party answers with
/// an error. The refused request does not count: the right party may still be asked.
#[test]
fn a_role_refuses_the_work_of_another_role() {
    let session = Session::new(12);
    let (spec, mut rng) = (session.bytes(0), rng(1));
    let at_server = round::Error::KeyHolding { holder: Party::Server };
    let wires = session.for_server(session.closed(&spec, &[0, 1]), 1);
    let mut server = session.server(&spec);
    assert_eq!(server.mask(&wires[0], &mut rng).unwrap_err(), at_server);
    assert_eq!(server.unmask(&wires[0]).unwrap_err(), at_server);
    assert_eq!(session.key_holder().decrypt_masked(&spec, &wires[0], &mut rng).unwrap_err(), at_server);
    let channel = || Arc::clone(&session.channel);
    assert_eq!(Server::with_key_holder(&spec, session.key(), channel(), channel()).err(), Some(at_server));
    for wire in &wires {
        server.open(wire).unwrap();
    }
    assert_eq!(server.missing(), 0);

    let session = Session::with_key_holder(12);
    let spec = session.bytes(0);
    let at_holder = round::Error::KeyHolding { holder: Party::KeyHolder };
    let wires = session.for_server(session.closed(&spec, &[0, 1]), 1);
    let mut server = session.server(&spec);
    assert_eq!(server.open(&wires[0]).unwrap_err(), at_holder);
    let _ = server.mask(&wires[0], &mut rng).unwrap();
    assert_eq!(Server::new(&spec, &session.owner, Arc::clone(&session.channel)).err(), Some(at_holder));
}

/// The key holder could otherwise decrypt the sum in transit to the server, which would make the
/// server's masks useless.
#[test]
fn with_a_key_holder_the_server_takes_no_open_channels() {
    let session = Session::with_key_holder(14);
    let (spec, open) = (session.bytes(0), || Arc::new(PlaintextChannel::new()));
    let boxed = || Arc::clone(&session.channel);
    let refused = |aggregator: Arc<dyn Channel>, key_holder: Arc<dyn Channel>| {
        Server::with_key_holder(&spec, session.key(), aggregator, key_holder).err()
    };
    let to_server = round::Error::Channel(channel::Error::OpenChannel {
        from: PlacementKind::Aggregator,
        to: PlacementKind::Server,
    });
    assert_eq!(refused(open(), boxed()), Some(to_server));
    let to_holder = round::Error::Channel(channel::Error::OpenChannel {
        from: PlacementKind::Server,
        to: PlacementKind::KeyHolder,
    });
    assert_eq!(refused(boxed(), open()), Some(to_holder));
    assert_eq!(refused(boxed(), boxed()), None);
}

#[test]
fn numbers_of_messages_that_are_not_there_are_refused() {
    let session = Session::new(13);
    let spec = session.bytes(0);
    let client = session.client(0, &spec);
    let update = Array1::from_elem(VALUES, 1_u8);
    let update = client.encode(&[Update::new(&update).unwrap()]).unwrap();
    assert_eq!(update.messages(), MESSAGES);
    for number in [MESSAGES, u64::MAX] {
        let refused = round::Error::MessageNumber { number, messages: MESSAGES };
        assert_eq!(client.message(&update, number, &mut rng(1)).unwrap_err(), refused);
        let mut sum = session.closed(&spec, &[0, 1]);
        assert_eq!(sum.message(number, &*session.channel, &mut rng(1)).unwrap_err(), refused);
    }
    let mut sum = session.closed(&spec, &[0, 1]);
    let _ = sum.message(1, &*session.channel, &mut rng(1)).unwrap();
    let sent_before = round::Error::MessageNumber { number: 1, messages: MESSAGES };
    assert_eq!(sum.message(1, &*session.channel, &mut rng(1)).unwrap_err(), sent_before);
}
