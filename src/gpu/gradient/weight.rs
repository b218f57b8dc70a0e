//! The gradient of a weight in dispatches, and the parameters of each.

use super::cut::{Demand, MAX_SCRATCH, Slab, largest_window, slabs, window};
use super::parts::Parts;
use crate::gpu::dispatch::{GATHER_WORKGROUP, MAX_ELEMENTS, Window};
use crate::gpu::kernels::weight_gradient::params::{SumAxis, SumParams, WeightAxis, WeightParams};
use crate::gpu::kernels::weight_gradient::tile::{Read, WeightTile};
use crate::gpu::profile::DeviceProfile;
use crate::gpu::storage::Storage;
use crate::layout::WeightStrides;
use crate::op::Geometry;
use std::ops::Range;

/// A box of weights: blocks of input channels over all groups, blocks of output channels of a group, and tiles of taps
/// along (d, h, w).
type Weights = [Range<usize>; 5];

/// The sums of a weight's gradient, cut into parts, slabs and dispatches.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WeightSums {
    pub(crate) tile: WeightTile,
    pub(crate) parts: Parts,
    pub(crate) slabs: Vec<Slab<5>>,
}

/// What the cutting of a weight's gradient needs to know.
pub(crate) struct WeightCut<'a> {
    pub(crate) geometry: &'a Geometry,
    pub(crate) storage: Storage,
    pub(crate) profile: &'a DeviceProfile,
    pub(crate) tile: &'a WeightTile,
    pub(crate) parts: &'a Parts,
}

/// What a dispatch sees of the operands.
pub(crate) struct Seen {
    pub(crate) input: Window,
    pub(crate) gradient: Window,
}

/// The strides of the weight.
fn strides(geometry: &Geometry) -> WeightStrides {
    let op = &geometry.op;
    op.weight_layout().strides(op.in_channels(), op.out_channels() / op.groups(), &op.axes3().map(|axis| axis.kernel))
}

