//! AVX2: four lanes of 28-bit limbs, for processors without AVX-512 IFMA.

mod kernel;

use std::sync::Arc;

use crypto_bigint::Word;
use zeroize::Zeroize;

use super::{
    Simd,
    engine::{Powers, Public, Secret, simd_backend},
    lanes::{self, Lanes},
    moduli::Constants,
    table::GROUPS,
};
use crate::{
    backend::engine::{FixedBaseEngine, PublicEngine, SecretEngine},
    residue::{Limbs, Modulus, Pair},
};

/// Proof that this processor has AVX2: [`Avx2::detect`] is the only way to get one.
#[derive(Clone, Copy, Debug)]
pub struct Avx2(());

impl Avx2 {
    /// The backend, if the processor supports it.
    pub fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }
}

/// One limb of four numbers.
#[derive(Clone, Copy, Default, Zeroize)]
#[repr(C, align(32))]
pub(super) struct Limb([u64; 4]);

impl lanes::Limb for Limb {
    const LANES: usize = 4;
    const BITS: u32 = 28;

    #[inline]
    fn lanes(&self) -> &[u64] {
        &self.0
    }

    #[inline]
    fn lanes_mut(&mut self) -> &mut [u64] {
        &mut self.0
    }
}

impl Simd for Avx2 {
    type Limb = Limb;

    const NAME: &'static str = "avx2";

    const WINDOW: u32 = 7;

    // At 2048 bits, a look-up of 128 entries takes about a ninth of a product: an encryption of 147
    // products and look-ups takes 216 µs, and a product alone 1.31 µs.
    fn entries_per_product(self) -> u64 {
        16
    }

    fn entry_register(limbs: [u64; 8]) -> Limb {
        // Limbs have less than 32 bits; two to a lane.
        Limb(core::array::from_fn(|i| limbs[2 * i] | limbs[2 * i + 1] << 32))
    }

    kernel_calls!();
}

simd_backend!(Avx2, 256 => 10, 512 => 19, 1024 => 37, 1536 => 55, 2048 => 74, 3072 => 110, 4096 => 147);
