//! An open device: its kernels and buffers, and what has gone wrong with it.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use wgpu::{
    Adapter, Buffer, BufferDescriptor, BufferUsages, CommandEncoder, CommandEncoderDescriptor,
    ComputePipelineDescriptor, Device, DeviceDescriptor, Features, MemoryHints, PollType, Queue,
    ShaderModuleDescriptor, ShaderSource, SubmissionIndex,
};

use super::{
    Options,
    adapter::{self, AdapterReport},
    commands::{Pipeline, Queries},
    host::Threads,
    layout::Layout,
    pool::Pool,
    shader::{self, Exchange, Kernel},
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
    pub(super) clock: Arc<Clock>,
    /// What timestamps need, not in use.
    pub(super) queries: Mutex<Vec<Queries>>,
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

    pub(super) fn add(&self, nanos: u64) {
        self.0.fetch_add(nanos, Ordering::Relaxed);
    }
}

/// How long a device may stay silent before it counts as lost.
const SILENCE: Duration = Duration::from_secs(60);

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
            queries: Mutex::default(),
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
        let pipeline = Arc::new(Pipeline::new(pipeline, guess));
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

    /// Breaks the device if a test wants it now.
    pub(super) fn burn(&self) -> Result<(), Fault> {
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

fn open_device(adapter: &Adapter, report: &AdapterReport) -> Result<(Device, Queue), String> {
    let mut features = Features::SHADER_INT64 | Features::IMMEDIATES;
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
