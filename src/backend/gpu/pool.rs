//! Buffers that are used again: a ring of staging buffers for transfers, and working space on the device.

use std::{ops::Deref, sync::Arc};

use wgpu::{Buffer, BufferUsages};

use super::device::{Context, Fault, lock};

/// What a buffer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Filled by the host.
    Upload,
    /// Read by the host.
    Download,
    /// Only for kernels and copies.
    Device,
}

impl Purpose {
    fn usage(self) -> BufferUsages {
        match self {
            Self::Upload => BufferUsages::MAP_WRITE | BufferUsages::COPY_SRC,
            Self::Download => BufferUsages::MAP_READ | BufferUsages::COPY_DST,
            Self::Device => BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Download => "download",
            Self::Device => "working space",
        }
    }

    /// Bytes that are kept for later: what one batch uses.
    fn kept(self) -> u64 {
        match self {
            Self::Upload => 128 << 20,
            Self::Download => 96 << 20,
            Self::Device => 800 << 20,
        }
    }
}

/// Buffers not in use, all of them cleared if they have held secrets.
#[derive(Debug, Default)]
pub(super) struct Pool(Vec<(Purpose, Buffer)>);

/// A buffer in use, which [`give`](Self::give) returns to the pool. Where a fault keeps it from that, it is dropped, and
/// cleared then if it holds secrets.
pub(super) struct Lease {
    context: Arc<Context>,
    purpose: Purpose,
    is_secret: bool,
    /// `None` once it is given back.
    buffer: Option<Buffer>,
}

impl Lease {
    /// Gives the buffer back, which no submitted work uses any more and which is not mapped.
    pub(super) fn give(mut self) -> Result<(), Fault> {
        if self.is_secret {
            self.context.clear(self.purpose, &self)?;
        }
        if let Some(buffer) = self.buffer.take() {
            self.context.give(self.purpose, buffer);
        }
        Ok(())
    }
}

impl Deref for Lease {
    type Target = Buffer;

    fn deref(&self) -> &Buffer {
        self.buffer.as_ref().expect("it is not given back")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take().filter(|_| self.is_secret) {
            if self.purpose != Purpose::Device {
                buffer.unmap(); // whether it was mapped or not: nobody reads or fills it any more
            }
            // If the device is gone, so is what it held, or nobody can reach it.
            let _ = self.context.clear(self.purpose, &buffer);
            #[cfg(test)]
            lock(&self.context.abandoned).0.push((self.purpose, buffer));
        }
    }
}

/// Least size of a buffer; sizes are powers of two, so that one fits the next batch as well.
const LEAST: u64 = 64 << 10;

impl Context {
    /// A buffer of at least so many bytes.
    pub(super) fn take(
        self: &Arc<Self>,
        purpose: Purpose,
        bytes: u64,
        is_secret: bool,
    ) -> Result<Lease, Fault> {
        let size = bytes.max(LEAST).next_power_of_two();
        let found = {
            let buffers = &mut lock(&self.pool).0;
            let at = buffers.iter().position(|(found, buffer)| *found == purpose && buffer.size() == size);
            at.map(|at| buffers.swap_remove(at).1)
        };
        let buffer = found.map_or_else(|| self.buffer(purpose.label(), size, purpose.usage()), Ok)?;
        Ok(Lease { context: Arc::clone(self), purpose, is_secret, buffer: Some(buffer) })
    }

    fn give(&self, purpose: Purpose, buffer: Buffer) {
        let buffers = &mut lock(&self.pool).0;
        let mut room = purpose.kept().saturating_sub(buffer.size());
        // The newest stay.
        let mut stays = vec![true; buffers.len()];
        for (stays, (kept, buffer)) in stays.iter_mut().zip(buffers.iter()).rev() {
            if *kept == purpose {
                *stays = buffer.size() <= room;
                room = room.saturating_sub(buffer.size());
            }
        }
        let mut stays = stays.into_iter();
        buffers.retain(|_| stays.next() == Some(true));
        buffers.push((purpose, buffer));
    }

    /// Overwrites a buffer with zeros, after all work submitted so far.
    pub(super) fn clear(&self, purpose: Purpose, buffer: &Buffer) -> Result<(), Fault> {
        if purpose == Purpose::Upload {
            // Nothing but the host can write to it.
            return self.overwrite(buffer);
        }
        self.stands()?;
        let mut encoder = self.encoder();
        encoder.clear_buffer(buffer, 0, None);
        self.queue.submit([encoder.finish()]);
        Ok(())
    }
}

#[cfg(test)]
impl Context {
    pub(super) fn pooled_buffers(&self) -> usize {
        lock(&self.pool).0.len()
    }

    /// Words that are not zero in buffers that are not in use.
    pub(super) fn pooled_words_set(&self) -> Result<usize, Fault> {
        self.words_set(&lock(&self.pool).0)
    }

    /// The number of buffers with secrets that a fault left behind, and of the words in them that are not zero.
    pub(super) fn abandoned_words_set(&self) -> Result<(usize, usize), Fault> {
        let abandoned = core::mem::take(&mut lock(&self.abandoned).0);
        Ok((abandoned.len(), self.words_set(&abandoned)?))
    }

    fn words_set(&self, buffers: &[(Purpose, Buffer)]) -> Result<usize, Fault> {
        let mut set = 0;
        for (purpose, buffer) in buffers {
            let size = buffer.size();
            // Also on a device that has failed, which gives nothing out otherwise.
            let copy = self.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("a look"),
                size,
                usage: Purpose::Download.usage(),
                mapped_at_creation: false,
            });
            let look = if *purpose == Purpose::Download {
                buffer
            } else {
                let mut encoder = self.encoder();
                encoder.copy_buffer_to_buffer(buffer, 0, &copy, 0, size);
                self.queue.submit([encoder.finish()]);
                &copy
            };
            self.mapped(look, wgpu::MapMode::Read, size)?;
            let words = look.get_mapped_range(..).map(|view| bytemuck::pod_collect_to_vec::<u8, u32>(&view));
            look.unmap();
            set += words.expect("it is mapped").iter().filter(|word| **word != 0).count();
        }
        Ok(set)
    }
}
