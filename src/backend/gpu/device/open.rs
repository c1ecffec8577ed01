//! An open device and its queue.

#[cfg(test)]
use std::sync::atomic::{AtomicU64, Ordering};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use wgpu::{
    Adapter, Buffer, BufferDescriptor, BufferUsages, CommandBuffer, CommandEncoder, CommandEncoderDescriptor,
    DeviceDescriptor, Features, MapMode, MemoryHints, PollType, Queue, SubmissionIndex,
};

#[cfg(test)]
use super::fault_injection::FaultInjection;
use super::{
    adapter::{self, AdapterReport},
    clock::Clock,
    fault::{Fault, Faults},
};

/// The settings to open a device with.
pub(crate) struct Settings<'a> {
    /// A part of the adapter's name, to select among several.
    pub(crate) adapter: Option<&'a str>,
    /// Whether kernels may use subgroups.
    pub(crate) subgroups: bool,
    /// Maximum bytes of a binding, if less than the device's limit.
    pub(crate) binding_bytes: Option<u64>,
    /// Number of this device in the order of opening.
    pub(crate) generation: u64,
    /// Sums the time of kernels.
    pub(crate) clock: &'a Arc<Clock>,
    /// Faults that a test injects.
    #[cfg(test)]
    pub(crate) injection: &'a Arc<FaultInjection>,
}

/// An open device.
pub(crate) struct Device {
    handle: wgpu::Device,
    queue: Queue,
    report: AdapterReport,
    generation: u64,
    offset_alignment: u64,
    binding_bytes: u64,
    clock: Arc<Clock>,
    faults: Arc<Faults>,
    #[cfg(test)]
    injection: Arc<FaultInjection>,
    /// Number of times that a caller has waited for the device.
    #[cfg(test)]
    waits: AtomicU64,
}

/// A device that does not answer for longer than this counts as lost.
const TIMEOUT: Duration = Duration::from_secs(60);

