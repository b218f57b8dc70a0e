//! The weights of `winograd` at the points of its tiles: those of its products, in the order of `gather`.

use crate::gpu::kernels::params::shader_struct;
use crate::op::ConvTranspose;

shader_struct! {
    /// `Params` of `winograd_weights.wgsl`, field by field.
    PointParams {
        in_channels: u32,
        out_channels: u32,
        padding_1: u32,
        padding_2: u32,
    }
}

impl PointParams {
    /// Those of an operation, not of its products.
    pub(crate) fn new(op: &ConvTranspose) -> Self {
        Self { in_channels: op.in_channels() as u32, out_channels: op.out_channels() as u32, ..Self::default() }
    }

    /// The workgroups along x and y.
    pub(crate) fn workgroups(&self) -> [u32; 2] {
        [self.in_channels.div_ceil(64), self.out_channels]
    }
}
