// Residues modulo n² as pairs of base-n digits ("halves"), spread over the lanes of a group.
//
// A half is LANES·LIMBS limbs of LIMB_BITS bits, least significant first. Lane l holds LIMBS limbs,
// starting with limb l·LIMBS. Limbs are scalars and not an array, so that they stay in registers
// and no index is checked.
//
// "Loose" halves are below 2n, and their limbs are below 2^29 + 2^8. Operands and results of
// products have this form.

const LANES = ${LANES}u;
const LIMBS = ${LIMBS}u; // of a lane
const HALF = ${LANES * LIMBS}u; // limbs of a half
const WORDS = ${WORDS}u; // 32-bit words of a half on the host
const WORKGROUP = ${WORKGROUP}u;
const GROUPS = ${WORKGROUP / LANES}u; // groups of lanes in a workgroup
const LIMB_BITS = ${LIMB_BITS}u;
const MASK = (1u << LIMB_BITS) - 1u;

struct Half {
//% for j in 0..LIMBS
    l${j}: u32,
//% end
}

struct Pair {
    lo: Half,
    hi: Half,
}

/// This invocation's lane in its group, and the group's number in the workgroup.
var<private> lane: u32;
var<private> group: u32;

fn mul_wide(a: u32, b: u32) -> u64 {
    return u64(a) * u64(b);
}

/// The index of this group's item. Groups beyond the last item work on the last one again, because
/// all lanes must reach the barriers.
fn item_of(workgroup: vec3<u32>, workgroups: vec3<u32>) -> u32 {
    return (workgroup.x + workgroup.y * workgroups.x) * GROUPS + group;
}

fn one() -> Pair {
    var pair: Pair;
    pair.lo.l0 = select(0u, 1u, lane == 0u);
    return pair;
}
