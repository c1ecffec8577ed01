//! The positions of values in a plaintext, and the proof that their sums never overlap.

use super::{Error, Result};

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
mod tests {
    use super::*;
    use crate::packing::tests::replayable;
    use proptest::prelude::*;

    /// Adds plaintexts as integers, like Paillier while sums stay below n.
    fn add(total: &mut [u64], plaintext: &[u64]) {
        let mut carry = false;
        for (a, &b) in total.iter_mut().zip(plaintext) {
            let (sum, first) = a.overflowing_add(b);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            *a = sum;
            carry = first | second;
        }
        assert!(!carry, "the total left the plaintext");
    }

    /// Reference: bit by bit, slow and obvious.
    fn slot_of(layout: &Layout, plaintext: &[u64], slot: usize) -> u128 {
        let width = layout.slot_bits() as usize;
        (0..width).rev().fold(0, |bits, i| {
            let at = slot * width + i;
            bits << 1 | u128::from(plaintext[at / 64] >> (at % 64) & 1)
        })
    }

    /// A layout with slots of exactly `slot_bits` bits and values of maximum width.
    fn layout_of_width(slot_bits: u32, capacity_bits: u32) -> Layout {
        let value_bits = slot_bits.min(64);
        let summands = u32::try_from(1_u64 << (slot_bits - value_bits)).unwrap_or(u32::MAX);
        let layout = Layout::new(LayoutParameters {
            capacity_bits,
            value_bits,
            max_summands: summands,
            max_weight: 1,
        })
        .unwrap();
        assert_eq!(layout.slot_bits(), slot_bits);
        layout
    }

    fn layouts() -> impl Strategy<Value = (Layout, u32, u32)> {
        (1_u32..=64, 1_u32..=300, any::<u32>(), 0_u32..=700).prop_map(
            |(value_bits, summands, weight, spare)| {
                let weight_bits = (64 - value_bits).min(31);
                let weight = 1 + (weight & ((1 << weight_bits) - 1)).saturating_sub(1);
                let fit = Layout::new(LayoutParameters {
                    capacity_bits: 5000,
                    value_bits,
                    max_summands: summands,
                    max_weight: weight,
                })
                .unwrap();
                (
                    Layout::new(LayoutParameters {
                        capacity_bits: fit.slot_bits() + spare,
                        value_bits,
                        max_summands: summands,
                        max_weight: weight,
                    })
                    .unwrap(),
                    summands,
                    weight,
                )
            },
        )
    }

    /// Values of 64 bits and almost 2^32 summands.
    const MAX_SLOT_BITS: u32 = 96;

    #[test]
    fn densities() {
        let of = |capacity, bits, summands, weight| {
            let layout = Layout::new(LayoutParameters {
                capacity_bits: capacity,
                value_bits: bits,
                max_summands: summands,
                max_weight: weight,
            })
            .unwrap();
            (layout.slots(), layout.slot_bits(), layout.words())
        };
        assert_eq!(of(2047, 16, 100, 1), (89, 23, 32));
        assert_eq!(of(3071, 16, 100, 1), (133, 23, 48));
        assert_eq!(of(2047, 16, 128, 1), (89, 23, 32));
        assert_eq!(of(2047, 16, 129, 1), (85, 24, 32));
        assert_eq!(of(2047, 16, 10, 13), (85, 24, 32));
        assert_eq!(of(64, 1, 1, 1), (64, 1, 1));
        assert_eq!(of(65, 1, 1, 1), (65, 1, 2));
        assert_eq!(of(1, 1, 1, 1), (1, 1, 1));
        assert_eq!(of(127, 64, 1 << 31, 1), (1, 95, 2));
        assert_eq!(
            Layout::new(LayoutParameters {
                capacity_bits: 2047,
                value_bits: 16,
                max_summands: 100,
                max_weight: 7
            })
            .unwrap()
            .total_weight(),
            700
        );
    }

    #[test]
    fn plaintexts_are_counted_with_the_last_partly_filled() {
        let layout = Layout::new(LayoutParameters {
            capacity_bits: 2047,
            value_bits: 16,
            max_summands: 100,
            max_weight: 1,
        })
        .unwrap();
        assert_eq!(
            [0, 1, 88, 89, 90, 178, 179].map(|values| layout.plaintexts(values)),
            [0, 1, 1, 1, 2, 2, 3]
        );
    }

