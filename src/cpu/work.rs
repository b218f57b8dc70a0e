//! One task of the products, with what it reads.

use super::element::Element;
use super::packed::{Block, Packed, RowGroup};
use super::range::{output_of, q_of, union};
use super::task::TaskShape;
use crate::op::Geometry;
use std::ops::Range;

/// What a task reads, and what it computes.
pub(super) struct Work<'a, T> {
    pub(super) geometry: &'a Geometry,
    pub(super) x: &'a [T],
    pub(super) shape: TaskShape,
}

impl<T: Element> Work<'_, T> {
    /// The `q` of these phases on an axis that have an output in this task.
    fn q(&self, axis: usize, residues: impl Iterator<Item = usize>) -> Range<i64> {
        let outputs = &self.shape.outputs[axis];
        union(residues.map(|residue| q_of(&self.geometry.op().axes3()[axis], residue, outputs)))
    }

    pub(super) fn outer_q(&self, group: &RowGroup) -> [Range<i64>; 2] {
        [0, 1].map(|axis| self.q(axis, group.outer.iter().map(|phases| phases[axis].residue)))
    }

    pub(super) fn inner_q(&self, block: &Block) -> Range<i64> {
        self.q(2, block.inner.iter().map(|phase| phase.residue))
    }

    /// The index within the task's part of an axis of the output with this quotient and residue, if it is there.
    #[inline(always)]
    pub(super) fn place(&self, axis: usize, q: i64, residue: usize) -> Option<usize> {
        let (outputs, o) = (&self.shape.outputs[axis], output_of(&self.geometry.op().axes3()[axis], q, residue));
        outputs.contains(&o).then_some((o - outputs.start) as usize)
    }

    /// The output channels of a channel tile of one group.
    pub(super) fn channels(&self, packed: &Packed<T>, (group, tile): (usize, usize)) -> Range<usize> {
        let op = self.geometry.op();
        let (first, tile) = (group * (op.out_channels() / op.groups()), &packed.channel_tiles[tile]);
        first + tile.start..first + tile.end
    }
}
