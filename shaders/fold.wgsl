// fold: product[v] *= residues[v + slots] * residues[v + 2*slots] ..., resumable.
//
// `residues` holds any number of contributions, one after the other. Accumulator v is multiplied by
// every `slots`-th residue, starting at v. If contributions have fewer residues than there are
// accumulators, several accumulators belong to one slot, and `finish` multiplies them. Each product
// leaves a factor 1/R, which `finish` removes. Counterpart: backend::portable, `Product`.

struct Params {
    slots: u32,
    residues: u32,
    // 1 to continue with the values in `products`, 0 to start with the first residue.
    resume: u32,
    // The first accumulator of this dispatch, and the one after its last.
    first: u32,
    end: u32,
}

var<immediate> params: Params;
//% include lib/arithmetic.wgsl
@group(0) @binding(1) var<storage, read> residues: array<u32>; // packed pairs
@group(0) @binding(2) var<storage, read_write> products: array<u32>; // loose pairs
//% include lib/load_packed.wgsl buffer=residues
//% include lib/load_loose.wgsl buffer=products
//% include lib/store_loose.wgsl buffer=products

@compute @workgroup_size(${WORKGROUP})
fn fold(at: Invocation) {
    let item = params.first + assign_lane(at);
    let v = min(item, params.end - 1u);
    load_modulus();
    var product: Pair;
    if params.resume == 1u {
        product = load_loose_products(v);
    } else {
        product = load_packed_residues(v);
    }
    let rounds = (params.residues + params.slots - 1u) / params.slots;
    for (var round = 1u - params.resume; round < rounds; round++) {
        let next = v + round * params.slots;
        let factor = load_packed_residues(min(next, params.residues - 1u));
        let longer = mont_mul(product, factor);
        // The last round may have too few residues.
        if next < params.residues {
            product = longer;
        }
    }
    if item < params.end {
        store_loose_products(v, product);
    }
}