impl WeightCut<'_> {
    /// # Errors
    /// The demand that is furthest beyond its limit.
    pub(crate) fn slabs(&self) -> Result<Vec<Slab<5>>, Demand> {
        let [inputs, outputs] = self.tile.blocks(self.geometry);
        let [z, y, x] = self.tile.tap_tiles(self.geometry).map(|tiles| 0..tiles);
        let whole = [0..inputs * self.geometry.op.groups(), 0..outputs, z, y, x];
        slabs(whole, self.parts.runs.count, |weights, parts| match parts {
            None => self.slab_demands(weights),
            Some(parts) => self.demands(weights, parts),
        })
    }

    fn slab_demands(&self, weights: &Weights) -> Vec<Demand> {
        let binding = largest_window(4, self.profile);
        let one = self.part_stride(&[0..1, 0..1, 0..1, 0..1, 0..1]).saturating_mul(self.parts.runs.count as u64) * 4;
        vec![
            ("max_storage_buffer_binding_size", self.scratch(weights), binding.min(MAX_SCRATCH.max(one))),
            ("max_storage_buffer_binding_size", self.result(weights).size, binding),
            ("max_compute_workgroups_per_dimension", self.elements(weights), self.most_invocations(GATHER_WORKGROUP)),
        ]
    }

    fn demands(&self, weights: &Weights, parts: &Range<usize>) -> Vec<Demand> {
        let binding = largest_window(self.storage.size(), self.profile);
        let Seen { input, gradient } = self.seen(weights, parts);
        let invocations = self.tiles(weights).saturating_mul(parts.len() as u64);
        vec![
            ("max_storage_buffer_binding_size", input.size, binding),
            ("max_storage_buffer_binding_size", gradient.size, binding),
            ("max_multiply_adds", self.multiply_adds(weights, parts), self.profile.max_multiply_adds),
            ("max_compute_workgroups_per_dimension", invocations, self.most_invocations(self.tile.workgroup.into())),
        ]
    }

    fn most_invocations(&self, workgroup: u64) -> u64 {
        u64::from(self.profile.max_workgroups).pow(2).saturating_mul(workgroup).min(MAX_ELEMENTS)
    }

    /// The invocations for one part.
    pub(crate) fn tiles(&self, weights: &Weights) -> u64 {
        weights.iter().map(|range| range.len() as u64).fold(1, u64::saturating_mul)
    }

    pub(crate) fn multiply_adds(&self, weights: &Weights, parts: &Range<usize>) -> u64 {
        let products = self.tiles(weights).saturating_mul(self.tile.weights() as u64);
        products.saturating_mul(self.parts.input_count(parts))
    }

    /// The numbers that a part leaves.
    fn part_stride(&self, weights: &Weights) -> u64 {
        self.tiles(weights).saturating_mul(self.tile.weights() as u64)
    }

    /// The bytes of the numbers that all parts leave.
    pub(crate) fn scratch(&self, weights: &Weights) -> u64 {
        self.part_stride(weights).saturating_mul(self.parts.runs.count as u64).saturating_mul(4).max(4)
    }

    /// The input channels, over all groups.
    fn in_channels(&self, weights: &Weights) -> Range<usize> {
        let op = &self.geometry.op;
        let (group, [blocks, _]) = (op.in_channels() / op.groups(), self.tile.blocks(self.geometry));
        let begin = |block: usize| block / blocks * group + block % blocks * self.tile.inputs;
        let last = weights[0].end - 1;
        begin(weights[0].start)..(begin(last) + self.tile.inputs).min((last / blocks + 1) * group)
    }

    /// The output channels, counted in their group.
    fn out_channels(&self, weights: &Weights) -> Range<usize> {
        let op = &self.geometry.op;
        let outputs = self.tile.outputs;
        weights[1].start * outputs..(weights[1].end * outputs).min(op.out_channels() / op.groups())
    }

    /// The taps along (d, h, w).
    fn taps(&self, weights: &Weights) -> [Range<usize>; 3] {
        let taps = self.tile.taps3();
        [0, 1, 2].map(|a| {
            let tiles = &weights[2 + a];
            tiles.start * taps[a]..(tiles.end * taps[a]).min(self.geometry.op.axes3()[a].kernel)
        })
    }

    /// The weights that are finished.
    pub(crate) fn elements(&self, weights: &Weights) -> u64 {
        let taps = self.taps(weights).map(|taps| taps.len() as u64);
        let channels = [self.in_channels(weights).len() as u64, self.out_channels(weights).len() as u64];
        taps.into_iter().chain(channels).fold(1, u64::saturating_mul)
    }

    /// What is seen of the weight's gradient.
    pub(crate) fn result(&self, weights: &Weights) -> Window {
        let strides = strides(self.geometry);
        let ([z, y, x], [dz, dy, dx]) = (self.taps(weights), strides.spatial);
        let axes = [
            (self.in_channels(weights), strides.input),
            (self.out_channels(weights), strides.output),
            (z, dz),
            (y, dy),
            (x, dx),
        ];
        window(&span(&axes), 4, false, self.profile)
    }

    /// What some parts of some weights see of the operands.
    pub(crate) fn seen(&self, weights: &Weights, parts: &Range<usize>) -> Seen {
        let (geometry, op) = (self.geometry, &self.geometry.op);
        let (batch, inputs) = self.parts.inputs(parts);
        let taps = self.taps(weights);
        let outputs = [0, 1, 2].map(|a| {
            let axis = &op.axes3()[a];
            let landing =
                |i: usize, k: usize| i as i64 * axis.stride as i64 + k as i64 * axis.dilation as i64 - axis.pad_begin;
            let begin = landing(inputs[a].start, taps[a].start).clamp(0, geometry.output[a] as i64 - 1);
            let end = landing(inputs[a].end - 1, taps[a].end - 1) + 1;
            begin as usize..end.clamp(begin + 1, geometry.output[a] as i64) as usize
        });
        let channels = self.in_channels(weights);
        let [in_group, out_group] = [op.in_channels() / op.groups(), op.out_channels() / op.groups()];
        let out = self.out_channels(weights);
        let out =
            channels.start / in_group * out_group + out.start..(channels.end - 1) / in_group * out_group + out.end;
        let spans = [
            (geometry.input_strides(), channels, inputs, self.tile.input),
            (geometry.output_strides(), out, outputs, self.tile.gradient),
        ];
        let [input, gradient] = spans.map(|(strides, channels, [z, y, x], read)| {
            let [dz, dy, dx] = strides.spatial;
            let axes = [(batch.clone(), strides.batch), (channels, strides.channel), (z, dz), (y, dy), (x, dx)];
            window(&span(&axes), self.storage.size(), read != Read::Numbers, self.profile)
        });
        Seen { input, gradient }
    }

    /// The parameters of a dispatch over some parts.
    pub(crate) fn params(&self, weights: &Weights, parts: &Range<usize>, seen: &Seen) -> WeightParams {
        let (geometry, op) = (self.geometry, &self.geometry.op);
        let (xs, ys) = (geometry.input_strides(), geometry.output_strides());
        let axes = [0, 1, 2].map(|a| {
            let axis = &op.axes3()[a];
            WeightAxis {
                stride: axis.stride as i32,
                dilation: axis.dilation as i32,
                pad_begin: axis.pad_begin as i32,
                input_extent: geometry.input[a] as i32,
                output_extent: geometry.output[a] as i32,
                input_stride: xs.spatial[a] as i32,
                gradient_stride: ys.spatial[a] as i32,
                first_tile: weights[2 + a].start as i32,
                tiles: weights[2 + a].len() as i32,
                ..WeightAxis::default()
            }
        });
        let tiles = self.tiles(weights);
        let first = |window: Window| (window.offset / self.storage.size()) as i32;
        WeightParams {
            axes,
            group_in_channels: (op.in_channels() / op.groups()) as i32,
            group_out_channels: (op.out_channels() / op.groups()) as i32,
            in_blocks: self.tile.blocks(geometry)[0] as i32,
            first_in_block: weights[0].start as i32,
            first_out_block: weights[1].start as i32,
            out_blocks: weights[1].len() as i32,
            tiles: tiles as i32,
            invocations: (tiles * parts.len() as u64) as i32,
            first_part: parts.start as i32,
            part_segments: self.parts.runs.length as i32,
            unit_segments: self.parts.runs.unit as i32,
            unit_parts: self.parts.runs.per_unit as i32,
            segments: self.parts.runs.all as i32,
            row_segments: self.parts.row_segments as i32,
            segment_positions: self.parts.positions as i32,
            input_batch_stride: xs.batch as i32,
            input_channel_stride: xs.channel as i32,
            gradient_batch_stride: ys.batch as i32,
            gradient_channel_stride: ys.channel as i32,
            input_window: first(seen.input),
            gradient_window: first(seen.gradient),
            ..WeightParams::default()
        }
    }

    /// The parameters of the sum of the parts.
    pub(crate) fn sum_params(&self, weights: &Weights, accumulate: bool) -> SumParams {
        let (op, strides, taps) = (&self.geometry.op, strides(self.geometry), self.taps(weights));
        let tile = self.tile.taps3();
        let axes = [0, 1, 2].map(|a| SumAxis {
            first_tap: taps[a].start as i32,
            taps: taps[a].len() as i32,
            tile: tile[a] as i32,
            first_tile: weights[2 + a].start as i32,
            tiles: weights[2 + a].len() as i32,
            stride: strides.spatial[a] as i32,
            ..SumAxis::default()
        });
        let (inputs, outputs) = (self.in_channels(weights), self.out_channels(weights));
        SumParams {
            axes,
            first_in_channel: inputs.start as i32,
            first_out_channel: outputs.start as i32,
            out_channels: outputs.len() as i32,
            group_in_channels: (op.in_channels() / op.groups()) as i32,
            in_blocks: self.tile.blocks(self.geometry)[0] as i32,
            first_in_block: weights[0].start as i32,
            first_out_block: weights[1].start as i32,
            out_blocks: weights[1].len() as i32,
            in_tile: self.tile.inputs as i32,
            out_tile: self.tile.outputs as i32,
            vector: self.tile.vector() as i32,
            tiles: self.tiles(weights) as i32,
            elements: self.elements(weights) as i32,
            parts: self.parts.runs.count as i32,
            part_stride: self.part_stride(weights) as i32,
            in_stride: strides.input as i32,
            out_stride: strides.output as i32,
            window: (self.result(weights).offset / 4) as i32,
            accumulate: accumulate.into(),
            padding: 0,
        }
    }
}

/// The elements from the first of a box to its last, each axis with its stride.
pub(crate) fn span<const D: usize>(axes: &[(Range<usize>, usize); D]) -> Range<u64> {
    let at = |place: fn(&Range<usize>) -> usize| -> u64 {
        axes.iter().map(|(range, stride)| place(range) as u64 * *stride as u64).sum()
    };
    at(|range| range.start)..at(|range| range.end - 1) + 1
}
