//! Commands to the device: dispatches of a bounded length, timed by its clock, and copies between them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use wgpu::{
    BindGroup, BindGroupDescriptor, BindGroupEntry, BindingResource, Buffer, BufferBinding, BufferUsages,
    CommandEncoder, ComputePassDescriptor, ComputePassTimestampWrites, ComputePipeline, MapMode, QuerySet,
    QuerySetDescriptor, QueryType, SubmissionIndex,
};

use super::{
    device::{Context, Fault, lock},
    layout::Layout,
    parameters::Parameters,
    shader::WORKGROUP,
};

/// A dispatch, and all that is submitted at once, is to take so long at most: displays and watchdogs get their turns.
const DISPATCH: Duration = Duration::from_millis(50);

/// Loop iterations that an invocation may do on a software rasteriser, all loops together: Mesa's cuts shaders off at
/// 65,535, without a word (gallivm, `LP_MAX_TGSI_LOOP_ITERATIONS`).
const ITERATIONS: u32 = 60_000;

/// Most workgroups in one dimension of a dispatch; adapters with less are not taken.
pub(super) const WORKGROUPS: u32 = 65_535;

/// A kernel that is compiled, and what is known of its pace.
pub(super) struct Pipeline {
    pipeline: ComputePipeline,
    /// Femtoseconds per product, the best seen so far: what the length of dispatches follows from.
    pace: AtomicU64,
}

impl Pipeline {
    /// With a guess of the pace.
    pub(super) fn new(pipeline: ComputePipeline, pace: u64) -> Self {
        Self { pipeline, pace: AtomicU64::new(pace) }
    }

    fn pace(&self) -> u64 {
        self.pace.load(Ordering::Relaxed).max(1)
    }

    /// Items of so many products each that take as long as a dispatch should.
    fn items(&self, products: u32) -> u32 {
        let products_in_time = DISPATCH.as_nanos() as u64 * 1_000_000 / self.pace();
        u32::try_from(products_in_time / u64::from(products.max(1))).unwrap_or(u32::MAX)
    }

    /// How long so many products should take.
    fn expected(&self, products: u64) -> Duration {
        Duration::from_nanos(products.saturating_mul(self.pace()) / 1_000_000)
    }

    /// Takes note of how long products took.
    fn learn(&self, products: u64, nanos: u64) {
        if let Some(pace) = nanos.saturating_mul(1_000_000).checked_div(products).filter(|pace| *pace > 0) {
            self.pace.fetch_min(pace, Ordering::Relaxed);
        }
    }
}

/// A piece of a buffer that a kernel sees.
#[derive(Clone, Copy)]
pub(super) struct Binding<'a> {
    pub(super) buffer: &'a Buffer,
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

impl<'a> Binding<'a> {
    pub(super) fn whole(buffer: &'a Buffer) -> Self {
        Self { buffer, offset: 0, bytes: buffer.size() }
    }
}

/// Commands for a piece of work. They are submitted whenever there are enough of them, and with [`submit`](Self::submit).
pub(super) struct Commands<'c> {
    context: &'c Context,
    encoder: CommandEncoder,
    /// What the dispatches in the encoder should take.
    expected: Duration,
    timing: Timing,
}

impl<'c> Commands<'c> {
    pub(super) fn new(context: &'c Context) -> Result<Self, Fault> {
        Ok(Self {
            context,
            encoder: context.encoder(),
            expected: Duration::ZERO,
            timing: Timing::new(context)?,
        })
    }

    pub(super) fn copy(&mut self, from: &Buffer, to: &Buffer, bytes: u64) {
        self.encoder.copy_buffer_to_buffer(from, 0, to, 0, bytes);
    }

