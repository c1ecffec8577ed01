//! Buffers that are used again: a ring of staging buffers for transfers, and working space on the device.

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
}

/// Buffers not in use, all of them cleared if they have held secrets.
#[derive(Debug, Default)]
pub(super) struct Pool(Vec<(Purpose, Buffer)>);

impl Purpose {
    /// Bytes that are kept for later: what one batch uses.
    fn kept(self) -> u64 {
        match self {
            Self::Upload | Self::Download => 96 << 20,
            Self::Device => 800 << 20,
        }
    }
}

/// Least size of a buffer; sizes are powers of two, so that one fits the next batch as well.
const LEAST: u64 = 64 << 10;

impl Context {
    /// A buffer of at least so many bytes.
    pub(super) fn take(&self, purpose: Purpose, bytes: u64) -> Result<Buffer, Fault> {
        let size = bytes.max(LEAST).next_power_of_two();
        let found = {
            let buffers = &mut lock(&self.pool).0;
            let at = buffers.iter().position(|(found, buffer)| *found == purpose && buffer.size() == size);
            at.map(|at| buffers.swap_remove(at).1)
        };
        found.map_or_else(|| self.buffer(purpose.label(), size, purpose.usage()), Ok)
    }

    /// Gives a buffer back that no submitted work uses any more, and whose secrets are cleared.
    pub(super) fn give(&self, purpose: Purpose, buffer: Buffer) {
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
}

#[cfg(test)]
impl Context {
    pub(super) fn pooled_buffers(&self) -> usize {
        lock(&self.pool).0.len()
    }

    /// Words that are not zero in buffers that are not in use.
    pub(super) fn pooled_words_set(&self) -> Result<usize, Fault> {
        let buffers = std::mem::take(&mut lock(&self.pool).0);
        let mut set = 0;
        for (purpose, buffer) in &buffers {
            let found = match purpose {
                Purpose::Download => {
                    self.map(buffer, wgpu::MapMode::Read, buffer.size())?;
                    let view = buffer.get_mapped_range(..).expect("it is mapped");
                    bytemuck::pod_collect_to_vec::<u8, u32>(&view)
                }
                _ => super::operation::fetch(self, buffer, 0, buffer.size() as usize / 4)?,
            };
            set += found.iter().filter(|word| **word != 0).count();
        }
        Ok(set)
    }
}
