// resident_fold: product[v] *= residues0[v] * residues1[v] ..., resumable, for contributions that
// are on the device already.
//
// Each contribution is in its own buffer. A dispatch has at most CONTRIBUTIONS of them. Each
// product leaves a factor 1/R, as in `fold.wgsl`, and `finish` removes it. Counterpart:
// backend::portable, `Product`.

struct Params {
    // Contributions of this dispatch. Buffers beyond them are not read.
    contributions: u32,
    // 1 to continue with the values in `products`, 0 to start with the first residue.
    resume: u32,
    // The first accumulator of this dispatch, and the one after its last.
    first: u32,
    end: u32,
}

var<immediate> params: Params;
//% include lib/arithmetic.wgsl
@group(0) @binding(1) var<storage, read_write> products: array<u32>; // loose pairs
//% for c in 0..CONTRIBUTIONS
@group(0) @binding(${c + 2}) var<storage, read> residues${c}: array<u32>; // packed pairs
//% end
//% include lib/load_loose.wgsl buffer=products
//% include lib/store_loose.wgsl buffer=products
//% for c in 0..CONTRIBUTIONS
//% include lib/load_packed.wgsl buffer=residues${c}
//% end

@compute @workgroup_size(${WORKGROUP})
fn resident_fold(at: Invocation) {
    let item = params.first + assign_lane(at);
    let v = min(item, params.end - 1u);
    load_modulus();
    var product: Pair;
    if params.resume == 1u {
        product = load_loose_products(v);
    } else {
        product = load_packed_residues0(v);
    }
    for (var c = 1u - params.resume; c < params.contributions; c++) {
        var factor: Pair;
        // Adds a zero that depends on the round. If the index is the same in every round, a
        // compiler may load all contributions before the loop. NVIDIA's for CUDA does, and needs
        // 222 registers instead of 128 at 2048 bits.
        let index = v + c * opaque_zero;
        switch c {
//% for c in 0..CONTRIBUTIONS
            case ${c}u: { factor = load_packed_residues${c}(index); }
//% end
            default: {}
        }
        product = mont_mul(product, factor);
    }
    if item < params.end {
        store_loose_products(v, product);
    }
}
