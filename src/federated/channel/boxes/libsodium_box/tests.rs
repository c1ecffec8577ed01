use std::sync::Barrier;
use std::thread;

use super::*;
use crate::federated::channel::tests::{
    array, bytes, ends_reach_each_other, envelope, honours_envelopes, opens_in_any_order_and_again,
    refuses_a_party_whose_secret_is_elsewhere, refuses_alterations, refuses_short_messages_and_equal_ends,
    rng,
};

/// `NaCl`'s own example: Bernstein, "Cryptography in `NaCl`", sections 2, 8 and 10; tests/box.c of
/// `NaCl` and libsodium.
mod nacl {
    pub const ALICE_SECRET: &str = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a";
    pub const ALICE_PUBLIC: &str = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a";
    pub const BOB_SECRET: &str = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb";
    pub const BOB_PUBLIC: &str = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";
    pub const NONCE: &str = "69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37";
    pub const MESSAGE: &str = "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffc\
        e5ecbaaf33bd751a1ac728d45e6c61296cdc3c01233561f41db66cce314adb31\
        0e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde\
        048977eb48f59ffd4924ca1c60902e52f0a089bc76897040e082f93776384864\
        5e0705";
    pub const BOX: &str = "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce\
        48332ea7164d96a4476fb8c531a1186ac0dfc17c98dce87b4da7f011ec48c972\
        71d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae\
        90224368517acfeabd6bb3732bc0e9da99832b61ca01b6de56244a9e88d5f9b3\
        7973f622a43d14a6599b1f654cb45a74e355a5";
}

fn secret(hex: &str) -> BoxSecretKey {
    BoxSecretKey::from_bytes(array(hex))
}

#[test]
fn boxes_match_nacl() {
    let (alice, bob) = (secret(nacl::ALICE_SECRET), secret(nacl::BOB_SECRET));
    assert_eq!(alice.public_key().to_bytes(), array(nacl::ALICE_PUBLIC));
    assert_eq!(bob.public_key().to_bytes(), array(nacl::BOB_PUBLIC));

    let to_bob = Agreed::new(&alice, &BoxPublicKey::from_bytes(array(nacl::BOB_PUBLIC)).unwrap()).key;
    let message = bytes(nacl::MESSAGE);
    let wire = seal_parts(&to_bob, array(nacl::NONCE), &[&message[..7], &message[7..]]);
    assert_eq!(wire, [bytes(nacl::NONCE), bytes(nacl::BOX)].concat());

    let from_alice = Agreed::new(&bob, &BoxPublicKey::from_bytes(array(nacl::ALICE_PUBLIC)).unwrap()).key;
    assert_eq!(open_box(&from_alice, &wire).unwrap().as_slice(), message);
}

#[test]
fn the_wire_holds_nonce_and_box_of_envelope_and_payload() {
    let channel = BoxChannel::new().with_key(Party::Aggregator, secret(nacl::BOB_SECRET));
    let sent = envelope(0, 0);
    let wire = channel.seal(&sent, b"payload", &mut rng(0)).unwrap();
    let shared = Agreed::new(&secret(nacl::BOB_SECRET), &channel.public_key(sent.from).unwrap()).key;
    let inside = open_box(&shared, &wire).unwrap();
    assert_eq!(inside.as_slice(), [&sent.to_bytes()[..], b"payload"].concat());
}

#[test]
fn honours_every_field_of_the_envelope() {
    honours_envelopes(&BoxChannel::new());
}

#[test]
fn messages_open_in_any_order() {
    opens_in_any_order_and_again(&BoxChannel::new());
}

#[test]
fn short_messages_and_equal_ends_are_refused() {
    refuses_short_messages_and_equal_ends(&BoxChannel::new());
}

#[test]
fn refuses_every_altered_byte_and_every_truncation() {
    refuses_alterations(&BoxChannel::new(), 0);
}

#[test]
fn equal_payloads_give_different_boxes() {
    let channel = BoxChannel::new();
    let mut rng = rng(6);
    let mut seal = || channel.seal(&envelope(0, 0), b"the same", &mut rng).unwrap();
    let (first, second) = (seal(), seal());
    assert_ne!(first[..NONCE_LEN], second[..NONCE_LEN]);
    assert_ne!(first[NONCE_LEN..], second[NONCE_LEN..]);
}

#[test]
fn parties_have_different_keys_made_once() {
    let channel = BoxChannel::new();
    let mut rng = rng(7);
    let parties: Vec<Party> = (0..40).map(Party::Client).chain([Party::Aggregator]).collect();
    for &party in &parties {
        assert_eq!(channel.public_key(party), None);
    }
    for sequence in 0..2 {
        for client in 0..40 {
            let sent = Envelope { from: Party::Client(client), ..envelope(0, sequence) };
            let wire = channel.seal(&sent, &[9], &mut rng).unwrap();
            assert_eq!(channel.open_expected(&sent, &wire).unwrap().as_slice(), [9]);
        }
    }
    let keys: std::collections::BTreeSet<_> =
        parties.iter().map(|&party| channel.public_key(party)).collect();
    assert_eq!(keys.len(), parties.len());
    assert_eq!(channel.setup_bytes(), 40 * 64);
}

