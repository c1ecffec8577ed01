//! The state of the GPU of this process.

use super::error::Result;
#[cfg(feature = "gpu")]
use super::gpu::Gpu;

/// The GPU of this process and its faults.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GpuStatus {
    /// The adapter: its name, interface and driver.
    pub adapter: String,
    /// All faults of the device since it was opened, in order; empty if there were none.
    pub faults: Vec<String>,
    /// Whether batches still run on the device. `false` after it has failed twice in a row; then
    /// the CPU computes them.
    pub is_alive: bool,
}

/// The state of the GPU that [`BackendChoice::Gpu`](super::BackendChoice::Gpu) selects. Opens it at
/// the first call.
///
/// A device that fails is opened again once. If it fails again, the CPU takes over without an
/// error, and only this function reports it.
///
/// ```no_run
/// use cipherfold::backend::{GpuStatus, gpu_status};
///
/// let GpuStatus { adapter, faults, is_alive, .. } = gpu_status()?;
/// println!("{adapter}: {} faults", faults.len());
/// if !is_alive {
///     println!("batches run on the CPU");
/// }
/// # Ok::<(), cipherfold::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::BackendUnavailable`](super::Error::BackendUnavailable) if there is no GPU to use, or if
/// the program was built without the feature `gpu`.
pub fn gpu_status() -> Result<GpuStatus> {
    status()
}

#[cfg(feature = "gpu")]
fn status() -> Result<GpuStatus> {
    let gpu = Gpu::process_wide()?;
    Ok(GpuStatus { adapter: gpu.report().to_string(), faults: gpu.faults(), is_alive: gpu.is_alive() })
}

#[cfg(not(feature = "gpu"))]
fn status() -> Result<GpuStatus> {
    Err(super::Error::built_without_gpu("gpu"))
}