    /// Runs a kernel over `items` items of `products` products each, in as many dispatches as keep each of them short.
    ///
    /// `parameters` gives the parameters for a range of items.
    pub(super) fn dispatch<P: Parameters>(
        &mut self,
        layout: Layout,
        bindings: &[Binding<'_>],
        items: u32,
        products: u32,
        parameters: impl Fn(u32, u32) -> P,
    ) -> Result<(), Fault> {
        let pipeline = self.context.pipeline(P::KERNEL, layout)?;
        let group = self.bind(&pipeline, bindings);
        let items_of_workgroup = WORKGROUP / layout.lanes;
        let step = pipeline.items(products).max(self.context.least_items(layout));
        let step = step.next_multiple_of(items_of_workgroup);
        let mut first = 0;
        while first < items {
            let end = items.min(first.saturating_add(step));
            let workgroups = (end - first).div_ceil(items_of_workgroup);
            let products = u64::from(end - first) * u64::from(products);
            self.dispatch_once(&pipeline, &group, workgroups, products, &parameters(first, end))?;
            first = end;
        }
        Ok(())
    }

    /// One dispatch of so many workgroups, whatever its length.
    pub(super) fn dispatch_whole<P: Parameters>(
        &mut self,
        layout: Layout,
        bindings: &[Binding<'_>],
        workgroups: u32,
        parameters: &P,
    ) -> Result<(), Fault> {
        let pipeline = self.context.pipeline(P::KERNEL, layout)?;
        let group = self.bind(&pipeline, bindings);
        self.dispatch_once(&pipeline, &group, workgroups, u64::from(workgroups), parameters)
    }

    fn bind(&self, pipeline: &Pipeline, bindings: &[Binding<'_>]) -> BindGroup {
        let entries: Vec<_> = (0..)
            .zip(bindings)
            .map(|(number, binding)| {
                let size = wgpu::BufferSize::new(binding.bytes);
                let resource = BufferBinding { buffer: binding.buffer, offset: binding.offset, size };
                BindGroupEntry { binding: number, resource: BindingResource::Buffer(resource) }
            })
            .collect();
        self.context.device.create_bind_group(&BindGroupDescriptor {
            label: None,
            layout: &pipeline.pipeline.get_bind_group_layout(0),
            entries: &entries,
        })
    }

    fn dispatch_once(
        &mut self,
        pipeline: &Arc<Pipeline>,
        group: &BindGroup,
        workgroups: u32,
        products: u64,
        parameters: &impl Parameters,
    ) -> Result<(), Fault> {
        self.context.burn()?;
        let expected = pipeline.expected(products);
        if !self.expected.is_zero() && self.expected + expected > DISPATCH {
            let encoder = std::mem::replace(&mut self.encoder, self.context.encoder());
            self.context.queue.submit([encoder.finish()]);
            self.expected = Duration::ZERO;
        }
        self.context.check()?;
        self.expected += expected;
        let timestamp_writes = self.timing.next_pass(pipeline, products);
        let mut pass =
            self.encoder.begin_compute_pass(&ComputePassDescriptor { label: None, timestamp_writes });
        pass.set_pipeline(&pipeline.pipeline);
        pass.set_bind_group(0, group, &[]);
        pass.set_immediates(0, bytemuck::cast_slice(&parameters.words()));
        let width = workgroups.min(WORKGROUPS);
        pass.dispatch_workgroups(width, workgroups.div_ceil(width), 1);
        Ok(())
    }

    /// Submits what has not been submitted yet, and tells when the work is done and how long it took.
    pub(super) fn submit(mut self) -> Result<(SubmissionIndex, Timing), Fault> {
        self.timing.resolve(&mut self.encoder);
        let index = self.context.queue.submit([self.encoder.finish()]);
        self.context.check()?;
        Ok((index, self.timing))
    }
}

impl Context {
    /// Items that fill a small device: fewer would make dispatches no shorter.
    fn least_items(&self, layout: Layout) -> u32 {
        (if self.report.is_software { 64 } else { 1 << 14 }) / layout.lanes
    }

    /// Products in a row that one dispatch may do for `items` items.
    pub(super) fn run_length(&self, pipeline: &Pipeline, layout: Layout, items: u32) -> u32 {
        let by_time = pipeline.items(items.max(self.least_items(layout))).max(1);
        by_time.min(longest_run(layout))
    }
}

/// Products in a row that one dispatch may do, whatever its time.
pub(super) fn longest_run(layout: Layout) -> u32 {
    // A product loops over the lanes; loops around it and at the end are counted generously.
    (ITERATIONS - 2000) / (layout.lanes + 2)
}

/// Dispatches of a piece of work that are timed, at most; the others are taken to be like them.
const TIMED_PASSES: u32 = 64;

/// Timestamps around the dispatches of a piece of work, if the device has them.
pub(super) struct Timing {
    begin: Instant,
    queries: Option<Queries>,
    /// Every dispatch: its pipeline and its products.
    passes: Vec<(Arc<Pipeline>, u64)>,
}

/// What timestamps need on the device; used again for the next piece of work.
pub(super) struct Queries {
    set: QuerySet,
    resolved: Buffer,
    read: Buffer,
}

impl Queries {
    fn new(context: &Context) -> Result<Self, Fault> {
        let bytes = u64::from(2 * TIMED_PASSES) * 8;
        Ok(Self {
            set: context.device.create_query_set(&QuerySetDescriptor {
                label: None,
                ty: QueryType::Timestamp,
                count: 2 * TIMED_PASSES,
            }),
            resolved: context.buffer(
                "timestamps",
                bytes,
                BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC,
            )?,
            read: context.buffer("timestamps", bytes, BufferUsages::MAP_READ | BufferUsages::COPY_DST)?,
        })
    }
}

impl Timing {
    fn new(context: &Context) -> Result<Self, Fault> {
        let mut queries = None;
        if context.report.has_timestamps {
            let ready = lock(&context.queries).pop();
            queries = Some(ready.map_or_else(|| Queries::new(context), Ok)?);
        }
        Ok(Self { begin: Instant::now(), queries, passes: Vec::new() })
    }

    fn next_pass(
        &mut self,
        pipeline: &Arc<Pipeline>,
        products: u64,
    ) -> Option<ComputePassTimestampWrites<'_>> {
        let pass = self.passes.len() as u32;
        self.passes.push((Arc::clone(pipeline), products));
        let queries = self.queries.as_ref().filter(|_| pass < TIMED_PASSES)?;
        Some(ComputePassTimestampWrites {
            query_set: &queries.set,
            beginning_of_pass_write_index: Some(2 * pass),
            end_of_pass_write_index: Some(2 * pass + 1),
        })
    }

    fn timed(&self) -> u32 {
        TIMED_PASSES.min(self.passes.len() as u32)
    }

    /// To be encoded after the last dispatch.
    fn resolve(&self, encoder: &mut CommandEncoder) {
        let timed = self.timed();
        if let Some(Queries { set, resolved, read }) = self.queries.as_ref().filter(|_| timed > 0) {
            encoder.resolve_query_set(set, 0..2 * timed, resolved, 0);
            encoder.copy_buffer_to_buffer(resolved, 0, read, 0, u64::from(2 * timed) * 8);
        }
    }

    /// To be called when the work is done: learns the kernels' pace, and returns the nanoseconds that they took; zero if
    /// the device has no clock.
    pub(super) fn finish(mut self, context: &Context) -> Result<u64, Fault> {
        let products = |passes: &[(_, u64)]| passes.iter().map(|(_, products)| products).sum::<u64>().max(1);
        let all = products(&self.passes);
        let timed = self.timed() as usize;
        let Some(queries) = self.queries.take() else {
            // The time on the wall is longer, and must do.
            let nanos = self.begin.elapsed().as_nanos() as u64;
            for (pipeline, _) in &self.passes {
                pipeline.learn(all, nanos);
            }
            return Ok(0);
        };
        let mut nanos = 0.0;
        if timed > 0 {
            context.map(&queries.read, MapMode::Read, 16 * timed as u64)?;
            if let Ok(view) = queries.read.slice(..16 * timed as u64).get_mapped_range() {
                for (stamps, (pipeline, products)) in view.chunks_exact(16).zip(&self.passes) {
                    let at = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
                    let ticks = at(&stamps[8..]).saturating_sub(at(&stamps[..8]));
                    let pass = ticks as f64 * f64::from(context.queue.get_timestamp_period());
                    pipeline.learn(*products, pass as u64);
                    nanos += pass;
                }
            }
            queries.read.unmap();
        }
        lock(&context.queries).push(queries);
        let nanos = (nanos * all as f64 / products(&self.passes[..timed]) as f64) as u64;
        context.clock.add(nanos);
        Ok(nanos)
    }
}