impl Device {
    pub(crate) fn open(settings: &Settings<'_>) -> Result<Self, String> {
        let (adapter, mut report) = adapter::choose(settings.adapter)?;
        if !settings.subgroups {
            report.subgroups = None;
        }
        let (handle, queue) = request(&adapter, &report)?;
        let faults = Arc::<Faults>::default();
        let lost = Arc::clone(&faults);
        handle.set_device_lost_callback(move |reason, text| {
            lost.record_loss(format!("device lost ({reason:?}): {text}"));
        });
        let failed = Arc::clone(&faults);
        handle.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            failed.record(format!("device error: {error}"));
        }));
        let limits = handle.limits();
        Ok(Self {
            offset_alignment: u64::from(limits.min_storage_buffer_offset_alignment).max(256),
            // A power of two, like the sizes of pooled buffers.
            binding_bytes: 1
                << settings
                    .binding_bytes
                    .unwrap_or(u64::MAX)
                    .min(limits.max_storage_buffer_binding_size)
                    .min(limits.max_buffer_size)
                    .max(1)
                    .ilog2(),
            handle,
            queue,
            report,
            generation: settings.generation,
            clock: Arc::clone(settings.clock),
            faults,
            #[cfg(test)]
            injection: Arc::clone(settings.injection),
            #[cfg(test)]
            waits: AtomicU64::new(0),
        })
    }

    pub(crate) fn handle(&self) -> &wgpu::Device {
        &self.handle
    }

    pub(crate) fn report(&self) -> &AdapterReport {
        &self.report
    }

    /// Number of this device in the order of opening. Buffers of another generation do not exist
    /// any more.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Alignment of the start of a binding, in bytes.
    pub(crate) fn offset_alignment(&self) -> u64 {
        self.offset_alignment
    }

    /// Maximum bytes of a binding; a power of two.
    pub(crate) fn binding_bytes(&self) -> u64 {
        self.binding_bytes
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Nanoseconds of a tick of the timestamps.
    pub(crate) fn timestamp_period(&self) -> f64 {
        f64::from(self.queue.get_timestamp_period())
    }

    /// The device's fault, if it has failed.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        self.faults.check()
    }

    /// Returns a fault if the device accepts no commands. A device that gave a wrong result still
    /// accepts commands, which clear its buffers.
    pub(crate) fn check_not_lost(&self) -> Result<(), Fault> {
        if self.faults.is_lost() { Err(self.fault("device lost")) } else { Ok(()) }
    }

    /// Records a fault: the device is not used for results any more.
    pub(crate) fn fault(&self, text: &str) -> Fault {
        self.faults.record(text.to_owned())
    }

    /// Returns a fault unless `is_right`: the sampled result is equal to the CPU's.
    pub(crate) fn check_sample(&self, is_right: bool, what: &str) -> Result<(), Fault> {
        #[cfg(test)]
        let is_right = is_right && !self.injection.rejects_sample();
        if is_right { Ok(()) } else { Err(self.fault(&format!("a sample of {what} is wrong"))) }
    }

    /// Destroys the device if a test has asked for its loss at this dispatch.
    #[cfg(test)]
    pub(crate) fn inject_loss(&self) -> Result<(), Fault> {
        if self.injection.loses_device() {
            self.handle.destroy();
            // The next poll calls the callback for lost devices.
            self.poll(PollType::Poll)?;
        }
        Ok(())
    }

    /// Whether a test has asked to refuse the next buffer in the host's memory.
    #[cfg(test)]
    pub(crate) fn refuses_host_memory(&self) -> bool {
        self.injection.refuses_host_memory()
    }

    /// Number of times that a caller has waited for the device.
    #[cfg(test)]
    pub(crate) fn waits(&self) -> u64 {
        self.waits.load(Ordering::Relaxed)
    }

    pub(crate) fn encoder(&self) -> CommandEncoder {
        self.handle.create_command_encoder(&CommandEncoderDescriptor::default())
    }

    pub(crate) fn submit(&self, commands: CommandBuffer) -> SubmissionIndex {
        self.queue.submit([commands])
    }

    pub(crate) fn buffer(
        &self,
        label: &str,
        bytes: u64,
        usage: BufferUsages,
        mapped_at_creation: bool,
    ) -> Result<Buffer, Fault> {
        let size = bytes.max(4);
        let descriptor = BufferDescriptor { label: Some(label), size, usage, mapped_at_creation };
        let buffer = self.handle.create_buffer(&descriptor);
        self.check()?;
        Ok(buffer)
    }

    /// Maps a buffer, and waits for it.
    pub(crate) fn map(&self, buffer: &Buffer, mode: MapMode, bytes: u64) -> Result<(), Fault> {
        self.check()?;
        self.map_after_fault(buffer, mode, bytes)
    }

    /// [`map`](Self::map) on a device that may have given wrong results, but is not lost.
    pub(crate) fn map_after_fault(&self, buffer: &Buffer, mode: MapMode, bytes: u64) -> Result<(), Fault> {
        #[cfg(test)]
        self.waits.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = std::sync::mpsc::channel();
        buffer.slice(..bytes).map_async(mode, move |result| {
            let _ = sender.send(result); // After a fault the receiver is dropped.
        });
        let begin = Instant::now();
        loop {
            // The caller has waited for the work on this buffer, so this loop need not wait for
            // later work.
            self.poll(PollType::Poll)?;
            self.check_not_lost()?;
            match receiver.try_recv() {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => return Err(self.fault(&format!("a buffer cannot be mapped: {error}"))),
                Err(_) if begin.elapsed() > TIMEOUT => {
                    return Err(self.fault("a buffer is not mapped in time"));
                }
                Err(_) => std::thread::sleep(Duration::from_micros(20)),
            }
        }
    }

    /// Waits until submitted work is done.
    pub(crate) fn wait(&self, index: SubmissionIndex) -> Result<(), Fault> {
        #[cfg(test)]
        self.waits.fetch_add(1, Ordering::Relaxed);
        self.poll(PollType::Wait { submission_index: Some(index), timeout: Some(TIMEOUT) })?;
        self.check()
    }

    fn poll(&self, how: PollType) -> Result<(), Fault> {
        self.handle.poll(how).map_err(|error| self.fault(&format!("the device does not answer: {error}")))?;
        Ok(())
    }
}

fn request(adapter: &Adapter, report: &AdapterReport) -> Result<(wgpu::Device, Queue), String> {
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
