// pow_table: powers[i][d] = xs[i]^d in Montgomery form, for all d below 2^window. Counterpart:
// residue::pow.

struct Params {
    first: u32,
    end: u32,
    window: u32,
}

var<immediate> params: Params;
//% include lib/arithmetic.wgsl
@group(0) @binding(1) var<storage, read> xs: array<u32>; // packed pairs
@group(0) @binding(2) var<storage, read> factors: array<u32>; // R and R² mod n², loose pairs
@group(0) @binding(3) var<storage, read_write> powers: array<u32>; // loose pairs
//% include lib/load_packed.wgsl buffer=xs
//% include lib/load_loose.wgsl buffer=factors
//% include lib/store_loose.wgsl buffer=powers

@compute @workgroup_size(${WORKGROUP})
fn pow_table(at: Invocation) {
    let item = params.first + assign_lane(at);
    let i = min(item, params.end - 1u);
    load_modulus();
    if item < params.end {
        store_loose_powers(i << params.window, load_loose_factors(0u));
    }
    var power = load_packed_xs(i);
    var next = load_loose_factors(1u);
    for (var d = 1u; d < (1u << params.window); d++) {
        power = mont_mul(power, next);
        if d == 1u {
            next = power;
        }
        if item < params.end {
            store_loose_powers((i << params.window) + d, power);
        }
    }
}
