/// One sum of products for each limb of a lane.
struct Sums {
//% for j in 0..LIMBS
    t${j}: u64,
//% end
}

/// Converts sums to loose limbs. Carries are propagated within a lane. The carry out of a lane is
/// below 2^36. It is added to the two lowest limbs of the next lane only, and leaves the second of
/// them below 2^29 + 2^8.
fn carry_sums(a: Sums, b: Sums) -> Pair {
    var product: Pair;
    var carry_a = 0lu;
    var carry_b = 0lu;
//% for j in 0..LIMBS
    let a${j} = a.t${j} + carry_a;
    let b${j} = b.t${j} + carry_b;
    product.lo.l${j} = u32(a${j}) & MASK;
    product.hi.l${j} = u32(b${j}) & MASK;
    carry_a = a${j} >> LIMB_BITS;
    carry_b = b${j} >> LIMB_BITS;
//% end
    let below = carry_to_next_lane(Carries(carry_a, carry_b));
    let lowest_a = u64(product.lo.l0) + below.lo;
    let lowest_b = u64(product.hi.l0) + below.hi;
    product.lo.l0 = u32(lowest_a) & MASK;
    product.hi.l0 = u32(lowest_b) & MASK;
    product.lo.l1 += u32(lowest_a >> LIMB_BITS);
    product.hi.l1 += u32(lowest_b >> LIMB_BITS);
    return product;
}
