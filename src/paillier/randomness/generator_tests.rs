//! Generators that repeat themselves give errors, and quickly.

use core::convert::Infallible;

use rand_chacha::ChaCha20Rng;
use rand_core::{SeedableRng, TryCryptoRng, TryRng};

use super::{Encryptor, Masks};
use crate::paillier::{Error, SecretKey, error::Result, hazmat::InsecureBits512 as Small};

/// Repeats some bytes, and counts the calls.
pub(crate) struct Repeating {
    period: Vec<u8>,
    at: usize,
    pub(crate) calls: usize,
}

impl Repeating {
    pub(crate) fn new(period: &[u8]) -> Self {
        Self { period: period.to_vec(), at: 0, calls: 0 }
    }
}

impl TryRng for Repeating {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.calls += 1;
        for byte in bytes {
            *byte = self.period[self.at];
            self.at = (self.at + 1) % self.period.len();
        }
        Ok(())
    }
}

impl TryCryptoRng for Repeating {}

/// Periods of 1, 2, 8, 32 and 33 bytes.
pub(crate) fn periods() -> Vec<Vec<u8>> {
    let mut periods: Vec<Vec<u8>> =
        [0, 1, 2, 0x3f, 0x7f, 0x80, 0xc0, 0xfe, 0xff].map(|byte| vec![byte]).into();
    periods.extend([vec![0xff, 0xfe], vec![0, 0xff], (0..8).collect(), (0..32).collect(), vec![0xff; 33]]);
    periods
}

fn rng(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}

fn is_broken<T>(result: &Result<T>) -> bool {
    matches!(result, Err(Error::BrokenGenerator { .. }))
}

#[test]
fn no_key_comes_from_a_generator_that_repeats_itself() {
    for period in periods() {
        let mut rng = Repeating::new(&period);
        assert!(is_broken(&SecretKey::<Small>::generate(&mut rng)), "{period:?}");
        assert!(rng.calls < 100, "{period:?}: {} calls", rng.calls);
    }
    // Two primes in turn: a good pair gives a key, a bad pair gives an error when it repeats.
    for seed in 0..12_u8 {
        let period: Vec<u8> = (0..64_u8).map(|i| i.wrapping_mul(37) ^ (i / 32 * 91) ^ seed).collect();
        let mut rng = Repeating::new(&period);
        let key = SecretKey::<Small>::generate(&mut rng);
        assert!(key.is_ok() || is_broken(&key));
        assert!(rng.calls < 200, "{seed}: {} calls", rng.calls);
    }
}

#[test]
fn every_draw_below_a_bound_ends() {
    let secret = SecretKey::<Small>::generate(&mut rng(1)).unwrap();
    let key = secret.public_key();
    for period in periods() {
        let repeating = || Repeating::new(&period);
        // The modulus starts with a byte above 0x80, so these generators repeat a number that is
        // too large.
        if period.iter().all(|byte| *byte >= 0xfe) {
            assert!(is_broken(&key.randomizer_full_range(&mut repeating())), "{period:?}");
            assert!(is_broken(&Masks::new(key, 3, &mut repeating())), "{period:?}");
            assert!(is_broken(&Encryptor::new(key, &mut repeating())), "{period:?}");
        }
        if period == [0] {
            assert!(is_broken(&key.randomizer_full_range(&mut repeating())));
            assert!(is_broken(&Encryptor::new(key, &mut repeating())));
        }
    }
}
