// finish: out[v] = products[v] * products[v + slots] * ... * factor / R^segments, reduced.
//
// Multiplies the accumulators of a slot, which `fold` left, and removes the powers of R. With one
// segment and a factor 1 it converts residues from Montgomery form. Counterpart: backend::portable,
// `Product::finish`.

struct Params {
    slots: u32,
    segments: u32,
    first: u32,
    end: u32,
}

var<immediate> params: Params;
//% include lib/arithmetic.wgsl
@group(0) @binding(1) var<storage, read> products: array<u32>; // loose pairs
@group(0) @binding(2) var<storage, read> factor: array<u32>; // one loose pair
@group(0) @binding(3) var<storage, read_write> results: array<u32>; // packed pairs
//% include lib/canonical.wgsl
//% include lib/load_loose.wgsl buffer=products
//% include lib/load_loose.wgsl buffer=factor
//% include lib/store_packed.wgsl buffer=results

@compute @workgroup_size(${WORKGROUP})
fn finish(at: Invocation) {
    let item = params.first + assign_lane(at);
    let v = min(item, params.end - 1u);
    load_modulus();
    var product = load_loose_products(v);
    for (var segment = 1u; segment <= params.segments; segment++) {
        var next: Pair;
        if segment < params.segments {
            next = load_loose_products(v + segment * params.slots);
        } else {
            next = load_loose_factor(0u);
        }
        product = mont_mul(product, next);
    }
    store_packed_results(v, product, item < params.end);
}
