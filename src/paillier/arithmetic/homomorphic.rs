//! Arithmetic on ciphertexts. It needs the public key only.
//!
//! | operation | on plaintexts | price, in products modulo n² |
//! | :-- | :-- | :-- |
//! | [`Accumulator`], `sum` | sum of many | 1 each |
//! | `add`, `sub` | m₁ ± m₂ | 2 (`sub`: and an inversion) |
//! | `add_plain` | m + k | about 1 |
//! | `mul_plain` | m·k | about 1.2 a bit of k |
//! | `negate` | −m | an inversion modulo n |
//!
//! All results are modulo n. Only `rerandomize` adds fresh randomness: a party that knows the
//! operands of another operation recognises its result.
//!
//! # Results that hide nothing
//!
//! If the randomness of the operands cancels, the result is the integer 1: an encryption of zero
//! that hides nothing. This happens for products with the plaintext zero, and for the difference of
//! a ciphertext and itself (or its sum with its own negative). Another ciphertext of the same
//! plaintext does not cancel. `add_plain` to such a result gives 1 + m·n, and anyone can read m
//! from it. If a multiplier may be zero, or operands may be the same ciphertext, pass the result
//! through [`rerandomize`](PublicKey::rerandomize), or use the methods of
//! [`Encryptor`](crate::paillier::Encryptor) whose names end in `_rerandomized`.

use subtle::{Choice, ConditionallySelectable};

use super::accumulator::Accumulator;
use crate::{
    paillier::{
        error::{Error, Result},
        keys::{PublicKey, public_key::same_length},
        randomness::Randomizer,
        values::{Ciphertext, CiphertextBatch, KeySize, Plaintext},
    },
    residue::{Limbs, Pair, conditional_subtract, subtract},
};

impl<S: KeySize> PublicKey<S> {
    /// An encryption of `a + b mod n`.
    ///
    /// **If b is the [negative](Self::negate) of a itself, the result is the ciphertext 1**, as
    /// with [`sub`](Self::sub).
    ///
    /// # Errors
    ///
    /// Those of [`check`](Self::check), for either.
    pub fn add(&self, a: &Ciphertext<S>, b: &Ciphertext<S>) -> Result<Ciphertext<S>> {
        self.check(a)?;
        self.check(b)?;
        Ok(self.single(self.engine().mul(&[a.pair], &[b.pair])))
    }

    /// Encryptions of `a[i] + b[i] mod n`.
    ///
    /// # Errors
    ///
    /// Those of [`check_batch`](Self::check_batch); [`Error::BatchLength`] if the lengths differ.
    pub fn add_batch(&self, a: &CiphertextBatch<S>, b: &CiphertextBatch<S>) -> Result<CiphertextBatch<S>> {
        self.check_batch(a)?;
        self.check_batch(b)?;
        same_length(a.len(), b.len())?;
        Ok(self.batch(self.engine().mul(&a.pairs, &b.pairs)))
    }

    /// An encryption of `a − b mod n`.
    ///
    /// **If b is a itself, the result is the ciphertext 1**, which anyone recognises as zero.
    /// [`Encryptor::sub_rerandomized`](crate::paillier::Encryptor::sub_rerandomized) hides that.
    ///
    /// # Errors
    ///
    /// Those of [`check`](Self::check), for either, and of [`negate`](Self::negate).
    pub fn sub(&self, a: &Ciphertext<S>, b: &Ciphertext<S>) -> Result<Ciphertext<S>> {
        self.add(a, &self.negate(b)?)
    }

    /// Encryptions of `a[i] − b[i] mod n`.
    ///
    /// **If `b[i]` is `a[i]` itself, the result is the ciphertext 1**, which anyone recognises as
    /// zero.
    /// [`Encryptor::sub_batch_rerandomized`](crate::paillier::Encryptor::sub_batch_rerandomized)
    /// hides that.
    ///
    /// # Errors
    ///
    /// Those of [`add_batch`](Self::add_batch) and [`negate_batch`](Self::negate_batch).
    pub fn sub_batch(&self, a: &CiphertextBatch<S>, b: &CiphertextBatch<S>) -> Result<CiphertextBatch<S>> {
        self.check_batch(a)?;
        same_length(a.len(), b.len())?;
        self.add_batch(a, &self.negate_batch(b)?)
    }

    /// An encryption of `−a mod n`.
    ///
    /// # Errors
    ///
    /// Those of [`check`](Self::check); [`Error::CiphertextNotInvertible`] if a is not a unit.
    pub fn negate(&self, a: &Ciphertext<S>) -> Result<Ciphertext<S>> {
        self.check(a)?;
        Ok(self.single(self.invert(&[a.pair])?))
    }

