//! Several ciphertexts at a time, one in each lane of the processor's vector registers.
//!
//! The arithmetic is that of [`residue`](crate::residue), with R = 2^(limb bits · limbs) ≥ 16n.
//! Operands may therefore stay below 2n, and no subtraction is needed between products. An
//! operation converts a batch to lanes once, runs entirely in lanes, and reduces the results below
//! n at the end. Empty lanes are filled with ones.
//!
//! | module | content |
//! | :-- | :-- |
//! | [`lanes`] | the layout of residues in lanes, limb by limb, and conversions |
//! | [`moduli`], [`table`] | constants of a modulus, and powers under it |
//! | [`columns`] | memory for a product's sums |
//! | [`engine`] | the backend's operations on whole batches, for any vector instructions |
//! | [`ifma`], [`avx2`] | the kernels: products, squarings and look-ups in one set of vector instructions each |
//!
//! Constant time, like the portable code: the instructions take the same time for all operands,
//! look-ups read all entries, and control flow depends on sizes alone.
//!
//! # Safety
//!
//! Only detection creates a [`Simd`] value, after it has checked the processor's features. All
//! types here hold one. The kernels are safe functions that require these features. Only
//! `kernel_calls` calls them, in `unsafe` blocks that are justified by the existence of `self`.

#![allow(
    unsafe_code,
    reason = "functions that need processor features are called once the features are known"
)]

/// The methods of [`Simd`] that call the kernels of the sibling module `kernel`. Functions that
/// need processor features are called only here.
macro_rules! kernel_calls {
    () => {
        fn mul<const K: usize>(
            self,
            c: &Constants<K>,
            x: &mut Lanes<Self::Limb, K>,
            y: &Lanes<Self::Limb, K>,
        ) {
            // SAFETY: `self` exists, so detection has seen the features that the kernels need.
            unsafe { kernel::mul(self, c, x, y) }
        }

        fn mul_and_prefetch<const K: usize>(
            self,
            c: &Constants<K>,
            x: &mut Lanes<Self::Limb, K>,
            y: &Lanes<Self::Limb, K>,
            to_prefetch: &[Self::Limb],
        ) {
            // SAFETY: as above.
            unsafe { kernel::mul_and_prefetch(self, c, x, y, to_prefetch) }
        }

        fn mul_words<U: Limbs, const K: usize>(
            self,
            c: &Constants<K>,
            x: &mut Lanes<Self::Limb, K>,
            y: &[Pair<U>],
        ) {
            // SAFETY: as above.
            unsafe { kernel::mul_words(self, c, x, y) }
        }

        fn square<const K: usize>(self, c: &Constants<K>, x: &mut Lanes<Self::Limb, K>) {
            // SAFETY: as above.
            unsafe { kernel::square(self, c, x) }
        }

        fn select<const K: usize>(
            self,
            table: &[Lanes<Self::Limb, K>],
            digits: &Self::Limb,
            out: &mut Lanes<Self::Limb, K>,
        ) {
            // SAFETY: as above.
            unsafe { kernel::select(table, digits, out) }
        }

        fn look_up<const K: usize>(
            self,
            row: &[Self::Limb],
            per_limb: usize,
            digits: &[Self::Limb; GROUPS],
            out: &mut [Lanes<Self::Limb, K>; GROUPS],
        ) {
            // SAFETY: as above.
            unsafe { kernel::look_up(row, per_limb, digits, out) }
        }
    };
}

mod avx2;
mod columns;
mod engine;
mod ifma;
mod lanes;
mod moduli;
mod table;
#[cfg(test)]
mod tests;

use core::fmt::Debug;

#[cfg(feature = "diagnostics")]
pub use self::ifma::limbs_a_pass;
pub use self::{avx2::Avx2, ifma::Ifma};

use self::{
    lanes::{Lanes, Limb},
    moduli::Constants,
    table::GROUPS,
};
use crate::residue::{Limbs, Pair};

/// A set of vector instructions. A value proves that this processor has them. The methods are the
/// kernels that use them.
///
/// `x`, `y`, entries and results are below 2n, with limbs below 2^[`Limb::BITS`].
trait Simd: Copy + Debug + Send + Sync + 'static {
    /// A register: one limb of one number in each lane.
    type Limb: Limb;

    const NAME: &'static str;

    /// Bits of a window of the fixed-base table for long exponents.
    const WINDOW: u32;

    /// The number of entries of the fixed-base table that a look-up reads in the time of one
    /// product, divided by the limbs of a number. The time of a product grows with the square of
    /// the limbs, that of an entry with their number.
    fn entries_per_product(self) -> u64;

    /// `x ← x·y/R mod n²`.
    fn mul<const K: usize>(self, c: &Constants<K>, x: &mut Lanes<Self::Limb, K>, y: &Lanes<Self::Limb, K>);

    /// `x ← x·y/R mod n²`, and prefetches `to_prefetch`.
    fn mul_and_prefetch<const K: usize>(
        self,
        c: &Constants<K>,
        x: &mut Lanes<Self::Limb, K>,
        y: &Lanes<Self::Limb, K>,
        to_prefetch: &[Self::Limb],
    );

    /// `x ← x·y/R mod n²` for one residue in each lane. The product reads their words as it needs
    /// them.
    fn mul_words<U: Limbs, const K: usize>(
        self,
        c: &Constants<K>,
        x: &mut Lanes<Self::Limb, K>,
        y: &[Pair<U>],
    );

    /// `x ← x²/R mod n²`.
    fn square<const K: usize>(self, c: &Constants<K>, x: &mut Lanes<Self::Limb, K>);

    /// For tables with separate entries for each lane: every lane's entry at its digit. Reads all
    /// entries.
    fn select<const K: usize>(
        self,
        table: &[Lanes<Self::Limb, K>],
        digits: &Self::Limb,
        out: &mut Lanes<Self::Limb, K>,
    );

    /// A register with one limb of eight entries of a table that all lanes share, in the layout of
    /// [`look_up`](Self::look_up).
    fn entry_register(limbs: [u64; 8]) -> Self::Limb;

    /// Every lane's entry of a row, at its digit, for several groups of lanes. The row has
    /// `per_limb` registers (at most [`table::MAX_REGISTERS_PER_LIMB`]) for a limb of the first
    /// digit, then as many for that of the second digit, and so on. Reads all entries.
    fn look_up<const K: usize>(
        self,
        row: &[Self::Limb],
        per_limb: usize,
        digits: &[Self::Limb; GROUPS],
        out: &mut [Lanes<Self::Limb, K>; GROUPS],
    );
}
