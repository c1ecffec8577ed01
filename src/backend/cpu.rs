//! The backends of this processor.

#[cfg(all(target_arch = "x86_64", not(cipherfold_no_simd)))]
use std::sync::OnceLock;

#[cfg(all(target_arch = "x86_64", not(cipherfold_no_simd)))]
use super::simd::{Avx2, Ifma};
use super::{
    engine::Backend,
    error::{Error, Result},
    portable::Portable,
};
use crate::residue::Limbs;

/// The fastest backend that runs on this processor.
pub(super) fn fastest_on_cpu<F: Limbs, H: Limbs>() -> &'static dyn Backend<F, H> {
    ifma().or_else(|_| avx2()).unwrap_or(&Portable)
}

/// AVX-512 IFMA, if this processor has it.
pub(super) fn ifma<F: Limbs, H: Limbs>() -> Result<&'static dyn Backend<F, H>> {
    #[cfg(all(target_arch = "x86_64", not(cipherfold_no_simd)))]
    {
        static FOUND: OnceLock<Option<Ifma>> = OnceLock::new();
        if let Some(ifma) = FOUND.get_or_init(Ifma::detect) {
            return Ok(ifma);
        }
    }
    Err(Error::BackendUnavailable { name: "ifma", reason: "the processor has no AVX-512 IFMA".into() })
}

/// AVX2, if this processor has it.
pub(super) fn avx2<F: Limbs, H: Limbs>() -> Result<&'static dyn Backend<F, H>> {
    #[cfg(all(target_arch = "x86_64", not(cipherfold_no_simd)))]
    {
        static FOUND: OnceLock<Option<Avx2>> = OnceLock::new();
        if let Some(avx2) = FOUND.get_or_init(Avx2::detect) {
            return Ok(avx2);
        }
    }
    Err(Error::BackendUnavailable { name: "avx2", reason: "the processor has no AVX2".into() })
}
