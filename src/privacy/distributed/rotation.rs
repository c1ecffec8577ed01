//! A random rotation that spreads a vector evenly over its coordinates.

use chacha20::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use zeroize::Zeroizing;

use crate::privacy::{
    check::to_float,
    error::{Error, Result},
};

/// Random signs, then the Walsh–Hadamard transform divided by √d: an orthogonal matrix, for vectors
/// padded with zeros to a power of two d.
///
/// After the rotation, all coordinates of a vector have about the same magnitude: any one of them
/// is above t·‖x‖/√d with a probability of at most 2·exp(−t²/2) over the signs. One small modulus
/// therefore fits them all (Kairouz, Liu, Steinke, "The Distributed Discrete Gaussian Mechanism for
/// Federated Learning with Secure Aggregation", ICML 2021, section 4.2; TFF calls this rotation
/// `hd`). It is linear: the rotated sum is the sum of the rotated vectors.
///
/// The signs come from a seed that all parties of a round share. The seed is public, but the
/// updates must not be chosen with knowledge of it. Every round has its own signs. Results are the
/// same on every machine, bit for bit.
///
/// [`DistributedGaussian::rotation`](crate::privacy::DistributedGaussian::rotation) makes it; see
/// [the example](crate::privacy#example).
#[derive(Clone, Debug)]
pub struct Rotation {
    // Public, see above.
    seed: [u8; 32],
    round: u64,
    len: usize,
}

/// The parameters of a [`Rotation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RotationParameters<'a> {
    /// The seed that all parties share.
    pub(super) seed: &'a [u8; 32],
    /// The number of the round.
    pub(super) round: u64,
    /// Numbers in a vector.
    pub(super) len: usize,
}

impl Rotation {
    /// The rotation of the vectors of one round.
    ///
    /// The signs are the bits, low bits of a byte first, of the `ChaCha20` stream numbered `round`
    /// under the key `seed`; a set bit is a minus.
    pub(super) fn new(parameters: RotationParameters<'_>) -> Self {
        let RotationParameters { seed, round, len } = parameters;
        Self { seed: *seed, round, len }
    }

    /// Length of the vectors before rotation.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Length of rotated vectors: the next power of two, at least 1. `usize::MAX` if that does not
    /// fit; no vector has such a length.
    pub(super) const fn padded_len(&self) -> usize {
        match self.len.checked_next_power_of_two() {
            Some(len) => len,
            None => usize::MAX,
        }
    }

    /// Pads and rotates. Neither branches nor addresses depend on the values.
    ///
    /// # Errors
    ///
    /// [`Error::VectorLength`] unless there are [`len`](Self::len) values.
    pub(super) fn rotate(&self, values: &[f64]) -> Result<Zeroizing<Vec<f64>>> {
        check_len(values.len(), self.len)?;
        let mut rotated = Zeroizing::new(vec![0.0; self.padded_len()]);
        rotated[..self.len].copy_from_slice(values);
        self.flip_signs(&mut rotated[..self.len]); // the padding is zero and needs no signs
        transform(&mut rotated);
        Ok(rotated)
    }

    /// Inverts a rotation, up to rounding errors of a few ε of the vector's norm.
    ///
    /// # Errors
    ///
    /// [`Error::VectorLength`] unless there are [`padded_len`](Self::padded_len) values.
    pub(super) fn unrotate(&self, mut rotated: Vec<f64>) -> Result<Vec<f64>> {
        check_len(rotated.len(), self.padded_len())?;
        transform(&mut rotated);
        rotated.truncate(self.len);
        self.flip_signs(&mut rotated);
        Ok(rotated)
    }

    fn flip_signs(&self, values: &mut [f64]) {
        let mut rng = ChaCha20Rng::from_seed(self.seed);
        rng.set_stream(self.round);
        for part in values.chunks_mut(64) {
            let mut bits = rng.next_u64();
            for x in part {
                *x = f64::from_bits(x.to_bits() ^ (bits << 63));
                bits >>= 1;
            }
        }
    }
}

/// The symmetric orthogonal matrix, its own inverse: the Walsh–Hadamard transform divided by √d.
fn transform(values: &mut [f64]) {
    walsh_hadamard(values);
    let factor = to_float(values.len()).sqrt().recip();
    for x in values {
        *x *= factor;
    }
}

fn check_len(found: usize, expected: usize) -> Result<()> {
    if found == expected { Ok(()) } else { Err(Error::VectorLength { expected, found }) }
}

/// The Walsh–Hadamard transform without a factor, in place: d·log2(d) additions.
fn walsh_hadamard(values: &mut [f64]) {
    // Halves first: once a part fits a cache, the rest of its work stays in that cache.
    if values.len() > CACHED {
        let (low, high) = values.split_at_mut(values.len() / 2);
        walsh_hadamard(low);
        walsh_hadamard(high);
        return butterflies(low, high);
    }
    let mut half = 1;
    while half < values.len() {
        for block in values.chunks_exact_mut(2 * half) {
            let (low, high) = block.split_at_mut(half);
            butterflies(low, high);
        }
        half *= 2;
    }
}

fn butterflies(low: &mut [f64], high: &mut [f64]) {
    for (a, b) in low.iter_mut().zip(high) {
        (*a, *b) = (*a + *b, *a - *b);
    }
}

