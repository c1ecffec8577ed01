// What the lanes of a group tell each other, by workgroup memory: for adapters without subgroups, or with subgroups
// smaller than a group. Twin: lib/exchange_subgroup.wgsl.
//
// Everything posted goes to one of two boxes in turn, so that a single barrier between posting and reading is enough:
// a box is written again only after the barrier of the other one, which all have passed that read it.

struct Invocation {
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
}

var<private> here: u32;
var<private> first_lane: u32;
var<private> box: u32;

var<workgroup> posted: array<vec4<u32>, ${2 * WORKGROUP}>;
/// The multiplier of a product, or a half to be packed: never both at a time.
var<workgroup> shared_limbs: array<vec2<u32>, ${WORKGROUP * LIMBS}>;

fn take_place(at: Invocation) -> u32 {
    here = at.index;
    lane = at.index % LANES;
    first_lane = at.index - lane;
    group = at.index / LANES;
    return item_of(at.workgroup, at.workgroups);
}

fn from_lane(value: u32, owner: u32) -> u32 {
    box = WORKGROUP - box;
    posted[box + here].x = value;
    workgroupBarrier();
    return posted[box + first_lane + owner].x;
}

/// The lane before's value; zero in lane 0.
fn from_previous(value: u64) -> u64 {
    return hand_up(Carries(value, 0lu)).lo;
}

/// What a step of a product sends around: its two quotient digits from lane 0 to all, and what left a lane at its lower
/// end in the step before, of both sums, to the lane below; from lane 0, where that is nothing, to the last.
struct Turn {
    m: u32,
    u: u32,
    a: u32,
    b: u32,
}

fn exchange(own: Turn) -> Turn {
    box = WORKGROUP - box;
    posted[box + here] = vec4<u32>(own.m, own.u, own.a, own.b);
    workgroupBarrier();
    let digits = posted[box + first_lane];
    let sums = posted[box + first_lane + (lane + 1u) % LANES];
    return Turn(digits.x, digits.y, sums.z, sums.w);
}

/// The carries that two halves hand to the next lane up.
struct Carries {
    lo: u64,
    hi: u64,
}

fn hand_up(own: Carries) -> Carries {
    box = WORKGROUP - box;
    posted[box + here] = vec4<u32>(u32(own.lo), u32(own.lo >> 32u), u32(own.hi), u32(own.hi >> 32u));
    workgroupBarrier();
    let below = posted[box + first_lane + (lane + LANES - 1u) % LANES];
    let has_below = lane != 0u;
    return Carries(
        select(0lu, u64(below.x) | (u64(below.y) << 32u), has_below),
        select(0lu, u64(below.z) | (u64(below.w) << 32u), has_below),
    );
}

/// Makes the multiplier of a product known to the group.
fn publish(x: Pair) {
    workgroupBarrier(); // a half may still be read by its packers
//% for j in 0..LIMBS
    shared_limbs[here * LIMBS + ${j}u] = vec2<u32>(x.lo.l${j}, x.hi.l${j});
//% end
    workgroupBarrier();
}

/// The limb of the multiplier that `owner` has at place j: of the first and of the second half.
fn multiplier(lo: u32, hi: u32, owner: u32, j: u32) -> vec2<u32> {
    return shared_limbs[(first_lane + owner) * LIMBS + j];
}

fn share(at: u32, limb: u32) {
    shared_limbs[at].x = limb;
}

fn shared_limb(at: u32) -> u32 {
    return shared_limbs[at].x;
}
