//! Buffers that stay on the device for longer than a batch.

use std::sync::Arc;

use wgpu::{Buffer, BufferUsages};

use super::{
    commands::Binding,
    device::{Context, Fault},
    pool::Purpose,
    transfer,
};

/// A buffer that stays on the device for a while, cleared when dropped if it held secrets.
pub(in crate::backend) struct Kept {
    pub(super) buffer: Buffer,
    context: Arc<Context>,
    is_secret: bool,
}

impl Kept {
    pub(super) fn new(
        context: &Arc<Context>,
        label: &str,
        words: &[u32],
        is_secret: bool,
    ) -> Result<Self, Fault> {
        let buffer = context.buffer_of(label, words)?;
        Ok(Self { buffer, context: Arc::clone(context), is_secret })
    }

    pub(super) fn empty(context: &Arc<Context>, label: &str, bytes: u64) -> Result<Self, Fault> {
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
        let buffer = context.buffer(label, bytes, usage)?;
        Ok(Self { buffer, context: Arc::clone(context), is_secret: false })
    }

    pub(super) fn whole(&self) -> Binding<'_> {
        Binding::whole(&self.buffer)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if self.is_secret {
            // Of a device that is gone nobody can reach what it held.
            let _ = self.context.clear(Purpose::Device, &self.buffer);
        }
    }
}

/// Pieces of a batch that stay on the device, each with its number of residues.
pub(in crate::backend) type Pieces = Vec<(Kept, usize)>;

/// Brings words of a buffer on the device to `take`.
pub(super) fn fetch(
    context: &Arc<Context>,
    buffer: &Buffer,
    first: usize,
    words: usize,
    take: &mut dyn FnMut(&[u32]),
) -> Result<(), Fault> {
    let bytes = 4 * words as u64;
    let download = context.take(Purpose::Download, bytes, false)?;
    let mut encoder = context.encoder();
    encoder.copy_buffer_to_buffer(buffer, 4 * first as u64, &download, 0, bytes);
    let index = context.queue.submit([encoder.finish()]);
    context.wait(index)?;
    context.map(&download, wgpu::MapMode::Read, bytes)?;
    transfer::read(context, &download, bytes, &mut |words| {
        take(words);
        Ok(())
    })?;
    download.unmap();
    download.give()
}
