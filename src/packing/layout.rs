//! The positions of values in a plaintext, and the proof that their sums never overlap.

use super::error::{Error, Result};

/// The number of slots in a plaintext, and their width.
///
/// A slot holds one value of a client. After the addition it holds the weighted sum over all
/// clients. Slot 0 is at the least significant end. The layout is public and the same for every
/// client of a round.
///
/// ```
/// use cipherfold::packing::{Layout, LayoutParameters};
///
/// // A 2048-bit key.
/// let parameters = LayoutParameters { capacity_bits: 2047, value_bits: 16, max_summands: 100, max_weight: 1 };
/// let layout = Layout::new(parameters)?;
/// assert_eq!((layout.slots(), layout.slot_bits(), layout.words()), (89, 23, 32));
///
/// let mut plaintext = vec![0; layout.words()];
/// layout.pack(&[1, 65535, 3], &mut plaintext);
/// let mut values = [0; 3];
/// layout.unpack(&plaintext, &mut values);
/// assert_eq!(values, [1, 65535, 3]);
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    capacity_bits: u32,
    value_bits: u32,
    total_weight: u64,
    slot_bits: u32,
    slots: usize,
}

/// The parameters that determine a [`Layout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LayoutParameters {
    /// Bits that a plaintext can always hold: |n| − 1 for a modulus of |n| bits.
    pub capacity_bits: u32,
    /// Bits of a value before weighting.
    pub value_bits: u32,
    /// The maximum number of values that are added in one slot.
    pub max_summands: u32,
    /// The maximum weight of one of them. The total weight is `max_summands * max_weight`.
    pub max_weight: u32,
}

// Why a sum never overflows. Every encoded value is at most 2^v − 1 (v = value_bits), and the
// weights of the summands add up to at most W = total_weight, so the sum in a slot is at most
//
//     W·(2^v − 1) < W·2^v ≤ 2^⌈log2 W⌉·2^v = 2^slot_bits.
//
// No slot carries into its neighbour. Hence the sum of packed integers holds the sums of the slots.
// With slots·slot_bits ≤ capacity_bits that integer is below 2^capacity_bits = 2^(|n| − 1) ≤ n, so
// it is also the sum modulo n that decryption returns. A partial sum is a sum of smaller weight: no
// order of additions overflows either.
impl Layout {
    /// The layout with as many slots as `capacity_bits` allows.
    ///
    /// # Errors
    ///
    /// - [`Error::LayoutEmpty`] when one of `value_bits`, `max_summands` and `max_weight` is zero.
    /// - [`Error::WeightedValueTooWide`] when a value times `max_weight` might not fit a `u64`.
    /// - [`Error::TotalWeightTooLarge`] when the total weight exceeds 2⁶³. A value that fits `u64`
    ///   or `i64`, times the total weight, then fits an `i128`.
    /// - [`Error::SlotWiderThanPlaintext`] when not even one slot fits.
    pub fn new(parameters: LayoutParameters) -> Result<Self> {
        let LayoutParameters { capacity_bits, value_bits, max_summands, max_weight } = parameters;
        if value_bits == 0 || max_summands == 0 || max_weight == 0 {
            return Err(Error::LayoutEmpty { value_bits, max_summands, max_weight });
        }
        // Below 2^64·2^32, so the product cannot overflow once the value alone is known to fit.
        if value_bits > 64 || u128::from(max_weight) * max_value(value_bits) > u128::from(u64::MAX) {
            return Err(Error::WeightedValueTooWide { value_bits, max_weight });
        }
        let total_weight = u64::from(max_summands) * u64::from(max_weight);
        if total_weight > MAX_TOTAL_WEIGHT {
            return Err(Error::TotalWeightTooLarge { max_summands, max_weight, total_weight });
        }
        let slot_bits = value_bits + ceil_log2(total_weight);
        // A weighted value fits 64 bits and there are fewer than 2^32 summands. If a limit above is
        // ever loosened, sums must still be non-negative as `i128`.
        assert!(slot_bits <= 96, "weighted values of 64 bits and 32 bits of summands make at most 96 bits");
        if slot_bits > capacity_bits {
            return Err(Error::SlotWiderThanPlaintext {
                capacity_bits,
                slot_bits,
                value_bits,
                max_summands,
                max_weight,
            });
        }
        let slots = (capacity_bits / slot_bits) as usize;
        Ok(Self { capacity_bits, value_bits, total_weight, slot_bits, slots })
    }

    /// Bits that a plaintext can always hold.
    pub fn capacity_bits(&self) -> u32 {
        self.capacity_bits
    }

    /// Bits of one encoded value before weighting.
    pub fn value_bits(&self) -> u32 {
        self.value_bits
    }

    /// The maximum sum of weights in a slot; with weights of 1, the maximum number of summands.
    pub fn total_weight(&self) -> u64 {
        self.total_weight
    }

    /// Bits of one slot: the bits of a value, and headroom for the total weight.
    pub fn slot_bits(&self) -> u32 {
        self.slot_bits
    }