    #[test]
    fn layouts_that_cannot_hold_their_sums_are_refused() {
        for (value_bits, max_summands, max_weight) in [(0, 1, 1), (1, 0, 1), (1, 1, 0)] {
            assert_eq!(
                Layout::new(LayoutParameters { capacity_bits: 2047, value_bits, max_summands, max_weight }),
                Err(Error::LayoutEmpty { value_bits, max_summands, max_weight })
            );
        }
        for (value_bits, max_weight) in [(65, 1), (u32::MAX, 1), (64, 2), (33, u32::MAX), (63, 3)] {
            assert_eq!(
                Layout::new(LayoutParameters {
                    capacity_bits: 2047,
                    value_bits,
                    max_summands: 1,
                    max_weight
                }),
                Err(Error::WeightedValueTooWide { value_bits, max_weight })
            );
        }
        // (2^63 − 1)·2 and (2^32 − 1)² just fit a word.
        Layout::new(LayoutParameters { capacity_bits: 2047, value_bits: 63, max_summands: 1, max_weight: 2 })
            .unwrap();
        Layout::new(LayoutParameters {
            capacity_bits: 2047,
            value_bits: 32,
            max_summands: 1,
            max_weight: u32::MAX,
        })
        .unwrap();

        let (max_summands, max_weight) = (u32::MAX, (1 << 31) + 1);
        let total_weight = u64::from(max_summands) * u64::from(max_weight);
        assert_eq!(
            Layout::new(LayoutParameters { capacity_bits: 2047, value_bits: 1, max_summands, max_weight }),
            Err(Error::TotalWeightTooLarge { max_summands, max_weight, total_weight })
        );
        assert_eq!(
            Layout::new(LayoutParameters {
                capacity_bits: 2047,
                value_bits: 1,
                max_summands: 1 << 31,
                max_weight: u32::MAX
            })
            .unwrap()
            .slot_bits(),
            64
        );
        assert_eq!(
            Layout::new(LayoutParameters {
                capacity_bits: 2047,
                value_bits: 32,
                max_summands: 1 << 31,
                max_weight: u32::MAX
            })
            .unwrap()
            .slot_bits(),
            95
        );
    }

