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
    engine::{Powers, Public, Secret, simd_backend},
    lanes::{self, Lanes},
    moduli::Constants,
    table::GROUPS,
};
use crate::{
    backend::engine::{FixedBaseEngine, PublicEngine, SecretEngine},
    residue::{Limbs, Modulus, Pair},
};

/// Proof that this processor has AVX-512F and AVX-512 IFMA: [`Ifma::detect`] is the only way to get
/// one.
#[derive(Clone, Copy, Debug)]
pub struct Ifma {
    pass: Pass,
}

/// How many limbs of the multiplier a pass over the multiplicand takes. Results are the same.
#[derive(Clone, Copy, Debug)]
enum Pass {
    OneLimb,
    /// With half as many loads and stores: see
    /// [`kernel`](kernel#one-or-two-limbs-of-the-multiplier-a-pass).
    TwoLimbs,
}

impl Ifma {
    /// The backend, if the processor supports it.
    pub fn detect() -> Option<Self> {
        let found = cfg!(cipherfold_emulated_ifma)
            || is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512ifma");
        found.then(|| Self { pass: if is_intel() { Pass::TwoLimbs } else { Pass::OneLimb } })
    }

    /// The backend with each number of limbs a pass, to compare: one, two.
    #[cfg(any(test, feature = "diagnostics"))]
    pub(super) fn detect_both() -> Option<[Self; 2]> {
        Self::detect().map(|_| [Pass::OneLimb, Pass::TwoLimbs].map(|pass| Self { pass }))
    }
}

/// Whether Intel made this processor.
fn is_intel() -> bool {
    #[allow(unused_unsafe, reason = "safe since Rust 1.92 or so")]
    // SAFETY: every x86-64 processor has the instruction.
    let vendor = unsafe { core::arch::x86_64::__cpuid(0) };
    [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes).concat() == b"GenuineIntel"
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

    // At 2048 bits and with one limb a pass, a look-up of 128 entries takes about a sixth of a
    // product on a Zen 4: an encryption of 147 products and look-ups takes 95 µs, and a product alone
    // 0.55 µs. With two limbs a pass it takes more than a quarter of a product on a Xeon: 58 µs and
    // 0.31 µs.
    fn entries_per_product(self) -> u64 {
        match self.pass {
            Pass::OneLimb => 20,
            Pass::TwoLimbs => 11,
        }
    }

    fn entry_register(limbs: [u64; 8]) -> Limb {
        Limb(limbs)
    }

    kernel_calls!();
}

simd_backend!(Ifma, 256 => 5, 512 => 10, 1024 => 20, 1536 => 30, 2048 => 40, 3072 => 60, 4096 => 79);