    /// Encryptions of `−a[i] mod n`.
    ///
    /// # Errors
    ///
    /// Those of [`check_batch`](Self::check_batch); [`Error::CiphertextNotInvertible`] if any is
    /// not a unit.
    pub fn negate_batch(&self, a: &CiphertextBatch<S>) -> Result<CiphertextBatch<S>> {
        self.check_batch(a)?;
        Ok(self.batch(self.invert(&a.pairs)?))
    }

    /// An encryption of `a + m mod n`, with the randomness of a: a party that knows a can find m by
    /// trial. If a is the ciphertext 1 (see [`mul_plain`](PublicKey::mul_plain)), anyone can read
    /// m.
    ///
    /// # Errors
    ///
    /// Those of [`check`](Self::check); [`Error::PlaintextRange`] if m is not below n.
    pub fn add_plain(&self, a: &Ciphertext<S>, m: &Plaintext<S>) -> Result<Ciphertext<S>> {
        self.check(a)?;
        let ms = self.check_plaintexts(core::slice::from_ref(m))?;
        Ok(self.single(self.engine().add_plain(&[a.pair], &ms)))
    }

    /// Encryptions of `a[i] + m[i] mod n`.
    ///
    /// # Errors
    ///
    /// Those of [`check_batch`](Self::check_batch); [`Error::PlaintextRange`];
    /// [`Error::BatchLength`].
    pub fn add_plain_batch(&self, a: &CiphertextBatch<S>, ms: &[Plaintext<S>]) -> Result<CiphertextBatch<S>> {
        self.check_batch(a)?;
        same_length(a.len(), ms.len())?;
        Ok(self.batch(self.engine().add_plain(&a.pairs, &self.check_plaintexts(ms)?)))
    }

    /// An encryption of `a·k mod n`. The time is the same for all k.
    ///
    /// **If k is zero, the result is the ciphertext 1**, which anyone recognises. Other small k can
    /// be found by trying them on a.
    /// [`Encryptor::mul_plain_rerandomized`](crate::paillier::Encryptor::mul_plain_rerandomized)
    /// hides both.
    ///
    /// # Errors
    ///
    /// Those of [`check`](Self::check); [`Error::PlaintextRange`] if k is not below n.
    pub fn mul_plain(&self, a: &Ciphertext<S>, k: &Plaintext<S>) -> Result<Ciphertext<S>> {
        self.mul_plain_bounded(a, k, S::BITS)
    }

    /// An encryption of `a·k mod n` for k of at most `bits` bits. The time depends on `bits` (which
    /// is public) and not on k.
    ///
    /// **If k is zero, the result is the ciphertext 1**, as with [`mul_plain`](Self::mul_plain).
    ///
    /// # Errors
    ///
    /// Those of [`check`](Self::check); [`Error::PlaintextRange`] if k is not below n;
    /// [`Error::MultiplierBits`] if k has more bits than stated.
    pub fn mul_plain_bounded(&self, a: &Ciphertext<S>, k: &Plaintext<S>, bits: u32) -> Result<Ciphertext<S>> {
        self.check(a)?;
        // k is below n: any further bits are zero.
        let (ks, bits) = (self.check_multipliers(core::slice::from_ref(k), bits)?, bits.min(S::BITS));
        Ok(self.single(self.engine().pow(&[a.pair], &ks, bits)))
    }

    /// Encryptions of `a[i]·k[i] mod n`, for ks of at most `bits` bits; see
    /// [`mul_plain_bounded`](Self::mul_plain_bounded).
    ///
    /// **If `k[i]` is zero, the result is the ciphertext 1**, which anyone recognises. Other small
    /// `k[i]` can be found by trying them.
    /// [`Encryptor::mul_plain_batch_rerandomized`](crate::paillier::Encryptor::mul_plain_batch_rerandomized)
    /// hides both.
    ///
    /// # Errors
    ///
    /// Those of [`check_batch`](Self::check_batch); [`Error::PlaintextRange`];
    /// [`Error::MultiplierBits`]; [`Error::BatchLength`].
    pub fn mul_plain_batch(
        &self,
        a: &CiphertextBatch<S>,
        ks: &[Plaintext<S>],
        bits: u32,
    ) -> Result<CiphertextBatch<S>> {
        self.check_batch(a)?;
        same_length(a.len(), ks.len())?;
        let (ks, bits) = (self.check_multipliers(ks, bits)?, bits.min(S::BITS));
        Ok(self.batch(self.engine().pow(&a.pairs, &ks, bits)))
    }

    /// Another encryption of the same plaintext: multiplies by a randomizer, which is consumed.
    ///
    /// # Errors
    ///
    /// Those of [`check`](Self::check); [`Error::KeyMismatch`] if the randomizer has another key.
    #[expect(clippy::needless_pass_by_value, reason = "a randomizer can be used once")]
    pub fn rerandomize(&self, a: &Ciphertext<S>, randomizer: Randomizer<S>) -> Result<Ciphertext<S>> {
        self.check(a)?;
        self.check_key(randomizer.key())?;
        Ok(self.single(self.engine().mul(&[a.pair], &[*randomizer.pair()])))
    }

