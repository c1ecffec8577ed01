// carries: the loop of shaders/multiply_add.wgsl with full 32-bit limbs. Their sums overflow, so
// the carries are counted. 32 bits in 1 lanes of 1 limbs (estimate.py reads this).

struct Params {
    rounds: u32,
}

var<immediate> params: Params;
@group(0) @binding(0) var<storage, read_write> sums: array<u32>; // one for each invocation

var<private> t: array<u64, 4>;
var<private> c: array<u32, 4>;

@compute @workgroup_size(64)
fn carries(@builtin(global_invocation_id) id: vec3<u32>) {
    var a0 = (id.x * 8u + 0u) * 2654435761u;
    var a1 = (id.x * 8u + 1u) * 2654435761u;
    var a2 = (id.x * 8u + 2u) * 2654435761u;
    var a3 = (id.x * 8u + 3u) * 2654435761u;
    var b0 = (id.x * 8u + 4u) * 2654435761u;
    var b1 = (id.x * 8u + 5u) * 2654435761u;
    var b2 = (id.x * 8u + 6u) * 2654435761u;
    var b3 = (id.x * 8u + 7u) * 2654435761u;
    for (var round = 0u; round < params.rounds; round++) {
        add(0u, a0, b0); add(1u, a0, b1); add(2u, a0, b2); add(3u, a0, b3);
        add(0u, a1, b1); add(1u, a1, b2); add(2u, a1, b3); add(3u, a1, b0);
        add(0u, a2, b2); add(1u, a2, b3); add(2u, a2, b0); add(3u, a2, b1);
        add(0u, a3, b3); add(1u, a3, b0); add(2u, a3, b1); add(3u, a3, b2);
        a0 ^= u32(t[0]); b0 ^= u32(t[0] >> 32u);
        a1 ^= u32(t[1]); b1 ^= u32(t[1] >> 32u);
        a2 ^= u32(t[2]); b2 ^= u32(t[2] >> 32u);
        a3 ^= u32(t[3]); b3 ^= u32(t[3] >> 32u);
    }
    let sum = t[0] ^ t[1] ^ t[2] ^ t[3];
    sums[id.x] = u32(sum) ^ u32(sum >> 32u) ^ c[0] ^ c[1] ^ c[2] ^ c[3];
}

fn add(k: u32, a: u32, b: u32) {
    let product = u64(a) * u64(b);
    t[k] += product;
    c[k] += select(0u, 1u, t[k] < product);
}
