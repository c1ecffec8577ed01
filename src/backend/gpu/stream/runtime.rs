//! Everything that runs kernels on an open device.

use std::sync::Arc;

#[cfg(test)]
use super::trace::Trace;
use super::{budget::Budget, timing::Timers};
use crate::backend::gpu::{
    device::{Device, Fault},
    kernels::Pipelines,
    memory::{self, BufferPool, HostPages, Threads, UploadMemory},
};

/// An open device with its buffers and kernels, and the host's threads.
pub(crate) struct Runtime {
    pub(crate) device: Arc<Device>,
    pub(crate) pool: Arc<BufferPool>,
    pub(crate) pipelines: Pipelines,
    pub(crate) timers: Timers,
    pub(crate) threads: Arc<Threads>,
    /// The host's memory for copies of accumulators.
    pub(crate) host_pages: HostPages,
    /// The memory of batches in flight.
    pub(crate) budget: Budget,
    #[cfg(test)]
    pub(crate) trace: Trace,
}

/// Bytes of all batches in flight, on the host and on the device: two batches of products of any size and a smaller one, or
/// one of general powers and a smaller one.
const BATCHES_BYTES: u64 = 1 << 30;

impl Runtime {
    /// With a number of lanes other than the layouts' own, if one is given.
    pub(crate) fn new(
        device: &Arc<Device>,
        threads: &Arc<Threads>,
        lanes: Option<u32>,
        upload_memory: UploadMemory,
    ) -> Self {
        Self {
            pool: Arc::new(BufferPool::new(device, upload_memory)),
            pipelines: Pipelines::new(device, lanes),
            timers: Timers::default(),
            threads: Arc::clone(threads),
            host_pages: HostPages::default(),
            budget: Budget::new(BATCHES_BYTES),
            #[cfg(test)]
            trace: Trace::default(),
            device: Arc::clone(device),
        }
    }

    /// Waits for all work on a buffer, and passes `words` of its words from `first` on to `take`.
    pub(crate) fn read_back(
        &self,
        buffer: &wgpu::Buffer,
        first: usize,
        words: usize,
        take: &mut dyn FnMut(&[u32]),
    ) -> Result<(), Fault> {
        memory::read_back(&self.device, &self.pool, buffer, first, words, take)
    }
}
