/// The constants of the modulus, for all lanes, in this order: n, z = (1 − R) mod n, −n⁻¹ mod
/// 2^LIMB_BITS, and a zero.
@group(0) @binding(0) var<storage, read> modulus: array<u32>;

/// This lane's limbs of n, and −n⁻¹ mod 2^LIMB_BITS.
var<private> n: Half;
var<private> inverse: u32;
/// A zero that the compiler does not know, for `lib/product.wgsl`.
var<private> opaque_zero: u32;

fn load_modulus() {
//% for j in 0..LIMBS
    n.l${j} = modulus[lane * LIMBS + ${j}u];
//% end
    inverse = modulus[2u * HALF];
    opaque_zero = modulus[2u * HALF + 1u];
}
