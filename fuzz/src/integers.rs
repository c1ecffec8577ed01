//! Integers of other Paillier libraries: moduli, ciphertexts and plaintexts.

use cipherfold::paillier::{Plaintext, PublicKey};

use crate::{Key, SECRET, same_bytes};

/// The first byte selects the kind of integer; all are big-endian.
pub fn run(data: &[u8]) {
    let Some((door, data)) = data.split_first() else { return };
    let key = SECRET.public_key();
    match door % 3 {
        0 => {
            let Ok(c) = key.ciphertext_from_integer(data) else { return };
            let zeros = data.iter().take_while(|byte| **byte == 0).count();
            let integer = key.ciphertext_to_integer(&c).expect("a ciphertext of this key");
            let found = integer.iter().take_while(|byte| **byte == 0).count();
            same_bytes(&integer[found..], &data[zeros..]);
            let _ = SECRET.decrypt(&c);
        }
        1 => {
            let Ok(m) = Plaintext::<Key>::from_be_bytes(data) else { return };
            let zeros = data.iter().take_while(|byte| **byte == 0).count();
            let bytes = m.to_be_bytes();
            let found = bytes.iter().take_while(|byte| **byte == 0).count();
            same_bytes(&bytes[found..], &data[zeros..]);
            if let Some(value) = key.plaintext_to_i128(&m) {
                assert_eq!(key.plaintext_to_i128(&key.plaintext_from_i128(value)), Some(value));
            }
        }
        _ => {
            // Any odd number of the right length is accepted as a modulus. Operations with it must
            // not panic.
            let Ok(key) = PublicKey::<Key>::from_modulus_be(data) else { return };
            let Ok(one) = key.ciphertext_from_integer(&[1]) else { return };
            let _ = key.add(&one, &one);
            let _ = key.negate(&one);
            let _ = key.mul_plain_bounded(&one, &Plaintext::from(9_u64), 4);
        }
    }
}
