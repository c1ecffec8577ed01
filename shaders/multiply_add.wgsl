// multiply_add: sixteen independent chains of t += u64(a)*u64(b), and nothing else: the adapter's rate of wide
// multiply-adds, which products are measured against.

struct Params {
    rounds: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> sums: array<u32>; // one an invocation

@compute @workgroup_size(${WORKGROUP})
fn multiply_add(@builtin(global_invocation_id) id: vec3<u32>) {
    var a = id.x * 2654435761u + 1u;
//% for k in 0..16
    var b${k} = a + ${k}u;
    var t${k} = 0lu;
//% end
    for (var round = 0u; round < params.rounds; round++) {
        // Other factors every round, so that no product can be taken out of the loop.
        a += 2u;
//% for r in 0..16
//% for k in 0..16
        t${k} += u64(a + ${r}u) * u64(b${k});
//% end
//% end
//% for k in 0..16
        b${k} ^= u32(t${k} >> 32u);
//% end
    }
    var sum = 0lu;
//% for k in 0..16
    sum ^= t${k};
//% end
    sums[id.x] = u32(sum) ^ u32(sum >> 32u);
}
