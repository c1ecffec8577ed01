//! A modulus prepared for the kernels, and powers under it.

use core::arch::x86_64::{
    __m512i, _mm512_cmpeq_epi64_mask, _mm512_mask_mov_epi64, _mm512_permutex2var_epi64, _mm512_set1_epi64,
    _mm512_setzero_si512, _mm512_srli_epi64,
};

use crypto_bigint::Word;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{
    kernel::{self, Constants},
    lanes::{LANES, LIMB_BITS, LIMB_MASK, Lanes, Limb, set_lane},
};
use crate::residue::{self, Limbs, Modulus, Pair};

/// Constants of a modulus for R = 2^(52·K). Wiped on drop: the modulus may be secret.
pub(super) struct Domain<const K: usize> {
    pub(super) constants: Constants<K>,
    /// R mod n².
    pub(super) one: Lanes<K>,
    /// R² mod n².
    pub(super) r2: Lanes<K>,
}

impl<const K: usize> Domain<K> {
    pub(super) fn new<U: Limbs>(modulus: &Modulus<U>) -> Self {
        assert!(K as u32 * LIMB_BITS >= U::WORDS as u32 * Word::BITS + 4, "R is at least 16n");
        let r = power_of_two(modulus, K as u32 * LIMB_BITS);
        let r2 = power_of_two(modulus, 2 * K as u32 * LIMB_BITS);
        // z = 1 + (n − R mod n), brought below n.
        let mut minus_r = *modulus.n();
        residue::subtract(&mut minus_r, &r.lo);
        let (z, _) = residue::add_mod(&Pair::<U>::one().lo, &minus_r, modulus.n(), 0);
        let mut constants = Constants {
            n: [Limb::default(); K],
            z: [Limb::default(); K],
            negated_inverse: Limb::splat(modulus.negated_inverse() & LIMB_MASK),
        };
        for lane in 0..LANES {
            set_lane(&mut constants.n, lane, modulus.n());
            set_lane(&mut constants.z, lane, &z);
        }
        Self { constants, one: Lanes::splat(&r), r2: Lanes::splat(&r2) }
    }

    /// R mod n² itself.
    pub(super) fn r<U: Limbs>(modulus: &Modulus<U>) -> Pair<U> {
        power_of_two(modulus, K as u32 * LIMB_BITS)
    }

    /// `base^exponents[lane]` for a base in Montgomery form, to Montgomery form: the lowest `bits` bits of every
    /// exponent. Fixed windows; every look-up reads the whole table.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn pow(&self, base: &Lanes<K>, exponents: &[&[Word]; LANES], bits: u32) -> Lanes<K> {
        let window = residue::window_bits(bits).min(5);
        let mut table = Zeroizing::new(vec![self.one; 1 << window]);
        for i in 1..table.len() {
            table[i] = if i % 2 == 0 { table[i / 2] } else { table[i - 1] };
            if i % 2 == 0 {
                kernel::square(&self.constants, &mut table[i]);
            } else {
                kernel::mul(&self.constants, &mut table[i], base);
            }
        }
        let windows = bits.div_ceil(window);
        let mut result = self.one;
        let mut entry = Lanes::default();
        for position in (0..windows).rev() {
            let from = position * window;
            let digits = digits(exponents, from, window.min(bits - from));
            if position + 1 == windows {
                select(&table, &digits, &mut result);
                continue;
            }
            for _ in 0..window {
                kernel::square(&self.constants, &mut result);
            }
            select(&table, &digits, &mut entry);
            kernel::mul(&self.constants, &mut result, &entry);
        }
        entry.zeroize();
        result
    }
}

impl<const K: usize> Drop for Domain<K> {
    fn drop(&mut self) {
        self.constants.n.zeroize();
        self.constants.z.zeroize();
        self.constants.negated_inverse.zeroize();
        self.one.zeroize();
        self.r2.zeroize();
    }
}

impl<const K: usize> ZeroizeOnDrop for Domain<K> {}

impl<const K: usize> core::fmt::Debug for Domain<K> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Domain").field("limbs", &K).finish_non_exhaustive()
    }
}

/// `2^exponent mod n²`, for a public exponent.
fn power_of_two<U: Limbs>(modulus: &Modulus<U>, exponent: u32) -> Pair<U> {
    let two = modulus.add(modulus.one_mont(), modulus.one_mont());
    modulus.from_mont(&modulus.pow(&two, &[Word::from(exponent)], u32::BITS - exponent.leading_zeros()))
}

/// One window of every lane's exponent.
fn digits(exponents: &[&[Word]; LANES], from: u32, count: u32) -> Limb {
    Limb(exponents.map(|exponent| residue::digit(exponent, from, count)))
}

