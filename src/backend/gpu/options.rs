//! The options to open a GPU with.

use super::{kernels::Exchange, memory::UploadMemory};

/// The options to open a GPU with. The default selects the first usable adapter: cards first,
/// software last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// A part of the adapter's name, to select among several.
    pub adapter: Option<String>,
    /// [`Exchange::Workgroup`] selects workgroup memory even if subgroups are available. For
    /// comparisons.
    pub exchange: Option<Exchange>,
    /// Lanes that share a residue: 4, 8, 16 or 32. If a lane could not hold its limbs, there are
    /// twice as many. For comparisons.
    pub lanes: Option<u32>,
    /// The memory for uploads. For comparisons. By default, a card with its own memory uses the
    /// faster one, measured when it is opened, and any other device uses [`UploadMemory::Device`].
    /// [`UploadMemory::Host`] needs Vulkan; if it is not available, uploads use
    /// [`UploadMemory::Device`].
    pub upload_memory: Option<UploadMemory>,
    /// Maximum bytes of a binding, if less than the device's limit. Smaller bindings make the
    /// pieces of batches smaller.
    pub binding_bytes: Option<u64>,
}
