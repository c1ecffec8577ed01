//! An open device: pipelines, dispatches of a bounded length, and what it does when it is lost.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use wgpu::{
    Adapter, BindGroupDescriptor, BindGroupEntry, BindingResource, Buffer, BufferBinding, BufferDescriptor,
    BufferUsages, CommandEncoder, CommandEncoderDescriptor, ComputePassDescriptor,
    ComputePassTimestampWrites, ComputePipeline, ComputePipelineDescriptor, Device, DeviceDescriptor,
    Features, MemoryHints, PollType, QuerySetDescriptor, QueryType, Queue, ShaderModuleDescriptor,
    ShaderSource, SubmissionIndex,
};

use super::{
    Options,
    adapter::{self, AdapterReport},
    host::Threads,
    layout::Layout,
    pool::Pool,
    shader::{self, Exchange, Kernel, WORKGROUP},
    trial::Trial,
};

/// Why a batch could not be done on the device. Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault(pub(super) String);

/// An open device and everything that dies with it.
pub(super) struct Context {
    pub(super) device: Device,
    pub(super) queue: Queue,
    pub(super) report: AdapterReport,
    /// Counts the devices that were opened: what belongs to an earlier one is gone.
    pub(super) generation: u64,
    options: Options,
    pipelines: Mutex<HashMap<(Kernel, Layout), Arc<Pipeline>>>,
    /// Known-answer tests that were passed.
    pub(super) passed: Mutex<HashSet<(Trial, Layout)>>,
    pub(super) pool: Mutex<Pool>,
    pub(super) offset_alignment: u64,
    pub(super) binding_bytes: u64,
    failed: Arc<Mutex<Option<Fault>>>,
    is_lost: Arc<AtomicBool>,
    /// The host's threads that fill and read buffers.
    pub(super) threads: Arc<Threads>,
    clock: Arc<Clock>,
    /// Faults injected by tests.
    fuse: Arc<Fuse>,
    /// Buffers with secrets that a fault has left behind, for a test to look at.
    #[cfg(test)]
    pub(super) abandoned: Mutex<Pool>,
}

/// Breaks a device on purpose, after so many dispatches, or takes so many right results for wrong ones.
#[derive(Debug, Default)]
pub(super) struct Fuse {
    pub(super) dispatches: AtomicU64,
    pub(super) losses: AtomicU64,
    pub(super) doubts: AtomicU64,
}

/// Time that kernels have taken, over all devices that were opened.
#[derive(Debug, Default)]
pub(super) struct Clock(AtomicU64);

