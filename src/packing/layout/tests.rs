use super::*;
use crate::test_support::replayable;
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
    let layout =
        Layout::new(LayoutParameters { capacity_bits, value_bits, max_summands: summands, max_weight: 1 })
            .unwrap();
    assert_eq!(layout.slot_bits(), slot_bits);
    layout
}

fn layouts() -> impl Strategy<Value = (Layout, u32, u32)> {
    (1_u32..=64, 1_u32..=300, any::<u32>(), 0_u32..=700).prop_map(|(value_bits, summands, weight, spare)| {
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
    })
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
    assert_eq!([0, 1, 88, 89, 90, 178, 179].map(|values| layout.plaintexts(values)), [0, 1, 1, 1, 2, 2, 3]);
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
            Layout::new(LayoutParameters { capacity_bits: 2047, value_bits, max_summands: 1, max_weight }),
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
    let error =
        Layout::new(LayoutParameters { capacity_bits: 22, value_bits: 16, max_summands: 100, max_weight: 1 })
            .unwrap_err();
    assert_eq!(
        error.to_string(),
        "a slot of 23 bits (16 bits a value, 100 summands, weights up to 1) is wider than a plaintext of 22 bits"
    );
    assert_eq!(
        Layout::new(LayoutParameters { capacity_bits: 23, value_bits: 16, max_summands: 100, max_weight: 1 })
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
                    if i % 3 == 0 { largest } else { i.wrapping_mul(0x9e37_79b9_7f4a_7c15) & (largest >> 1) }
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
    Layout::new(LayoutParameters { capacity_bits: 2047, value_bits: 16, max_summands: 100, max_weight: 1 })
        .unwrap()
        .pack(&[0; 90], &mut [0; 32]);
}

#[test]
#[should_panic(expected = "words of one plaintext")]
fn a_plaintext_of_another_length_panics() {
    Layout::new(LayoutParameters { capacity_bits: 2047, value_bits: 16, max_summands: 100, max_weight: 1 })
        .unwrap()
        .unpack(&[0; 33], &mut [0; 89]);
}

#[cfg(debug_assertions)]
#[test]
#[should_panic(expected = "a value does not fit its slot")]
fn a_value_too_wide_panics_in_debug_builds() {
    Layout::new(LayoutParameters { capacity_bits: 2047, value_bits: 16, max_summands: 100, max_weight: 1 })
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
