// The product of two pairs: x·y/R mod n², R = 2^(27·HALF) ≥ 16n. Twin: backend::portable, residue::product.
//
// Step i takes limb i of the multiplier x through the limbs of y that a lane has, and the quotient digits of both
// reductions along with it:
//
//     a += x.lo[i]·y.lo + m·n                    m clears the lowest limb of a
//     b += x.lo[i]·y.hi + x.hi[i]·y.lo + u·n     u clears the lowest limb of b
//     b += 2^27 − 1 − m                          and so subtracts m, up to R − 1, which z makes up for
//
// Then both sums move down by one limb. Nothing is carried on the way: a sum collects at most 3·HALF products of 54
// bits and a bit, below 3·152·2^54·(1 + 2^−15) + 2^38 < 2^63. Names rotate instead of values: in step i of a lane's
// LIMBS, limb j of a sum is the variable with number i + j mod LIMBS.
//
// Lane 0 has the lowest limbs, and finds m and u by itself before anything is sent; other lanes compute the same from
// limbs that mean something else, and it is dropped. What leaves a lane at its lower end enters the lane below at its
// top, together with the digits of the next step: after these were found, which the top of two limbs or more does not
// matter to.
//
// Bounds: x and y loose (below 2n); a ends below 4n²/R + n < 2n, b, which starts from z = (1 − R) mod n, below
// (8n² + R + n)/R + n < 2n (Walter, "Montgomery exponentiation needs no final subtractions", Electronics Letters 1999).

struct Sums {
//% for j in 0..LIMBS
    t${j}: u64,
//% end
}

/// What is known of the modulus: n, z, and −n⁻¹ mod 2^27, for all lanes, one after the other.
@group(0) @binding(1) var<storage, read> modulus: array<u32>;

/// This lane's limbs of n, and −n⁻¹ mod 2^27.
var<private> n: Half;
var<private> inverse: u32;

fn load_modulus() {
//% for j in 0..LIMBS
    n.l${j} = modulus[lane * LIMBS + ${j}u];
//% end
    inverse = modulus[2u * HALF];
}

fn mont_mul(x: Pair, y: Pair) -> Pair {
    publish(x);
    let is_first = lane == 0u;
    var a: Sums;
    var b: Sums;
//% for j in 0..LIMBS
    b.t${j} = u64(modulus[HALF + lane * LIMBS + ${j}u]);
//% end
    // Sums that left at the lower end in the step before.
    var left_a = 0lu;
    var left_b = 0lu;
    for (var owner = 0u; owner < LANES; owner++) {
//% for i in 0..LIMBS
        {
            let limb = multiplier(x.lo.l${i}, x.hi.l${i}, owner, ${i}u);
            let x0 = limb.x;
            let x1 = limb.y;
            a.t${i} += wide(x0, y.lo.l0);
            b.t${i} += wide(x0, y.hi.l0);
            b.t${i} += wide(x1, y.lo.l0);
            let own_m = (u32(a.t${i}) * inverse) & MASK;
            let own_u = ((u32(b.t${i}) + (MASK - own_m)) * inverse) & MASK;
            let turn = exchange(Turn(own_m, own_u, left_a, left_b));
            let m = turn.m;
            let u = turn.u;
            a.t${i} += wide(m, n.l0);
            b.t${i} += wide(u, n.l0);
            b.t${i} += u64(select(0u, MASK - m, is_first));
//% for j in 1..LIMBS
            a.t${(i + j) % LIMBS} += wide(x0, y.lo.l${j});
            b.t${(i + j) % LIMBS} += wide(x0, y.hi.l${j});
            b.t${(i + j) % LIMBS} += wide(x1, y.lo.l${j});
            a.t${(i + j) % LIMBS} += wide(m, n.l${j});
            b.t${(i + j) % LIMBS} += wide(u, n.l${j});
//% end
            // From the step before: it comes in at the top.
            a.t${(i + LIMBS - 1) % LIMBS} += turn.a;
            b.t${(i + LIMBS - 1) % LIMBS} += turn.b;
            left_a = a.t${i};
            left_b = b.t${i};
            a.t${(i + 1) % LIMBS} += select(0lu, left_a >> LIMB_BITS, is_first);
            b.t${(i + 1) % LIMBS} += select(0lu, left_b >> LIMB_BITS, is_first);
            a.t${i} = 0lu;
            b.t${i} = 0lu;
        }
//% end
    }
    let turn = exchange(Turn(0u, 0u, left_a, left_b));
    a.t${LIMBS - 1} += turn.a;
    b.t${LIMBS - 1} += turn.b;
    return carried(a, b);
}

/// Sums as loose limbs. A lane carries within itself; what it carries out, below 2^37, goes into the next lane's two
/// lowest limbs and no further, and leaves the second below 2^27 + 2^11.
fn carried(a: Sums, b: Sums) -> Pair {
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
    let below = hand_up(Carries(carry_a, carry_b));
    let lowest_a = u64(product.lo.l0) + below.lo;
    let lowest_b = u64(product.hi.l0) + below.hi;
    product.lo.l0 = u32(lowest_a) & MASK;
    product.hi.l0 = u32(lowest_b) & MASK;
    product.lo.l1 += u32(lowest_a >> LIMB_BITS);
    product.hi.l1 += u32(lowest_b >> LIMB_BITS);
    return product;
}
