//! Powers of a public base with secret exponents, with a table that all lanes share.

use zeroize::Zeroize;

use super::{
    Simd,
    lanes::{Lanes, Limb},
    moduli::{PreparedModuli, digits},
};
use crate::{
    backend::window::{TableCosts, window},
    residue::Limbs,
};

/// Groups of lanes that share a pass over the table. Its rows are read once for all of them.
pub(super) const GROUPS: usize = 4;

/// Registers of eight entries in a row, for one limb.
const fn registers_per_limb(window: u32) -> usize {
    1 << window >> 3
}

/// Registers of a row.
const fn row_len<const K: usize>(window: u32) -> usize {
    2 * K * registers_per_limb(window)
}

/// Maximum number of registers of eight entries in a row, for one limb.
pub(super) const MAX_REGISTERS_PER_LIMB: usize = registers_per_limb(WIDEST);

/// Maximum bits of a window.
pub(super) const WIDEST: u32 = 8;

/// Powers of a public base: entry d of row i is `base^(d·2^(w·i))` in Montgomery form (the simplest
/// method of Brickell, Gordon, `McCurley`, Wilson, EUROCRYPT '92, without squarings).
///
/// Each register holds the same limb of eight entries of a row. A look-up is a permutation of
/// registers, with every lane's digit as its index. It reads all entries: neither time nor
/// addresses show the selected entry.
///
/// A wider window needs fewer products and longer look-ups. Half-length exponents get windows of
/// [`Simd::WINDOW`] bits. Short exponents get 8 bits. With `ifma` at 2048 bits they get 7: 8 bits
/// would save a percent or two of the time, and need a table of 5 MB instead of 3. On Intel's
/// processors they also get 7 bits at 3072 bits, where these are about a tenth faster.
pub(super) struct Table<V: Simd, const K: usize> {
    /// Rows of K limbs of both digits, each in registers of eight entries.
    registers: Vec<V::Limb>,
    window: u32,
    bits: u32,
}

impl<V: Simd, const K: usize> Table<V, K> {
    /// The table for exponents of up to `bits` bits of a base in Montgomery form.
    pub(super) fn new(prepared: &PreparedModuli<V, K>, base: &Lanes<V::Limb, K>, bits: u32) -> Self {
        let lanes = V::Limb::LANES;
        let costs = TableCosts {
            entries_per_product: prepared.vectors.entries_per_product() * K as u64,
            entry_bytes: 2 * K * size_of::<V::Limb>() / 8,
            usual: V::WINDOW,
            widest: WIDEST,
        };
        let window = window(bits, &costs);
        let rows = bits.div_ceil(window) as usize;
        let mut registers = Vec::with_capacity(rows * row_len::<K>(window));
        let mut unit = *base; // base^(2^(w·i))
        for _ in 0..rows {
            // Lane i gets u^i, by the bits of i; then u becomes u^lanes.
            let mut first = prepared.one;
            for bit in 0..lanes.ilog2() {
                let mut factor = prepared.one;
                for lane in (0..lanes).filter(|lane| lane >> bit & 1 == 1) {
                    for j in 0..K {
                        factor[j].lo.lanes_mut()[lane] = unit[j].lo.lanes()[lane];
                        factor[j].hi.lanes_mut()[lane] = unit[j].hi.lanes()[lane];
                    }
                }
                prepared.mul(&mut first, &factor);
                prepared.square(&mut unit);
            }
            let mut entries = vec![first; (1 << window) / lanes];
            for i in 1..entries.len() {
                entries[i] = entries[i - 1];
                prepared.mul(&mut entries[i], &unit);
            }
            for j in 0..2 * K {
                let limb = |e: usize| {
                    let entry = &entries[e / lanes];
                    let limb = if j % 2 == 0 { &entry[j / 2].lo } else { &entry[j / 2].hi };
                    limb.lanes()[e % lanes]
                };
                let register = |o| V::entry_register(core::array::from_fn(|i| limb(8 * o + i)));
                registers.extend((0..registers_per_limb(window)).map(register));
            }
            for _ in lanes.ilog2()..window {
                prepared.square(&mut unit);
            }
        }
        Self { registers, window, bits }
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.registers.as_slice())
    }

    /// `base^exponent` in Montgomery form for up to [`GROUPS`] groups of exponents, one exponent
    /// for each lane. The remaining lanes compute the power of the first exponent.
    pub(super) fn pow<E: Limbs>(
        &self,
        prepared: &PreparedModuli<V, K>,
        exponents: &[E],
    ) -> [Lanes<V::Limb, K>; GROUPS] {
        let lanes = V::Limb::LANES;
        let groups = exponents.len().div_ceil(lanes);
        let mut powers = [Lanes::default(); GROUPS];
        let mut entries = [Lanes::default(); GROUPS];
        let (per_limb, row_len) = (registers_per_limb(self.window), row_len::<K>(self.window));
        let prefetched = (row_len as u32).div_ceil(groups as u32) as usize;
        let mut rest = self.registers.as_slice();
        for from in (0..self.bits).step_by(self.window as usize) {
            let row;
            (row, rest) = rest.split_at(row_len);
            let count = self.window.min(self.bits - from);
            let digits = core::array::from_fn(|group| {
                let exponent = |lane| exponents.get(group * lanes + lane).unwrap_or(&exponents[0]).words();
                digits(exponent, from, count)
            });
            if from == 0 {
                prepared.vectors.look_up(row, per_limb, &digits, &mut powers);
                continue;
            }
            prepared.vectors.look_up(row, per_limb, &digits, &mut entries);
            // The products prefetch the next row.
            let mut parts = rest.chunks(prefetched);
            for (power, entry) in powers.iter_mut().zip(&entries).take(groups) {
                let to_prefetch = parts.next().unwrap_or_default();
                prepared.vectors.mul_and_prefetch(&prepared.constants, power, entry, to_prefetch);
            }
        }
        entries.zeroize();
        powers
    }
}
