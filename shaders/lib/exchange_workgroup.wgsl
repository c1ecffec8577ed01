// Exchange between the lanes of a group by workgroup memory, for adapters without subgroups, or
// with subgroups smaller than a group. Counterpart: lib/exchange_subgroup.wgsl.
//
// The two halves of the exchange buffer alternate, so that one barrier between writing and reading
// is enough. A half is written again only after the barrier of the other half, and every reader of
// the first half has finished before that barrier.

struct Invocation {
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
}

var<private> own_index: u32;
var<private> first_lane: u32;
/// Start of the half of the exchange buffer that was written last.
var<private> exchange_offset: u32;

var<workgroup> exchange_buffer: array<vec4<u32>, ${2 * WORKGROUP}>;
/// The multiplier of a product, or a half to be packed, but never both at the same time.
var<workgroup> shared_limbs: array<vec2<u32>, ${WORKGROUP * LIMBS}>;

fn assign_lane(at: Invocation) -> u32 {
    own_index = at.index;
    lane = at.index % LANES;
    first_lane = at.index - lane;
    group = at.index / LANES;
    return item_of(at.workgroup, at.workgroups);
}

fn from_lane(value: u32, owner: u32) -> u32 {
    exchange_offset = WORKGROUP - exchange_offset;
    exchange_buffer[exchange_offset + own_index].x = value;
    workgroupBarrier();
    return exchange_buffer[exchange_offset + first_lane + owner].x;
}

/// The value of the lane below; zero in lane 0.
fn from_previous(value: u64) -> u64 {
    return carry_to_next_lane(Carries(value, 0lu)).lo;
}

/// The values that the lanes exchange in a step of a product. Lane 0 sends its two quotient digits
/// to all lanes. In the step before, a limb has left each of the two sums at the lower end of the
/// lane. Every lane sends these two limbs to the lane below. Lane 0 sends zeros to the last lane.
struct StepValues {
    m: u32,
    u: u32,
    a: u32,
    b: u32,
}

fn exchange(own: StepValues) -> StepValues {
    exchange_offset = WORKGROUP - exchange_offset;
    exchange_buffer[exchange_offset + own_index] = vec4<u32>(own.m, own.u, own.a, own.b);
    workgroupBarrier();
    let digits = exchange_buffer[exchange_offset + first_lane];
    let sums = exchange_buffer[exchange_offset + first_lane + (lane + 1u) % LANES];
    return StepValues(digits.x, digits.y, sums.z, sums.w);
}

/// Carries of two halves into the next higher lane.
struct Carries {
    lo: u64,
    hi: u64,
}

fn carry_to_next_lane(own: Carries) -> Carries {
    exchange_offset = WORKGROUP - exchange_offset;
    exchange_buffer[exchange_offset + own_index] = vec4<u32>(u32(own.lo), u32(own.lo >> 32u), u32(own.hi), u32(own.hi >> 32u));
    workgroupBarrier();
    let below = exchange_buffer[exchange_offset + first_lane + (lane + LANES - 1u) % LANES];
    let has_below = lane != 0u;
    return Carries(
        select(0lu, u64(below.x) | (u64(below.y) << 32u), has_below),
        select(0lu, u64(below.z) | (u64(below.w) << 32u), has_below),
    );
}

/// Shares the multiplier of a product with the group.
fn share_multiplier(x: Pair) {
    workgroupBarrier(); // other lanes may still read a half
//% for j in 0..LIMBS
    shared_limbs[own_index * LIMBS + ${j}u] = vec2<u32>(x.lo.l${j}, x.hi.l${j});
//% end
    workgroupBarrier();
}

/// Limb j of lane `owner` in both halves of the multiplier.
fn multiplier_limb(lo: u32, hi: u32, owner: u32, j: u32) -> vec2<u32> {
    return shared_limbs[(first_lane + owner) * LIMBS + j];
}

fn share(at: u32, limb: u32) {
    shared_limbs[at].x = limb;
}

fn shared_limb(at: u32) -> u32 {
    return shared_limbs[at].x;
}