    /// Slots of one plaintext, at least one.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// 64-bit words of one plaintext.
    pub fn words(&self) -> usize {
        self.capacity_bits.div_ceil(64) as usize
    }

    /// The number of plaintexts for `values` values; the last one may be partly empty.
    pub fn plaintexts(&self, values: usize) -> usize {
        values.div_ceil(self.slots)
    }

    /// Writes `values[i]` to slot `i` and zero to the rest of `plaintext`, least significant word
    /// first.
    ///
    /// A value is a client's whole contribution to its slot: the encoded value times the client's
    /// weight. It must not exceed the maximum sum of the layout. Debug builds check that. Other
    /// builds drop the bits that would reach the neighbouring slot. The time depends on the layout
    /// and the number of values alone.
    ///
    /// # Panics
    ///
    /// Unless `values` has at most [`slots`](Self::slots) and `plaintext` exactly
    /// [`words`](Self::words) elements.
    pub fn pack(&self, values: &[u64], plaintext: &mut [u64]) {
        assert!(values.len() <= self.slots, "{} values for {} slots", values.len(), self.slots);
        assert_eq!(plaintext.len(), self.words(), "words of one plaintext");
        debug_assert!(
            values.iter().all(|&value| u128::from(value) <= self.max_sum()),
            "a value does not fit its slot"
        );
        let mask = if self.slot_bits < 64 { (1 << self.slot_bits) - 1 } else { u64::MAX };
        // The lowest `filled` bits of `pending` are not written yet; `filled` < 64, so 64 more
        // always fit.
        let mut pending = 0_u128;
        let mut filled = 0;
        let mut word = 0;
        for &value in values {
            pending |= u128::from(value & mask) << filled;
            filled += self.slot_bits;
            while filled >= 64 {
                plaintext[word] = low_word(pending);
                pending >>= 64;
                filled -= 64;
                word += 1;
            }
        }
        if filled > 0 {
            plaintext[word] = low_word(pending);
            word += 1;
        }
        plaintext[word..].fill(0);
    }

    /// Reads slots 0 to `sums.len() - 1`.
    ///
    /// Every result is below `2^slot_bits`, for any plaintext. The time depends on the layout and
    /// the number of sums alone.
    ///
    /// # Panics
    ///
    /// Unless `sums` has at most [`slots`](Self::slots) and `plaintext` exactly
    /// [`words`](Self::words) elements.
    pub fn unpack(&self, plaintext: &[u64], sums: &mut [u128]) {
        assert!(sums.len() <= self.slots, "{} sums from {} slots", sums.len(), self.slots);
        assert_eq!(plaintext.len(), self.words(), "words of one plaintext");
        let mask = (1 << self.slot_bits) - 1;
        let word_at = |word: usize| plaintext.get(word).map_or(0, |&bits| u128::from(bits));
        let mut word = 0;
        let mut offset = 0; // below 64
        for sum in sums {
            let mut bits = (word_at(word) | word_at(word + 1) << 64) >> offset;
            // A wide slot may span three words.
            if offset + self.slot_bits > 128 {
                bits |= word_at(word + 2) << (128 - offset);
            }
            *sum = bits & mask;
            offset += self.slot_bits;
            word += (offset >> 6) as usize;
            offset &= 63;
        }
    }

    /// Whether all bits of a plaintext beyond its first `slots` slots are zero, as in every honest
    /// sum.
    ///
    /// # Panics
    ///
    /// Unless `slots` is at most [`slots`](Self::slots) and `plaintext` has exactly
    /// [`words`](Self::words) elements.
    pub fn is_zero_beyond(&self, slots: usize, plaintext: &[u64]) -> bool {
        assert!(slots <= self.slots, "{slots} slots of {}", self.slots);
        assert_eq!(plaintext.len(), self.words(), "words of one plaintext");
        // At most the bits of a plaintext.
        let used = slots * self.slot_bits as usize;
        let (word, bit) = (used / 64, used % 64);
        let rest = plaintext.get(word).map_or(0, |first| first >> bit);
        plaintext.iter().skip(word + 1).fold(rest, |any, word| any | word) == 0
    }

    /// The maximum sum in a slot.
    fn max_sum(&self) -> u128 {
        u128::from(self.total_weight) * max_value(self.value_bits)
    }
}

/// The largest value of `bits` bits, at most 64 of them.
fn max_value(bits: u32) -> u128 {
    (1 << bits) - 1
}

/// The smallest `e` with `2^e >= x`, for a positive `x`.
fn ceil_log2(x: u64) -> u32 {
    u64::BITS - (x - 1).leading_zeros()
}

#[expect(clippy::cast_possible_truncation, reason = "takes the low half")]
fn low_word(bits: u128) -> u64 {
    bits as u64
}

/// Times a value that fits `u64` or `i64`, this fits an `i128`.
const MAX_TOTAL_WEIGHT: u64 = 1 << 63;

#[cfg(test)]
mod tests;
