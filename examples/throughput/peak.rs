//! The processor's peak rate of multiply-adds of 52-bit limbs, measured by a loop of independent
//! ones.
#![allow(unsafe_code, reason = "a function that needs processor features is called once they are known")]

/// Multiply-adds of a [`Burst`], eight limbs each: a few hundred microseconds.
pub(crate) const MULTIPLY_ADDS: usize = ROUNDS * SUMS;

/// Number of independent sums: more than two units with a latency of four cycles need.
const SUMS: usize = 16;
const ROUNDS: usize = 1 << 17;

/// Proof that this processor has AVX-512 IFMA.
#[cfg(all(target_arch = "x86_64", not(cipherfold_no_simd)))]
#[derive(Clone, Copy)]
pub(crate) struct Burst(());

/// No processor of this kind has it.
#[cfg(not(all(target_arch = "x86_64", not(cipherfold_no_simd))))]
#[derive(Clone, Copy)]
pub(crate) struct Burst(core::convert::Infallible);

/// Multiply-adds of one addition of ciphertexts: ten for each pair of limbs, for eight ciphertexts
/// at a time.
pub(crate) fn multiply_adds_of_an_add(key_bits: u32) -> f64 {
    // Room for 16n.
    let limbs = f64::from((key_bits + 4).div_ceil(52));
    10.0 * limbs * limbs / 8.0
}

#[cfg(all(target_arch = "x86_64", not(cipherfold_no_simd)))]
impl Burst {
    pub(crate) fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512ifma");
        found.then_some(Self(()))
    }

    /// Issues [`MULTIPLY_ADDS`].
    pub(crate) fn run(self) {
        let Self(()) = self;
        // SAFETY: `self` exists, so `Burst::detect` has seen the features.
        unsafe { multiply_adds() }
    }
}

#[cfg(all(target_arch = "x86_64", not(cipherfold_no_simd)))]
#[target_feature(enable = "avx512f,avx512ifma")]
fn multiply_adds() {
    use core::arch::x86_64::{_mm512_madd52lo_epu64, _mm512_set1_epi64};
    use std::hint::black_box;

    let (a, b) = (black_box(_mm512_set1_epi64(0x000f_edcb_a987)), black_box(_mm512_set1_epi64(0x1234_5678)));
    let mut sums = black_box([_mm512_set1_epi64(1); SUMS]);
    for _ in 0..ROUNDS {
        for sum in &mut sums {
            *sum = _mm512_madd52lo_epu64(*sum, a, b);
        }
    }
    black_box(sums);
}

#[cfg(not(all(target_arch = "x86_64", not(cipherfold_no_simd))))]
impl Burst {
    pub(crate) fn detect() -> Option<Self> {
        None
    }

    pub(crate) fn run(self) {
        match self.0 {}
    }
}
