//! Ciphertexts that stay on a device between their encryption and a sum.

use std::sync::Arc;

use super::failover::Failover;
use crate::{
    backend::{gpu::operations::ResidentPieces, resident::OnDevice},
    residue::{Limbs, Pair},
};

/// Results on a device, with the types of the engine and exponents erased.
pub(crate) trait ResidentPairs<F: Limbs>: Send + Sync {
    /// The residues, read from the device or computed again.
    fn fetch(&self) -> Vec<Pair<F>>;

    /// The residues, computed again on the CPU.
    fn compute(&self) -> Vec<Pair<F>>;

    /// The pieces, if the device of this generation has them.
    fn pieces(&self, generation: u64) -> Option<&ResidentPieces>;

    /// Whether these results are on that GPU.
    fn is_on(&self, gpu: &Arc<Failover>) -> bool;
}

/// Residues on a GPU, as a [`Resident`](crate::backend::resident::Resident) has them.
pub(crate) struct OnGpu<F: Limbs>(pub(crate) Arc<dyn ResidentPairs<F>>);

impl<F: Limbs> OnDevice<F> for OnGpu<F> {
    fn fetch(&self) -> Vec<Pair<F>> {
        self.0.fetch()
    }
}
