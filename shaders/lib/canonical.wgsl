// Converts loose halves to canonical ones, which are below n and have limbs below 2^LIMB_BITS.
// Counterpart: residue::conditional_subtract.

struct Propagated {
    limbs: Half,
    /// In the last lane: the carry out of the highest limb.
    carry_out: i32,
}

/// Propagates all carries. Limbs are signed here, and above −2^30. In each round a carry moves by
/// one lane.
fn propagate_carries(half: Half) -> Propagated {
    var limbs = half;
    var carry_out = 0i;
    var from_below = 0i;
    for (var round = 0u; round < LANES; round++) {
        var carry = from_below;
//% for j in 0..LIMBS
        let s${j} = bitcast<i32>(limbs.l${j}) + carry;
        limbs.l${j} = bitcast<u32>(s${j}) & MASK;
        carry = s${j} >> LIMB_BITS;
//% end
        carry_out += carry;
        from_below = bitcast<i32>(u32(from_previous(u64(bitcast<u32>(carry)))));
    }
    return Propagated(limbs, carry_out);
}

struct Reduced {
    half: Half,
    /// 1 if n was subtracted.
    subtracted: u32,
}

/// Reduces a half below 2n to one below n.
fn reduce(loose: Half) -> Reduced {
    let whole = propagate_carries(loose).limbs;
    var difference: Half;
//% for j in 0..LIMBS
    difference.l${j} = whole.l${j} - n.l${j};
//% end
    let reduced = propagate_carries(difference);
    let is_negative = from_lane(bitcast<u32>(reduced.carry_out), LANES - 1u) != 0u;
    var half: Half;
//% for j in 0..LIMBS
    half.l${j} = select(reduced.limbs.l${j}, whole.l${j}, is_negative);
//% end
    return Reduced(half, select(1u, 0u, is_negative));
}

/// Word w of the canonical half that the group has shared. Its 32 bits come from two or three
/// limbs.
fn packed_word(w: u32) -> u32 {
    let start = group * HALF;
    let limb = w * 32u / LIMB_BITS;
    let offset = w * 32u % LIMB_BITS;
    let l0 = shared_limb(start + limb);
    let l1 = select(0u, shared_limb(start + min(limb + 1u, HALF - 1u)), limb + 1u < HALF);
    let l2 = select(0u, shared_limb(start + min(limb + 2u, HALF - 1u)), limb + 2u < HALF);
    return u32((u64(l0) | (u64(l1) << LIMB_BITS) | (u64(l2) << (2u * LIMB_BITS))) >> offset);
}
