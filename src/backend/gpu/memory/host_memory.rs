//! Upload buffers in the host's own memory.
//!
//! Where the host can write to memory of the device, wgpu takes that memory for all buffers that are mapped for writing, and
//! has no way to ask for another. Buffers that are mapped for reading lie in the host's memory. So a buffer is made as one to
//! be read, and given to wgpu as one to be written: in Vulkan the two differ in nothing but the memory that is taken for
//! them.

#![allow(unsafe_code, reason = "wgpu's safe functions choose the memory of a buffer themselves")]

use wgpu::Buffer;

use crate::backend::gpu::device::Device;

/// A buffer of `size` bytes, like one of [`Purpose::Upload`](super::Purpose::Upload), of zeros and not mapped.
///
/// `None` if the device is not driven by Vulkan, or refuses it.
pub(super) fn upload_buffer(device: &Device, label: &str, size: u64) -> Option<Buffer> {
    #[cfg(test)]
    if device.refuses_host_memory() {
        return None;
    }
    vulkan::upload_buffer(device.handle(), label, size)
}

/// Where wgpu has Vulkan by the features that this crate asks for.
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
            // SAFETY: The handle makes, maps and destroys one buffer below, each as wgpu-hal asks for. The device itself is
            // not destroyed.
            let hal_device = unsafe { device.as_hal::<Vulkan>() }?;
            let descriptor = hal::BufferDescriptor {
                label: Some(label),
                size,
                usage: BufferUses::MAP_READ | BufferUses::COPY_SRC,
                memory_flags: hal::MemoryFlags::empty(),
            };
            // SAFETY: The size is not zero. wgpu validates nothing else: a size beyond the device's limits is an error.
            let made = unsafe { hal_device.create_buffer(&descriptor) }.ok()?;
            // SAFETY: The buffer was made to be mapped, the range is all of it, and the device does not know it yet.
            let Ok(mapping) = (unsafe { hal_device.map_buffer(&made, 0..size) }) else {
                // SAFETY: The buffer is this device's, is not mapped, and was never used.
                unsafe { hal_device.destroy_buffer(made) };
                return None;
            };
            // SAFETY: The mapping has `size` bytes, and nobody else has its address. They are in this process's memory, so
            // that `usize` holds their number.
            unsafe { mapping.ptr.write_bytes(0, size as usize) };
            if !mapping.is_coherent {
                // SAFETY: The buffer is mapped, and the range is all of it.
                unsafe { hal_device.flush_mapped_ranges(&made, iter::once(0..size)) };
            }
            // SAFETY: The buffer is mapped, and the address is not used any more.
            unsafe { hal_device.unmap_buffer(&made) };
            made
        };
        let usage = Purpose::Upload.usage();
        let descriptor = BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false };
        // SAFETY: The buffer is this device's, has the size of the descriptor, which is not zero, and is initialized above.
        // It was made with MAP_READ where the descriptor has MAP_WRITE: both become no usage of a Vulkan buffer, and memory
        // that the host can map, for reading and writing. wgpu flushes what is written if the memory is not coherent.
        Some(unsafe { device.create_buffer_from_hal::<Vulkan>(made, &descriptor) })
    }
}

/// wgpu has no Vulkan here.
#[cfg(not(any(windows, target_os = "linux", target_os = "android", target_os = "freebsd")))]
mod vulkan {
    pub(super) fn upload_buffer(_: &wgpu::Device, _: &str, _: u64) -> Option<wgpu::Buffer> {
        None
    }
}
