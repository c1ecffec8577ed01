//! The runtime of an open device: all parts that kernels need.

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
    /// The memory budget of batches in flight.
    pub(crate) budget: Budget,
    #[cfg(test)]
    pub(crate) trace: Trace,
}

/// Maximum bytes of all batches in flight, on the host and on the device. This is enough for two
/// batches of products of any size and a smaller one, or for one of general powers and a smaller
/// one.
const BATCHES_BYTES: u64 = 1 << 30;

impl Runtime {
    /// `lanes` replaces the layouts' own number of lanes, if given.
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

    /// Waits for all work on a buffer, and passes `words` of its words, starting at `first`, to
    /// `take`.
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
