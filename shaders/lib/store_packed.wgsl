/// Writes a canonical half to `${buffer}` as the host knows it, WORDS words from `start` on. Where `write` does not hold,
/// everything but the writing is done, because others wait at the barriers.
fn store_half_${buffer}(start: u32, half: Half, write: bool) {
    workgroupBarrier();
//% for j in 0..LIMBS
    share(group * HALF + lane * LIMBS + ${j}u, half.l${j});
//% end
    workgroupBarrier();
    for (var w = lane; w < WORDS; w += LANES) {
        let word = packed_word(w);
        if write {
            ${buffer}[start + w] = word;
        }
    }
}

/// Reduces a pair and writes it to `${buffer}`: two halves, one after the other.
///
/// An n taken off the first half is one in the second, which a product leaves below 1.6n (`lib/product.wgsl`): still
/// below 2n with it.
fn store_packed_${buffer}(item: u32, pair: Pair, write: bool) {
    let lo = below_n(pair.lo);
    var above = pair.hi;
    above.l0 += select(0u, lo.off, lane == 0u);
    let hi = below_n(above);
    store_half_${buffer}(2u * item * WORDS, lo.half, write);
    store_half_${buffer}((2u * item + 1u) * WORDS, hi.half, write);
}
