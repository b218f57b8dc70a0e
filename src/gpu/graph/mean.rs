//! The mean of each channel, in two dispatches: of blocks, and of those.

use super::kernel::Kernel;
use super::map::{bound_bytes, placed};
use crate::error::Result;
use crate::gpu::device::binding::{entry, whole};
use crate::gpu::device::context::Context;
use crate::gpu::device::step::Step;
use crate::gpu::dispatch::{GATHER_WORKGROUP, Window, rows};
use crate::gpu::kernels::means::{BlockParams, MeanParams, SIDE};
use crate::gpu::kernels::variant::Variant;
use crate::gpu::storage::Storage;
use crate::graph::schedule::{Place, Schedule, Slot, extents};
use wgpu::{Buffer, BufferSlice, BufferUsages};

/// What computes the mean of each channel of each item.
#[derive(Debug)]
pub(super) struct MeanStage {
    input: Slot,
    input_bytes: u64,
    output_bytes: u64,
    sums: Buffer,
    blocks: Kernel,
    means: Kernel,
}

impl MeanStage {
    /// Of the value with this index.
    pub(super) fn new(
        context: &Context,
        schedule: &Schedule,
        value: usize,
        place: Place,
        storage: Storage,
    ) -> Result<Self> {
        let shape = &schedule.shapes[value];
        let from = placed(schedule, value)?;
        let [d, h, w] = extents(shape);
        let (plane, means) = (d * h * w, shape[0] * shape[1]);
        let blocks = d * h.div_ceil(SIDE) * w.div_ceil(SIDE);
        let most = context.profile().max_workgroups;
        let params = BlockParams {
            blocks: (means * blocks) as u32,
            channels: shape[1] as u32,
            item_stride: (from.of * plane) as u32,
            channel_stride: plane as u32,
            first: (from.first * plane) as u32,
            depth: d as u32,
            height: h as u32,
            width: w as u32,
        };
        let first = Kernel {
            pipeline: context.pipeline(&Variant::BlockSums { storage })?,
            uniform: context.uniforms(&[bytemuck::bytes_of(&params)])?.0,
            workgroups: rows((means * blocks).div_ceil(GATHER_WORKGROUP as usize) as u64, most),
            multiply_adds: (means * plane) as u64,
            name: "block_sums",
        };
        let params = MeanParams {
            means: means as u32,
            channels: shape[1] as u32,
            blocks: blocks as u32,
            item_stride: place.of as u32,
            first: place.first as u32,
            elements: plane as f32,
            ..MeanParams::default()
        };
        let second = Kernel {
            pipeline: context.pipeline(&Variant::Means { storage })?,
            uniform: context.uniforms(&[bytemuck::bytes_of(&params)])?.0,
            workgroups: rows(means as u64, most),
            multiply_adds: (means * blocks) as u64,
            name: "means",
        };
        let of_means = [&shape[..2], &[1][..]].concat();
        Ok(Self {
            input: from.slot,
            input_bytes: bound_bytes(context, shape, from, storage)?,
            output_bytes: bound_bytes(context, &of_means, place, storage)?,
            sums: context.buffer("upconv means", 4 * (means * blocks) as u64, BufferUsages::STORAGE)?,
            blocks: first,
            means: second,
        })
    }

    pub(super) fn steps<'b>(
        &self,
        context: &Context,
        slice: &impl Fn(Slot) -> Result<BufferSlice<'b>>,
        output: BufferSlice<'b>,
    ) -> Result<Vec<Step>> {
        let input = slice(self.input)?;
        let seen = (input.buffer(), Window { offset: input.offset(), size: self.input_bytes });
        let written = (output.buffer(), Window { offset: output.offset(), size: self.output_bytes });
        let sums = (&self.sums, whole(&self.sums));
        let step = |kernel: &Kernel, from: (&Buffer, Window), to: (&Buffer, Window)| {
            kernel.step(context, vec![entry(1, from.0, from.1), entry(2, to.0, to.1)])
        };
        Ok(vec![step(&self.blocks, seen, sums)?, step(&self.means, sums, written)?])
    }
}
