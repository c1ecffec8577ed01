//! Buffers that stay on the device for longer than a batch.

use std::{ops::Deref, sync::Arc};

use wgpu::Buffer;

use super::purpose::Purpose;
use crate::backend::gpu::device::{Device, Fault};

/// A buffer that stays on the device, cleared when dropped if it held secrets.
pub(crate) struct DeviceBuffer {
    buffer: Buffer,
    device: Arc<Device>,
    is_secret: bool,
}

impl DeviceBuffer {
    /// A buffer with these words, for kernels to read.
    pub(crate) fn new(
        device: &Arc<Device>,
        label: &str,
        words: &[u32],
        is_secret: bool,
    ) -> Result<Self, Fault> {
        let bytes = size_of_val(words) as u64;
        let buffer = device.buffer(label, bytes, Purpose::Device.usage(), false)?;
        // Written in place: the queue's own upload would leave an unwiped copy behind.
        let upload = device.buffer(label, bytes, Purpose::Upload.usage(), true)?;
        if let Ok(mut view) = upload.get_mapped_range_mut(..) {
            view.copy_from_slice(bytemuck::cast_slice(words));
        }
        upload.unmap();
        let mut encoder = device.encoder();
        encoder.copy_buffer_to_buffer(&upload, 0, &buffer, 0, bytes);
        let index = device.submit(encoder.finish());
        device.wait(index)?;
        Purpose::Upload.clear(device, &upload)?;
        Ok(Self { buffer, device: Arc::clone(device), is_secret })
    }

    /// A buffer of zeros.
    pub(crate) fn zeroed(device: &Arc<Device>, label: &str, bytes: u64) -> Result<Self, Fault> {
        let buffer = device.buffer(label, bytes, Purpose::Device.usage(), false)?;
        Ok(Self { buffer, device: Arc::clone(device), is_secret: false })
    }
}

impl Deref for DeviceBuffer {
    type Target = Buffer;

    fn deref(&self) -> &Buffer {
        &self.buffer
    }
}

impl Drop for DeviceBuffer {
    fn drop(&mut self) {
        if self.is_secret {
            // The memory of a lost device is out of reach.
            let _ = Purpose::Device.clear(&self.device, &self.buffer);
        }
    }
}
