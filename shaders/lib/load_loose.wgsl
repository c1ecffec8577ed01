/// Reads a loose pair from `${buffer}`: two halves of HALF limbs, one limb in each word.
fn load_loose_${buffer}(item: u32) -> Pair {
    let start = 2u * item * HALF + lane * LIMBS;
    var pair: Pair;
//% for j in 0..LIMBS
    pair.lo.l${j} = ${buffer}[start + ${j}u];
    pair.hi.l${j} = ${buffer}[start + HALF + ${j}u];
//% end
    return pair;
}
