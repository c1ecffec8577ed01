//! Arithmetic modulo n² as pairs modulo n: the one idea every layer above stands on.
//!
//! A residue x modulo n² is kept as its two digits in base n, `x = lo + hi·n`, each below n and
//! each as wide as n itself ([`Pair`]). Montgomery's reduction of `x.lo·y.lo` leaves a quotient m
//! and a remainder t with `x.lo·y.lo + m·n = R·t`, so that modulo n²
//!
//! ```text
//! x·y / R  =  t  +  n·[ (x.lo·y.hi + x.hi·y.lo − m) / R  mod n ]
//! ```
//!
//! Both halves are reductions **modulo n**, and m costs nothing: it is the row of quotient digits
//! of the first one. With k limbs a product takes 5k² limb products, where Montgomery's method
//! applied to the twice as long n² takes 8k²; a squaring takes 3.5k².
//!
//! Everything here is portable, works on limbs of [`crypto_bigint`], and runs in a time that
//! depends on the number of limbs (and on exponent lengths that are arguments), never on values:
//! no branch, address, division or early exit follows a residue or an exponent. It is the
//! reference that faster backends are checked against, and is itself checked against an
//! unrelated big-integer library.
//!
//! Most callers want [`crate::paillier`]; this module is its engine.

#![allow(
    clippy::cast_possible_truncation,
    reason = "words are cut out of double words, and numbers of limbs are small"
)]
#![allow(clippy::inline_always, reason = "measured: a kernel's inner functions must not become calls")]

mod fixed_base;
mod limbs;
mod modulus;
pub(crate) mod pow;
mod product;
mod sums;
mod words;

#[cfg(test)]
mod tests;

pub use fixed_base::FixedBase;
pub use limbs::Limbs;
pub use modulus::{Modulus, Pair};

#[cfg(test)]
pub(crate) use limbs::words_to_le_bytes;
pub(crate) use limbs::{concat, mul_wide, split, words_from_le_bytes};
pub(crate) use sums::{add_mod, conditional_subtract, subtract};
