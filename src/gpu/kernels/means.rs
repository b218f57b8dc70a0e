//! What the kernels of a mean read: `block_sums.wgsl` and `means.wgsl`.

use super::params::shader_struct;

shader_struct! {
    /// `Params` of `block_sums.wgsl`, field by field.
    BlockParams {
        blocks: u32,
        channels: u32,
        depth: u32,
        rows: u32,
        columns: u32,
        output_item: u32,
        output_first: u32,
        input_item: u32,
        input_channel: u32,
        input_plane: u32,
        input_row: u32,
        input_first: u32,
        height: u32,
        width: u32,
        padding_1: u32,
        padding_2: u32,
    }
}

shader_struct! {
    /// `Params` of `means.wgsl`, field by field.
    MeanParams {
        means: u32,
        channels: u32,
        blocks: u32,
        input_item: u32,
        input_first: u32,
        output_item: u32,
        output_first: u32,
        elements: f32,
    }
}
