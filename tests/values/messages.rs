//! The encodings of messages and envelopes.

use cipherfold::{
    federated::{
        Contribution, Digest, EncryptedSum, Envelope, MaskedSum, MaskedTotals, Message, Party,
        PublicKeyMessage, SessionId,
    },
    paillier::{Encryptor, Plaintext, SecretKey, hazmat::InsecureBits512},
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::one_encoding;

fn check<M: Message>(message: &M) {
    let bytes = message.to_bytes().unwrap();
    one_encoding::check(&bytes, M::from_bytes, |message| message.to_bytes().unwrap());
}

#[test]
fn messages_have_one_encoding() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let secret = SecretKey::<InsecureBits512>::generate(&mut rng).unwrap();
    let encryptor = Encryptor::new(secret.public_key(), &mut rng).unwrap();
    let plaintexts = vec![Plaintext::zero(), Plaintext::from(u128::MAX)];
    let ciphertexts = encryptor.encrypt_batch(&plaintexts, &mut rng).unwrap();
    let empty = encryptor.encrypt_batch(&[], &mut rng).unwrap();

    check(&PublicKeyMessage { key: secret.public_key().clone(), base: encryptor.base().clone() });
    for ciphertexts in [ciphertexts, empty] {
        check(&Contribution { ciphertexts: ciphertexts.clone() });
        check(&EncryptedSum { contributions: u64::MAX, ciphertexts: ciphertexts.clone() });
        check(&MaskedSum { ciphertexts });
    }
    check(&MaskedTotals { plaintexts });
    check(&MaskedTotals::<InsecureBits512> { plaintexts: Vec::new() });
}

#[test]
fn envelopes_have_one_encoding() {
    let parties = [Party::Client(u32::MAX), Party::Server, Party::Aggregator, Party::KeyHolder];
    for from in parties {
        for to in parties {
            let envelope = Envelope {
                session: SessionId::from_bytes([0xab; 16]),
                round: u64::MAX,
                sequence: 0,
                from,
                to,
                context: Digest::from_bytes([0xcd; 32]),
            };
            let read = |bytes: &[u8]| Envelope::from_bytes(bytes.try_into().map_err(|_| ())?).map_err(|_| ());
            one_encoding::check(&envelope.to_bytes(), read, |envelope| envelope.to_bytes().to_vec());
        }
    }
}