/// Every lane's entry of a table that has one of its own.
#[target_feature(enable = "avx512f")]
fn select<const K: usize>(table: &[Lanes<K>], digits: &Limb, out: &mut Lanes<K>) {
    let digits = digits.load();
    for (i, entry) in (0..).zip(table) {
        let mask = _mm512_cmpeq_epi64_mask(digits, _mm512_set1_epi64(i));
        for j in 0..K {
            out.lo[j].store(_mm512_mask_mov_epi64(out.lo[j].load(), mask, entry.lo[j].load()));
            out.hi[j].store(_mm512_mask_mov_epi64(out.hi[j].load(), mask, entry.hi[j].load()));
        }
    }
}

/// Powers of a public base: entry d of row i is `base^(d·2^(w·i))` in Montgomery form.
///
/// Limb by limb, the entries of a row stand side by side, so that a look-up is a permutation of registers: one for
/// sixteen entries, with every lane's digit as its index, and a masked move to choose among the sixteens. All entries are
/// read, and which of them a lane takes shows neither in time nor in addresses.
pub(super) struct Table<const K: usize> {
    /// Rows of 2·K limbs of 2^WINDOW/8 octets of entries.
    octets: Vec<Limb>,
    bits: u32,
}

/// Bits of a window. Six need 171 products for the 1024 bits of an exponent and take 7, 16 and 28 MB at 2048, 3072 and
/// 4096 bits.
const WINDOW: u32 = 6;
const OCTETS: usize = (1 << WINDOW) / LANES;

impl<const K: usize> Table<K> {
    /// The table for exponents of up to `bits` bits.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn new(domain: &Domain<K>, base: &Lanes<K>, bits: u32) -> Self {
        let c = &domain.constants;
        let rows = bits.div_ceil(WINDOW) as usize;
        let mut octets = Vec::with_capacity(rows * 2 * K * OCTETS);
        let mut unit = *base; // base^(2^(w·i))
        for _ in 0..rows {
            // 1, u, u², …, u⁷ by the bits of the lane's number.
            let mut first = domain.one;
            for bit in 0..3 {
                let mut factor = domain.one;
                for lane in (0..LANES).filter(|lane| lane >> bit & 1 == 1) {
                    for j in 0..K {
                        factor.lo[j].0[lane] = unit.lo[j].0[lane];
                        factor.hi[j].0[lane] = unit.hi[j].0[lane];
                    }
                }
                kernel::mul(c, &mut first, &factor);
                kernel::square(c, &mut unit); // ends at u⁸
            }
            let mut entries = [first; OCTETS];
            for i in 1..OCTETS {
                entries[i] = entries[i - 1];
                kernel::mul(c, &mut entries[i], &unit);
            }
            for j in 0..K {
                octets.extend(entries.iter().map(|octet| octet.lo[j]));
            }
            for j in 0..K {
                octets.extend(entries.iter().map(|octet| octet.hi[j]));
            }
            for _ in 3..WINDOW {
                kernel::square(c, &mut unit);
            }
        }
        Self { octets, bits }
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.octets.as_slice())
    }

    /// `base^exponents[lane]` in Montgomery form, for groups of lanes that share each row while it is near.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn pow(&self, domain: &Domain<K>, groups: &[[&[Word]; LANES]], powers: &mut [Lanes<K>]) {
        let mut entry = Lanes::default();
        for (i, row) in self.octets.chunks_exact(2 * K * OCTETS).enumerate() {
            let from = i as u32 * WINDOW;
            let count = WINDOW.min(self.bits - from);
            for (exponents, power) in groups.iter().zip(powers.iter_mut()) {
                let digits = digits(exponents, from, count);
                if i == 0 {
                    look_up(row, &digits, power);
                } else {
                    look_up(row, &digits, &mut entry);
                    kernel::mul(&domain.constants, power, &entry);
                }
            }
        }
        entry.zeroize();
    }
}

/// Every lane's entry of a row.
#[target_feature(enable = "avx512f")]
fn look_up<const K: usize>(row: &[Limb], digits: &Limb, out: &mut Lanes<K>) {
    let digits = digits.load();
    let sixteen = _mm512_srli_epi64::<4>(digits);
    let mut masks = [0; OCTETS / 2];
    for (i, mask) in (0..).zip(&mut masks) {
        *mask = _mm512_cmpeq_epi64_mask(sixteen, _mm512_set1_epi64(i));
    }
    let limbs = out.lo.iter_mut().chain(&mut out.hi);
    for (limb, octets) in limbs.zip(row.chunks_exact(OCTETS)) {
        let mut value: __m512i = _mm512_setzero_si512();
        for (pair, mask) in octets.chunks_exact(2).zip(masks) {
            // The permutation reads the lowest four bits of every digit.
            let found = _mm512_permutex2var_epi64(pair[0].load(), digits, pair[1].load());
            value = _mm512_mask_mov_epi64(value, mask, found);
        }
        limb.store(value);
    }
}
