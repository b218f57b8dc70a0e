//! Where the invocations of a tile take inputs and weights from: what `direct` and `tiled` do differently.

use super::program::{Operands, Statement};
use super::register_tile::RegisterTile;
use crate::gpu::kernels::pack::tiles::Packing;
use crate::kernel::Kernel;

pub(crate) trait Source {
    fn grid(&self) -> Grid;

    /// The workgroups for so many items of the batch and boxes of cells of each.
    fn workgroups(&self, batch: usize, boxes: usize) -> usize;

    /// The input channels of one iteration of the loop over them.
    fn channels_per_iteration(&self) -> usize;

    /// What a cut of the `channels` input channels of a group must be a multiple of.
    fn channel_unit(&self, channels: usize) -> usize;

    fn operands(&self, tile: &RegisterTile, packing: &Packing) -> Operands;

    /// Which cells and channels are the invocation's, and where its inputs and weights are.
    fn place(&self, tile: &RegisterTile, packing: &Packing) -> Vec<Statement>;

    /// The loop over input channels.
    fn accumulate(&self, tile: &RegisterTile, packing: &Packing) -> Vec<Statement>;
}

/// How invocations lie.
pub(crate) struct Grid {
    /// The kernel that reads so.
    pub(crate) kernel: Kernel,
    /// Invocations of a workgroup; those of them side by side along (d, h, w), and along the output channels.
    pub(crate) invocations: usize,
    pub(crate) lanes: [usize; 3],
    pub(crate) blocks: usize,
    /// Into how many parts the input channels of a group are split, to be added up by different invocations (split-K);
    /// `sum.wgsl` adds what each leaves.
    pub(crate) split_k: usize,
}