    /// Other encryptions of the same plaintexts. Every randomizer is consumed.
    ///
    /// # Errors
    ///
    /// Those of [`check_batch`](Self::check_batch); [`Error::KeyMismatch`]; [`Error::BatchLength`].
    pub fn rerandomize_batch(
        &self,
        a: &CiphertextBatch<S>,
        randomizers: Vec<Randomizer<S>>,
    ) -> Result<CiphertextBatch<S>> {
        self.check_batch(a)?;
        same_length(a.len(), randomizers.len())?;
        let factors = self.consume_randomizers(randomizers)?;
        Ok(self.batch(self.engine().mul(&a.pairs, &factors)))
    }

    /// An encryption of the sum of all ciphertexts, at one product each.
    ///
    /// # Errors
    ///
    /// Those of [`check`](Self::check); [`Error::EmptySum`] if there are none.
    pub fn sum<'a>(&self, summands: impl IntoIterator<Item = &'a Ciphertext<S>>) -> Result<Ciphertext<S>> {
        let mut sum = self.accumulator(1);
        for summand in summands {
            sum.add(&CiphertextBatch::new(summand.key, vec![summand.pair]))?;
        }
        Ok(sum.finish()?.get(0).expect("the accumulator has one slot"))
    }

    /// Encryptions of the sums over contributions, item by item, at one product each.
    ///
    /// # Errors
    ///
    /// Those of [`Accumulator::add`]; [`Error::EmptySum`] if there are none.
    pub fn sum_batches<'a>(
        &self,
        contributions: impl IntoIterator<Item = &'a CiphertextBatch<S>>,
    ) -> Result<CiphertextBatch<S>> {
        let mut contributions = contributions.into_iter();
        let first = contributions.next().ok_or(Error::EmptySum)?;
        let mut sum = self.accumulator(first.len());
        sum.add(first)?;
        for contribution in contributions {
            sum.add(contribution)?;
        }
        sum.finish()
    }

    /// Starts a sum over contributions of `len` ciphertexts each.
    pub fn accumulator(&self, len: usize) -> Accumulator<S> {
        Accumulator::new(self.clone(), len)
    }

    fn check_multipliers(&self, ks: &[Plaintext<S>], bits: u32) -> Result<zeroize::Zeroizing<Vec<S::Full>>> {
        let ks = self.check_plaintexts(ks)?;
        let index = ks.iter().position(|k| bool::from(has_bits_above(k, bits)));
        index.map_or(Ok(ks), |index| Err(Error::MultiplierBits { index, bits }))
    }

    /// `x⁻¹ mod n²`, for all at the cost of one inversion (Montgomery's trick).
    fn invert(&self, xs: &[Pair<S::Full>]) -> Result<Vec<Pair<S::Full>>> {
        let n = self.modulus();
        // Products of all up to and including i, in Montgomery form.
        let monts: Vec<_> = xs.iter().map(|x| n.to_mont(x)).collect();
        let mut products = Vec::with_capacity(xs.len());
        let mut product = *n.one_mont();
        for x in &monts {
            product = n.mul(&product, x);
            products.push(product);
        }
        let total = n.from_mont(&product);
        // v·c = 1 + e·n for the inverse v modulo n, so v·(1 − e·n) is the inverse modulo n².
        let v = total.lo.invert_mod_odd(n.n()).ok_or(Error::CiphertextNotInvertible)?;
        let v_mont = n.to_mont(&Pair::new(v, S::Full::default()));
        let e = n.mul(&v_mont, &total).hi;
        let mut minus_e = *n.n();
        subtract(&mut minus_e, &e);
        conditional_subtract(&mut minus_e, &mut 0, n.n());
        let mut correction = Pair::one();
        correction.hi = minus_e;
        let mut inverse = n.mul(&v_mont, &n.to_mont(&correction)); // of the product, in Montgomery form
        let mut inverses = vec![Pair::default(); xs.len()];
        for i in (0..xs.len()).rev() {
            let before = if i == 0 { *n.one_mont() } else { products[i - 1] };
            inverses[i] = n.from_mont(&n.mul(&inverse, &before));
            inverse = n.mul(&inverse, &monts[i]);
        }
        Ok(inverses)
    }
}

/// Whether any bit at or above `bits` is set.
fn has_bits_above<U: Limbs>(value: &U, bits: u32) -> Choice {
    let mut found = 0u8;
    for (i, word) in value.words().iter().enumerate() {
        let from = i as u32 * crypto_bigint::Word::BITS;
        let allowed = bits.saturating_sub(from);
        let above = if allowed >= crypto_bigint::Word::BITS { 0 } else { word >> allowed };
        found.conditional_assign(&1, !subtle::ConstantTimeEq::ct_eq(&above, &0));
    }
    Choice::from(found)
}
