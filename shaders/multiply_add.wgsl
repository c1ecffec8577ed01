// multiply_add: sixteen independent chains of t += u64(a)*u64(b), and nothing else: the adapter's rate of wide
// multiply-adds, which products are measured against.
//
// The factors are the low half of one sum and the high half of another. Both are registers already, so that a step is one
// instruction, and they change with every step: a compiler cannot take products with a common factor together and do one instead of
// sixteen (LLVM does), nor widen to 64 bits before the loop what stays the same (`lib/product.wgsl`). A round has 512 of them,
// so that the few instructions of the loop itself are below 1 %: `benches/sass/estimate.py` counts them.

struct Params {
    rounds: u32,
}

var<immediate> params: Params;
@group(0) @binding(0) var<storage, read_write> sums: array<u32>; // one an invocation

@compute @workgroup_size(${WORKGROUP})
fn multiply_add(@builtin(global_invocation_id) id: vec3<u32>) {
//% for k in 0..16
    var t${k} = (u64((id.x * 32u + ${k}u) * 2654435761u) << 32u) | u64((id.x * 32u + ${k + 16}u) * 2654435761u);
//% end
    for (var round = 0u; round < params.rounds; round++) {
//% for r in 0..32
//% for k in 0..16
        t${k} += u64(u32(t${(k + r % 15 + 1) % 16})) * u64(u32(t${(k + r / 2 + 5) % 16} >> 32u));
//% end
//% end
    }
    var sum = 0lu;
//% for k in 0..16
    sum ^= t${k};
//% end
    sums[id.x] = u32(sum) ^ u32(sum >> 32u);
}
