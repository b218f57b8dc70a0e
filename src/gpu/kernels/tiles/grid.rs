//! How the tiles of `direct` and `tiled` cover a part of the output.

use super::tile::Tile;
use crate::gpu::kernels::pack::tiles::Packing;
use crate::op::ConvTranspose;
use std::ops::Range;

/// The first cell of an output range, and how many tiles, or boxes of them, cover it.
pub(crate) fn tiles(tile: &Tile, output: &Range<usize>, axis: usize) -> (usize, usize) {
    let (stride, cells) = (tile.axes[axis].stride, tile.box_cells(axis));
    // Tiles lie on a grid, so that quads of inputs and outputs stay aligned wherever a band begins.
    let first = output.start / stride / cells * cells;
    let last = (output.end - 1) / stride;
    (first, (last - first + 1).div_ceil(cells))
}

/// The blocks of output channels, counted through all groups, that a range of channels touches.
pub(crate) fn blocks(op: &ConvTranspose, tile: &Tile, channels: &Range<usize>) -> Range<usize> {
    let per_group = op.out_channels() / op.groups();
    let block = |channel: usize| {
        channel / per_group * blocks_per_group(op, tile) + channel % per_group / (tile.width * tile.group_vectors())
    };
    block(channels.start)..block(channels.end - 1) + 1
}

/// The blocks of output channels of one group.
pub(crate) fn blocks_per_group(op: &ConvTranspose, tile: &Tile) -> usize {
    Packing::new(op).vectors / tile.group_vectors()
}
