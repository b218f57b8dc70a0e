//! What the kernels of a mean read: `block_sums.wgsl` and `means.wgsl`.

use super::params::shader_struct;

/// The side of a block.
pub(crate) const SIDE: usize = 16;

shader_struct! {
    /// `Params` of `block_sums.wgsl`, field by field.
    BlockParams {
        blocks: u32,
        channels: u32,
        item_stride: u32,
        channel_stride: u32,
        first: u32,
        depth: u32,
        height: u32,
        width: u32,
    }
}

shader_struct! {
    /// `Params` of `means.wgsl`, field by field.
    MeanParams {
        means: u32,
        channels: u32,
        blocks: u32,
        item_stride: u32,
        first: u32,
        elements: f32,
        padding_1: u32,
        padding_2: u32,
    }
}
