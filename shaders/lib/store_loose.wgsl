/// Writes a loose pair to `${buffer}`: two halves of HALF limbs, one limb in each word.
fn store_loose_${buffer}(item: u32, pair: Pair) {
    let start = 2u * item * HALF + lane * LIMBS;
//% for j in 0..LIMBS
    ${buffer}[start + ${j}u] = pair.lo.l${j};
    ${buffer}[start + HALF + ${j}u] = pair.hi.l${j};
//% end
}
