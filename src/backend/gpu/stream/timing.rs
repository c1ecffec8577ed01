//! Timestamps around the dispatches of a piece of work.

use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

use wgpu::{
    Buffer, BufferUsages, CommandEncoder, ComputePassTimestampWrites, MapMode, QuerySet, QuerySetDescriptor,
    QueryType,
};

use crate::backend::gpu::{
    device::{Device, Fault},
    kernels::Pipeline,
    sync::lock,
};

/// Maximum dispatches of a piece of work that are timed. The time of the others is extrapolated.
const MAX_TIMED_PASSES: u32 = 64;

/// Timestamps around the dispatches of a piece of work, if the device has them.
pub(crate) struct Timing {
    begin: Instant,
    queries: Option<Queries>,
    /// Every dispatch: its pipeline and its products.
    passes: Vec<(Arc<Pipeline>, u64)>,
}

/// Free timestamp queries of a device, which later work reuses.
#[derive(Default)]
pub(crate) struct Timers {
    free: Mutex<Vec<Queries>>,
}

/// The query set and buffers for the timestamps of a piece of work.
struct Queries {
    set: QuerySet,
    resolved: Buffer,
    read: Buffer,
}

impl Queries {
    fn new(device: &Device) -> Result<Self, Fault> {
        let bytes = u64::from(2 * MAX_TIMED_PASSES) * 8;
        Ok(Self {
            set: device.handle().create_query_set(&QuerySetDescriptor {
                label: None,
                ty: QueryType::Timestamp,
                count: 2 * MAX_TIMED_PASSES,
            }),
            resolved: device.buffer(
                "timestamps",
                bytes,
                BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC,
                false,
            )?,
            read: device.buffer(
                "timestamps",
                bytes,
                BufferUsages::MAP_READ | BufferUsages::COPY_DST,
                false,
            )?,
        })
    }
}

impl Timing {
    pub(crate) fn new(device: &Device, timers: &Timers) -> Result<Self, Fault> {
        let mut queries = None;
        if device.report().has_timestamps {
            let ready = lock(&timers.free).pop();
            queries = Some(ready.map_or_else(|| Queries::new(device), Ok)?);
        }
        Ok(Self { begin: Instant::now(), queries, passes: Vec::new() })
    }

    /// The timestamps to encode with the next dispatch.
    pub(crate) fn next_pass(
        &mut self,
        pipeline: &Arc<Pipeline>,
        products: u64,
    ) -> Option<ComputePassTimestampWrites<'_>> {
        let pass = self.passes.len() as u32;
        self.passes.push((Arc::clone(pipeline), products));
        let queries = self.queries.as_ref().filter(|_| pass < MAX_TIMED_PASSES)?;
        Some(ComputePassTimestampWrites {
            query_set: &queries.set,
            beginning_of_pass_write_index: Some(2 * pass),
            end_of_pass_write_index: Some(2 * pass + 1),
        })
    }

    fn timed(&self) -> u32 {
        MAX_TIMED_PASSES.min(self.passes.len() as u32)
    }

    /// Encodes the read of the timestamps, after the last dispatch.
    pub(crate) fn resolve(&self, encoder: &mut CommandEncoder) {
        let timed = self.timed();
        if let Some(Queries { set, resolved, read }) = self.queries.as_ref().filter(|_| timed > 0) {
            encoder.resolve_query_set(set, 0..2 * timed, resolved, 0);
            encoder.copy_buffer_to_buffer(resolved, 0, read, 0, u64::from(2 * timed) * 8);
        }
    }

    /// Reads the timestamps when the work is done, and records the time of each kernel. Returns the
    /// nanoseconds of all kernels, or zero if the device has no clock.
    pub(crate) fn finish(mut self, device: &Device, timers: &Timers) -> Result<u64, Fault> {
        let products = |passes: &[(_, u64)]| passes.iter().map(|(_, products)| products).sum::<u64>().max(1);
        let all = products(&self.passes);
        let timed = self.timed() as usize;
        let Some(queries) = self.queries.take() else {
            // Without timestamps, the elapsed time is an upper bound.
            let nanos = self.begin.elapsed().as_nanos() as u64;
            for (pipeline, _) in &self.passes {
                pipeline.record_time(all, nanos);
            }
            return Ok(0);
        };
        let mut nanos = 0.0;
        if timed > 0 {
            device.map(&queries.read, MapMode::Read, 16 * timed as u64)?;
            if let Ok(view) = queries.read.slice(..16 * timed as u64).get_mapped_range() {
                for (stamps, (pipeline, products)) in view.chunks_exact(16).zip(&self.passes) {
                    let at = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
                    let ticks = at(&stamps[8..]).saturating_sub(at(&stamps[..8]));
                    let pass = ticks as f64 * device.timestamp_period();
                    pipeline.record_time(*products, pass as u64);
                    nanos += pass;
                }
            }
            queries.read.unmap();
        }
        lock(&timers.free).push(queries);
        let nanos = (nanos * all as f64 / products(&self.passes[..timed]) as f64) as u64;
        device.clock().add(nanos);
        Ok(nanos)
    }
}
