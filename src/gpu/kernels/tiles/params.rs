//! The parameters of `direct` and `tiled`.

use super::tile::Tile;
use crate::gpu::dispatch::{Dispatch, split_stride};
use crate::gpu::kernels::activation;
use crate::gpu::kernels::pack::tiles::{Packing, vec4_bytes};
use crate::gpu::kernels::params::shader_struct;
use crate::gpu::storage::Storage;
use crate::op::Geometry;

shader_struct! {
    /// `Axis` of `direct.wgsl`, field by field.
    GpuAxis {
        first_cell: i32,
        tiles: i32,
        origin: i32,
        input_extent: i32,
        input_stride: i32,
        output_stride: i32,
        residual_stride: i32,
        output_begin: i32,
        output_extent: i32,
        padding_1: i32,
        padding_2: i32,
        padding_3: i32,
    }
}

shader_struct! {
    /// `Params` of `direct.wgsl`, field by field.
    Params {
        axes: [GpuAxis; 3],
        invocations: i32,
        batch_begin: i32,
        first_block: i32,
        blocks_per_group: i32,
        group_in_channels: i32,
        group_out_channels: i32,
        input_channel_begin: i32,
        input_channel_end: i32,
        input_batch_stride: i32,
        input_channel_stride: i32,
        output_batch_stride: i32,
        output_channel_stride: i32,
        residual_batch_stride: i32,
        residual_channel_stride: i32,
        record_stride: i32,
        input_window: i32,
        weight_window: i32,
        output_window: i32,
        residual_window: i32,
        split_channels: i32,
        split_stride: i32,
        beta: f32,
        pre_alpha: f32,
        pre_beta: f32,
        batch_end: i32,
        padding_1: i32,
        padding_2: i32,
        padding_3: i32,
    }
}

impl Params {
    /// The parameters of one dispatch. As in `gather`, distances are taken modulo 2³²: sums of them are what counts.
    pub(crate) fn new(geometry: &Geometry, storage: Storage, tile: &Tile, dispatch: &Dispatch) -> Self {
        let op = &geometry.op;
        let packing = Packing::new(op, tile.factors());
        let (xs, ys) = (geometry.input_strides(), geometry.output_strides());
        let (band, residual) = (&dispatch.band, dispatch.residual(geometry, storage));
        let (pre_alpha, pre_beta) = op.pre_activation().parameters(0);
        let group_in_channels = op.in_channels() / op.groups();
        let split_channels = tile.split_channels(op);
        // The splits before this dispatch's; what is not split has none.
        let before = band.group_in_channels.start / split_channels;
        let split_stride = split_stride(dispatch.output, storage) as i32;
        let axes = [0, 1, 2].map(|a| {
            let axis = &op.axes3()[a];
            let (first_cell, tiles) = tile.cover(&band.output[a], a);
            GpuAxis {
                first_cell: first_cell as i32,
                tiles: tiles as i32,
                origin: axis.pad_begin.div_euclid(axis.stride as i64) as i32,
                input_extent: geometry.input[a] as i32,
                input_stride: xs.spatial[a] as i32,
                output_stride: ys.spatial[a] as i32,
                residual_stride: residual.strides.spatial[a] as i32,
                output_begin: band.output[a].start as i32,
                output_extent: band.output[a].len() as i32,
                ..GpuAxis::default()
            }
        });
        Self {
            axes,
            invocations: axes.iter().map(|axis| axis.tiles).product::<i32>() * band.batch.len() as i32,
            batch_begin: band.batch.start as i32,
            first_block: tile.blocks(op, &band.out_channels).start as i32,
            blocks_per_group: tile.blocks_per_group(op) as i32,
            group_in_channels: group_in_channels as i32,
            group_out_channels: (op.out_channels() / op.groups()) as i32,
            input_channel_begin: band.group_in_channels.start as i32,
            input_channel_end: band.group_in_channels.end as i32,
            input_batch_stride: xs.batch as i32,
            input_channel_stride: xs.channel as i32,
            output_batch_stride: ys.batch as i32,
            output_channel_stride: ys.channel as i32,
            residual_batch_stride: residual.strides.batch as i32,
            residual_channel_stride: residual.strides.channel as i32,
            record_stride: packing.record as i32,
            input_window: dispatch.input.first_element(storage, &xs),
            weight_window: (dispatch.weights.offset / vec4_bytes(packing.factors)) as i32,
            output_window: dispatch.output.first_element(storage, &ys).wrapping_sub(before as i32 * split_stride),
            residual_window: residual.window,
            split_channels: split_channels as i32,
            split_stride,
            beta: activation::parameters(op.activation(), 0).1,
            pre_alpha,
            pre_beta,
            batch_end: band.batch.end as i32,
            ..Self::default()
        }
    }
}
