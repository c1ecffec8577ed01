//! Failover: if a device fails, its batch is done again on a new device, and then on the CPU.

use std::{
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

#[cfg(test)]
use crate::backend::gpu::device::FaultInjection;
use crate::backend::gpu::{
    device::{AdapterReport, Clock, Device, Fault, Settings},
    kernels::{Exchange, LaneLayout},
    memory::{Threads, UploadMemory},
    options::Options,
    self_test::TestedDevice,
    stream::{Runtime, faster_upload_memory},
    sync::lock,
};

/// The current device of one GPU, replaced when it fails. Batches of several callers run on it at
/// the same time.
pub(crate) struct Failover {
    opener: DeviceOpener,
    report: AdapterReport,
    state: Mutex<State>,
}

/// Opens the first device and its replacement.
struct DeviceOpener {
    options: Options,
    threads: Arc<Threads>,
    /// Chosen when the first device is opened.
    upload_memory: OnceLock<UploadMemory>,
    clock: Arc<Clock>,
    #[cfg(test)]
    injection: Arc<FaultInjection>,
}

impl DeviceOpener {
    fn open(&self, generation: u64) -> Result<TestedDevice, String> {
        let mut device = self.open_device(generation)?;
        let upload_memory = if let Some(chosen) = self.upload_memory.get() {
            *chosen
        } else {
            let chosen = self.choose_upload_memory(&device);
            if chosen.is_err() {
                // A device is not used any more after a fault.
                device = self.open_device(generation)?;
            }
            *self.upload_memory.get_or_init(|| chosen.unwrap_or(UploadMemory::Device))
        };
        let runtime = Runtime::new(&device, &self.threads, self.options.lanes, upload_memory);
        Ok(TestedDevice::new(runtime))
    }

    /// The memory that the options ask for, or the faster one if there are two.
    fn choose_upload_memory(&self, device: &Arc<Device>) -> Result<UploadMemory, Fault> {
        let report = device.report();
        match self.options.upload_memory {
            Some(memory) => Ok(memory),
            None if report.is_discrete && !report.is_software => faster_upload_memory(device, &self.threads),
            None => Ok(UploadMemory::Device),
        }
    }

    fn open_device(&self, generation: u64) -> Result<Arc<Device>, String> {
        Device::open(&Settings {
            adapter: self.options.adapter.as_deref(),
            subgroups: self.options.exchange != Some(Exchange::Workgroup),
            binding_bytes: self.options.binding_bytes,
            generation,
            clock: &self.clock,
            #[cfg(test)]
            injection: &self.injection,
        })
        .map(Arc::new)
    }
}

struct State {
    device: Option<Arc<TestedDevice>>,
    /// Devices opened so far.
    opened: u64,
    /// Failures since the last batch that succeeded.
    failures: u32,
    faults: Vec<String>,
}

impl State {
    fn is_current(&self, device: &Arc<TestedDevice>) -> bool {
        self.device.as_ref().is_some_and(|current| Arc::ptr_eq(current, device))
    }
}

/// Failures in a row after which the CPU does all further batches.
const MAX_FAILURES: u32 = 2;

/// Maximum bytes of contributions to a fold that wait for the device. They wait because few large
/// pieces are faster than many small ones.
const MAX_WAITING_BYTES: usize = 256 << 20;

/// Maximum bytes of contributions in a journal, which the host keeps in case the device is lost.
const MAX_JOURNAL_BYTES: usize = 512 << 20;

impl Failover {
    /// Opens the first device.
    pub(crate) fn open(options: &Options) -> Result<Self, String> {
        let opener = DeviceOpener {
            options: options.clone(),
            threads: Arc::new(Threads::new()?),
            upload_memory: OnceLock::new(),
            clock: Arc::default(),
            #[cfg(test)]
            injection: Arc::default(),
        };
        let device = opener.open(1)?;
        let report = device.runtime().device.report().clone();
        let state = State { device: Some(Arc::new(device)), opened: 1, failures: 0, faults: Vec::new() };
        Ok(Self { opener, report, state: Mutex::new(state) })
    }

    /// The adapter's properties.
    pub(crate) fn report(&self) -> &AdapterReport {
        &self.report
    }

    /// The faults of all devices.
    pub(crate) fn faults(&self) -> Vec<String> {
        lock(&self.state).faults.clone()
    }

    /// Whether batches still go to a device.
    pub(crate) fn is_alive(&self) -> bool {
        lock(&self.state).failures < MAX_FAILURES
    }

    /// Total time of the kernels on all devices.
    pub(crate) fn kernel_time(&self) -> Duration {
        self.opener.clock.total()
    }

    /// Does a batch of `len` items on the device. If the device fails, does it again on a new one,
    /// and then by `on_cpu`.
    pub(crate) fn run<T>(
        &self,
        len: usize,
        on_device: &mut dyn FnMut(&TestedDevice) -> Result<T, Fault>,
        on_cpu: impl FnOnce() -> T,
    ) -> T {
        if len > 0 {
            for _ in 0..MAX_FAILURES {
                // The lock is held only while a device is opened, not while one works.
                let Some(device) = self.device(&mut lock(&self.state)) else { break };
                match on_device(&device) {
                    Ok(done) => {
                        self.record_success(&device);
                        return done;
                    }
                    Err(fault) => self.record_failure(&device, fault),
                }
            }
        }
        on_cpu()
    }

    fn record_success(&self, device: &Arc<TestedDevice>) {
        let state = &mut *lock(&self.state);
        if state.is_current(device) {
            state.failures = 0;
        }
    }

    /// Stops using a device. All its batches fail, and only the first of these failures counts.
    fn record_failure(&self, device: &Arc<TestedDevice>, Fault(text): Fault) {
        let state = &mut *lock(&self.state);
        if state.is_current(device) {
            state.faults.push(text);
            state.failures += 1;
            state.device = None;
        }
    }

    /// The current device, or a new one after one failure.
    fn device(&self, state: &mut State) -> Option<Arc<TestedDevice>> {
        if let Some(device) = &state.device {
            return Some(Arc::clone(device));
        }
        if state.failures >= MAX_FAILURES {
            return None;
        }
        state.opened += 1;
        match self.opener.open(state.opened) {
            Ok(device) => {
                let device = Arc::new(device);
                state.device = Some(Arc::clone(&device));
                Some(device)
            }
            Err(text) => {
                state.faults.push(text);
                state.failures = MAX_FAILURES;
                None
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn current_device(&self) -> Arc<TestedDevice> {
        self.device(&mut lock(&self.state)).expect("it has been opened")
    }

    /// The faults that a test causes.
    #[cfg(test)]
    pub(crate) fn injection(&self) -> &FaultInjection {
        &self.opener.injection
    }

    /// Maximum bytes of contributions to a fold that wait for the device.
    pub(crate) fn max_waiting_bytes(&self) -> usize {
        self.opener
            .options
            .binding_bytes
            .map_or(MAX_WAITING_BYTES, |bytes| MAX_WAITING_BYTES.min(bytes as usize))
    }

    /// Maximum bytes of a journal, before a copy of the accumulators replaces it.
    pub(crate) fn max_journal_bytes(&self) -> usize {
        let limit = self.opener.options.binding_bytes.map(|bytes| 4 * bytes as usize);
        limit.map_or(MAX_JOURNAL_BYTES, |limit| MAX_JOURNAL_BYTES.min(limit))
    }

    /// The layout of residues in the lanes, for an n of `bits` bits.
    pub(crate) fn layout(&self, bits: u32) -> LaneLayout {
        self.report.layout_with(bits, self.opener.options.lanes)
    }
}
