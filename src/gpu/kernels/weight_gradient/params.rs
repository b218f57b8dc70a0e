//! What the kernels of gradients read of a uniform buffer.

use crate::gpu::kernels::params::shader_struct;

shader_struct! {
    /// `Axis` of `weight_gradient.wgsl`, field by field.
    WeightAxis {
        stride: i32,
        dilation: i32,
        pad_begin: i32,
        input_extent: i32,
        output_extent: i32,
        input_stride: i32,
        gradient_stride: i32,
        first_tile: i32,
        tiles: i32,
        padding_1: i32,
        padding_2: i32,
        padding_3: i32,
    }
}

shader_struct! {
    /// `Params` of `weight_gradient.wgsl`, field by field.
    WeightParams {
        axes: [WeightAxis; 3],
        group_in_channels: i32,
        group_out_channels: i32,
        in_blocks: i32,
        first_in_block: i32,
        first_out_block: i32,
        out_blocks: i32,
        tiles: i32,
        invocations: i32,
        first_part: i32,
        part_segments: i32,
        unit_segments: i32,
        unit_parts: i32,
        segments: i32,
        row_segments: i32,
        segment_positions: i32,
        input_batch_stride: i32,
        input_channel_stride: i32,
        gradient_batch_stride: i32,
        gradient_channel_stride: i32,
        input_window: i32,
        gradient_window: i32,
        padding_1: i32,
        padding_2: i32,
        padding_3: i32,
    }
}

shader_struct! {
    /// `Params` of `bias_gradient.wgsl`, field by field.
    BiasParams {
        first_channel: i32,
        channels: i32,
        invocations: i32,
        first_part: i32,
        part_positions: i32,
        unit_positions: i32,
        unit_parts: i32,
        positions: i32,
        item_positions: i32,
        batch_stride: i32,
        channel_stride: i32,
        position_stride: i32,
        window: i32,
        padding_1: i32,
        padding_2: i32,
        padding_3: i32,
    }
}

shader_struct! {
    /// `Axis` of `gradient_sum.wgsl`, field by field.
    SumAxis {
        first_tap: i32,
        taps: i32,
        tile: i32,
        first_tile: i32,
        tiles: i32,
        stride: i32,
        padding_1: i32,
        padding_2: i32,
    }
}

shader_struct! {
    /// `Params` of `gradient_sum.wgsl`, field by field.
    SumParams {
        axes: [SumAxis; 3],
        first_in_channel: i32,
        first_out_channel: i32,
        out_channels: i32,
        group_in_channels: i32,
        in_blocks: i32,
        first_in_block: i32,
        first_out_block: i32,
        out_blocks: i32,
        in_tile: i32,
        out_tile: i32,
        vector: i32,
        tiles: i32,
        elements: i32,
        parts: i32,
        part_stride: i32,
        in_stride: i32,
        out_stride: i32,
        window: i32,
        accumulate: i32,
        padding: i32,
    }
}
