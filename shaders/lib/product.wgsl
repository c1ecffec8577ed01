// ${name}: x·y/R mod n² with cross=2, for R = 2^(29·HALF) ≥ 16n. With cross=1: x²/R mod n², where y
// is x with its second half doubled. Counterpart: backend::portable, residue::product.
//
// Step i multiplies limb i of the multiplier x by the limbs of y in a lane, and adds the multiples
// of n for both reductions:
//
//     a += x.lo[i]·y.lo + m·n                    m clears the lowest limb of a
//     b += x.lo[i]·y.hi + x.hi[i]·y.lo + u·n     u clears the lowest limb of b
//     b += 2^29 − 1 − m                          subtracts m; z compensates for the 2^29 − 1
//
// Then both sums move down by one limb. Names rotate instead of values: in step i of a lane's
// LIMBS, limb j of a sum is the variable with number i + j mod LIMBS. A square has one cross term
// instead of two, because x.lo[i]·2·x.hi is the sum of both. So it takes four products of limbs
// instead of five.
//
// Lane 0 has the lowest limbs, and computes m and u before the exchange. The other lanes compute
// digits that no lane uses. A sum leaves each lane at its lower end. The lane adds the sum's carry
// to its next sum, and sends the lowest 29 bits to the lane below, together with the digits of the
// next step. This is early enough: the digits depend on the lowest limb alone, and the 29 bits are
// added to the highest of at least two limbs. Lane 0 sends zeros to the last lane, because m and u
// have cleared its lowest limbs.
//
// There is no other carry. While a sum moves through a lane, at most 3·LIMBS products of limbs
// below 2^29 + 2^8 (a doubled product counts twice), one carry and 29 bits from the lane above are
// added to it. It stays below 3·21·2^58·(1 + 2^−19) + 2^36 < 2^64.
//
// Bounds: x and y are loose (below 2n). a ends below 4n²/R + n < 2n. b starts from z = (1 − R) mod
// n, and ends below (8n² + R + n)/R + n < 2n (Walter, "Montgomery exponentiation needs no final
// subtractions", Electronics Letters 1999).
fn ${name}(x: Pair, y: Pair) -> Pair {
    share_multiplier(x);
    // All ones in lane 0, and zero elsewhere.
    let first = select(0u, ~0u, lane == 0u);
    var own_y = y;
    var own_n = n;
    var a: Sums;
    var b: Sums;
//% for j in 0..LIMBS
    b.t${j} = u64(modulus[HALF + lane * LIMBS + ${j}u]);
//% end
    // The limbs that left the two sums in the step before.
    var outgoing_a = 0u;
    var outgoing_b = 0u;
    for (var owner = 0u; owner < LANES; owner++) {
        // An exclusive-or with zero. Without it, a compiler sees that the limbs are the same in
        // every round, and may widen them to 64 bits before the loop (NVIDIA's for CUDA does). It
        // then multiplies 64 by 64 bits, which takes two more additions for each product.
//% for j in 0..LIMBS
        own_y.lo.l${j} ^= opaque_zero;
        own_y.hi.l${j} ^= opaque_zero;
        own_n.l${j} ^= opaque_zero;
//% end
//% for i in 0..LIMBS
        {
            let limb = multiplier_limb(x.lo.l${i}, x.hi.l${i}, owner, ${i}u);
            a.t${i} += mul_wide(limb.x, own_y.lo.l0);
            b.t${i} += mul_wide(limb.x, own_y.hi.l0);
//% for c in 1..cross
            b.t${i} += mul_wide(limb.y, own_y.lo.l0);
//% end
            let own_m = (u32(a.t${i}) * inverse) & MASK;
            let own_u = ((u32(b.t${i}) + (own_m ^ MASK)) * inverse) & MASK;
            let step = exchange(StepValues(own_m, own_u, outgoing_a, outgoing_b));
            a.t${i} += mul_wide(step.m, own_n.l0);
            b.t${i} += mul_wide(step.u, own_n.l0);
            b.t${i} += u64((step.m ^ MASK) & first);
//% for j in 1..LIMBS
            a.t${(i + j) % LIMBS} += mul_wide(limb.x, own_y.lo.l${j});
            b.t${(i + j) % LIMBS} += mul_wide(limb.x, own_y.hi.l${j});
//% for c in 1..cross
            b.t${(i + j) % LIMBS} += mul_wide(limb.y, own_y.lo.l${j});
//% end
            a.t${(i + j) % LIMBS} += mul_wide(step.m, own_n.l${j});
            b.t${(i + j) % LIMBS} += mul_wide(step.u, own_n.l${j});
//% end
            // The limbs from the step before are added at the upper end.
            a.t${(i + LIMBS - 1) % LIMBS} += u64(step.a);
            b.t${(i + LIMBS - 1) % LIMBS} += u64(step.b);
            outgoing_a = u32(a.t${i}) & MASK;
            outgoing_b = u32(b.t${i}) & MASK;
            a.t${(i + 1) % LIMBS} += a.t${i} >> LIMB_BITS;
            b.t${(i + 1) % LIMBS} += b.t${i} >> LIMB_BITS;
            a.t${i} = 0lu;
            b.t${i} = 0lu;
        }
//% end
    }
    let step = exchange(StepValues(0u, 0u, outgoing_a, outgoing_b));
    a.t${LIMBS - 1} += u64(step.a);
    b.t${LIMBS - 1} += u64(step.b);
    return carry_sums(a, b);
}
