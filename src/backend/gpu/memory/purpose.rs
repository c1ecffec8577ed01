//! Purposes of buffers.

use wgpu::{Buffer, BufferUsages, MapMode};

use crate::backend::gpu::device::{Device, Fault};

/// The purpose of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Filled by the host.
    Upload,
    /// Read by the host.
    Download,
    /// Only for kernels and copies.
    Device,
}

impl Purpose {
    pub(crate) fn usage(self) -> BufferUsages {
        match self {
            Self::Upload => BufferUsages::MAP_WRITE | BufferUsages::COPY_SRC,
            Self::Download => BufferUsages::MAP_READ | BufferUsages::COPY_DST,
            Self::Device => BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST,
        }
    }

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Download => "download",
            Self::Device => "working space",
        }
    }

    /// Overwrites a buffer with zeros, after all work submitted so far. The buffer must not be
    /// mapped.
    pub(crate) fn clear(self, device: &Device, buffer: &Buffer) -> Result<(), Fault> {
        device.check_not_lost()?;
        if self == Self::Upload {
            // Only the host can write to it.
            device.map_after_fault(buffer, MapMode::Write, buffer.size())?;
            if let Ok(mut view) = buffer.get_mapped_range_mut(..) {
                view.slice(..).fill(0);
            }
            buffer.unmap();
        } else {
            let mut encoder = device.encoder();
            encoder.clear_buffer(buffer, 0, None);
            device.submit(encoder.finish());
        }
        Ok(())
    }
}
