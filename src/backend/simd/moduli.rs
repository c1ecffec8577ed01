//! Moduli prepared for the kernels, and powers modulo them.

use crypto_bigint::Word;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{
    Simd,
    lanes::{Lanes, Limb, split_limbs},
};
use crate::residue::{self, Limbs, Modulus, Pair};

/// Two moduli in the layout of the kernels: they alternate in the lanes, the first modulus in lanes
/// 0, 2, …. Both may be the same.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
#[repr(C, align(64))]
pub(super) struct Constants<const K: usize> {
    pub(super) n: [[u64; 2]; K],
    /// (1 − R) mod n.
    pub(super) z: [[u64; 2]; K],
    /// −n⁻¹ modulo 2^(bits of a limb).
    pub(super) negated_inverse: [u64; 2],
}

/// The constants of moduli for R = 2^(K·bits of a limb), and the instruction set. Wiped on drop:
/// moduli may be secret.
pub(super) struct PreparedModuli<V: Simd, const K: usize> {
    pub(super) vectors: V,
    pub(super) constants: Constants<K>,
    /// R mod n².
    pub(super) one: Lanes<V::Limb, K>,
    /// R² mod n².
    pub(super) r2: Lanes<V::Limb, K>,
}

impl<V: Simd, const K: usize> PreparedModuli<V, K> {
    const R_BITS: u32 = K as u32 * V::Limb::BITS;

    /// The moduli alternate in the lanes.
    pub(super) fn new<U: Limbs>(vectors: V, moduli: [&Modulus<U>; 2]) -> Self {
        let bits = U::WORDS as u32 * Word::BITS;
        assert!(Self::R_BITS >= bits + 4, "R is at least 16n");
        assert!(Self::R_BITS < bits + 4 + V::Limb::BITS, "every limb begins inside the number");
        let powers = |bits| Zeroizing::new(moduli.map(|modulus| power_of_two(modulus, bits)));
        let (r, r2) = (powers(Self::R_BITS), powers(2 * Self::R_BITS));
        let mut constants = Constants { n: [[0; 2]; K], z: [[0; 2]; K], negated_inverse: [0; 2] };
        for (parity, modulus) in moduli.into_iter().enumerate() {
            // z = 1 + (n − R mod n), reduced below n.
            let mut minus_r = *modulus.n();
            residue::subtract(&mut minus_r, &r[parity].lo);
            let (z, _) = residue::add_mod(&Pair::<U>::one().lo, &minus_r, modulus.n(), 0);
            let limbs =
                split_limbs::<V::Limb, U, K>(modulus.n()).into_iter().zip(split_limbs::<V::Limb, U, K>(&z));
            for (j, (n, z)) in limbs.enumerate() {
                (constants.n[j][parity], constants.z[j][parity]) = (n, z);
            }
            constants.negated_inverse[parity] = modulus.negated_inverse() & V::Limb::MASK;
        }
        let lanes = |pairs: &[Pair<U>; 2]| Lanes::from_fn(|lane| &pairs[lane % 2]);
        Self { vectors, constants, one: lanes(&r), r2: lanes(&r2) }
    }

    /// `x ← x·y/R mod n²`.
    pub(super) fn mul(&self, x: &mut Lanes<V::Limb, K>, y: &Lanes<V::Limb, K>) {
        self.vectors.mul(&self.constants, x, y);
    }

    /// `x ← x·y/R mod n²` for residues in words, at most one for each lane. The remaining lanes are
    /// divided by R.
    pub(super) fn mul_words<U: Limbs>(&self, x: &mut Lanes<V::Limb, K>, y: &[Pair<U>]) {
        if y.len() == V::Limb::LANES {
            self.vectors.mul_words(&self.constants, x, y);
        } else {
            let mut y = Lanes::load(y);
            self.mul(x, &y);
            y.zeroize();
        }
    }

    /// `x ← x²/R mod n²`.
    pub(super) fn square(&self, x: &mut Lanes<V::Limb, K>) {
        self.vectors.square(&self.constants, x);
    }

    /// To Montgomery form.
    pub(super) fn to_mont<U: Limbs>(&self, x: &[Pair<U>]) -> Lanes<V::Limb, K> {
        let mut lanes = self.r2;
        self.mul_words(&mut lanes, x);
        lanes
    }

    /// Out of Montgomery form.
    pub(super) fn make_plain(&self, x: &mut Lanes<V::Limb, K>) {
        self.mul(x, &Lanes::one());
    }

    /// `base^exponent` in Montgomery form, for a base in Montgomery form. Uses the lowest `bits`
    /// bits of every lane's exponent. Fixed windows; every look-up reads the whole table.
    #[inline(never)] // so that `.ci/extra/check_kernels` finds it by its name
    pub(super) fn pow<'a>(
        &self,
        base: &Lanes<V::Limb, K>,
        exponent: impl Fn(usize) -> &'a [Word],
        bits: u32,
    ) -> Lanes<V::Limb, K> {
        let window = window_bits::<K>(bits);
        let mut table = Zeroizing::new(vec![self.one; 1 << window]);
        for i in 1..table.len() {
            table[i] = if i % 2 == 0 { table[i / 2] } else { table[i - 1] };
            if i % 2 == 0 {
                self.square(&mut table[i]);
            } else {
                self.mul(&mut table[i], base);
            }
        }
        let windows = bits.div_ceil(window);
        let mut result = self.one;
        let mut entry = Lanes::default();
        for position in (0..windows).rev() {
            let from = position * window;
            let digits: V::Limb = digits(&exponent, from, window.min(bits - from));
            self.vectors.select(&table, &digits, &mut entry);
            if position + 1 == windows {
                result = entry;
                continue;
            }
            for _ in 0..window {
                self.square(&mut result);
            }
            self.mul(&mut result, &entry);
        }
        entry.zeroize();
        result
    }
}

impl<V: Simd, const K: usize> Drop for PreparedModuli<V, K> {
    fn drop(&mut self) {
        // The constants wipe themselves.
        self.one.zeroize();
        self.r2.zeroize();
    }
}

impl<V: Simd, const K: usize> ZeroizeOnDrop for PreparedModuli<V, K> {}

/// `2^exponent mod n²`, for a public exponent.
fn power_of_two<U: Limbs>(modulus: &Modulus<U>, exponent: u32) -> Pair<U> {
    let two = modulus.add(modulus.one_mont(), modulus.one_mont());
    modulus.from_mont(&modulus.pow(&two, &[Word::from(exponent)], u32::BITS - exponent.leading_zeros()))
}

/// The window width with minimum cost for exponents of `bits` bits. A product takes 10·K² cycles. A
/// look-up takes two cycles for each register of the table, which is in the second-level cache. An
/// entry of the table costs half a product and half a squaring.
fn window_bits<const K: usize>(bits: u32) -> u32 {
    let cost = |w: u32| {
        let (windows, entries) = (bits.div_ceil(w) as usize, 1 << w);
        windows * (10 * K + 4 * entries) + entries * 17 * K / 2
    };
    (1..=6).min_by_key(|w| cost(*w)).expect("the range is not empty")
}

/// One window of every lane's exponent.
pub(super) fn digits<'a, L: Limb>(exponent: impl Fn(usize) -> &'a [Word], from: u32, count: u32) -> L {
    let mut digits = L::default();
    for (lane, digit) in digits.lanes_mut().iter_mut().enumerate() {
        *digit = residue::pow::digit(exponent(lane), from, count);
    }
    digits
}
