/// Reads a half in packed form from `${buffer}`: WORDS words, starting at `start`. Every lane
/// splits its words into limbs.
///
/// First the lane's words are shifted so that its lowest bit comes first. Then the position of
/// every limb is a constant. A lane reads LANE_WORDS words, of which LANE_WORDS_IN_HALF are within
/// the half for every lane. Words beyond the half are zeros.
fn load_half_${buffer}(start: u32) -> Half {
    let first = lane * (LIMBS * LIMB_BITS) / 32u;
    let shift = lane * (LIMBS * LIMB_BITS) % 32u;
//% for k in 0..LANE_WORDS_IN_HALF
    let w${k} = ${buffer}[start + first + ${k}u];
//% end
//% for k in LANE_WORDS_IN_HALF..LANE_WORDS
    let w${k} = select(0u, ${buffer}[start + min(first + ${k}u, WORDS - 1u)], first + ${k}u < WORDS);
//% end
//% for k in 0..LANE_WORDS - 1
    let v${k} = u32((u64(w${k}) | (u64(w${k + 1}) << 32u)) >> shift);
//% end
    var half: Half;
//% for j in 0..LIMBS
    half.l${j} = u32((u64(v${j * LIMB_BITS / 32}) | (u64(v${j * LIMB_BITS / 32 + 1}) << 32u)) >> ${j * LIMB_BITS % 32}u) & MASK;
//% end
    return half;
}

fn load_packed_${buffer}(item: u32) -> Pair {
    return Pair(load_half_${buffer}(2u * item * WORDS), load_half_${buffer}((2u * item + 1u) * WORDS));
}
