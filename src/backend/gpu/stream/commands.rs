//! Commands to the device: dispatches of a bounded time, and copies between them.

use std::{sync::Arc, time::Duration};

use wgpu::{
    BindGroup, BindGroupDescriptor, BindGroupEntry, BindingResource, Buffer, BufferBinding, CommandEncoder,
    ComputePassDescriptor, SubmissionIndex,
};

use super::{runtime::Runtime, timing::Timing};
use crate::backend::gpu::{
    device::{Fault, MAX_WORKGROUPS, WORKGROUP_SIZE},
    kernels::{LaneLayout, MAX_DISPATCH_TIME, Parameters, Pipeline, max_consecutive_products},
};

/// A part of a buffer that is bound to a kernel.
#[derive(Clone, Copy)]
pub(crate) struct Binding<'a> {
    pub(crate) buffer: &'a Buffer,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

impl<'a> Binding<'a> {
    pub(crate) fn whole(buffer: &'a Buffer) -> Self {
        Self { buffer, offset: 0, bytes: buffer.size() }
    }
}

/// Commands for a piece of work. They are submitted whenever their expected time reaches the limit
/// of a submission, and by [`submit`](Self::submit).
pub(crate) struct Commands<'c> {
    runtime: &'c Runtime,
    encoder: CommandEncoder,
    /// The expected time of the dispatches in the encoder.
    expected: Duration,
    timing: Timing,
}

impl<'c> Commands<'c> {
    pub(crate) fn new(runtime: &'c Runtime) -> Result<Self, Fault> {
        Ok(Self {
            runtime,
            encoder: runtime.device.encoder(),
            expected: Duration::ZERO,
            timing: Timing::new(&runtime.device, &runtime.timers)?,
        })
    }

    pub(crate) fn copy(&mut self, from: &Buffer, to: &Buffer, bytes: u64) {
        self.encoder.copy_buffer_to_buffer(from, 0, to, 0, bytes);
    }

    /// Runs a kernel over `items` items with `products` products each. Divides the work so that
    /// each dispatch is short.
    ///
    /// `parameters` gives the parameters for a range of items.
    pub(crate) fn dispatch<P: Parameters>(
        &mut self,
        layout: LaneLayout,
        bindings: &[Binding<'_>],
        items: u32,
        products: u32,
        parameters: impl Fn(u32, u32) -> P,
    ) -> Result<(), Fault> {
        let pipeline = self.runtime.pipelines.get(P::KERNEL, layout)?;
        let group = self.bind(&pipeline, bindings);
        let items_of_workgroup = WORKGROUP_SIZE / layout.lanes;
        let step = pipeline.items(products).max(self.runtime.min_items(layout));
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

    /// One dispatch of `workgroups` workgroups, however long it takes.
    #[cfg(feature = "diagnostics")]
    pub(crate) fn dispatch_whole<P: Parameters>(
        &mut self,
        layout: LaneLayout,
        bindings: &[Binding<'_>],
        workgroups: u32,
        parameters: &P,
    ) -> Result<(), Fault> {
        let pipeline = self.runtime.pipelines.get(P::KERNEL, layout)?;
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
        self.runtime.device.handle().create_bind_group(&BindGroupDescriptor {
            label: None,
            layout: &pipeline.handle().get_bind_group_layout(0),
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
        #[cfg(test)]
        self.runtime.device.inject_loss()?;
        let expected = pipeline.expected_time(products);
        if !self.expected.is_zero() && self.expected + expected > MAX_DISPATCH_TIME {
            let encoder = std::mem::replace(&mut self.encoder, self.runtime.device.encoder());
            self.runtime.device.submit(encoder.finish());
            self.expected = Duration::ZERO;
        }
        self.runtime.device.check()?;
        self.expected += expected;
        let timestamp_writes = self.timing.next_pass(pipeline, products);
        let mut pass =
            self.encoder.begin_compute_pass(&ComputePassDescriptor { label: None, timestamp_writes });
        pass.set_pipeline(pipeline.handle());
        pass.set_bind_group(0, group, &[]);
        pass.set_immediates(0, bytemuck::cast_slice(&parameters.words()));
        let width = workgroups.min(MAX_WORKGROUPS);
        pass.dispatch_workgroups(width, workgroups.div_ceil(width), 1);
        Ok(())
    }

    /// Submits the remaining commands. Returns the submission to wait for, and the timestamps of
    /// the work.
    pub(crate) fn submit(mut self) -> Result<(SubmissionIndex, Timing), Fault> {
        self.timing.resolve(&mut self.encoder);
        let index = self.runtime.device.submit(self.encoder.finish());
        self.runtime.device.check()?;
        Ok((index, self.timing))
    }
}

impl Runtime {
    /// Number of items that fill a small device. A dispatch of fewer items takes just as long.
    fn min_items(&self, layout: LaneLayout) -> u32 {
        (if self.device.report().is_software { 64 } else { 1 << 14 }) / layout.lanes
    }

    /// Maximum products in a row of one dispatch for `items` items.
    pub(crate) fn max_products(&self, pipeline: &Pipeline, layout: LaneLayout, items: u32) -> u32 {
        let by_time = pipeline.items(items.max(self.min_items(layout))).max(1);
        by_time.min(max_consecutive_products(layout))
    }
}
