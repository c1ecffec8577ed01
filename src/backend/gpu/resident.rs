//! Ciphertexts that stay on a device between their encryption and a sum.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::{Shared, engine::Powers, kept::Pieces};
use crate::{
    backend::{Resident, Source},
    residue::{Limbs, Pair},
};

/// What stays on a device, without the types that made it.
pub(in crate::backend) trait ResidentPairs<F: Limbs>: Send + Sync {
    /// The residues, from the device or computed again.
    fn fetch(&self) -> Vec<Pair<F>>;

    /// The residues, computed again on the CPU.
    fn compute(&self) -> Vec<Pair<F>>;

    /// The pieces, if this device has them.
    fn pieces(&self, generation: u64) -> Option<&Pieces>;

    /// Whether these lie on that GPU.
    fn is_of(&self, shared: &Arc<Shared>) -> bool;
}

/// Ciphertexts on a device, and what they can be computed from again: the device may be lost.
struct Encrypted<F: Limbs, H: Limbs> {
    engine: Arc<Powers<F, H>>,
    /// The device that has them.
    generation: u64,
    pieces: Pieces,
    ms: Zeroizing<Vec<F>>,
    exponents: Zeroizing<Vec<H>>,
}

/// Ciphertexts that an engine has left on the device.
pub(super) fn encrypted<F: Limbs, H: Limbs>(
    engine: Arc<Powers<F, H>>,
    generation: u64,
    pieces: Pieces,
    ms: &[F],
    exponents: &[H],
) -> Resident<F> {
    let (ms, exponents) = (Zeroizing::new(ms.to_vec()), Zeroizing::new(exponents.to_vec()));
    let there = Encrypted { engine, generation, pieces, ms, exponents };
    Resident { len: there.ms.len(), source: Source::Gpu(Arc::new(there)) }
}

impl<F: Limbs, H: Limbs> ResidentPairs<F> for Encrypted<F, H> {
    fn fetch(&self) -> Vec<Pair<F>> {
        self.engine
            .shared
            .run(
                self.ms.len(),
                &mut |context| {
                    if context.generation != self.generation {
                        return Ok(None);
                    }
                    let on_device = self.engine.on_device(context)?;
                    on_device.fetch(&self.pieces, self.ms.len()).map(Some)
                },
                || None,
            )
            .unwrap_or_else(|| self.compute())
    }

    fn compute(&self) -> Vec<Pair<F>> {
        self.engine.cpu().encrypt(&self.ms, &self.exponents)
    }

    fn pieces(&self, generation: u64) -> Option<&Pieces> {
        (generation == self.generation).then_some(&self.pieces)
    }

    fn is_of(&self, shared: &Arc<Shared>) -> bool {
        Arc::ptr_eq(&self.engine.shared, shared)
    }
}
