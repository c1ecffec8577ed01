//! Arithmetic modulo n² as pairs modulo n: the basis of every layer above.
//!
//! A residue x modulo n² is stored as its two digits in base n, `x = lo + hi·n`, each below n and
//! as wide as n ([`Pair`]). Montgomery's reduction of `x.lo·y.lo` gives a quotient m and a
//! remainder t with `x.lo·y.lo + m·n = R·t`. Hence, modulo n²,
//!
//! ```text
//! x·y / R  =  t  +  n·[ (x.lo·y.hi + x.hi·y.lo − m) / R  mod n ]
//! ```
//!
//! Both halves are reductions **modulo n**. m costs nothing: it consists of the quotient digits of
//! the first reduction. With k limbs, a product takes 5k² limb products and a squaring 3.5k².
//! Montgomery's method for n², which is twice as long, takes 8k².
//!
//! Everything here is portable and works on limbs of [`crypto_bigint`]. The time depends on the
//! number of limbs and on exponent lengths that are arguments, never on values: no branch, address,
//! division or early exit depends on a residue or an exponent. Faster backends are checked against
//! this code. This code is checked against an unrelated big-integer library.
//!
//! Most callers want [`crate::paillier`]; this module is its engine.

#![allow(
    clippy::cast_possible_truncation,
    reason = "words are taken from double words, and numbers of limbs are small"
)]
#![allow(clippy::wrong_self_convention, reason = "`Modulus::from_mont` converts its argument")]
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
