//! Several ciphertexts at a time, one in each lane of the processor's vector registers.
//!
//! The scheme is that of [`residue`](crate::residue), with R = 2^(bits of a limb · limbs) ≥ 16n, so that operands may
//! stay below 2n and nothing is subtracted between products. Batches are brought into lanes once, all of an operation
//! happens there, and the results are brought below n on the way out; a batch that does not fill the lanes is filled up
//! with ones.
//!
//! | | says |
//! | :-- | :-- |
//! | [`lanes`] | how residues lie in lanes, limb by limb, and how they get there and back |
//! | [`domain`], [`table`] | what is prepared for a modulus, and powers under it |
//! | [`columns`] | where a product's sums lie |
//! | [`engine`] | the backend's operations on whole batches, for any vector instructions |
//! | [`ifma`], [`avx2`] | the kernels: products, squarings and look-ups in one set of vector instructions each |
//!
//! Constant time like the portable code: the instructions used take the same time for all operands, look-ups read all
//! entries, and control flow depends on sizes alone.
//!
//! # Safety
//!
//! A [`Simd`] value can only be had by detection, which has seen the processor's features, and everything here holds one.
//! The kernels are safe functions that require these features. They are called in `kernel_calls` alone, in `unsafe`
//! blocks that rest on the `self` at hand.

#![allow(
    unsafe_code,
    reason = "functions that need processor features are called once the features are known"
)]

/// The methods of [`Simd`] that call the kernels of the module `kernel` beside the implementation: the one place where
/// functions that need processor features are called.
macro_rules! kernel_calls {
    () => {
        fn mul<const K: usize>(
            self,
            c: &Constants<K>,
            x: &mut Lanes<Self::Limb, K>,
            y: &Lanes<Self::Limb, K>,
        ) {
            // SAFETY: `self` exists, so detection has seen the features that the kernels need.
            unsafe { kernel::mul(c, x, y) }
        }

        fn mul_while_fetching<const K: usize>(
            self,
            c: &Constants<K>,
            x: &mut Lanes<Self::Limb, K>,
            y: &Lanes<Self::Limb, K>,
            soon: &[Self::Limb],
        ) {
            // SAFETY: as above.
            unsafe { kernel::mul_while_fetching(c, x, y, soon) }
        }

        fn mul_words<U: Limbs, const K: usize>(
            self,
            c: &Constants<K>,
            x: &mut Lanes<Self::Limb, K>,
            y: &[Pair<U>],
        ) {
            // SAFETY: as above.
            unsafe { kernel::mul_words(c, x, y) }
        }

        fn square<const K: usize>(self, c: &Constants<K>, x: &mut Lanes<Self::Limb, K>) {
            // SAFETY: as above.
            unsafe { kernel::square(c, x) }
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
            octets: usize,
            digits: &[Self::Limb; GROUPS],
            out: &mut [Lanes<Self::Limb, K>; GROUPS],
        ) {
            // SAFETY: as above.
            unsafe { kernel::look_up(row, octets, digits, out) }
        }
    };
}

mod avx2;
mod columns;
mod domain;
mod engine;
mod ifma;
mod lanes;
mod table;
#[cfg(test)]
mod tests;

use core::fmt::Debug;

pub use self::{avx2::Avx2, ifma::Ifma};

use self::{
    domain::Constants,
    lanes::{Lanes, Limb},
    table::GROUPS,
};
use crate::residue::{Limbs, Pair};

/// A set of vector instructions: a value is the proof that this processor has them, and its methods are the kernels
/// written in them.
///
/// All of `x`, `y` and entries are below 2n, with limbs below 2^[`Limb::BITS`]; so are results.
trait Simd: Copy + Debug + Send + Sync + 'static {
    /// One limb of as many numbers as there are lanes: a register.
    type Limb: Limb;

    const NAME: &'static str;

    /// Bits of a window of the fixed-base table for long exponents.
    const WINDOW: u32;

    /// How many entries of the fixed-base table a look-up reads in the time of one product, for each limb of a number: the product
    /// grows with the square of the limbs, and an entry with their number.
    const ENTRIES_PER_PRODUCT: u64;

    /// `x ← x·y/R mod n²`.
    fn mul<const K: usize>(self, c: &Constants<K>, x: &mut Lanes<Self::Limb, K>, y: &Lanes<Self::Limb, K>);

    /// `x ← x·y/R mod n²`, while memory that is read soon comes nearer.
    fn mul_while_fetching<const K: usize>(
        self,
        c: &Constants<K>,
        x: &mut Lanes<Self::Limb, K>,
        y: &Lanes<Self::Limb, K>,
        soon: &[Self::Limb],
    );

    /// `x ← x·y/R mod n²` for as many residues as there are lanes, read from their words as the product goes on.
    fn mul_words<U: Limbs, const K: usize>(
        self,
        c: &Constants<K>,
        x: &mut Lanes<Self::Limb, K>,
        y: &[Pair<U>],
    );

    /// `x ← x²/R mod n²`.
    fn square<const K: usize>(self, c: &Constants<K>, x: &mut Lanes<Self::Limb, K>);

    /// Every lane's entry of a table that has one of its own, by its digit. Reads all entries.
    fn select<const K: usize>(
        self,
        table: &[Lanes<Self::Limb, K>],
        digits: &Self::Limb,
        out: &mut Lanes<Self::Limb, K>,
    );

    /// Limbs of eight entries of a table that all lanes share, as [`look_up`](Self::look_up) wants them.
    fn octet(limbs: [u64; 8]) -> Self::Limb;

    /// Every lane's entry of a row, by its digit, for several groups of lanes. The row has `octets` registers for a limb
    /// of the first digit, then for that of the second, and so on: at most [`table::OCTETS`]. Reads all entries.
    fn look_up<const K: usize>(
        self,
        row: &[Self::Limb],
        octets: usize,
        digits: &[Self::Limb; GROUPS],
        out: &mut [Lanes<Self::Limb, K>; GROUPS],
    );
}
