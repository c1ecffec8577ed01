// From loose halves to canonical ones: below n, every limb below 2^LIMB_BITS. Twin: residue::conditional_subtract.

struct Rippled {
    limbs: Half,
    /// In the last lane: what the half carried out at its upper end.
    over: i32,
}

/// Carries all the way. Limbs are signed here, and above −2^30; a carry travels one lane a round.
fn rippled(half: Half) -> Rippled {
    var limbs = half;
    var over = 0i;
    var from_below = 0i;
    for (var round = 0u; round < LANES; round++) {
        var carry = from_below;
//% for j in 0..LIMBS
        let s${j} = bitcast<i32>(limbs.l${j}) + carry;
        limbs.l${j} = bitcast<u32>(s${j}) & MASK;
        carry = s${j} >> LIMB_BITS;
//% end
        over += carry;
        from_below = bitcast<i32>(u32(from_previous(u64(bitcast<u32>(carry)))));
    }
    return Rippled(limbs, over);
}

struct Reduced {
    half: Half,
    /// 1 if n was taken off.
    off: u32,
}

/// A half below 2n, brought below n.
fn below_n(loose: Half) -> Reduced {
    let whole = rippled(loose).limbs;
    var less: Half;
//% for j in 0..LIMBS
    less.l${j} = whole.l${j} - n.l${j};
//% end
    let reduced = rippled(less);
    // Negative if n was too much.
    let too_much = from_lane(bitcast<u32>(reduced.over), LANES - 1u) != 0u;
    var half: Half;
//% for j in 0..LIMBS
    half.l${j} = select(reduced.limbs.l${j}, whole.l${j}, too_much);
//% end
    return Reduced(half, select(1u, 0u, too_much));
}

/// Word w of the canonical half that the group has shared: 32 of its bits, out of two or three limbs.
fn packed_word(w: u32) -> u32 {
    let start = group * HALF;
    let limb = w * 32u / LIMB_BITS;
    let offset = w * 32u % LIMB_BITS;
    let l0 = shared_limb(start + limb);
    let l1 = select(0u, shared_limb(start + min(limb + 1u, HALF - 1u)), limb + 1u < HALF);
    let l2 = select(0u, shared_limb(start + min(limb + 2u, HALF - 1u)), limb + 2u < HALF);
    return u32((u64(l0) | (u64(l1) << LIMB_BITS) | (u64(l2) << (2u * LIMB_BITS))) >> offset);
}
