/// A half from `${buffer}` as the host knows it: WORDS words from `start` on, of which a lane cuts its limbs.
///
/// First its run of words is shifted so that the lane's lowest bit comes first; then every limb is at a place that
/// stands in the text. A run has RUN words, of which SURE lie within the half for every lane; beyond it there are zeros.
fn load_half_${buffer}(start: u32) -> Half {
    let first = lane * (LIMBS * LIMB_BITS) / 32u;
    let shift = lane * (LIMBS * LIMB_BITS) % 32u;
//% for k in 0..SURE
    let w${k} = ${buffer}[start + first + ${k}u];
//% end
//% for k in SURE..RUN
    let w${k} = select(0u, ${buffer}[start + min(first + ${k}u, WORDS - 1u)], first + ${k}u < WORDS);
//% end
//% for k in 0..RUN - 1
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
