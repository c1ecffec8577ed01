// fixed_base: out[i] = base^exponents[i] * (1 + ms[i]·n) mod n², reduced. This is encryption, or
// without the plaintexts ms a randomizer.
//
// Row r of the table holds base^(d·2^(window·r)) in Montgomery form for all d. The result is the
// product of one entry from every row. The last product, with (1, m), adds the plaintext and
// converts from Montgomery form. The entries that are read depend on the secret exponent;
// `backend::gpu` states the consequences. Counterpart: residue::fixed_base.

struct Params {
    first: u32,
    end: u32,
    // Bits of a window and of an exponent.
    window: u32,
    bits: u32,
    exponent_words: u32,
    // 1: there are plaintexts.
    plain: u32,
}

var<immediate> params: Params;
//% include lib/arithmetic.wgsl
@group(0) @binding(1) var<storage, read> entries: array<u32>; // packed pairs, rows of 2^window
@group(0) @binding(2) var<storage, read> exponents: array<u32>;
@group(0) @binding(3) var<storage, read> plaintexts: array<u32>; // packed halves
@group(0) @binding(4) var<storage, read_write> results: array<u32>; // packed pairs
//% include lib/canonical.wgsl
//% include lib/window.wgsl buffer=exponents
//% include lib/load_packed.wgsl buffer=entries
//% include lib/load_packed.wgsl buffer=plaintexts
//% include lib/store_packed.wgsl buffer=results

fn entry(i: u32, row: u32) -> Pair {
    let lowest = row * params.window;
    let count = min(params.window, params.bits - lowest);
    let digit = window_of_exponents(i * params.exponent_words, lowest, count);
    return load_packed_entries((row << params.window) + digit);
}

@compute @workgroup_size(${WORKGROUP})
fn fixed_base(at: Invocation) {
    let item = params.first + assign_lane(at);
    let i = min(item, params.end - 1u);
    load_modulus();
    let rows = (params.bits + params.window - 1u) / params.window;
    var product = entry(i, 0u);
    for (var row = 1u; row <= rows; row++) {
        var next: Pair;
        if row < rows {
            next = entry(i, row);
        } else {
            next = one();
            if params.plain == 1u {
                next.hi = load_half_plaintexts(i * WORDS);
            }
        }
        product = mont_mul(product, next);
    }
    store_packed_results(i, product, item < params.end);
}
