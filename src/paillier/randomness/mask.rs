//! One-time pads modulo n: the holder of the key decrypts a number without learning it.
//!
//! The holder of an encrypted number adds a pad that is uniform modulo n. The key holder then
//! decrypts a uniform number, for every original number: for each original and each result there is
//! exactly one pad that leads from one to the other. The owner of the pad subtracts it again.

use core::fmt;

use rand_core::CryptoRng;

use super::{draw::random_below, encryptor::Encryptor};
use crate::{
    paillier::{
        error::Result,
        keys::{PublicKey, public_key::same_length},
        values::{CiphertextBatch, KeySize, Plaintext},
    },
    residue,
};

/// Pads for a batch, each for one use: one [`hide`](Self::hide), then one [`remove`](Self::remove).
///
/// ```
/// use cipherfold::{diagnostics::Masks, paillier::{Bits2048, Encryptor, Plaintext, SecretKey}};
///
/// let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
/// let secret = SecretKey::<Bits2048>::generate(&mut rng)?;
/// let encryptor = Encryptor::new(secret.public_key(), &mut rng)?;
/// let numbers = encryptor.encrypt_batch(&[Plaintext::from(7_u64)], &mut rng)?;
///
/// let masks = Masks::new(secret.public_key(), numbers.len(), &mut rng)?;
/// let hidden = masks.hide(&encryptor, &numbers, &mut rng)?;
/// let seen = secret.decrypt_batch(&hidden)?; // by someone else, to whom this says nothing
/// assert_eq!(masks.remove(seen)?, [Plaintext::from(7_u64)]);
/// # Ok::<(), cipherfold::Error>(())
/// ```
pub struct Masks<S: KeySize> {
    key: PublicKey<S>,
    /// Below n; wiped on drop, like plaintexts.
    pads: Vec<Plaintext<S>>,
}

impl<S: KeySize> Masks<S> {
    /// `count` pads, uniform modulo n.
    ///
    /// # Errors
    ///
    /// [`Error::BrokenGenerator`](crate::paillier::Error::BrokenGenerator) if `rng` repeats itself.
    pub fn new(key: &PublicKey<S>, count: usize, rng: &mut (impl CryptoRng + ?Sized)) -> Result<Self> {
        // Allocated at full length: growth would leave pads in freed memory.
        let mut pads = vec![Plaintext::zero(); count];
        for pad in &mut pads {
            pad.0 = *random_below(rng, key.modulus().n(), "mask")?;
        }
        Ok(Self { key: key.clone(), pads })
    }

    /// Encryptions of `batch[i] + pad[i] mod n`, with fresh randomness, so that they cannot be
    /// linked to the batch.
    ///
    /// # Errors
    ///
    /// [`Error::KeyMismatch`](crate::paillier::Error::KeyMismatch),
    /// [`Error::BatchLength`](crate::paillier::Error::BatchLength), and those of
    /// [`PublicKey::check_batch`].
    pub fn hide(
        &self,
        encryptor: &Encryptor<S>,
        batch: &CiphertextBatch<S>,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<CiphertextBatch<S>> {
        same_length(self.pads.len(), batch.len())?;
        self.key.check_key(encryptor.public_key().fingerprint())?;
        let pads = encryptor.encrypt_batch(&self.pads, rng)?;
        self.key.add_batch(batch, &pads)
    }

    /// `seen[i] − pad[i] mod n`. Constant time. The caller ensures that it succeeds at most once.
    ///
    /// # Errors
    ///
    /// [`Error::BatchLength`](crate::paillier::Error::BatchLength);
    /// [`Error::PlaintextRange`](crate::paillier::Error::PlaintextRange) if a number is not below
    /// n. Decrypted numbers always are.
    pub fn remove(&self, seen: Vec<Plaintext<S>>) -> Result<Vec<Plaintext<S>>> {
        same_length(self.pads.len(), seen.len())?;
        self.key.check_plaintexts(&seen)?;
        let n = self.key.modulus().n();
        let remove = |(mut value, pad): (Plaintext<S>, &Plaintext<S>)| {
            // value − pad = value + (n − pad) modulo n.
            let mut complement = Plaintext::<S>(*n);
            residue::subtract(&mut complement.0, &pad.0);
            residue::conditional_subtract(&mut complement.0, &mut 0, n); // n itself, if the pad is zero
            (value.0, _) = residue::add_mod(&value.0, &complement.0, n, 0);
            value
        };
        Ok(seen.into_iter().zip(&self.pads).map(remove).collect())
    }
}

impl<S: KeySize> fmt::Debug for Masks<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Masks").field("len", &self.pads.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;
    use crate::paillier::Error;
    use crate::paillier::{SecretKey, hazmat::InsecureBits512 as Key};

