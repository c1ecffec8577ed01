//! Pieces in flight: submitted to the device, and not collected yet.

use std::{collections::VecDeque, ops::Range};

use wgpu::{Buffer, MapMode, SubmissionIndex};

#[cfg(test)]
use super::trace::Stage;
use super::{commands::Commands, runtime::Runtime, timing::Timing};
use crate::backend::gpu::{
    device::Fault,
    memory::{PooledBuffer, Purpose, with_words},
};

/// Maximum number of pieces in flight. Pieces that are being filled do not count.
pub(crate) const MAX_IN_FLIGHT: usize = 3;

/// A submitted piece.
pub(crate) struct Piece {
    pub(crate) index: SubmissionIndex,
    /// The items whose words are in the download buffer.
    pub(crate) items: Range<usize>,
    /// Buffers to release when the work is done.
    pub(crate) used: Vec<PooledBuffer>,
    /// The download buffer and the bytes to read.
    pub(crate) download: Option<(PooledBuffer, u64)>,
    pub(crate) timing: Timing,
    /// The number of the piece in the trace.
    #[cfg(test)]
    pub(crate) number: u64,
}

/// Pieces in flight, oldest first.
#[derive(Default)]
pub(crate) struct InFlight(VecDeque<Piece>);

/// Collects downloads.
pub(crate) trait Collect {
    /// These items will be downloaded. While the device works, memory for them can be prepared.
    fn prepare(&mut self, _items: &Range<usize>) {}

    /// These items have been downloaded to a buffer with these words. The buffer is released
    /// afterwards.
    fn take(&mut self, items: Range<usize>, words: &[u32]) -> Result<(), Fault>;
}

impl<F: FnMut(Range<usize>, &[u32]) -> Result<(), Fault>> Collect for F {
    fn take(&mut self, items: Range<usize>, words: &[u32]) -> Result<(), Fault> {
        self(items, words)
    }
}

/// Discards downloads.
pub(crate) struct Discard;

impl Collect for Discard {
    fn take(&mut self, _: Range<usize>, _: &[u32]) -> Result<(), Fault> {
        Ok(())
    }
}

/// Words from the start of a buffer, to be copied to the host. They belong to `items`.
pub(crate) struct Readback<'a> {
    pub(crate) buffer: &'a Buffer,
    pub(crate) items: Range<usize>,
    pub(crate) words: usize,
}

impl InFlight {
    pub(crate) fn push(&mut self, piece: Piece, collect: &mut dyn Collect) {
        if piece.download.is_some() {
            collect.prepare(&piece.items);
        }
        self.0.push_back(piece);
    }

    /// Collects pieces until there is room for another one.
    pub(crate) fn make_room(&mut self, runtime: &Runtime, collect: &mut dyn Collect) -> Result<(), Fault> {
        while self.0.len() >= MAX_IN_FLIGHT {
            self.collect_oldest(runtime, collect)?;
        }
        Ok(())
    }

    pub(crate) fn collect_all(&mut self, runtime: &Runtime, collect: &mut dyn Collect) -> Result<(), Fault> {
        while !self.0.is_empty() {
            self.collect_oldest(runtime, collect)?;
        }
        Ok(())
    }

    fn collect_oldest(&mut self, runtime: &Runtime, collect: &mut dyn Collect) -> Result<(), Fault> {
        let Some(piece) = self.0.pop_front() else { return Ok(()) };
        let device = &runtime.device;
        device.wait(piece.index)?;
        #[cfg(test)]
        runtime.trace.record(piece.number, Stage::Finished);
        piece.timing.finish(device, &runtime.timers)?;
        piece.used.into_iter().try_for_each(PooledBuffer::release)?;
        if let Some((buffer, bytes)) = piece.download {
            device.map(&buffer, MapMode::Read, bytes)?;
            with_words(device, &buffer, bytes, &mut |words| collect.take(piece.items.clone(), words))?;
            buffer.unmap();
            buffer.release()?;
        }
        #[cfg(test)]
        runtime.trace.record(piece.number, Stage::Collected);
        Ok(())
    }

    /// Submits kernels on buffers that are on the device, and does not wait for them.
    pub(crate) fn run(
        &mut self,
        runtime: &Runtime,
        launch: &mut dyn FnMut(&mut Commands<'_>) -> Result<(), Fault>,
        collect: &mut dyn Collect,
    ) -> Result<(), Fault> {
        self.make_room(runtime, collect)?;
        let mut commands = Commands::new(runtime)?;
        launch(&mut commands)?;
        let (index, timing) = commands.submit()?;
        self.push(
            Piece {
                index,
                items: 0..0,
                used: Vec::new(),
                download: None,
                timing,
                #[cfg(test)]
                number: runtime.trace.record_new(Stage::Launched),
            },
            collect,
        );
        Ok(())
    }

    /// Submits a copy of words to the host, and does not wait for it.
    pub(crate) fn read_back(
        &mut self,
        runtime: &Runtime,
        Readback { buffer, items, words }: Readback<'_>,
        collect: &mut dyn Collect,
    ) -> Result<(), Fault> {
        self.make_room(runtime, collect)?;
        let bytes = 4 * words as u64;
        let download = runtime.pool.acquire(Purpose::Download, bytes, false)?;
        let mut commands = Commands::new(runtime)?;
        commands.copy(buffer, &download, bytes);
        let (index, timing) = commands.submit()?;
        self.push(
            Piece {
                index,
                items,
                used: Vec::new(),
                download: Some((download, bytes)),
                timing,
                #[cfg(test)]
                number: runtime.trace.record_new(Stage::Launched),
            },
            collect,
        );
        Ok(())
    }
}
