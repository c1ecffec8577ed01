//! Keys, box keys, envelopes, announcements, rosters, boxes and fingerprints from bytes and from
//! JSON.

use cipherfold::{
    federated::{
        Party, SessionId,
        channel::{
            Announcement, BoxChannel, BoxPublicKey, BoxSecretKey, Channel, Envelope, HpkeChannel,
            PlaintextChannel, Roster, SessionKeys,
        },
    },
    paillier::{Bits2048, Fingerprint, PublicKey, SecretKey},
};

use crate::{Key, same_bytes};

/// The first byte selects the function, the rest is its input.
pub fn run(data: &[u8]) {
    let Some((door, data)) = data.split_first() else { return };
    match door % 11 {
        0 => {
            if let Ok(key) = PublicKey::<Key>::from_bytes(data) {
                same_bytes(&key.to_bytes(), data);
            }
        }
        1 => {
            if let Ok(key) = SecretKey::<Key>::from_bytes_vartime(data) {
                same_bytes(&key.expose_bytes(), data);
            }
        }
        2 => {
            if let Ok(key) = PublicKey::<Key>::from_modulus_be(data) {
                let zeros = data.iter().take_while(|byte| **byte == 0).count();
                same_bytes(&key.modulus_be(), &data[zeros..]);
            }
        }
        3 => {
            let (p, q) = data.split_at(data.len() / 2);
            if let Ok(key) = SecretKey::<Key>::from_primes_be_vartime(p, q) {
                let again = SecretKey::<Key>::from_bytes_vartime(&key.expose_bytes());
                assert_eq!(again.expect("what was written").public_key(), key.public_key());
            }
        }
        4 => {
            let _ = PublicKey::<Bits2048>::from_bytes(data);
        }
        5 => {
            if let Ok(bytes) = <[u8; BoxPublicKey::LEN]>::try_from(data)
                && let Ok(key) = BoxPublicKey::from_bytes(bytes)
            {
                same_bytes(&key.to_bytes(), data);
            }
        }
        6 => {
            if let Ok(bytes) = <&[u8; Envelope::ENCODED_LEN]>::try_from(data)
                && let Ok(envelope) = Envelope::from_bytes(bytes)
            {
                same_bytes(&envelope.to_bytes(), data);
            }
        }
        7 => texts(data),
        8 => {
            if let Ok(announcement) = Announcement::from_bytes(data) {
                same_bytes(&announcement.to_bytes(), data);
            }
        }
        9 => {
            if let Ok(roster) = Roster::from_bytes(data) {
                same_bytes(&roster.to_bytes(), data);
            }
        }
        _ => boxes(data),
    }
}

/// Opens the bytes as a box of each kind, with a receiver's keys. This must fail.
fn boxes(data: &[u8]) {
    let session = SessionId::from_bytes([1; 16]);
    let (from, to) = (Party::Client(1), Party::Aggregator);
    let [sender, receiver] = [1, 2].map(|byte| BoxSecretKey::from_bytes([byte; 32]));
    let box_channel = BoxChannel::new().with_peer(from, sender.public_key());
    let box_channel = box_channel.with_key(to, BoxSecretKey::from_bytes([2; 32]));
    let keys = SessionKeys::from_secret_key(session, to, receiver);
    let hpke = HpkeChannel::for_party(keys).with_peer(from, sender.public_key());
    assert!(box_channel.open(from, to, data).is_err(), "a forged box");
    assert!(hpke.open(from, to, data).is_err(), "a forged box");
    if let Ok((envelope, payload)) = PlaintextChannel::new().open(from, to, data) {
        same_bytes(&[&envelope.to_bytes(), payload.as_slice()].concat(), data);
    }
}

/// Every key and every fingerprint must have one text only.
fn texts(data: &[u8]) {
    let same_text = |text: String| same_bytes(text.as_bytes(), data.trim_ascii());
    if let Ok(key) = serde_json::from_slice::<PublicKey<Key>>(data) {
        same_text(serde_json::to_string(&key).expect("plain data"));
    }
    if let Ok(fingerprint) = serde_json::from_slice::<Fingerprint>(data) {
        same_text(serde_json::to_string(&fingerprint).expect("plain data"));
    }
}
