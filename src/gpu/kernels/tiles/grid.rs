//! How tiles cover a part of the output, and what a dispatch of them needs.

use super::register_tile::RegisterTile;
use super::tile::Tile;
use crate::gpu::dispatch::Band;
use crate::gpu::kernels::pack::tiles::{Packing, lanes};
use crate::gpu::profile::loop_iterations;
use crate::op::ConvTranspose;
use std::ops::Range;

impl Tile {
    /// The first cell of an output range, and how many tiles, or boxes of them, cover it.
    pub(crate) fn cover(&self, output: &Range<usize>, axis: usize) -> (usize, usize) {
        let along = &self.shape.axes[axis];
        let cells = along.cells * self.source().grid().lanes[axis];
        // Tiles lie on a grid, so that vectors of inputs and outputs stay aligned wherever a band begins.
        let first = output.start / along.stride / cells * cells;
        let last = (output.end - 1) / along.stride;
        (first, (last - first + 1).div_ceil(cells))
    }

    /// Vectors of output channels of a workgroup.
    fn group_vectors(&self) -> usize {
        self.shape.vectors * self.source().grid().blocks
    }

    /// The blocks of output channels, counted through all groups, that a range of channels touches.
    pub(crate) fn blocks(&self, op: &ConvTranspose, channels: &Range<usize>) -> Range<usize> {
        let per_group = op.out_channels() / op.groups();
        let block = |channel: usize| {
            let in_group = channel % per_group / (self.shape.width * self.group_vectors());
            channel / per_group * self.blocks_per_group(op) + in_group
        };
        block(channels.start)..block(channels.end - 1) + 1
    }

    /// The blocks of output channels of one group.
    pub(crate) fn blocks_per_group(&self, op: &ConvTranspose) -> usize {
        Packing::new(op, self.factors()).vectors / self.group_vectors()
    }

    /// Input channels of each split of those of a group; the last one may have fewer.
    pub(crate) fn split_channels(&self, op: &ConvTranspose) -> usize {
        (op.in_channels() / op.groups()).div_ceil(self.split_k())
    }

    /// The workgroups of a band: of boxes of tiles, of blocks of channels, of parts of the phases and of splits.
    pub(crate) fn workgroups(&self, op: &ConvTranspose, band: &Band) -> [u64; 3] {
        let boxes = [0, 1, 2].iter().map(|&a| self.cover(&band.output[a], a).1).product();
        let blocks = self.blocks(op, &band.out_channels);
        let splits = match self.split_k() {
            1 => 1,
            _ => band.group_in_channels.len().div_ceil(self.split_channels(op)),
        };
        let workgroups = self.source().workgroups(band.batch.len(), boxes);
        [workgroups, blocks.len(), self.shape.phase_parts() * splits].map(|count| count as u64)
    }

    /// What an invocation counts towards the device's bound on iterations, with so many input channels of a group.
    pub(crate) fn iterations(&self, op: &ConvTranspose, group_in_channels: usize) -> u64 {
        let channels = group_in_channels.min(self.split_channels(op));
        let rounds = self.shape.axes.iter().rev().filter(|axis| axis.rounds() > 1);
        let of_channel = rounds.fold(0, |inner, axis| loop_iterations(axis.rounds() as u64, inner));
        loop_iterations(channels.div_ceil(self.source().channels_per_iteration()) as u64, of_channel)
    }

    /// The bytes of the accumulators that all invocations of a band leave to the next part of the input channels.
    pub(crate) fn carried_bytes(&self, op: &ConvTranspose, band: &Band) -> u64 {
        let RegisterTile { width, .. } = self.shape;
        // A vec3 takes the room of a vec4.
        let each = self.shape.outputs() / width * lanes(width) * self.source().grid().invocations;
        self.workgroups(op, band).iter().product::<u64>() * each as u64 * 4
    }

    /// What cuts along w must be multiples of: whole vectors of outputs.
    pub(crate) fn column_unit(&self) -> usize {
        self.shape.writes.columns()
    }

    /// What cuts of the output channels must be multiples of: whole blocks. A group's last block may have fewer
    /// channels than the others.
    pub(crate) fn out_channel_unit(&self, op: &ConvTranspose) -> usize {
        let ragged = self.shape.ragged && op.groups() > 1;
        if ragged { op.out_channels() / op.groups() } else { self.shape.width * self.group_vectors() }
    }

    /// The vec4s of packed weights that a range of output channels reads.
    pub(crate) fn weights(&self, op: &ConvTranspose, channels: &Range<usize>) -> Range<u64> {
        let blocks = self.blocks(op, channels);
        let at = |block: usize| (block * self.group_vectors() * Packing::new(op, self.factors()).record) as u64;
        at(blocks.start)..at(blocks.end)
    }
}
