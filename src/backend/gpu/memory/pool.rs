//! Buffers that later batches reuse: staging buffers for transfers, and working space on the
//! device.

use std::{
    ops::Deref,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use wgpu::{Buffer, MapMode};

use super::{host_memory, purpose::Purpose, staging::with_words, upload_memory::UploadMemory};
use crate::backend::gpu::{
    device::{Device, Fault},
    sync::lock,
};

/// Minimum size of a buffer. Sizes are powers of two, so that a buffer fits later batches too.
const MIN_BYTES: u64 = 64 << 10;

/// Maximum bytes of free buffers in the pool: enough for two large batches, or many small ones.
fn capacity(purpose: Purpose) -> u64 {
    match purpose {
        Purpose::Upload => 256 << 20,
        Purpose::Download => 192 << 20,
        Purpose::Device => 800 << 20,
    }
}

/// The free buffers of a device. Buffers that held secrets are cleared.
pub(crate) struct BufferPool {
    device: Arc<Device>,
    /// The preferred memory for upload buffers.
    upload_memory: UploadMemory,
    /// Whether the device has refused a buffer in the host's memory. It is then not asked again.
    is_host_memory_refused: AtomicBool,
    /// Newest last.
    free: Mutex<Vec<(Purpose, Buffer)>>,
    /// Buffers with secrets that were dropped without a release, because of a fault.
    #[cfg(test)]
    dropped_secrets: Mutex<Vec<(Purpose, Buffer)>>,
}

/// A buffer in use. [`release`](Self::release) returns it to the pool. After a fault it is dropped
/// instead. If it holds secrets, the drop clears it.
pub(crate) struct PooledBuffer {
    pool: Arc<BufferPool>,
    purpose: Purpose,
    is_secret: bool,
    /// `None` after its release.
    buffer: Option<Buffer>,
}

impl BufferPool {
    pub(crate) fn new(device: &Arc<Device>, upload_memory: UploadMemory) -> Self {
        Self {
            device: Arc::clone(device),
            upload_memory,
            is_host_memory_refused: AtomicBool::new(false),
            free: Mutex::default(),
            #[cfg(test)]
            dropped_secrets: Mutex::default(),
        }
    }

    /// A buffer of at least this number of bytes.
    pub(crate) fn acquire(
        self: &Arc<Self>,
        purpose: Purpose,
        bytes: u64,
        is_secret: bool,
    ) -> Result<PooledBuffer, Fault> {
        let size = bytes.max(MIN_BYTES).next_power_of_two();
        let found = {
            let free = &mut *lock(&self.free);
            let at = free.iter().position(|(found, buffer)| *found == purpose && buffer.size() == size);
            at.map(|at| free.swap_remove(at).1)
        };
        let buffer = found.map_or_else(|| self.make(purpose, size), Ok)?;
        Ok(PooledBuffer { pool: Arc::clone(self), purpose, is_secret, buffer: Some(buffer) })
    }

    fn make(&self, purpose: Purpose, size: u64) -> Result<Buffer, Fault> {
        if purpose == Purpose::Upload && self.upload_memory() == UploadMemory::Host {
            if let Some(buffer) = host_memory::upload_buffer(&self.device, purpose.label(), size) {
                self.device.check()?;
                return Ok(buffer);
            }
            self.is_host_memory_refused.store(true, Ordering::Relaxed);
        }
        self.device.buffer(purpose.label(), size, purpose.usage(), false)
    }

    /// The memory of new upload buffers.
    pub(crate) fn upload_memory(&self) -> UploadMemory {
        let is_refused = self.is_host_memory_refused.load(Ordering::Relaxed);
        if is_refused { UploadMemory::Device } else { self.upload_memory }
    }

    fn insert(&self, purpose: Purpose, buffer: Buffer) {
        let free = &mut *lock(&self.free);
        let mut room = capacity(purpose).saturating_sub(buffer.size());
        // Keeps the newest buffers.
        let mut stays = vec![true; free.len()];
        for (stays, (found, buffer)) in stays.iter_mut().zip(free.iter()).rev() {
            if *found == purpose {
                *stays = buffer.size() <= room;
                room = room.saturating_sub(buffer.size());
            }
        }
        let mut stays = stays.into_iter();
        free.retain(|_| stays.next() == Some(true));
        free.push((purpose, buffer));
    }
}

impl PooledBuffer {
    /// Returns the buffer to the pool. No submitted work may use it any more, and it must not be
    /// mapped.
    pub(crate) fn release(mut self) -> Result<(), Fault> {
        if self.is_secret {
            self.purpose.clear(&self.pool.device, &self)?;
        }
        if let Some(buffer) = self.buffer.take() {
            self.pool.insert(self.purpose, buffer);
        }
        Ok(())
    }
}

impl Deref for PooledBuffer {
    type Target = Buffer;

    fn deref(&self) -> &Buffer {
        self.buffer.as_ref().expect("it has not been released")
    }
}

impl Drop for PooledBuffer {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take().filter(|_| self.is_secret) {
            if self.purpose != Purpose::Device {
                buffer.unmap(); // may not be mapped; after a fault it is not used any more
            }
            // The memory of a lost device cannot be cleared.
            let _ = self.purpose.clear(&self.pool.device, &buffer);
            #[cfg(test)]
            lock(&self.pool.dropped_secrets).push((self.purpose, buffer));
        }
    }
}

