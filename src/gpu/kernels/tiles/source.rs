//! Where the invocations of a tile take inputs and weights from: what `direct` and `tiled` do differently.

use super::program::{Memory, Statement};
use super::register_tile::RegisterTile;
use crate::gpu::kernels::pack::tiles::Packing;
use crate::kernel::Kernel;

pub(crate) trait Source {
    /// The kernel that reads so.
    fn kernel(&self) -> Kernel;

    /// Invocations of a workgroup.
    fn invocations(&self) -> usize;

    /// The workgroups for so many items of the batch and boxes of cells of each.
    fn workgroups(&self, batch: usize, boxes: usize) -> usize;

    /// Invocations of a workgroup side by side along (d, h, w): its box of cells.
    fn lanes(&self) -> [usize; 3] {
        [1; 3]
    }

    /// Invocations of a workgroup side by side along the output channels.
    fn blocks(&self) -> usize {
        1
    }

    /// Into how many parts the input channels of a group are split, to be added up by different invocations (split-K);
    /// `sum.wgsl` adds what each leaves.
    fn split_k(&self) -> usize {
        1
    }

    /// What a cut of the `channels` input channels of a group must be a multiple of.
    fn channel_unit(&self, channels: usize) -> usize;

    /// Whether inputs are read four at a time along w.
    fn reads_vectors(&self) -> bool {
        false
    }

    /// vec4s of weights that lie together at a multiple of their size, and are read at once.
    fn unit(&self, _tile: &RegisterTile, _packing: &Packing) -> usize {
        1
    }

    /// What a workgroup keeps in its memory.
    fn memory(&self, _tile: &RegisterTile, _packing: &Packing) -> Option<Memory> {
        None
    }

    /// Which cells and channels are the invocation's, and where its inputs and weights are.
    fn place(&self, tile: &RegisterTile, packing: &Packing) -> Vec<Statement>;

    /// The loop over input channels.
    fn accumulate(&self, tile: &RegisterTile, packing: &Packing) -> Vec<Statement>;
}
