//! The gradient of a bias in dispatches, and the parameters of each.

use super::cut::{Demand, MAX_SCRATCH, Slab, largest_window, slabs, window};
use super::parts::BiasParts;
use super::weight::span;
use crate::gpu::dispatch::{GATHER_WORKGROUP, MAX_ELEMENTS, Window};
use crate::gpu::kernels::weight_gradient::params::{BiasParams, SumAxis, SumParams};
use crate::gpu::profile::DeviceProfile;
use crate::gpu::storage::Storage;
use crate::op::Geometry;
use std::ops::Range;

/// The sums of a bias's gradient, cut into parts, slabs of channels, and dispatches.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BiasSums {
    pub(crate) parts: BiasParts,
    pub(crate) slabs: Vec<Slab<1>>,
}

/// What the cutting of a bias's gradient needs to know.
pub(crate) struct BiasCut<'a> {
    pub(crate) geometry: &'a Geometry,
    pub(crate) storage: Storage,
    pub(crate) profile: &'a DeviceProfile,
    pub(crate) parts: &'a BiasParts,
}

impl BiasCut<'_> {
    /// # Errors
    /// The demand that is furthest beyond its limit.
    pub(crate) fn slabs(&self) -> Result<Vec<Slab<1>>, Demand> {
        let binding = largest_window(4, self.profile);
        let invocations = u64::from(self.profile.max_workgroups).pow(2) * GATHER_WORKGROUP;
        let channels = 0..self.geometry.op.out_channels();
        slabs([channels], self.parts.runs.count, |[channels], parts| match parts {
            None => vec![
                ("max_storage_buffer_binding_size", self.scratch(channels), binding.min(MAX_SCRATCH)),
                ("max_storage_buffer_binding_size", self.result(channels).size, binding),
            ],
            Some(parts) => vec![
                (
                    "max_storage_buffer_binding_size",
                    self.seen(channels, parts).size,
                    largest_window(self.storage.size(), self.profile),
                ),
                ("max_multiply_adds", self.additions(channels, parts), self.profile.max_multiply_adds),
                (
                    "max_compute_workgroups_per_dimension",
                    (channels.len() * parts.len()) as u64,
                    invocations.min(MAX_ELEMENTS),
                ),
            ],
        })
    }

    /// The additions of some parts.
    pub(crate) fn additions(&self, channels: &Range<usize>, parts: &Range<usize>) -> u64 {
        (channels.len() * parts.len() * self.parts.runs.length) as u64
    }

    /// The bytes of the numbers that all parts leave.
    pub(crate) fn scratch(&self, channels: &Range<usize>) -> u64 {
        (channels.len() * self.parts.runs.count * 4).max(4) as u64
    }

    /// What is seen of the bias's gradient.
    pub(crate) fn result(&self, channels: &Range<usize>) -> Window {
        window(&(channels.start as u64..channels.end as u64), 4, false, self.profile)
    }

    /// What some parts see of the output's gradient.
    pub(crate) fn seen(&self, channels: &Range<usize>, parts: &Range<usize>) -> Window {
        let (strides, (batch, places)) = (self.geometry.output_strides(), self.parts.outputs(parts));
        let axes = [(batch, strides.batch), (channels.clone(), strides.channel), (places, strides.spatial[2])];
        window(&span(&axes), self.storage.size(), false, self.profile)
    }

    /// The parameters of a dispatch over some parts.
    pub(crate) fn params(&self, channels: &Range<usize>, parts: &Range<usize>, seen: Window) -> BiasParams {
        let strides = self.geometry.output_strides();
        BiasParams {
            first_channel: channels.start as i32,
            channels: channels.len() as i32,
            invocations: (channels.len() * parts.len()) as i32,
            first_part: parts.start as i32,
            part_positions: self.parts.runs.length as i32,
            unit_positions: self.parts.runs.unit as i32,
            unit_parts: self.parts.runs.per_unit as i32,
            positions: self.parts.runs.all as i32,
            item_positions: self.parts.item_positions as i32,
            batch_stride: strides.batch as i32,
            channel_stride: strides.channel as i32,
            position_stride: strides.spatial[2] as i32,
            window: (seen.offset / self.storage.size()) as i32,
            ..BiasParams::default()
        }
    }

    /// The parameters of the sum of the parts: those of a weight of one input channel and one tap.
    pub(crate) fn sum_params(&self, channels: &Range<usize>, accumulate: bool) -> SumParams {
        let count = channels.len() as i32;
        SumParams {
            axes: [SumAxis { taps: 1, tile: 1, tiles: 1, ..SumAxis::default() }; 3],
            first_out_channel: channels.start as i32,
            out_channels: count,
            group_in_channels: 1,
            in_blocks: 1,
            first_out_block: channels.start as i32,
            out_blocks: count,
            in_tile: 1,
            out_tile: 1,
            vector: 1,
            tiles: count,
            elements: count,
            parts: self.parts.runs.count as i32,
            part_stride: count,
            out_stride: 1,
            window: (self.result(channels).offset / 4) as i32,
            accumulate: accumulate.into(),
            ..SumParams::default()
        }
    }
}
