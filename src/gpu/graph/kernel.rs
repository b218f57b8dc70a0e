//! One dispatch of a graph's own kernels, compiled for a shape.

use crate::error::Result;
use crate::gpu::device::binding::{entry, whole};
use crate::gpu::device::context::Context;
use crate::gpu::device::step::Step;
use wgpu::{BindGroupDescriptor, BindGroupEntry, Buffer, ComputePipeline};

/// A kernel with its parameters, which are at binding 0.
#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) name: &'static str,
    pub(super) pipeline: ComputePipeline,
    pub(super) uniform: Buffer,
    pub(super) workgroups: [u32; 2],
    pub(super) multiply_adds: u64,
}

impl Kernel {
    /// The dispatch over these buffers.
    pub(super) fn step<'b>(&'b self, context: &Context, mut entries: Vec<BindGroupEntry<'b>>) -> Result<Step> {
        entries.push(entry(0, &self.uniform, whole(&self.uniform)));
        context.checked("binding buffers", || {
            let layout = self.pipeline.get_bind_group_layout(0);
            let descriptor = BindGroupDescriptor { label: Some("upconv graph"), layout: &layout, entries: &entries };
            let [x, y] = self.workgroups;
            Step {
                pipeline: self.pipeline.clone(),
                bind_group: context.device().create_bind_group(&descriptor),
                workgroups: [x, y, 1],
                layer: 0,
                kernel: self.name,
                band: None,
                multiply_adds: self.multiply_adds,
            }
        })
    }
}
