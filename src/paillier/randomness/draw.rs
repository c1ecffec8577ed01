//! Uniform integers below a bound.

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::{
    paillier::{
        error::{Error, Result},
        values::integer,
    },
    residue::{Limbs, words_from_le_bytes},
};

/// A uniform integer below a bound with its top bit set. Draws again with probability below one
/// half. The number of draws reveals nothing about the result.
pub(super) fn random_below<U: Limbs>(
    rng: &mut (impl CryptoRng + ?Sized),
    bound: &U,
    drawn: &'static str,
) -> Result<Zeroizing<U>> {
    let mut bytes = Zeroizing::new(vec![0; U::WORDS * size_of::<crypto_bigint::Word>()]);
    for _ in 0..MAX_DRAWS {
        rng.fill_bytes(&mut bytes);
        let value = Zeroizing::new(words_from_le_bytes::<U>(&bytes));
        if bool::from(value.ct_lt(bound)) {
            return Ok(value);
        }
    }
    Err(Error::BrokenGenerator { drawn, attempts: MAX_DRAWS })
}

/// [`random_below`], but not zero. A working generator gives zero with a probability of at most
/// 2^−511.
pub(super) fn random_unit<U: Limbs>(
    rng: &mut (impl CryptoRng + ?Sized),
    bound: &U,
    drawn: &'static str,
) -> Result<Zeroizing<U>> {
    let value = random_below(rng, bound, drawn)?;
    // Any other non-unit would factor the bound.
    if integer::is_zero(&*value) { Err(Error::BrokenGenerator { drawn, attempts: 1 }) } else { Ok(value) }
}

/// Maximum number of draws below a bound. One draw fails with a probability below one half; all of
/// them fail with a probability below 2^−128.
const MAX_DRAWS: u32 = 128;
