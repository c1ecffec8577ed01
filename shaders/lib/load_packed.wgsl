/// A half from `${buffer}` as the host knows it: WORDS words from `start` on, of which every limb is cut out.
fn load_half_${buffer}(start: u32) -> Half {
    var half: Half;
//% for j in 0..LIMBS
    {
        let bit = (lane * LIMBS + ${j}u) * LIMB_BITS;
        let word = bit / 32u;
        let low = select(0u, ${buffer}[start + min(word, WORDS - 1u)], word < WORDS);
        let high = select(0u, ${buffer}[start + min(word + 1u, WORDS - 1u)], word + 1u < WORDS);
        half.l${j} = u32((u64(low) | (u64(high) << 32u)) >> (bit % 32u)) & MASK;
    }
//% end
    return half;
}

fn load_packed_${buffer}(item: u32) -> Pair {
    return Pair(load_half_${buffer}(2u * item * WORDS), load_half_${buffer}((2u * item + 1u) * WORDS));
}
