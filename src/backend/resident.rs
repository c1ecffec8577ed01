//! Batches of residues in the memory of the backend that made them.

use core::fmt::{self, Debug};
#[cfg(feature = "gpu")]
use std::any::Any;

use crate::residue::{Limbs, Pair};

/// Residues in the memory of the backend that made them: a device's or the host's.
pub struct Resident<F: Limbs> {
    len: usize,
    memory: Memory<F>,
}

enum Memory<F: Limbs> {
    Host(Vec<Pair<F>>),
    #[cfg(feature = "gpu")]
    Device(Box<dyn OnDevice<F>>),
}

/// Residues in the memory of a device. Each device's backend has its own type, which only that
/// backend knows.
#[cfg(feature = "gpu")]
pub(super) trait OnDevice<F: Limbs>: Any + Send + Sync {
    /// The residues, copied to the host.
    fn fetch(&self) -> Vec<Pair<F>>;
}

impl<F: Limbs> Resident<F> {
    /// Residues in the host's memory.
    pub fn on_host(pairs: Vec<Pair<F>>) -> Self {
        Self { len: pairs.len(), memory: Memory::Host(pairs) }
    }

    /// `len` residues in the memory of a device.
    #[cfg(feature = "gpu")]
    pub(super) fn on_device(len: usize, residues: impl OnDevice<F>) -> Self {
        Self { len, memory: Memory::Device(Box::new(residues)) }
    }

    /// The residues as a device's own type, if that device's backend made them.
    #[cfg(feature = "gpu")]
    pub(super) fn device<T: OnDevice<F>>(&self) -> Option<&T> {
        match &self.memory {
            Memory::Host(_) => None,
            Memory::Device(residues) => {
                let residues: &dyn Any = &**residues;
                residues.downcast_ref()
            }
        }
    }

    /// The number of residues.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the batch is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The residues, copied to the host.
    pub fn pairs(&self) -> Vec<Pair<F>> {
        match &self.memory {
            Memory::Host(pairs) => pairs.clone(),
            #[cfg(feature = "gpu")]
            Memory::Device(residues) => residues.fetch(),
        }
    }
}

impl<F: Limbs> Debug for Resident<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resident").field("len", &self.len).finish_non_exhaustive()
    }
}
