//! How a GPU is opened.

use super::{kernels::Exchange, memory::UploadMemory};

/// How to open a GPU. The default takes the first that is fit, discrete ones before others and software last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Only adapters with this in their name.
    pub adapter: Option<String>,
    /// [`Exchange::Workgroup`] even where subgroups would do; to compare.
    pub exchange: Option<Exchange>,
    /// Lanes that share a residue: 4, 8, 16 or 32; to compare. Where a lane could not hold its limbs, twice as many.
    pub lanes: Option<u32>,
    /// The memory that uploads are filled in; to compare. Unless given, a card with memory of its own gets the faster one,
    /// measured when it is opened, and any other device [`UploadMemory::Device`]. Where [`UploadMemory::Host`] cannot be had,
    /// which takes Vulkan, the other one is taken.
    pub upload_memory: Option<UploadMemory>,
    /// Bytes of a binding, if less than the device's limit: pieces of batches become smaller.
    pub binding_bytes: Option<u64>,
}
