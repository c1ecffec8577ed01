//! Operations on ciphertexts with fresh randomness, so that results reveal nothing about the
//! operands.

use rand_core::CryptoRng;

use crate::paillier::{
    error::Result,
    randomness::Encryptor,
    values::{Ciphertext, CiphertextBatch, KeySize, Plaintext},
};

/// Operations with fresh randomness. Each costs one encryption more.
///
/// To everyone except the owner of the secret key, a result looks like any encryption of its
/// plaintext. It shows neither that a multiplier was zero nor that two operands were one
/// ciphertext.
///
/// The owner knows the order of the group and can know the operands' exponents. Only the hardness
/// of discrete logarithms modulo p and q hides a multiplier from the owner, and nothing hides it if
/// p − 1 and q − 1 were chosen with small factors.
/// [`PublicKey::rerandomize`](crate::paillier::PublicKey::rerandomize) with a
/// [`randomizer_full_range`](crate::paillier::PublicKey::randomizer_full_range) hides it without
/// any assumption.
///
/// ```
/// use cipherfold::paillier::{Encryptor, Plaintext, SecretKey, hazmat::InsecureBits512};
/// # use rand_core::SeedableRng;
/// # let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(25);
///
/// let secret = SecretKey::<InsecureBits512>::generate(&mut rng)?;
/// let public = secret.public_key();
/// let encryptor = Encryptor::new(public, &mut rng)?;
/// let a = encryptor.encrypt(&Plaintext::from(7_u64), &mut rng)?;
///
/// let one = [&[0; 127][..], &[1]].concat(); // the integer 1, of twice 64 bytes
/// assert_eq!(public.ciphertext_to_integer(&public.sub(&a, &a)?)?, one);
/// let hidden = encryptor.sub_rerandomized(&a, &a, &mut rng)?;
/// assert_ne!(public.ciphertext_to_integer(&hidden)?, one);
/// assert_eq!(secret.decrypt(&hidden)?.to_u64(), Some(0));
/// # Ok::<(), cipherfold::Error>(())
/// ```
impl<S: KeySize> Encryptor<S> {
    /// Another encryption of the same plaintext.
    ///
    /// # Errors
    ///
    /// Those of [`PublicKey::check`](crate::paillier::PublicKey::check).
    pub fn rerandomize(
        &self,
        a: &Ciphertext<S>,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Ciphertext<S>> {
        self.public_key().check(a)?;
        let randomizer = self.randomizers(1, rng).pop().expect("one was asked for");
        self.public_key().rerandomize(a, randomizer)
    }

    /// [`PublicKey::mul_plain`](crate::paillier::PublicKey::mul_plain), with fresh randomness.
    ///
    /// # Errors
    ///
    /// Those of `mul_plain`.
    pub fn mul_plain_rerandomized(
        &self,
        a: &Ciphertext<S>,
        k: &Plaintext<S>,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Ciphertext<S>> {
        self.rerandomize(&self.public_key().mul_plain(a, k)?, rng)
    }

    /// [`PublicKey::mul_plain_bounded`](crate::paillier::PublicKey::mul_plain_bounded), with fresh
    /// randomness.
    ///
    /// # Errors
    ///
    /// Those of `mul_plain_bounded`.
    pub fn mul_plain_bounded_rerandomized(
        &self,
        a: &Ciphertext<S>,
        k: &Plaintext<S>,
        bits: u32,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Ciphertext<S>> {
        self.rerandomize(&self.public_key().mul_plain_bounded(a, k, bits)?, rng)
    }

    /// [`PublicKey::mul_plain_batch`](crate::paillier::PublicKey::mul_plain_batch), with fresh
    /// randomness.
    ///
    /// # Errors
    ///
    /// Those of `mul_plain_batch`.
    pub fn mul_plain_batch_rerandomized(
        &self,
        a: &CiphertextBatch<S>,
        ks: &[Plaintext<S>],
        bits: u32,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<CiphertextBatch<S>> {
        self.rerandomize_batch(&self.public_key().mul_plain_batch(a, ks, bits)?, rng)
    }

    /// [`PublicKey::sub`](crate::paillier::PublicKey::sub), with fresh randomness.
    ///
    /// # Errors
    ///
    /// Those of `sub`.
    pub fn sub_rerandomized(
        &self,
        a: &Ciphertext<S>,
        b: &Ciphertext<S>,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Ciphertext<S>> {
        self.rerandomize(&self.public_key().sub(a, b)?, rng)
    }

    /// [`PublicKey::sub_batch`](crate::paillier::PublicKey::sub_batch), with fresh randomness.
    ///
    /// # Errors
    ///
    /// Those of `sub_batch`.
    pub fn sub_batch_rerandomized(
        &self,
        a: &CiphertextBatch<S>,
        b: &CiphertextBatch<S>,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<CiphertextBatch<S>> {
        self.rerandomize_batch(&self.public_key().sub_batch(a, b)?, rng)
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;
    use crate::paillier::{SecretKey, hazmat::InsecureBits512 as Small};

    #[test]
    fn results_that_cancel_are_hidden_and_right() {
        let mut rng = ChaCha20Rng::from_seed([25; 32]);
        let secret = SecretKey::<Small>::generate(&mut rng).unwrap();
        let public = secret.public_key();
        let encryptor = Encryptor::new(public, &mut rng).unwrap();
        let numbers: Vec<Plaintext<Small>> = [7_u64, 0, 3].map(Plaintext::from).into();
        let zeros = [0_u64; 3].map(Plaintext::from);
        let batch = encryptor.encrypt_batch(&numbers, &mut rng).unwrap();
        let (a, zero) = (batch.get(0).unwrap(), &zeros[0]);
        let one = [&[0; 127][..], &[1]].concat();
        let is_one = |c: &Ciphertext<Small>| public.ciphertext_to_integer(c).unwrap() == one;

        let singles = |rng: &mut ChaCha20Rng| {
            [
                (public.sub(&a, &a).unwrap(), encryptor.sub_rerandomized(&a, &a, rng).unwrap()),
                (
                    public.mul_plain(&a, zero).unwrap(),
                    encryptor.mul_plain_rerandomized(&a, zero, rng).unwrap(),
                ),
                (
                    public.mul_plain_bounded(&a, zero, 9).unwrap(),
                    encryptor.mul_plain_bounded_rerandomized(&a, zero, 9, rng).unwrap(),
                ),
                (
                    public.add(&a, &public.negate(&a).unwrap()).unwrap(),
                    encryptor.rerandomize(&public.sub(&a, &a).unwrap(), rng).unwrap(),
                ),
            ]
        };
        for ((bare, hidden), (_, again)) in singles(&mut rng).into_iter().zip(singles(&mut rng)) {
            assert!(is_one(&bare) && !is_one(&hidden) && hidden != again);
            assert_eq!(secret.decrypt(&hidden).unwrap(), *zero);
        }
        let batches = [
            (
                public.sub_batch(&batch, &batch).unwrap(),
                encryptor.sub_batch_rerandomized(&batch, &batch, &mut rng).unwrap(),
            ),
            (
                public.mul_plain_batch(&batch, &zeros, 3).unwrap(),
                encryptor.mul_plain_batch_rerandomized(&batch, &zeros, 3, &mut rng).unwrap(),
            ),
        ];
        for (bare, hidden) in batches {
            assert!(bare.iter().all(|c| is_one(&c)) && hidden.iter().all(|c| !is_one(&c)));
            assert_eq!(secret.decrypt_batch(&hidden).unwrap(), zeros);
        }
    }

    #[test]
    fn a_foreign_ciphertext_is_refused() {
        let mut rng = ChaCha20Rng::from_seed([26; 32]);
        let [key, other] = [(); 2].map(|()| SecretKey::<Small>::generate(&mut rng).unwrap());
        let encryptor = Encryptor::new(key.public_key(), &mut rng).unwrap();
        let foreign = Encryptor::new(other.public_key(), &mut rng).unwrap();
        let foreign = foreign.encrypt(&Plaintext::zero(), &mut rng).unwrap();
        let found = encryptor.rerandomize(&foreign, &mut rng);
        assert!(matches!(found, Err(crate::paillier::Error::KeyMismatch { .. })));
    }
}
