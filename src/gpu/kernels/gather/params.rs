//! What `shaders/gather.wgsl` reads: its parameters and its packed weights.

use crate::gpu::dispatch::Dispatch;
use crate::gpu::kernels::activation;
use crate::gpu::kernels::pack::records::Record;
use crate::gpu::kernels::params::shader_struct;
use crate::gpu::storage::Storage;
use crate::op::Geometry;
use crate::phase::{AxisPhases, gcd};

shader_struct! {
    /// `Axis` of `gather.wgsl`, field by field.
    GpuAxis {
        stride: i32,
        dilation: i32,
        gcd: i32,
        tap_step: i32,
        input_step: i32,
        inverse: i32,
        kernel: i32,
        pad_begin: i32,
        input_extent: i32,
        input_stride: i32,
        weight_stride: i32,
        output_stride: i32,
        residual_stride: i32,
        output_begin: i32,
        output_extent: i32,
        taps_begin: i32,
        taps_end: i32,
        decimation: i32,
        padding_1: i32,
        padding_2: i32,
    }
}

shader_struct! {
    /// `Params` of `gather.wgsl`, field by field.
    Params {
        axes: [GpuAxis; 3],
        batch_begin: i32,
        batch_extent: i32,
        channel_begin: i32,
        channel_extent: i32,
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
        weight_channel_stride: i32,
        input_window: i32,
        weight_window: i32,
        output_window: i32,
        residual_window: i32,
        first_part: i32,
        last_part: i32,
        alpha: f32,
        beta: f32,
        alpha_in_record: i32,
        pre_alpha: f32,
        pre_beta: f32,
        channels_fastest: i32,
    }
}

impl Params {
    /// The parameters of one dispatch.
    ///
    /// Distances and windows are taken modulo 2³², as the shader's sums are: each sum is an index inside a window,
    /// which fits, whatever its parts were.
    pub(crate) fn new(geometry: &Geometry, storage: Storage, dispatch: &Dispatch) -> Self {
        let op = &geometry.op;
        let (xs, ys, record) = (geometry.input_strides(), geometry.output_strides(), Record::new(op));
        let residual = dispatch.residual(geometry, storage);
        let band = &dispatch.band;
        let group_in_channels = op.in_channels() / op.groups();
        let (alpha, beta) = activation::parameters(op.activation(), 0);
        let (pre_alpha, pre_beta) = op.pre_activation().parameters(0);
        let axes = [0, 1, 2].map(|a| {
            let axis = &op.axes3()[a];
            let phases = AxisPhases::new(axis);
            GpuAxis {
                stride: axis.stride as i32,
                dilation: axis.dilation as i32,
                gcd: gcd(axis.stride, axis.dilation) as i32,
                tap_step: phases.tap_step as i32,
                input_step: phases.input_step as i32,
                inverse: phases.inverse() as i32,
                kernel: axis.kernel as i32,
                pad_begin: axis.pad_begin as i32,
                input_extent: geometry.input[a] as i32,
                input_stride: xs.spatial[a] as i32,
                weight_stride: record.spatial[a] as i32,
                output_stride: ys.spatial[a] as i32,
                residual_stride: residual.strides.spatial[a] as i32,
                output_begin: band.output[a].start as i32,
                output_extent: band.output[a].len() as i32,
                taps_begin: band.taps[a].start as i32,
                taps_end: band.taps[a].end as i32,
                decimation: axis.decimation as i32,
                ..GpuAxis::default()
            }
        });
        Self {
            axes,
            batch_begin: band.batch.start as i32,
            batch_extent: band.batch.len() as i32,
            channel_begin: band.out_channels.start as i32,
            channel_extent: band.out_channels.len() as i32,
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
            record_stride: record.stride as i32,
            weight_channel_stride: record.channel as i32,
            input_window: dispatch.input.first_element(storage, &xs),
            weight_window: (dispatch.weights.offset / 4) as i32,
            output_window: dispatch.output.first_element(storage, &ys),
            residual_window: residual.window,
            first_part: band.begins_sums().into(),
            last_part: band.finishes_sums(geometry).into(),
            alpha,
            beta,
            alpha_in_record: op.activation().by_channel().is_some().into(),
            pre_alpha,
            pre_beta,
            channels_fastest: (ys.channel == 1).into(),
        }
    }
}