/// 32 KiB of numbers.
const CACHED: usize = 4096;

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these tests compare for exact equality")]
mod tests {
    use super::*;
    use crate::privacy::norm::l2_norm;
    use proptest::prelude::*;

    /// By definition: entry (i, j) of the matrix is (−1)^(number of common bits of i and j).
    fn slow(values: &[f64]) -> Vec<f64> {
        let sign = |i: usize, j: usize| if (i & j).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 };
        (0..values.len()).map(|i| values.iter().enumerate().map(|(j, x)| sign(i, j) * x).sum()).collect()
    }

    #[test]
    fn fast_transform_is_the_one_by_definition() {
        for bits in 0..=13 {
            // Small integers: sums are exact.
            let values: Vec<f64> = (0..1 << bits).map(|i| f64::from((i * 7919) % 101 - 50)).collect();
            let mut fast = values.clone();
            walsh_hadamard(&mut fast);
            assert_eq!(fast, slow(&values), "2^{bits}");
        }
    }

    #[test]
    fn signs_depend_on_seed_round_and_place() {
        let signs = |seed: u8, round| {
            let mut ones = vec![1.0; 1000];
            Rotation::new(RotationParameters { seed: &[seed; 32], round, len: 1000 }).flip_signs(&mut ones);
            assert!(ones.iter().all(|x: &f64| x.abs() == 1.0));
            ones
        };
        assert_eq!(signs(1, 0), signs(1, 0));
        for other in [signs(1, 1), signs(2, 0)] {
            let differ = signs(1, 0).iter().zip(&other).filter(|(a, b)| a != b).count();
            assert!((420..580).contains(&differ), "{differ}"); // five deviations around 500
        }
        let minus = signs(1, 0).iter().filter(|x| **x < 0.0).count();
        assert!((420..580).contains(&minus), "{minus}");
    }

    #[test]
    fn the_first_signs_are_the_first_bits_of_the_stream() {
        // RFC 8439, appendix A.1, test vector 1: the keystream of an all-zero key starts 76 b8 e0
        // ad.
        let mut ones = [1.0; 8];
        Rotation::new(RotationParameters { seed: &[0; 32], round: 0, len: 8 }).flip_signs(&mut ones);
        assert_eq!(ones, std::array::from_fn(|i| if 0x76 >> i & 1 == 1 { -1.0 } else { 1.0 }));
    }

    #[test]
    fn a_single_spike_is_spread_evenly() {
        let mut values = vec![0.0; 1000];
        values[123] = 5.0;
        let rotated = Rotation::new(RotationParameters { seed: &[3; 32], round: 9, len: 1000 })
            .rotate(&values)
            .unwrap();
        assert!(rotated.iter().all(|x| (x.abs() - 5.0 / 32.0).abs() < 1e-14));
    }

    #[test]
    fn wrong_lengths_are_refused() {
        let rotation = Rotation::new(RotationParameters { seed: &[0; 32], round: 0, len: 5 });
        assert_eq!((rotation.len(), rotation.padded_len()), (5, 8));
        let error = rotation.rotate(&[0.0; 8]).unwrap_err();
        assert_eq!(error, Error::VectorLength { expected: 5, found: 8 });
        let error = rotation.unrotate(vec![0.0; 5]).unwrap_err();
        assert_eq!(error, Error::VectorLength { expected: 8, found: 5 });

        let endless = Rotation::new(RotationParameters { seed: &[0; 32], round: 0, len: usize::MAX });
        assert_eq!(endless.padded_len(), usize::MAX);
        assert!(endless.rotate(&[0.0; 8]).is_err() && endless.unrotate(vec![0.0; 8]).is_err());

        let empty = Rotation::new(RotationParameters { seed: &[0; 32], round: 0, len: 0 });
        assert_eq!(empty.rotate(&[]).unwrap().as_slice(), [0.0]);
        assert_eq!(empty.unrotate(vec![0.0]).unwrap(), [0.0; 0]);
    }

    proptest! {
        #![proptest_config(crate::test_support::replayable(100))]

        #[test]
        fn unrotate_inverts_rotate_and_the_norm_stays(
            values in prop::collection::vec(-1e3..1e3_f64, 0..300), seed: [u8; 32], round: u64
        ) {
            let rotation = Rotation::new(RotationParameters { seed: &seed, round, len: values.len() });
            let rotated = rotation.rotate(&values).unwrap();
            let norm = l2_norm(&values);
            prop_assert!((l2_norm(&rotated) - norm).abs() <= 1e-14 * norm);
            let restored = rotation.unrotate(rotated.to_vec()).unwrap();
            for (x, y) in values.iter().zip(restored) {
                prop_assert!((x - y).abs() <= 1e-14 * norm);
            }
        }

        #[test]
        fn rotated_sums_are_sums_of_what_was_rotated(a in -50..50_i32, b in -50..50_i32, seed: [u8; 32]) {
            let rotation = Rotation::new(RotationParameters { seed: &seed, round: 0, len: 3 });
            let [x, y] = [[a, b, 1], [b, -a, 7]].map(|v| rotation.rotate(&v.map(f64::from)).unwrap());
            let sum = rotation.rotate(&[a + b, b - a, 8].map(f64::from)).unwrap();
            for i in 0..4 {
                prop_assert!((x[i] + y[i] - sum[i]).abs() <= 1e-12);
            }
        }
    }
}