impl Clock {
    pub(super) fn total(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

pub(super) struct Pipeline {
    pipeline: ComputePipeline,
    /// Femtoseconds per product, the best seen so far: what the length of dispatches follows from.
    pace: AtomicU64,
}

/// A dispatch is to take so long at most: displays and watchdogs get their turns.
const DISPATCH: Duration = Duration::from_millis(50);

/// How long a device may stay silent before it counts as lost.
const SILENCE: Duration = Duration::from_secs(60);

/// Loop iterations that an invocation may do on a software rasteriser, all loops together: Mesa's cuts shaders off at
/// 65,535, without a word (gallivm, `LP_MAX_TGSI_LOOP_ITERATIONS`).
const ITERATIONS: u32 = 60_000;

/// Most workgroups in one dimension of a dispatch; adapters with less are not taken.
pub(super) const WORKGROUPS: u32 = 65_535;

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panicking thread leaves behind is checked or overwritten before use.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Context {
    pub(super) fn open(
        options: &Options,
        generation: u64,
        threads: &Arc<Threads>,
        clock: &Arc<Clock>,
        fuse: &Arc<Fuse>,
    ) -> Result<Self, String> {
        let (adapter, mut report) = adapter::choose(options.adapter.as_deref())?;
        if options.exchange == Some(Exchange::Workgroup) {
            report.subgroups = None;
        }
        let (device, queue) = open_device(&adapter, &report)?;
        let failed = Arc::new(Mutex::new(None));
        let note = |failed: &Arc<Mutex<Option<Fault>>>| {
            let failed = Arc::clone(failed);
            move |text: String| {
                lock(&failed).get_or_insert(Fault(text));
            }
        };
        let is_lost = Arc::<AtomicBool>::default();
        let (lost, lost_now) = (note(&failed), Arc::clone(&is_lost));
        device.set_device_lost_callback(move |reason, text| {
            lost_now.store(true, Ordering::Relaxed);
            lost(format!("device lost ({reason:?}): {text}"));
        });
        let error = note(&failed);
        device
            .on_uncaptured_error(Arc::new(move |found: wgpu::Error| error(format!("device error: {found}"))));
        let limits = device.limits();
        Ok(Self {
            pool: Mutex::default(),
            pipelines: Mutex::default(),
            passed: Mutex::default(),
            offset_alignment: u64::from(limits.min_storage_buffer_offset_alignment).max(256),
            // A power of two, like the sizes of buffers (`pool`).
            binding_bytes: 1
                << options
                    .binding_bytes
                    .unwrap_or(u64::MAX)
                    .min(limits.max_storage_buffer_binding_size)
                    .min(limits.max_buffer_size)
                    .max(1)
                    .ilog2(),
            device,
            queue,
            report,
            generation,
            options: options.clone(),
            failed,
            is_lost,
            threads: Arc::clone(threads),
            clock: Arc::clone(clock),
            fuse: Arc::clone(fuse),
            #[cfg(test)]
            abandoned: Mutex::default(),
        })
    }

    pub(super) fn layout(&self, bits: u32) -> Layout {
        match self.options.lanes {
            Some(lanes) => Layout::with_lanes(bits, lanes),
            None => Layout::new(bits),
        }
    }

    pub(super) fn exchange(&self, layout: Layout) -> Exchange {
        adapter::exchange(self.report.subgroups, layout)
    }

    /// Whether nothing has gone wrong.
    pub(super) fn check(&self) -> Result<(), Fault> {
        lock(&self.failed).clone().map_or(Ok(()), Err)
    }

    /// Whether the device takes commands, if only to clear what it holds.
    pub(super) fn stands(&self) -> Result<(), Fault> {
        if self.is_lost.load(Ordering::Relaxed) { Err(self.fault("device lost")) } else { Ok(()) }
    }

    /// The kernel for a layout; compiled at its first use.
    pub(super) fn pipeline(&self, kernel: Kernel, layout: Layout) -> Result<Arc<Pipeline>, Fault> {
        let mut pipelines = lock(&self.pipelines);
        if let Some(pipeline) = pipelines.get(&(kernel, layout)) {
            return Ok(Arc::clone(pipeline));
        }
        let text = shader::compose(kernel, layout, self.exchange(layout));
        let module = self.device.create_shader_module(ShaderModuleDescriptor {
            label: Some(kernel.name()),
            source: ShaderSource::Wgsl(text.into()),
        });
        let pipeline = self.device.create_compute_pipeline(&ComputePipelineDescriptor {
            label: Some(kernel.name()),
            layout: None,
            module: &module,
            entry_point: Some(kernel.name()),
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false, // all of it is written before it is read
                ..Default::default()
            },
            cache: None,
        });
        self.check()?;
        // A guess, in femtoseconds, that few devices fail to keep: for 2048 bits 50 ns on a card, a microsecond on a
        // processor's own GPU, and ten without any.
        let width = u64::from(layout.bits).max(512);
        let guess = width
            * width
            * match (self.report.is_software, self.report.is_discrete) {
                (true, _) => 2400,
                (false, true) => 12,
                (false, false) => 240,
            };
        let pipeline = Arc::new(Pipeline { pipeline, pace: AtomicU64::new(guess) });
        pipelines.insert((kernel, layout), Arc::clone(&pipeline));
        Ok(pipeline)
    }

    pub(super) fn encoder(&self) -> CommandEncoder {
        self.device.create_command_encoder(&CommandEncoderDescriptor::default())
    }

    pub(super) fn buffer(&self, label: &str, bytes: u64, usage: BufferUsages) -> Result<Buffer, Fault> {
        let descriptor =
            BufferDescriptor { label: Some(label), size: bytes.max(4), usage, mapped_at_creation: false };
        let buffer = self.device.create_buffer(&descriptor);
        self.check()?;
        Ok(buffer)
    }

    /// A buffer with these words, for kernels to read.
    pub(super) fn buffer_of(&self, label: &str, words: &[u32]) -> Result<Buffer, Fault> {
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
        let buffer = self.buffer(label, size_of_val(words) as u64, usage)?;
        {
            // Written where it stays: a copy for the upload would be left behind unwiped.
            let descriptor = BufferDescriptor {
                label: Some(label),
                size: size_of_val(words) as u64,
                usage: BufferUsages::MAP_WRITE | BufferUsages::COPY_SRC,
                mapped_at_creation: true,
            };
            let staging = self.device.create_buffer(&descriptor);
            self.check()?;
            if let Ok(mut view) = staging.get_mapped_range_mut(..) {
                view.copy_from_slice(bytemuck::cast_slice(words));
            }
            staging.unmap();
            let mut encoder = self.encoder();
            encoder.copy_buffer_to_buffer(&staging, 0, &buffer, 0, size_of_val(words) as u64);
            let index = self.queue.submit([encoder.finish()]);
            self.wait(index)?;
            self.overwrite(&staging)?;
        }
        Ok(buffer)
    }

    /// Overwrites an upload buffer, which nothing but the host can write to.
    pub(super) fn overwrite(&self, staging: &Buffer) -> Result<(), Fault> {
        self.stands()?;
        self.mapped(staging, wgpu::MapMode::Write, staging.size())?;
        if let Ok(mut view) = staging.get_mapped_range_mut(..) {
            view.slice(..).fill(0);
        }
        staging.unmap();
        Ok(())
    }

    /// Maps a buffer and waits until it is.
    pub(super) fn map(&self, buffer: &Buffer, mode: wgpu::MapMode, bytes: u64) -> Result<(), Fault> {
        self.check()?;
        self.mapped(buffer, mode, bytes)
    }

    /// [`map`](Self::map) on a device that may have been found wrong, but is there.
    pub(super) fn mapped(&self, buffer: &Buffer, mode: wgpu::MapMode, bytes: u64) -> Result<(), Fault> {
        let (sender, receiver) = std::sync::mpsc::channel();
        buffer.slice(..bytes).map_async(mode, move |result| {
            let _ = sender.send(result); // nobody listens after a fault
        });
        let begin = Instant::now();
        loop {
            // Whoever maps has waited for the work on the buffer: there is no need to wait for what came later.
            self.poll(PollType::Poll)?;
            self.stands()?;
            match receiver.try_recv() {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => return Err(self.fault(&format!("a buffer cannot be mapped: {error}"))),
                Err(_) if begin.elapsed() > SILENCE => {
                    return Err(self.fault("a buffer is not mapped in time"));
                }
                Err(_) => std::thread::sleep(Duration::from_micros(20)),
            }
        }
    }

    pub(super) fn wait(&self, index: SubmissionIndex) -> Result<(), Fault> {
        self.poll(PollType::Wait { submission_index: Some(index), timeout: Some(SILENCE) })?;
        self.check()
    }

    fn poll(&self, how: PollType) -> Result<(), Fault> {
        self.device.poll(how).map_err(|error| self.fault(&format!("the device does not answer: {error}")))?;
        Ok(())
    }

    /// Notes that the device cannot be trusted any more.
    pub(super) fn fault(&self, text: &str) -> Fault {
        lock(&self.failed).get_or_insert(Fault(text.to_owned())).clone()
    }

    /// Runs a kernel over `items` items of `products` products each, in as many dispatches as keep each of them short.
    ///
    /// `params` gives the parameters for a range of items.
    #[allow(clippy::too_many_arguments, reason = "a dispatch has that many parts")]
    pub(super) fn dispatch(
        &self,
        pipeline: &Pipeline,
        layout: Layout,
        bindings: &[Binding<'_>],
        items: u32,
        products: u32,
        params: impl Fn(u32, u32) -> Vec<u32>,
        timing: &mut Timing,
    ) -> Result<(), Fault> {
        let groups = WORKGROUP / layout.lanes;
        let step = pipeline.items(products).max(self.least_items(layout)).next_multiple_of(groups);
        let mut first = 0;
        while first < items {
            let end = items.min(first.saturating_add(step));
            timing.products(u64::from(end - first) * u64::from(products));
            self.dispatch_once(pipeline, layout, bindings, end - first, &params(first, end), timing)?;
            first = end;
        }
        self.check()
    }

    /// One dispatch, for so many items.
    pub(super) fn dispatch_once(
        &self,
        pipeline: &Pipeline,
        layout: Layout,
        bindings: &[Binding<'_>],
        items: u32,
        params: &[u32],
        timing: &mut Timing,
    ) -> Result<(), Fault> {
        self.burn()?;
        self.check()?;
        let mut words = params.to_vec();
        words.resize(words.len().next_multiple_of(4), 0);
        let uniform = self.buffer(
            "params",
            size_of_val(words.as_slice()) as u64,
            BufferUsages::UNIFORM | BufferUsages::COPY_DST,
        )?;
        self.queue.write_buffer(&uniform, 0, bytemuck::cast_slice(&words));
        let mut entries = vec![BindGroupEntry { binding: 0, resource: uniform.as_entire_binding() }];
        for (i, binding) in bindings.iter().enumerate() {
            let size = wgpu::BufferSize::new(binding.bytes);
            let resource = BufferBinding { buffer: binding.buffer, offset: binding.offset, size };
            entries
                .push(BindGroupEntry { binding: i as u32 + 1, resource: BindingResource::Buffer(resource) });
        }
        let bind_group = self.device.create_bind_group(&BindGroupDescriptor {
            label: None,
            layout: &pipeline.pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        let mut encoder = self.encoder();
        {
            let descriptor = ComputePassDescriptor { label: None, timestamp_writes: timing.next_pass() };
            let mut pass = encoder.begin_compute_pass(&descriptor);
            pass.set_pipeline(&pipeline.pipeline);
            pass.set_bind_group(0, &bind_group, &[]);
            let workgroups = items.div_ceil(WORKGROUP / layout.lanes);
            let width = workgroups.min(WORKGROUPS);
            pass.dispatch_workgroups(width, workgroups.div_ceil(width), 1);
        }
        self.queue.submit([encoder.finish()]);
        self.check()
    }

    pub(super) fn kernel_nanos(&self) -> u64 {
        self.clock.0.load(Ordering::Relaxed)
    }

    /// Items that fill a small device: fewer would make dispatches no shorter.
    fn least_items(&self, layout: Layout) -> u32 {
        (if self.report.is_software { 64 } else { 1 << 14 }) / layout.lanes
    }

    /// Products in a row that one dispatch may do for `items` items.
    pub(super) fn run_length(&self, pipeline: &Pipeline, layout: Layout, items: u32) -> u32 {
        let by_time = pipeline.items(items.max(self.least_items(layout))).max(1);
        // A product loops over the lanes; loops around it and at the end are counted generously.
        by_time.min((ITERATIONS - 2000) / (layout.lanes + 2)).max(1)
    }

    /// Whether so many products in a row may be one dispatch, whatever its time.
    pub(super) fn longest_run(layout: Layout) -> u32 {
        (ITERATIONS - 2000) / (layout.lanes + 2)
    }

    fn burn(&self) -> Result<(), Fault> {
        let Fuse { dispatches, losses, .. } = &*self.fuse;
        if losses.load(Ordering::Relaxed) > 0 && !take_one(dispatches) && take_one(losses) {
            self.device.destroy();
            // The callback comes with the next poll.
            self.poll(PollType::Poll)?;
        }
        Ok(())
    }

    /// A result that was computed on the CPU as well must be the same.
    pub(super) fn confirm(&self, is_right: bool, what: &str) -> Result<(), Fault> {
        if is_right && !take_one(&self.fuse.doubts) {
            Ok(())
        } else {
            Err(self.fault(&format!("a sample of {what} is wrong")))
        }
    }
}

/// Takes one off a counter that is not zero.
fn take_one(count: &AtomicU64) -> bool {
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

impl Pipeline {
    /// Items of so many products each that take as long as a dispatch should.
    fn items(&self, products: u32) -> u32 {
        let pace = self.pace.load(Ordering::Relaxed).max(1);
        let products_in_time = DISPATCH.as_nanos() as u64 * 1_000_000 / pace;
        u32::try_from(products_in_time / u64::from(products.max(1))).unwrap_or(u32::MAX)
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

/// Timestamps around the dispatches of a piece of work, if the device has them.
pub(super) struct Timing {
    queries: Option<(wgpu::QuerySet, Buffer, Buffer)>,
    pipeline: Arc<Pipeline>,
    passes: u32,
    timed_products: u64,
    all_products: u64,
}

const TIMED_PASSES: u32 = 64;

impl Timing {
    pub(super) fn new(context: &Context, pipeline: &Arc<Pipeline>) -> Result<Self, Fault> {
        let mut queries = None;
        if context.report.has_timestamps {
            let set = context.device.create_query_set(&QuerySetDescriptor {
                label: None,
                ty: QueryType::Timestamp,
                count: 2 * TIMED_PASSES,
            });
            let bytes = u64::from(2 * TIMED_PASSES) * 8;
            let resolved =
                context.buffer("timestamps", bytes, BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC)?;
            let read =
                context.buffer("timestamps", bytes, BufferUsages::MAP_READ | BufferUsages::COPY_DST)?;
            queries = Some((set, resolved, read));
        }
        Ok(Self { queries, pipeline: Arc::clone(pipeline), passes: 0, timed_products: 0, all_products: 0 })
    }

    /// The next dispatch does so many products.
    fn products(&mut self, products: u64) {
        self.all_products += products;
        if self.passes < TIMED_PASSES {
            self.timed_products += products;
        }
    }

    fn next_pass(&mut self) -> Option<ComputePassTimestampWrites<'_>> {
        let (query_set, ..) = self.queries.as_ref().filter(|_| self.passes < TIMED_PASSES)?;
        let first = 2 * self.passes;
        self.passes += 1;
        Some(ComputePassTimestampWrites {
            query_set,
            beginning_of_pass_write_index: Some(first),
            end_of_pass_write_index: Some(first + 1),
        })
    }

    /// To be encoded after the last dispatch.
    pub(super) fn resolve(&self, encoder: &mut CommandEncoder) {
        if let Some((set, resolved, read)) = self.queries.as_ref().filter(|_| self.passes > 0) {
            encoder.resolve_query_set(set, 0..2 * self.passes, resolved, 0);
            encoder.copy_buffer_to_buffer(resolved, 0, read, 0, u64::from(2 * self.passes) * 8);
        }
    }

    /// To be called when the work is done: adds its time to the clock and learns the kernel's pace from it. Without
    /// timestamps `wall`, which is longer, must do.
    pub(super) fn finish(&self, context: &Context, wall: Duration) -> Result<(), Fault> {
        let pipeline = &self.pipeline;
        let Some((_, _, read)) = self.queries.as_ref().filter(|_| self.passes > 0) else {
            pipeline.learn(self.all_products, wall.as_nanos() as u64);
            return Ok(());
        };
        let bytes = u64::from(2 * self.passes) * 8;
        context.map(read, wgpu::MapMode::Read, bytes)?;
        let mut ticks = 0;
        if let Ok(view) = read.slice(..bytes).get_mapped_range() {
            for pass in view.chunks_exact(16) {
                let at = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
                ticks += at(&pass[8..]).saturating_sub(at(&pass[..8]));
            }
        }
        read.unmap();
        let nanos = ticks as f64 * f64::from(context.queue.get_timestamp_period());
        pipeline.learn(self.timed_products, nanos as u64);
        let all = nanos * self.all_products.max(1) as f64 / self.timed_products.max(1) as f64;
        context.clock.0.fetch_add(all as u64, Ordering::Relaxed);
        Ok(())
    }
}

fn open_device(adapter: &Adapter, report: &AdapterReport) -> Result<(Device, Queue), String> {
    let mut features = Features::SHADER_INT64;
    if report.subgroups.is_some() {
        features |= Features::SUBGROUP;
    }
    if report.has_timestamps {
        features |= Features::TIMESTAMP_QUERY;
    }
    let descriptor = DeviceDescriptor {
        label: Some("cipherfold"),
        required_features: features,
        required_limits: adapter.limits(),
        memory_hints: MemoryHints::Performance,
        ..DeviceDescriptor::default()
    };
    pollster::block_on(adapter.request_device(&descriptor))
        .map_err(|error| format!("{report} cannot be opened: {error}"))
}
