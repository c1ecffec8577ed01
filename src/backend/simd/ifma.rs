//! AVX-512 IFMA: eight lanes of 52-bit limbs.

#![cfg_attr(cipherfold_emulated_ifma, allow(unused_unsafe, reason = "software needs no features"))]

#[cfg(cipherfold_emulated_ifma)]
#[path = "ifma/emulation.rs"]
mod arch;
mod kernel;
#[cfg(feature = "diagnostics")]
mod passes;

#[cfg(not(cipherfold_emulated_ifma))]
use core::arch::x86_64 as arch;
use std::sync::Arc;

#[cfg(feature = "diagnostics")]
pub use passes::limbs_a_pass;

use crypto_bigint::Word;
use zeroize::Zeroize;

use super::{
    Simd,
    domain::Constants,
    engine::{Powers, Public, Secret, simd_backend},
    lanes::{self, Lanes},
    table::GROUPS,
};
use crate::{
    backend::engine::{FixedBaseEngine, PublicEngine, SecretEngine},
    residue::{Limbs, Modulus, Pair},
};

/// Proof that this processor has AVX-512F and AVX-512 IFMA: [`Ifma::detect`] is the only way to get
/// one.
#[derive(Clone, Copy, Debug)]
pub struct Ifma(());

impl Ifma {
    /// The backend, if the processor supports it.
    pub fn detect() -> Option<Self> {
        let found = cfg!(cipherfold_emulated_ifma)
            || is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512ifma");
        found.then_some(Self(()))
    }

    /// `x ← x·y/R mod n²` with two limbs of the multiplier a pass, see
    /// [`kernel`](kernel#two-limbs-of-the-multiplier-a-pass).
    #[cfg(any(test, feature = "diagnostics"))]
    #[allow(clippy::unused_self, reason = "the proof that the processor has the instructions")]
    pub(super) fn mul_by_two<const K: usize>(
        self,
        c: &Constants<K>,
        x: &mut Lanes<Limb, K>,
        y: &Lanes<Limb, K>,
    ) {
        // SAFETY: `self` exists, so detection has seen the features that the kernel needs.
        unsafe { kernel::mul_by_two(c, x, y) }
    }
}

/// One limb of eight numbers.
#[derive(Clone, Copy, Default, Zeroize)]
#[repr(C, align(64))]
pub(super) struct Limb([u64; 8]);

impl lanes::Limb for Limb {
    const LANES: usize = 8;
    const BITS: u32 = 52;

    #[inline]
    fn lanes(&self) -> &[u64] {
        &self.0
    }

    #[inline]
    fn lanes_mut(&mut self) -> &mut [u64] {
        &mut self.0
    }
}

impl Simd for Ifma {
    type Limb = Limb;

    const NAME: &'static str = "ifma";

    const WINDOW: u32 = 7;

    // At 2048 bits, a look-up of 128 entries takes about a sixth of a product: an encryption of 147
    // products and look-ups takes 95 µs, and a product alone 0.55 µs.
    const ENTRIES_PER_PRODUCT: u64 = 20;

    fn octet(limbs: [u64; 8]) -> Limb {
        Limb(limbs)
    }

    kernel_calls!();
}

simd_backend!(Ifma, 256 => 5, 512 => 10, 1024 => 20, 1536 => 30, 2048 => 40, 3072 => 60, 4096 => 79);
