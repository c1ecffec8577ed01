//! One key size throughout, and a randomizer for each ciphertext.

use cipherfold::{
    Result,
    paillier::{Plaintext, SecretKey, hazmat::InsecureBits512},
};

pub(crate) fn main() -> Result<()> {
    let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
    let secret = SecretKey::<InsecureBits512>::generate(&mut rng)?;
    let key = secret.public_key();
    let a = key.encrypt_with(&Plaintext::from(1u64), key.randomizer_full_range(&mut rng)?)?;
    let b = key.encrypt_with(&Plaintext::from(2u64), key.randomizer_full_range(&mut rng)?)?;
    assert_ne!(a, b);
    assert_eq!(secret.decrypt(&key.add(&a, &b)?)?.to_u64(), Some(3));
    Ok(())
}
