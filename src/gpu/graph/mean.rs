//! The mean of each channel, in two dispatches: the sums of blocks, and what those come to.

use super::kernel::Kernel;
use super::map::{bound_bytes, placed};
use crate::error::Result;
use crate::gpu::device::binding::entry;
use crate::gpu::device::context::Context;
use crate::gpu::device::step::Step;
use crate::gpu::dispatch::{GATHER_WORKGROUP, Window, rows};
use crate::gpu::kernels::means::{BlockParams, MeanParams};
use crate::gpu::kernels::variant::Variant;
use crate::gpu::storage::Storage;
use crate::graph::action::extents;
use crate::graph::part::BLOCK;
use crate::graph::schedule::{Place, Schedule, Slot};
use wgpu::BufferSlice;

/// One of the two halves.
#[derive(Debug)]
pub(super) struct MeanStage {
    input: Slot,
    input_bytes: u64,
    output_bytes: u64,
    kernel: Kernel,
}

impl MeanStage {
    /// The sums of the blocks of the value with the first of these indices, from a place on, as the second.
    pub(super) fn block_sums(
        context: &Context,
        schedule: &Schedule,
        [value, output]: [usize; 2],
        [z, y, x]: [usize; 3],
        place: Place,
        storage: Storage,
    ) -> Result<Self> {
        let (shape, sums, from) = (schedule.shape(value), schedule.shape(output), placed(schedule, value)?);
        let ([d, h, w], [depth, rows_of_blocks, columns]) = (extents(shape), extents(sums));
        let (plane, blocks) = (d * h * w, depth * rows_of_blocks * columns);
        let n = |number: usize| number as u32;
        let count = shape[0] * shape[1] * blocks;
        let params = BlockParams {
            blocks: n(count),
            channels: n(shape[1]),
            depth: n(depth),
            rows: n(rows_of_blocks),
            columns: n(columns),
            output_item: n(place.of * blocks),
            output_first: n(place.first * blocks),
            input_item: n(from.of * plane),
            input_channel: n(plane),
            input_plane: n(h * w),
            input_row: n(w),
            input_first: n(from.first * plane + (z * h + y) * w + x),
            height: n(h - y),
            width: n(w - x),
            ..BlockParams::default()
        };
        let kernel = Kernel {
            pipeline: context.pipeline(&Variant::BlockSums { storage })?,
            uniform: context.uniforms(&[bytemuck::bytes_of(&params)])?.0,
            workgroups: rows((count as u64).div_ceil(GATHER_WORKGROUP), context.profile().max_workgroups),
            multiply_adds: shape.iter().product::<usize>() as u64,
            name: "block_sums",
        };
        let input_bytes = bound_bytes(context, shape, from, storage)?;
        let output_bytes = bound_bytes(context, sums, place, storage)?;
        Ok(Self { input: from.slot, input_bytes, output_bytes, kernel })
    }

    /// From the value with the first of these indices, the block sums of channels of so many elements, the means as the second.
    pub(super) fn means(
        context: &Context,
        schedule: &Schedule,
        [sums, output]: [usize; 2],
        elements: usize,
        place: Place,
        storage: Storage,
    ) -> Result<Self> {
        let (shape, from) = (schedule.shape(sums), placed(schedule, sums)?);
        let (means, blocks) = (shape[0] * shape[1], extents(shape).iter().product::<usize>());
        let params = MeanParams {
            means: means as u32,
            channels: shape[1] as u32,
            blocks: blocks as u32,
            input_item: (from.of * blocks) as u32,
            input_first: (from.first * blocks) as u32,
            output_item: place.of as u32,
            output_first: place.first as u32,
            elements: elements as f32 / (BLOCK * BLOCK) as f32,
        };
        let kernel = Kernel {
            pipeline: context.pipeline(&Variant::Means { storage })?,
            uniform: context.uniforms(&[bytemuck::bytes_of(&params)])?.0,
            workgroups: rows(means as u64, context.profile().max_workgroups),
            multiply_adds: (means * blocks) as u64,
            name: "means",
        };
        let input_bytes = bound_bytes(context, shape, from, storage)?;
        let output_bytes = bound_bytes(context, schedule.shape(output), place, storage)?;
        Ok(Self { input: from.slot, input_bytes, output_bytes, kernel })
    }

    pub(super) fn step<'b>(
        &self,
        context: &Context,
        slice: &impl Fn(Slot) -> Result<BufferSlice<'b>>,
        output: BufferSlice<'b>,
    ) -> Result<Step> {
        let input = slice(self.input)?;
        let seen = Window { offset: input.offset(), size: self.input_bytes };
        let written = Window { offset: output.offset(), size: self.output_bytes };
        self.kernel.step(context, vec![entry(1, input.buffer(), seen), entry(2, output.buffer(), written)])
    }
}