    fn minus_one(key: &PublicKey<Key>) -> Plaintext<Key> {
        key.plaintext_from_i128(-1)
    }

    #[test]
    fn remove_inverts_hide_up_to_the_ends() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let secret = SecretKey::<Key>::generate(&mut rng).unwrap();
        let key = secret.public_key();
        let encryptor = Encryptor::new(key, &mut rng).unwrap();
        let numbers = [Plaintext::zero(), Plaintext::from(1_u64), minus_one(key), Plaintext::from(u128::MAX)];
        for number in &numbers {
            for pad in &numbers {
                let masks = Masks { key: key.clone(), pads: vec![pad.clone()] };
                let batch = encryptor.encrypt_batch(core::slice::from_ref(number), &mut rng).unwrap();
                let hidden = masks.hide(&encryptor, &batch, &mut rng).unwrap();
                let seen = secret.decrypt_batch(&hidden).unwrap();
                assert_eq!(masks.remove(seen).unwrap(), core::slice::from_ref(number));
            }
        }
    }

    /// Given a decrypted number, every original is equally likely: exactly one pad leads to it.
    #[test]
    fn every_original_has_exactly_one_pad() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let secret = SecretKey::<Key>::generate(&mut rng).unwrap();
        let key = secret.public_key();
        let seen = Masks::new(key, 20, &mut rng).unwrap().pads.clone();
        for number in [0_u64, 1, 12_345, u64::MAX].map(Plaintext::<Key>::from) {
            // The pad that leads from this number to the decrypted one…
            let masks = Masks { key: key.clone(), pads: vec![number.clone(); 20] };
            let pads = masks.remove(seen.clone()).unwrap();
            // …leads back to this number.
            let numbers = Masks { key: key.clone(), pads }.remove(seen.clone()).unwrap();
            assert_eq!(numbers, vec![number; 20]);
        }
    }

    #[test]
    fn pads_fill_the_range() {
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        let key = SecretKey::<Key>::generate(&mut rng).unwrap().public_key().clone();
        let pads = Masks::new(&key, 4000, &mut rng).unwrap().pads;
        // n has its top bit set: the top byte of a uniform number below it is above 127 with
        // probability 1 − 2^511 / n.
        let n = f64::from(u32::from_be_bytes(key.modulus_be()[..4].try_into().unwrap()));
        let expected = 4000.0 * (1.0 - f64::from(1_u32 << 31) / n);
        let found = pads.iter().filter(|pad| pad.to_be_bytes()[0] > 127).count();
        // Five standard deviations of a binomial distribution are at most 5·√(4000/4) = 158.
        assert!((expected - f64::from(u32::try_from(found).unwrap())).abs() < 158.0, "{found} of {expected}");
    }

    #[test]
    fn other_keys_and_lengths_are_refused() {
        let mut rng = ChaCha20Rng::seed_from_u64(4);
        let [first, second] = [0; 2].map(|_| SecretKey::<Key>::generate(&mut rng).unwrap());
        let encryptor = Encryptor::new(first.public_key(), &mut rng).unwrap();
        let batch = encryptor.encrypt_batch(&[Plaintext::zero()], &mut rng).unwrap();
        let masks = Masks::new(first.public_key(), 2, &mut rng).unwrap();
        let length = Error::BatchLength { expected: 2, found: 1 };
        assert_eq!(masks.hide(&encryptor, &batch, &mut rng).unwrap_err(), length);
        assert_eq!(masks.remove(vec![Plaintext::zero()]).unwrap_err(), length);
        let masks = Masks::new(second.public_key(), 1, &mut rng).unwrap();
        assert!(matches!(masks.hide(&encryptor, &batch, &mut rng), Err(Error::KeyMismatch { .. })));
        let too_large = Plaintext::from_be_bytes(&[0xff; 64]).unwrap();
        assert_eq!(masks.remove(vec![too_large]).unwrap_err(), Error::PlaintextRange { index: 0 });
    }
}