    #[test]
    fn a_slot_wider_than_the_plaintext_is_refused_with_all_the_numbers() {
        let error = Layout::new(LayoutParameters {
            capacity_bits: 22,
            value_bits: 16,
            max_summands: 100,
            max_weight: 1,
        })
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "a slot of 23 bits (16 bits a value, 100 summands, weights up to 1) is wider than a plaintext of 22 bits"
        );
        assert_eq!(
            Layout::new(LayoutParameters {
                capacity_bits: 23,
                value_bits: 16,
                max_summands: 100,
                max_weight: 1
            })
            .unwrap()
            .slots(),
            1
        );
    }

    #[test]
    fn slots_of_every_width_are_read_where_they_were_put() {
        for slot_bits in 1..=MAX_SLOT_BITS {
            for capacity_bits in [slot_bits, slot_bits + 1, 191, 192, 193, 1023, 2047] {
                if capacity_bits < slot_bits {
                    continue;
                }
                let layout = layout_of_width(slot_bits, capacity_bits);
                let largest = u64::try_from(layout.max_sum()).unwrap_or(u64::MAX);
                let values: Vec<u64> = (0..layout.slots() as u64)
                    .map(|i| {
                        if i % 3 == 0 {
                            largest
                        } else {
                            i.wrapping_mul(0x9e37_79b9_7f4a_7c15) & (largest >> 1)
                        }
                    })
                    .collect();
                let mut plaintext = vec![u64::MAX; layout.words()];
                layout.pack(&values, &mut plaintext);
                let mut sums = vec![0; layout.slots()];
                layout.unpack(&plaintext, &mut sums);
                for (slot, (&value, &sum)) in values.iter().zip(&sums).enumerate() {
                    assert_eq!(sum, u128::from(value), "{layout:?} slot {slot}");
                    assert_eq!(sum, slot_of(&layout, &plaintext, slot), "{layout:?} slot {slot}");
                }
            }
        }
    }

    #[test]
    fn full_slots_of_every_width_straddle_word_borders() {
        for slot_bits in 1..=MAX_SLOT_BITS {
            let layout = layout_of_width(slot_bits, 2047);
            let plaintext: Vec<u64> =
                (1..=layout.words() as u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
            let mut sums = vec![0; layout.slots()];
            layout.unpack(&plaintext, &mut sums);
            for (slot, &sum) in sums.iter().enumerate() {
                assert_eq!(sum, slot_of(&layout, &plaintext, slot), "{layout:?} slot {slot}");
            }
        }
    }

    #[test]
    fn nothing_and_part_of_a_plaintext_leave_zeros() {
        let layout = Layout::new(LayoutParameters {
            capacity_bits: 2047,
            value_bits: 16,
            max_summands: 100,
            max_weight: 1,
        })
        .unwrap();
        let mut plaintext = vec![u64::MAX; 32];
        layout.pack(&[], &mut plaintext);
        assert_eq!(plaintext, [0; 32]);
        layout.unpack(&plaintext, &mut []);

        plaintext.fill(u64::MAX);
        layout.pack(&[0xffff], &mut plaintext);
        assert_eq!(plaintext[0], 0xffff);
        assert_eq!(plaintext[1..], [0; 31]);
    }

    #[test]
    fn the_largest_values_with_the_largest_weights_fit_exactly() {
        for (value_bits, summands, weight) in
            [(16, 128, 1), (1, 4, 8), (64, 32, 1), (32, 3, u32::MAX), (40, 129, 1 << 24)]
        {
            let layout = Layout::new(LayoutParameters {
                capacity_bits: 1023,
                value_bits,
                max_summands: summands,
                max_weight: weight,
            })
            .unwrap();
            let largest = u64::try_from(max_value(value_bits)).unwrap() * u64::from(weight);
            let mut plaintext = vec![0; layout.words()];
            let mut total = vec![0; layout.words()];
            layout.pack(&vec![largest; layout.slots()], &mut plaintext);
            for _ in 0..summands {
                add(&mut total, &plaintext);
            }
            let mut sums = vec![0; layout.slots()];
            layout.unpack(&total, &mut sums);
            assert_eq!(sums, vec![layout.max_sum(); layout.slots()]);
            // Below 2^capacity_bits, hence below n.
            let spare = layout.words() * 64 - layout.capacity_bits() as usize;
            assert!(total.last().unwrap().leading_zeros() as usize >= spare);
        }
    }

    #[test]
    #[should_panic(expected = "values for 89 slots")]
    fn more_values_than_slots_panic() {
        Layout::new(LayoutParameters {
            capacity_bits: 2047,
            value_bits: 16,
            max_summands: 100,
            max_weight: 1,
        })
        .unwrap()
        .pack(&[0; 90], &mut [0; 32]);
    }

    #[test]
    #[should_panic(expected = "words of one plaintext")]
    fn a_plaintext_of_another_length_panics() {
        Layout::new(LayoutParameters {
            capacity_bits: 2047,
            value_bits: 16,
            max_summands: 100,
            max_weight: 1,
        })
        .unwrap()
        .unpack(&[0; 33], &mut [0; 89]);
    }

    #[cfg(debug_assertions)]
    #[test]
    #[should_panic(expected = "a value does not fit its slot")]
    fn a_value_too_wide_panics_in_debug_builds() {
        Layout::new(LayoutParameters {
            capacity_bits: 2047,
            value_bits: 16,
            max_summands: 100,
            max_weight: 1,
        })
        .unwrap()
        .pack(&[65535 * 100 + 1], &mut [0; 32]);
    }

    proptest! {
        #![proptest_config(replayable(256))]

        #[test]
        fn sums_of_packed_are_packed_sums(
            (layout, max_summands, max_weight) in layouts(),
            contributions in prop::collection::vec((any::<u32>(), prop::collection::vec(any::<u64>(), 1..40)), 1..20),
            extreme in any::<bool>(),
        ) {
            let largest = u64::try_from(max_value(layout.value_bits())).unwrap();
            let mut total = vec![0; layout.words()];
            let mut expected = vec![0_u128; layout.slots()];
            for (weight, values) in contributions.iter().take(max_summands as usize) {
                let weight = if extreme { max_weight } else { 1 + weight % max_weight };
                let slots: Vec<u64> = (0..layout.slots())
                    .map(|i| u64::from(weight) * if extreme { largest } else { values[i % values.len()] & largest })
                    .collect();
                let mut plaintext = vec![0; layout.words()];
                layout.pack(&slots, &mut plaintext);
                add(&mut total, &plaintext);
                for (sum, &slot) in expected.iter_mut().zip(&slots) {
                    *sum += u128::from(slot);
                }
            }
            let mut sums = vec![0; layout.slots()];
            layout.unpack(&total, &mut sums);
            prop_assert_eq!(sums, expected);
        }

        #[test]
        fn slots_fill_the_capacity((layout, _, _) in layouts()) {
            let used = layout.slots() as u64 * u64::from(layout.slot_bits());
            prop_assert!(used <= u64::from(layout.capacity_bits()));
            prop_assert!(used + u64::from(layout.slot_bits()) > u64::from(layout.capacity_bits()));
            prop_assert!(layout.max_sum() < 1 << layout.slot_bits());
        }
    }
}
