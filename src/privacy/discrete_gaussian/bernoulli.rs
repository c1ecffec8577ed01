//! Algorithms 1 and 2 of the paper: coins with an exponential probability, and the discrete Laplace
//! distribution, from uniform integers.

use rand_core::CryptoRng;

use crate::privacy::error::{Error, Result};

/// Algorithm 2: x with probability proportional to exp(−|x|/t), of magnitude below 2¹²·t.
pub(super) fn discrete_laplace(scale: u64, rng: &mut (impl CryptoRng + ?Sized)) -> Result<i64> {
    for _ in 0..MAX_CANDIDATES {
        let low = uniform_below(scale.into(), rng)?;
        if !bernoulli_exp(low, scale.into(), rng)? {
            continue;
        }
        let mut high = 0;
        while high < TAIL && bernoulli_exp_at_most_one(1, 1, rng)? {
            high += 1;
        }
        // Magnitudes beyond 2^12 are not supported. They have a probability of exp(−2^12) here, and
        // of less than exp(−2^20) after the acceptance step.
        if high == TAIL {
            return Err(broken(1));
        }
        let magnitude = u64::try_from(low).expect("below the scale") + high * scale;
        let negative = rng.next_u64() & 1 == 1;
        if negative && magnitude == 0 {
            continue; // otherwise zero would be twice as likely
        }
        let magnitude = i64::try_from(magnitude).expect("below 2^37");
        return Ok(if negative { -magnitude } else { magnitude });
    }
    Err(broken(MAX_CANDIDATES))
}

/// Algorithm 1: true with probability exp(−γ), γ = `numerator / denominator`.
pub(super) fn bernoulli_exp(
    mut numerator: u128,
    denominator: u128,
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<bool> {
    // exp(−γ) = exp(−1)·exp(−(γ − 1)): above 1, one factor at a time.
    for _ in 0..MAX_FACTORS {
        if numerator <= denominator {
            return bernoulli_exp_at_most_one(numerator, denominator, rng);
        }
        if !bernoulli_exp_at_most_one(1, 1, rng)? {
            return Ok(false);
        }
        numerator -= denominator;
    }
    Err(broken(MAX_FACTORS))
}

/// Algorithm 1 for γ ≤ 1: the first k at which an event of probability γ/k fails is odd with
/// probability Σ (−γ)^k/k! = exp(−γ).
fn bernoulli_exp_at_most_one(
    numerator: u128,
    denominator: u128,
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<bool> {
    for k in 1..=MAX_TERMS {
        // Two draws for 1/k and γ, because the denominator of their product may not fit.
        if uniform_below(k.into(), rng)? != 0 || uniform_below(denominator, rng)? >= numerator {
            return Ok(k % 2 == 1);
        }
    }
    Err(broken(MAX_TERMS))
}

/// A uniform number from 0 to `bound - 1`. Draws as many random bits as the bound needs, until they
/// are below it.
pub(super) fn uniform_below(bound: u128, rng: &mut (impl CryptoRng + ?Sized)) -> Result<u128> {
    let Some(mask) = u128::MAX.checked_shr((bound - 1).leading_zeros()) else {
        return Ok(0); // only one choice
    };
    for _ in 0..MAX_DRAWS {
        let mut draw = u128::from(rng.next_u64());
        if mask > u64::MAX.into() {
            draw |= u128::from(rng.next_u64()) << 64;
        }
        if draw & mask < bound {
            return Ok(draw & mask);
        }
    }
    Err(broken(MAX_DRAWS))
}

pub(super) fn broken(attempts: u32) -> Error {
    Error::BrokenGenerator { drawn: "discrete Gaussian sample", attempts }
}

/// Maximum number of candidates of algorithms 2 and 3. One is rejected with a probability below
/// 0.6, all of them with a probability below 0.6^200 < 2^−147.
pub(super) const MAX_CANDIDATES: u32 = 200;

/// Maximum number of factors exp(−1) of algorithm 1. All of them are true with a probability of
/// exp(−90) < 2^−129.
const MAX_FACTORS: u32 = 90;

/// Maximum number of terms of algorithm 1. The events of probability γ/k happen for all of them
/// with a probability of at most 1/36! < 2^−138.
const MAX_TERMS: u32 = 36;

/// Maximum number of draws below a bound. One fails with a probability below one half, all of them
/// with a probability below 2^−128.
const MAX_DRAWS: u32 = 128;

/// Samples are below this many deviations.
pub(super) const TAIL: u64 = 1 << 12;
