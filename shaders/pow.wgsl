// pow: computes some of the products of xs[i]^exponents[i], in Montgomery form, with the state in
// states[i]. Counterpart: residue::pow.
//
// The windows are fixed and go from high to low. A state starts as the table entry of the highest
// window. Then each window takes `window` squarings and one product with an entry, for any digit. A
// dispatch does the steps from `step` to `end_step`. The entries that are read depend on the
// exponent, which may be secret; `backend::gpu` states the consequences.

struct Params {
    first: u32,
    end: u32,
    window: u32,
    // Bits of an exponent, at least one.
    bits: u32,
    // Words from one exponent to the next; 0 if all items share one.
    exponent_words: u32,
    step: u32,
    end_step: u32,
}

var<immediate> params: Params;
//% include lib/arithmetic.wgsl
//% include lib/product.wgsl name=mont_mul_doubled cross=1
@group(0) @binding(1) var<storage, read> powers: array<u32>; // loose pairs, 2^window for each item
@group(0) @binding(2) var<storage, read> exponents: array<u32>;
@group(0) @binding(3) var<storage, read_write> states: array<u32>; // loose pairs
//% include lib/window.wgsl buffer=exponents
//% include lib/load_loose.wgsl buffer=powers
//% include lib/load_loose.wgsl buffer=states
//% include lib/store_loose.wgsl buffer=states

fn mont_square(x: Pair) -> Pair {
    var doubled = x;
//% for j in 0..LIMBS
    doubled.hi.l${j} = 2u * x.hi.l${j};
//% end
    return mont_mul_doubled(x, doubled);
}

fn entry(i: u32, position: u32) -> Pair {
    let lowest = position * params.window;
    let count = min(params.window, params.bits - lowest);
    let digit = window_of_exponents(i * params.exponent_words, lowest, count);
    return load_loose_powers((i << params.window) + digit);
}

@compute @workgroup_size(${WORKGROUP})
fn pow(at: Invocation) {
    let item = params.first + assign_lane(at);
    let i = min(item, params.end - 1u);
    load_modulus();
    let windows = (params.bits + params.window - 1u) / params.window;
    var state: Pair;
    if params.step == 0u {
        state = entry(i, windows - 1u);
    } else {
        state = load_loose_states(i);
    }
    for (var step = params.step; step < params.end_step; step++) {
        if step % (params.window + 1u) == params.window {
            state = mont_mul(state, entry(i, windows - 2u - step / (params.window + 1u)));
        } else {
            state = mont_square(state);
        }
    }
    if item < params.end {
        store_loose_states(i, state);
    }
}
