//! Upload buffers in the host's own memory.
//!
//! If the host can write to memory of the device, wgpu allocates all buffers that are mapped for
//! writing there, and offers no other choice. It allocates buffers that are mapped for reading in
//! the host's memory. So this module creates a buffer for reading, and passes it to wgpu as a
//! buffer for writing. In Vulkan the two differ only in the memory that they use.

#![allow(unsafe_code, reason = "wgpu's safe functions choose the memory of a buffer themselves")]

use wgpu::Buffer;

use crate::backend::gpu::device::Device;

/// A buffer of `size` zero bytes with the usage of [`Purpose::Upload`](super::Purpose::Upload), not
/// mapped.
///
/// `None` if the device does not use Vulkan or refuses the buffer.
pub(super) fn upload_buffer(device: &Device, label: &str, size: u64) -> Option<Buffer> {
    #[cfg(test)]
    if device.refuses_host_memory() {
        return None;
    }
    vulkan::upload_buffer(device.handle(), label, size)
}

/// The platforms on which wgpu has Vulkan with this crate's features.
#[cfg(any(windows, target_os = "linux", target_os = "android", target_os = "freebsd"))]
mod vulkan {
    use std::iter;

    use wgpu::{
        Buffer, BufferDescriptor, BufferUses, Device,
        hal::{self, Device as _, api::Vulkan},
    };

    use super::super::purpose::Purpose;

    pub(super) fn upload_buffer(device: &Device, label: &str, size: u64) -> Option<Buffer> {
        assert!(size > 0, "buffers are not empty");
        let made = {
            // SAFETY: The handle creates, maps and destroys one buffer below, under the conditions
            // of wgpu-hal. The device itself is not destroyed.
            let hal_device = unsafe { device.as_hal::<Vulkan>() }?;
            let descriptor = hal::BufferDescriptor {
                label: Some(label),
                size,
                usage: BufferUses::MAP_READ | BufferUses::COPY_SRC,
                memory_flags: hal::MemoryFlags::empty(),
            };
            // SAFETY: The size is not zero. wgpu validates nothing else: a size beyond the device's
            // limits is an error.
            let made = unsafe { hal_device.create_buffer(&descriptor) }.ok()?;
            // SAFETY: The buffer was created to be mapped, the range is all of it, and the device
            // does not use it yet.
            let Ok(mapping) = (unsafe { hal_device.map_buffer(&made, 0..size) }) else {
                // SAFETY: The buffer belongs to this device, is not mapped, and was never used.
                unsafe { hal_device.destroy_buffer(made) };
                return None;
            };
            // SAFETY: The mapping has `size` bytes, and no other code has its address. The bytes
            // are in this process's memory, so `usize` holds their number.
            unsafe { mapping.ptr.write_bytes(0, size as usize) };
            if !mapping.is_coherent {
                // SAFETY: The buffer is mapped, and the range is all of it.
                unsafe { hal_device.flush_mapped_ranges(&made, iter::once(0..size)) };
            }
            // SAFETY: The buffer is mapped, and its address is not used any more.
            unsafe { hal_device.unmap_buffer(&made) };
            made
        };
        let usage = Purpose::Upload.usage();
        let descriptor = BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false };
        // SAFETY: The buffer belongs to this device, has the descriptor's size, which is not zero,
        // and is initialized above. It was created with MAP_READ, and the descriptor has MAP_WRITE.
        // Neither adds a usage to a Vulkan buffer, and both select memory that the host can map for
        // reading and writing. wgpu flushes written bytes if the memory is not coherent.
        Some(unsafe { device.create_buffer_from_hal::<Vulkan>(made, &descriptor) })
    }
}

/// wgpu has no Vulkan on these platforms.
#[cfg(not(any(windows, target_os = "linux", target_os = "android", target_os = "freebsd")))]
mod vulkan {
    pub(super) fn upload_buffer(_: &wgpu::Device, _: &str, _: u64) -> Option<wgpu::Buffer> {
        None
    }
}
