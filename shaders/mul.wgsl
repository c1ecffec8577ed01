// mul: out[i] = xs[i] * ys[i] mod n², reduced; or xs[i] * (1 + ms[i]·n), which adds the plaintext
// ms[i]. Counterpart: backend::portable, `Public::mul` and `Public::add_plain`.

struct Params {
    first: u32,
    end: u32,
    // 1 if `ys` has plaintexts m below n, one half each. The factor is then (1, m).
    plain: u32,
}

var<immediate> params: Params;
//% include lib/arithmetic.wgsl
@group(0) @binding(1) var<storage, read> xs: array<u32>; // packed pairs
@group(0) @binding(2) var<storage, read> ys: array<u32>; // packed pairs, or packed halves
@group(0) @binding(3) var<storage, read> factor: array<u32>; // R² mod n², one loose pair
@group(0) @binding(4) var<storage, read_write> results: array<u32>; // packed pairs
//% include lib/canonical.wgsl
//% include lib/load_packed.wgsl buffer=xs
//% include lib/load_packed.wgsl buffer=ys
//% include lib/load_loose.wgsl buffer=factor
//% include lib/store_packed.wgsl buffer=results

@compute @workgroup_size(${WORKGROUP})
fn mul(at: Invocation) {
    let item = params.first + assign_lane(at);
    let i = min(item, params.end - 1u);
    load_modulus();
    var product = load_packed_xs(i);
    for (var step = 0u; step < 2u; step++) {
        var next: Pair;
        if step == 0u {
            next = load_loose_factor(0u);
        } else if params.plain == 1u {
            next = one();
            next.hi = load_half_ys(i * WORDS);
        } else {
            next = load_packed_ys(i);
        }
        product = mont_mul(product, next);
    }
    store_packed_results(i, product, item < params.end);
}
