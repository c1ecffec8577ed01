//! Powers of one base from a table: products only, no squarings.

use core::fmt;

use super::{
    limbs::Limbs,
    modulus::{Modulus, Pair},
    pow::{digit, select},
};

/// All powers `base^(d·2^(w·i))`, d < 2^w, of one base: row i holds the i-th window's.
///
/// A power is the product of one entry from each row, `⌈bits/w⌉ − 1` products in total (the
/// simplest method of Brickell, Gordon, `McCurley`, Wilson, "Fast exponentiation with
/// precomputation", EUROCRYPT '92). The base is public, the exponents are secret: each look-up
/// reads its whole row.
#[derive(Clone)]
pub struct FixedBase<U: Limbs> {
    /// Rows of 2^window entries in Montgomery form, one after the other.
    table: Vec<Pair<U>>,
    window: u32,
    bits: u32,
}

/// Exponents that share one pass over the table. A row is then read from memory once, and from the
/// nearest cache for all exponents except the first.
const GROUP: usize = 16;

impl<U: Limbs> FixedBase<U> {
    /// The table for exponents of up to `bits` bits, for a base in Montgomery form.
    ///
    /// `window` (1 to 8) trades memory, `⌈bits/window⌉·2^window` pairs, for products.
    pub fn new(modulus: &Modulus<U>, base_mont: &Pair<U>, bits: u32, window: u32) -> Self {
        assert!((1..=8).contains(&window) && bits > 0, "window of 1 to 8 bits, exponents not empty");
        let mut table = Vec::with_capacity((bits.div_ceil(window) as usize) << window);
        let mut unit = *base_mont; // base^(2^(w·i))
        for _ in 0..bits.div_ceil(window) {
            let row = table.len();
            table.push(*modulus.one_mont());
            table.push(unit);
            for d in 2..1 << window {
                let power = if d % 2 == 0 {
                    modulus.square(&table[row + d / 2])
                } else {
                    modulus.mul(&table[row + d - 1], &unit)
                };
                table.push(power);
            }
            unit = modulus.square(&table[row + (1 << (window - 1))]);
        }
        Self { table, window, bits }
    }

    /// Bytes of the table.
    pub fn table_bytes(&self) -> usize {
        size_of_val(self.table.as_slice())
    }

    /// `base^exponent` in Montgomery form for every exponent: its lowest `bits` bits, as given to
    /// [`new`](Self::new).
    pub fn pow_batch<E: Limbs>(&self, modulus: &Modulus<U>, exponents: &[E]) -> Vec<Pair<U>> {
        let mut powers = Vec::with_capacity(exponents.len());
        for group in exponents.chunks(GROUP) {
            let done = powers.len();
            for (i, row) in self.table.chunks(1 << self.window).enumerate() {
                let from = i as u32 * self.window;
                let count = self.window.min(self.bits - from);
                for (j, exponent) in group.iter().enumerate() {
                    let entry = select(row, digit(exponent.words(), from, count));
                    if i == 0 {
                        powers.push(entry);
                    } else {
                        powers[done + j] = modulus.mul(&powers[done + j], &entry);
                    }
                }
            }
        }
        powers
    }
}

impl<U: Limbs> fmt::Debug for FixedBase<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FixedBase")
            .field("bits", &self.bits)
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}