#[test]
fn keys_are_made_once_by_concurrent_threads() {
    const THREADS: u32 = 16;
    const CLIENTS: u32 = 4;
    for seed in 0..20 {
        let channel = BoxChannel::new();
        let barrier = Barrier::new(THREADS as usize);
        let keys: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let (channel, barrier) = (&channel, &barrier);
                    scope.spawn(move || {
                        let mut rng = rng(seed * 100 + u64::from(thread));
                        let client = Party::Client(thread & (CLIENTS - 1));
                        let mut sent = Envelope { from: client, ..envelope(0, 0) };
                        if thread & CLIENTS != 0 {
                            (sent.from, sent.to) = (sent.to, sent.from);
                        }
                        barrier.wait();
                        let wire = channel.seal(&sent, &[1, 2, 3], &mut rng).unwrap();
                        assert_eq!(channel.open_expected(&sent, &wire).unwrap().as_slice(), [1, 2, 3]);
                        [client, Party::Aggregator].map(|party| (party, channel.public_key(party).unwrap()))
                    })
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        for (party, key) in keys {
            assert_eq!(channel.public_key(party), Some(key), "{party}");
        }
        assert_eq!(channel.setup_bytes(), u64::from(CLIENTS) * 64);
        assert_eq!(channel.keys.keys().len(), CLIENTS as usize + 1);
    }
}

#[test]
fn opening_makes_no_keys() {
    let channel = BoxChannel::new();
    let sent = envelope(0, 0);
    let refused = |from, to| Err(Error::NoKeyExchange { from, to });
    let wire = vec![0; channel.overhead()];
    assert_eq!(channel.open_expected(&sent, &wire), refused(sent.from, sent.to));
    assert_eq!(channel.public_key(sent.from), None);

    // Two clients have keys for the aggregator, but not for each other.
    let (one, two) = (Party::Client(1), Party::Client(2));
    for from in [one, two] {
        channel.seal(&Envelope { from, ..sent }, b"", &mut rng(8)).unwrap();
    }
    let between = Envelope { to: two, ..sent };
    assert_eq!(channel.open_expected(&between, &wire), refused(one, two));
    assert_eq!(channel.setup_bytes(), 2 * 64);
}

/// Two processes, each with its own secret key and the other's public key.
fn two_ends() -> (BoxChannel, BoxChannel) {
    let sent = envelope(0, 0);
    let (alice, bob) = (secret(nacl::ALICE_SECRET), secret(nacl::BOB_SECRET));
    let (alice_public, bob_public) = (alice.public_key(), bob.public_key());
    (
        BoxChannel::new().with_key(sent.from, alice).with_peer(sent.to, bob_public),
        BoxChannel::new().with_key(sent.to, bob).with_peer(sent.from, alice_public),
    )
}

#[test]
fn parties_in_two_processes_reach_each_other() {
    let (here, there) = two_ends();
    ends_reach_each_other([&here, &there]);
}

#[test]
fn a_party_whose_secret_is_elsewhere_neither_seals_nor_opens_here() {
    refuses_a_party_whose_secret_is_elsewhere(&two_ends().0);
}

#[test]
fn a_new_key_replaces_the_old_one() {
    let channel = BoxChannel::new();
    let sent = envelope(0, 0);
    let old = channel.seal(&sent, b"old", &mut rng(11)).unwrap();
    let channel = channel.with_key(sent.to, secret(nacl::BOB_SECRET));
    assert_eq!(channel.open_expected(&sent, &old), Err(Error::BoxOpen { from: sent.from, to: sent.to }));
    let new = channel.seal(&sent, b"new", &mut rng(12)).unwrap();
    assert_eq!(channel.open_expected(&sent, &new).unwrap().as_slice(), b"new");
    assert_eq!(channel.public_key(sent.to).unwrap().to_bytes(), array(nacl::BOB_PUBLIC));
}

#[test]
fn debug_shows_no_secret() {
    let channel = BoxChannel::new().with_key(Party::Server, BoxSecretKey::from_bytes([0x42; 32]));
    channel.seal(&envelope(0, 0), b"", &mut rng(14)).unwrap();
    assert_eq!(
        format!("{channel:?}"),
        "BoxChannel { parties: [Client(1), Server, Aggregator], exchanges: 1, .. }"
    );
    let key = BoxSecretKey::from_bytes([0x42; 32]);
    assert_eq!(format!("{key:?}"), "BoxSecretKey { .. }");
    assert_eq!(
        format!("{:?}", secret(nacl::BOB_SECRET).public_key()),
        format!("BoxPublicKey({})", nacl::BOB_PUBLIC)
    );
}

#[test]
fn a_prepared_party_keeps_its_key() {
    let channel = BoxChannel::new();
    channel.prepare(Party::Aggregator, &mut rng(1));
    let key = channel.public_key(Party::Aggregator).unwrap();
    channel.prepare(Party::Aggregator, &mut rng(2));
    channel.seal(&envelope(0, 0), b"", &mut rng(3)).unwrap();
    assert_eq!(channel.public_key(Party::Aggregator), Some(key));
    assert_eq!(channel.setup_bytes(), 64, "preparing exchanges no keys");

    // Preparing does not replace a key from elsewhere.
    let key = BoxSecretKey::from_bytes([5; 32]).public_key();
    let channel = BoxChannel::new().with_peer(Party::Aggregator, key);
    channel.prepare(Party::Aggregator, &mut rng(4));
    assert_eq!(channel.public_key(Party::Aggregator), Some(key));
}
