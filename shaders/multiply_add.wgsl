// multiply_add: 32 independent chains of t += u64(a)*u64(b). It measures the adapter's rate of wide
// multiply-adds, with which the rates of products are compared.
//
// Each step of a chain has a different a and a different b, because a compiler may combine products
// with a common factor into one (LLVM does). All factors change in every round, because a compiler
// would widen constant factors to 64 bits before the loop (`lib/product.wgsl`). A round has 1024
// multiply-adds. The other instructions are these changes and the loop itself;
// `benches/sass/estimate.py` counts them.

struct Params {
    rounds: u32,
}

var<immediate> params: Params;
@group(0) @binding(0) var<storage, read_write> sums: array<u32>; // one for each invocation

@compute @workgroup_size(${WORKGROUP})
fn multiply_add(@builtin(global_invocation_id) id: vec3<u32>) {
//% for k in 0..32
    var a${k} = (id.x * 64u + ${k}u) * 2654435761u;
    var b${k} = (id.x * 64u + ${k + 32}u) * 2654435761u;
    var t${k} = 0lu;
//% end
    for (var round = 0u; round < params.rounds; round++) {
//% for r in 0..32
//% for k in 0..32
        t${k} += u64(a${r}) * u64(b${(k + r) % 32});
//% end
//% end
//% for k in 0..32
        a${k} ^= u32(t${k});
        b${k} ^= u32(t${k} >> 32u);
//% end
    }
    var sum = 0lu;
//% for k in 0..32
    sum ^= t${k};
//% end
    sums[id.x] = u32(sum) ^ u32(sum >> 32u);
}
