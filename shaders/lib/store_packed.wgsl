/// Writes a canonical half to `${buffer}` in the host's form: WORDS words, starting at `start`. If
/// `write` is false, the function still runs to its end without writing, because other lanes wait
/// at the barriers.
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
/// An n subtracted from the first half adds one to the second. The second half stays below 2n,
/// because it is below 1.6n after a product (`lib/product.wgsl`).
fn store_packed_${buffer}(item: u32, pair: Pair, write: bool) {
    let lo = reduce(pair.lo);
    var above = pair.hi;
    above.l0 += select(0u, lo.subtracted, lane == 0u);
    let hi = reduce(above);
    store_half_${buffer}(2u * item * WORDS, lo.half, write);
    store_half_${buffer}((2u * item + 1u) * WORDS, hi.half, write);
}
