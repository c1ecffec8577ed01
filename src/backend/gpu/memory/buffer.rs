//! Buffers that stay on the device for longer than a batch.

use std::{ops::Deref, sync::Arc};

use wgpu::Buffer;

use super::purpose::Purpose;
use crate::backend::gpu::device::{Device, Fault};

/// A buffer that stays on the device, cleared when dropped if it held secrets.
pub(crate) struct DeviceBuffer {
    buffer: Buffer,
    device: Arc<Device>,
    /// The words of a buffer with secrets, kept to wipe them.
    secret_upload: Option<Buffer>,
}

impl DeviceBuffer {
    /// A buffer with these words, for kernels to read. The call does not wait for the copy: work
    /// that is submitted later sees the words.
    pub(crate) fn new(
        device: &Arc<Device>,
        label: &str,
        words: &[u32],
        is_secret: bool,
    ) -> Result<Self, Fault> {
        let bytes = size_of_val(words) as u64;
        let write = |buffer: &Buffer| {
            let view = buffer.get_mapped_range_mut(..);
            let mut view =
                view.map_err(|error| device.fault(&format!("a buffer cannot be filled: {error}")))?;
            view.slice(..size_of_val(words)).copy_from_slice(bytemuck::cast_slice(words));
            drop(view);
            buffer.unmap();
            Ok(())
        };
        if !is_secret {
            // wgpu copies the words with the next submission, from its own buffer, which it frees
            // later.
            let buffer = device.buffer(label, bytes, Purpose::Device.usage(), true)?;
            write(&buffer)?;
            return Ok(Self { buffer, device: Arc::clone(device), secret_upload: None });
        }
        // wgpu would not wipe its own buffer. This buffer is cleared together with the secret, and
        // the call does not wait for the copy.
        let buffer = device.buffer(label, bytes, Purpose::Device.usage(), false)?;
        let upload = device.buffer(label, bytes, Purpose::Upload.usage(), true)?;
        write(&upload)?;
        let mut encoder = device.encoder();
        encoder.copy_buffer_to_buffer(&upload, 0, &buffer, 0, bytes);
        let filled = Self { buffer, device: Arc::clone(device), secret_upload: Some(upload) };
        device.submit(encoder.finish());
        device.check()?;
        Ok(filled)
    }

    /// A buffer of zeros.
    pub(crate) fn zeroed(device: &Arc<Device>, label: &str, bytes: u64) -> Result<Self, Fault> {
        let buffer = device.buffer(label, bytes, Purpose::Device.usage(), false)?;
        Ok(Self { buffer, device: Arc::clone(device), secret_upload: None })
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
        if let Some(upload) = &self.secret_upload {
            // The memory of a lost device cannot be cleared. Waits for the copy if it is not done
            // yet.
            let _ = Purpose::Upload.clear(&self.device, upload);
            let _ = Purpose::Device.clear(&self.device, &self.buffer);
        }
    }
}
