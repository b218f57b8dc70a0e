//! What a workgroup of `tiled` keeps in its memory: for a few input channels at a time, the inputs that the tiles of
//! its invocations read, each once, and the weights of its output channels.

use super::tile::{Tile, TileAxis};
use crate::gpu::kernels::pack::tiles::Packing;
use std::fmt;

/// How the invocations of a workgroup lie, and what they share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slab {
    /// Invocations along (d, h, w): a box of tiles.
    pub lanes: [usize; 3],
    /// Invocations along the batch.
    pub items: usize,
    /// Invocations along the output channels.
    pub blocks: usize,
    /// Input channels at a time; it divides those of a group, and those of each part of them.
    pub chunk: usize,
}

impl Slab {
    /// The invocations of a workgroup.
    pub fn invocations(&self) -> usize {
        self.lanes.iter().product::<usize>() * self.items * self.blocks
    }

    /// Elements of one unit of inputs along w: 4, 2 or 1, so that what an invocation reads begins with a whole one.
    pub fn unit(tile: &Tile) -> usize {
        [4, 2].into_iter().find(|unit| tile.axes[2].cells.is_multiple_of(*unit)).unwrap_or(1)
    }

    /// The first input that a tile reads along an axis, counted from that of its first cell at offset 0, and how many
    /// there are to the last.
    pub fn reach(axis: &TileAxis) -> (i64, usize) {
        match axis.reads()[..] {
            [first, .., last] => (first, (last - first) as usize + 1),
            [only] => (only, 1),
            [] => (0, 1),
        }
    }

    /// Rows along d and h, and units along w, that an invocation reads.
    pub fn reads(tile: &Tile) -> [usize; 3] {
        let [z, y, x] = tile.axes.map(|axis| Self::reach(&axis).1);
        [z, y, x.div_ceil(Self::unit(tile))]
    }

    /// Rows along d and h, and units along w, of one item and channel: what all tiles of the box read.
    pub fn extents(&self, tile: &Tile) -> [usize; 3] {
        let [z, y, x] = [0, 1, 2].map(|a| (self.lanes[a] - 1) * tile.axes[a].cells);
        let [rows_z, rows_y, units] = Self::reads(tile);
        [z + rows_z, y + rows_y, x / Self::unit(tile) + units]
    }

    /// Units of one input channel, of all items.
    pub fn positions(&self, tile: &Tile) -> usize {
        self.items * self.extents(tile).iter().product::<usize>()
    }

    /// Inputs that an invocation brings into the memory for each input channel.
    pub fn brought_inputs(&self, tile: &Tile) -> usize {
        (self.positions(tile) * Self::unit(tile)).div_ceil(self.invocations())
    }

    /// vec4s of weights that it brings for each chunk.
    pub fn brought_weights(&self, tile: &Tile, packing: &Packing) -> usize {
        (self.blocks * tile.vectors * self.chunk * packing.channel).div_ceil(self.invocations())
    }

    /// The memory of a workgroup, in bytes.
    pub fn bytes(&self, tile: &Tile, packing: &Packing) -> u64 {
        let inputs = self.positions(tile) * Self::unit(tile) * 4;
        let weights = self.blocks * tile.vectors * packing.channel * 16;
        (self.chunk * (inputs + weights)) as u64
    }
}

impl fmt::Display for Slab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Slab { lanes: [z, y, x], items, blocks, chunk } = self;
        write!(
            f,
            "{} invocations: {z}x{y}x{x} tiles, {items} of the batch, {blocks} blocks of channels; \
             {chunk} input channels at a time",
            self.invocations()
        )
    }
}
