//! Compiled kernels, and their time for a product.

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

/// Maximum time of a dispatch, and of one submission, so that displays stay responsive and no
/// watchdog ends the work.
pub(crate) const MAX_DISPATCH_TIME: Duration = Duration::from_millis(50);

/// Maximum loop iterations of an invocation on a software rasteriser, over all loops. Mesa's
/// rasteriser stops shaders after 65,535 iterations without an error (gallivm,
/// `LP_MAX_TGSI_LOOP_ITERATIONS`).
const MAX_ITERATIONS: u32 = 60_000;

/// A compiled kernel, and its time for a product.
pub(crate) struct Pipeline {
    pipeline: ComputePipeline,
    /// Minimum femtoseconds for a product so far. The length of dispatches follows from it.
    product_time: AtomicU64,
}

impl Pipeline {
    pub(crate) fn handle(&self) -> &ComputePipeline {
        &self.pipeline
    }

    fn product_time(&self) -> u64 {
        self.product_time.load(Ordering::Relaxed).max(1)
    }

    /// The number of items, with `products` products each, that fill a dispatch.
    pub(crate) fn items(&self, products: u32) -> u32 {
        let products_in_time = MAX_DISPATCH_TIME.as_nanos() as u64 * 1_000_000 / self.product_time();
        u32::try_from(products_in_time / u64::from(products.max(1))).unwrap_or(u32::MAX)
    }

    /// The expected time of `products` products.
    pub(crate) fn expected_time(&self, products: u64) -> Duration {
        Duration::from_nanos(products.saturating_mul(self.product_time()) / 1_000_000)
    }

    /// Records the time of some products.
    pub(crate) fn record_time(&self, products: u64, nanos: u64) {
        if let Some(product_time) =
            nanos.saturating_mul(1_000_000).checked_div(products).filter(|product_time| *product_time > 0)
        {
            self.product_time.fetch_min(product_time, Ordering::Relaxed);
        }
    }
}

/// Maximum products in a row of one dispatch, whatever its time.
pub(crate) fn max_consecutive_products(layout: LaneLayout) -> u32 {
    // A product loops over the lanes; loops around it and at the end are counted generously.
    (MAX_ITERATIONS - 2000) / (layout.lanes + 2)
}

/// The kernels of a device. Each is compiled at its first use.
pub(crate) struct Pipelines {
    device: Arc<Device>,
    lanes: Option<u32>,
    compiled: Mutex<HashMap<(Kernel, LaneLayout), Arc<Pipeline>>>,
}

impl Pipelines {
    /// `lanes` replaces the layouts' own number of lanes, if given.
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
                zero_initialize_workgroup_memory: false, // shaders write it before they read it
                ..Default::default()
            },
            cache: None,
        });
        self.device.check()?;
        let pipeline = Arc::new(Pipeline {
            pipeline,
            product_time: AtomicU64::new(initial_product_time(report, layout)),
        });
        compiled.insert((kernel, layout), Arc::clone(&pipeline));
        Ok(pipeline)
    }
}

/// An estimate, in femtoseconds a product, that most devices meet: for 2048 bits 50 ns on a card, 1
/// µs on a GPU inside a processor, and 10 µs without a GPU.
fn initial_product_time(report: &AdapterReport, layout: LaneLayout) -> u64 {
    let width = u64::from(layout.bits).max(512);
    let factor = match (report.is_software, report.is_discrete) {
        (true, _) => 2400,
        (false, true) => 12,
        (false, false) => 240,
    };
    width * width * factor
}
