//! Compiled kernels, and their pace.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use wgpu::{
    ComputePipeline, ComputePipelineDescriptor, PipelineCompilationOptions, ShaderModuleDescriptor,
    ShaderSource,
};

use super::{
    exchange::Exchange,
    kernel::{Kernel, compose},
    layout::LaneLayout,
};
use crate::backend::gpu::{
    device::{AdapterReport, Device, Fault},
    sync::lock,
};

/// Maximum time of a dispatch, and of all that is submitted at once: displays and watchdogs get their turns.
pub(crate) const MAX_DISPATCH_TIME: Duration = Duration::from_millis(50);

/// Loop iterations that an invocation may do on a software rasteriser, all loops together: Mesa's cuts shaders off at
/// 65,535, without a word (gallivm, `LP_MAX_TGSI_LOOP_ITERATIONS`).
const MAX_ITERATIONS: u32 = 60_000;

/// A compiled kernel, and its pace.
pub(crate) struct Pipeline {
    pipeline: ComputePipeline,
    /// Femtoseconds per product, the best seen so far: the length of dispatches follows from it.
    pace: AtomicU64,
}

impl Pipeline {
    pub(crate) fn handle(&self) -> &ComputePipeline {
        &self.pipeline
    }

    fn pace(&self) -> u64 {
        self.pace.load(Ordering::Relaxed).max(1)
    }

    /// The number of items, of `products` products each, that fill a dispatch.
    pub(crate) fn items(&self, products: u32) -> u32 {
        let products_in_time = MAX_DISPATCH_TIME.as_nanos() as u64 * 1_000_000 / self.pace();
        u32::try_from(products_in_time / u64::from(products.max(1))).unwrap_or(u32::MAX)
    }

    /// The time that `products` products should take.
    pub(crate) fn expected(&self, products: u64) -> Duration {
        Duration::from_nanos(products.saturating_mul(self.pace()) / 1_000_000)
    }

    /// Records how long products took.
    pub(crate) fn learn(&self, products: u64, nanos: u64) {
        if let Some(pace) = nanos.saturating_mul(1_000_000).checked_div(products).filter(|pace| *pace > 0) {
            self.pace.fetch_min(pace, Ordering::Relaxed);
        }
    }
}

/// Maximum products in a row of one dispatch, whatever its time.
pub(crate) fn longest_run(layout: LaneLayout) -> u32 {
    // A product loops over the lanes; loops around it and at the end are counted generously.
    (MAX_ITERATIONS - 2000) / (layout.lanes + 2)
}

/// The kernels of a device, each compiled at its first use.
pub(crate) struct Pipelines {
    device: Arc<Device>,
    lanes: Option<u32>,
    compiled: Mutex<HashMap<(Kernel, LaneLayout), Arc<Pipeline>>>,
}

impl Pipelines {
    /// With a number of lanes other than the layouts' own, if one is given.
    pub(crate) fn new(device: &Arc<Device>, lanes: Option<u32>) -> Self {
        Self { device: Arc::clone(device), lanes, compiled: Mutex::default() }
    }

    /// The layout of residues for an n of `bits` bits.
    pub(crate) fn layout(&self, bits: u32) -> LaneLayout {
        self.device.report().layout_with(bits, self.lanes)
    }

    /// The kernel for a layout.
    pub(crate) fn get(&self, kernel: Kernel, layout: LaneLayout) -> Result<Arc<Pipeline>, Fault> {
        let mut compiled = lock(&self.compiled);
        if let Some(pipeline) = compiled.get(&(kernel, layout)) {
            return Ok(Arc::clone(pipeline));
        }
        let report = self.device.report();
        let text = compose(kernel, layout, Exchange::choose(report.subgroups, layout));
        let module = self.device.handle().create_shader_module(ShaderModuleDescriptor {
            label: Some(kernel.name()),
            source: ShaderSource::Wgsl(text.into()),
        });
        let pipeline = self.device.handle().create_compute_pipeline(&ComputePipelineDescriptor {
            label: Some(kernel.name()),
            layout: None,
            module: &module,
            entry_point: Some(kernel.name()),
            compilation_options: PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false, // all of it is written before it is read
                ..Default::default()
            },
            cache: None,
        });
        self.device.check()?;
        let pipeline = Arc::new(Pipeline { pipeline, pace: AtomicU64::new(initial_pace(report, layout)) });
        compiled.insert((kernel, layout), Arc::clone(&pipeline));
        Ok(pipeline)
    }
}

/// A guess, in femtoseconds a product, that few devices fail to keep: for 2048 bits 50 ns on a card, a microsecond on a
/// processor's own GPU, and ten without any.
fn initial_pace(report: &AdapterReport, layout: LaneLayout) -> u64 {
    let width = u64::from(layout.bits).max(512);
    let factor = match (report.is_software, report.is_discrete) {
        (true, _) => 2400,
        (false, true) => 12,
        (false, false) => 240,
    };
    width * width * factor
}