/// Waits for all work on a buffer, and passes `words` of its words, starting at `first`, to `take`.
pub(crate) fn read_back(
    device: &Device,
    pool: &Arc<BufferPool>,
    buffer: &Buffer,
    first: usize,
    words: usize,
    take: &mut dyn FnMut(&[u32]),
) -> Result<(), Fault> {
    let bytes = 4 * words as u64;
    let download = pool.acquire(Purpose::Download, bytes, false)?;
    let mut encoder = device.encoder();
    encoder.copy_buffer_to_buffer(buffer, 4 * first as u64, &download, 0, bytes);
    let index = device.submit(encoder.finish());
    device.wait(index)?;
    device.map(&download, MapMode::Read, bytes)?;
    with_words(device, &download, bytes, &mut |words| {
        take(words);
        Ok(())
    })?;
    download.unmap();
    download.release()
}

#[cfg(test)]
impl BufferPool {
    pub(crate) fn free_buffers(&self) -> usize {
        lock(&self.free).len()
    }

    /// Bytes of the largest free upload buffer.
    pub(crate) fn largest_free_upload(&self) -> Option<u64> {
        let free = lock(&self.free);
        let uploads = free.iter().filter(|(purpose, _)| *purpose == Purpose::Upload);
        uploads.map(|(_, buffer)| buffer.size()).max()
    }

    /// Number of nonzero words in free buffers.
    pub(crate) fn nonzero_free_words(&self) -> Result<usize, Fault> {
        self.nonzero_words(&lock(&self.free))
    }

    /// The number of buffers with secrets that were dropped after a fault, and of the nonzero words
    /// in them.
    pub(crate) fn nonzero_dropped_words(&self) -> Result<(usize, usize), Fault> {
        let dropped_secrets = core::mem::take(&mut *lock(&self.dropped_secrets));
        Ok((dropped_secrets.len(), self.nonzero_words(&dropped_secrets)?))
    }

    fn nonzero_words(&self, buffers: &[(Purpose, Buffer)]) -> Result<usize, Fault> {
        let mut nonzero = 0;
        for (purpose, buffer) in buffers {
            let size = buffer.size();
            // `Device::buffer` would fail on a device that has a fault.
            let copy = self.device.handle().create_buffer(&wgpu::BufferDescriptor {
                label: Some("copy"),
                size,
                usage: Purpose::Download.usage(),
                mapped_at_creation: false,
            });
            let readable = if *purpose == Purpose::Download {
                buffer
            } else {
                let mut encoder = self.device.encoder();
                encoder.copy_buffer_to_buffer(buffer, 0, &copy, 0, size);
                self.device.submit(encoder.finish());
                &copy
            };
            self.device.map_after_fault(readable, MapMode::Read, size)?;
            let words =
                readable.get_mapped_range(..).map(|view| bytemuck::pod_collect_to_vec::<u8, u32>(&view));
            readable.unmap();
            nonzero += words.expect("it is mapped").iter().filter(|word| **word != 0).count();
        }
        Ok(nonzero)
    }
}
