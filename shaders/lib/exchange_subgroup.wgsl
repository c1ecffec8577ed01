// Exchange between the lanes of a group by subgroup shuffles. Counterpart:
// lib/exchange_workgroup.wgsl.
//
// A group is part of one subgroup. The subgroup lane of an invocation comes from a builtin, because
// WGSL does not promise that it follows from the local index.

struct Invocation {
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) in_subgroup: u32,
    @builtin(subgroup_size) subgroup_size: u32,
}

/// The subgroup lane of this group's lane 0.
var<private> first_lane: u32;

fn assign_lane(at: Invocation) -> u32 {
    lane = at.in_subgroup % LANES;
    first_lane = at.in_subgroup - lane;
    group = at.subgroup * (at.subgroup_size / LANES) + at.in_subgroup / LANES;
    return item_of(at.workgroup, at.workgroups);
}

fn from_lane(value: u32, owner: u32) -> u32 {
    return subgroupShuffle(value, first_lane + owner);
}

/// The value of the lane below; zero in lane 0.
fn from_previous(value: u64) -> u64 {
    let previous = first_lane + (lane + LANES - 1u) % LANES;
    let low = subgroupShuffle(u32(value), previous);
    let high = subgroupShuffle(u32(value >> 32u), previous);
    return select(u64(low) | (u64(high) << 32u), 0lu, lane == 0u);
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
    let next = first_lane + (lane + 1u) % LANES;
    return StepValues(
        from_lane(own.m, 0u),
        from_lane(own.u, 0u),
        subgroupShuffle(own.a, next),
        subgroupShuffle(own.b, next),
    );
}

/// Carries of two halves into the next higher lane.
struct Carries {
    lo: u64,
    hi: u64,
}

fn carry_to_next_lane(own: Carries) -> Carries {
    return Carries(from_previous(own.lo), from_previous(own.hi));
}

/// Shares the multiplier of a product with the group. This is empty here, because the lanes read it
/// by shuffles.
fn share_multiplier(x: Pair) {}

/// Limb j of lane `owner` in both halves of the multiplier. `lo` and `hi` are this lane's own limbs
/// j.
fn multiplier_limb(lo: u32, hi: u32, owner: u32, j: u32) -> vec2<u32> {
    return vec2<u32>(from_lane(lo, owner), from_lane(hi, owner));
}

/// The limbs of a half, which the group reads in any order.
var<workgroup> shared_half: array<u32, ${WORKGROUP * LIMBS}>;

fn share(at: u32, limb: u32) {
    shared_half[at] = limb;
}

fn shared_limb(at: u32) -> u32 {
    return shared_half[at];
}
