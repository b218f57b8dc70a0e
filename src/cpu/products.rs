//! A layer as matrix products: each task fills a panel with its part of the input, multiplies it with each block of
//! weights, and lays the results, phase by phase, into its rows of the output.

use super::choice::{Cut, Panel, q_of, union};
use super::lay::{BlockSums, Laying, Line};
use super::packed::{Block, Packed, RowGroup};
use super::task::{Parts, Task, TaskShape};
use crate::op::{ConvTranspose, Geometry};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Working memory of one task.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) panel: Vec<f32>,
    pub(super) sums: Vec<f32>,
    pub(super) starts: Vec<usize>,
    pub(super) lines: Vec<f32>,
}

/// Working memory to be used again: as many as tasks ever ran at once.
#[derive(Debug, Default)]
pub(super) struct Pool {
    free: Mutex<Vec<Scratch>>,
}

impl Pool {
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut Scratch) -> R) -> R {
        let free = || self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scratch = free().pop().unwrap_or_default();
        let result = work(&mut scratch);
        free().push(scratch);
        result
    }

    /// The bytes held.
    pub(super) fn bytes(&self) -> usize {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.iter()
            .map(|s| (s.panel.capacity() + s.sums.capacity() + s.lines.capacity()) * 4 + s.starts.capacity() * 8)
            .sum()
    }
}

/// Computes the output, and says how many of its elements were written: all.
///
/// The second packing serves where the first has holes and an input is infinite or NaN.
pub(super) fn run(
    op: &ConvTranspose,
    geometry: &Geometry,
    [packed, plain]: [&Packed; 2],
    cut: &Cut,
    pool: &Pool,
    x: &[f32],
    y: &mut [MaybeUninit<f32>],
) -> usize {
    let tasks = Task::all(op, geometry, cut, y);
    let run = |task: Task<'_>| {
        let (shape, parts) = task.split();
        let work = Work { op, geometry, packed, plain, x, shape };
        pool.with(|scratch| work.run(cut.panel, parts, scratch))
    };
    tasks.into_par_iter().with_max_len(1).map(run).sum()
}

/// One task, and what it works with.
pub(super) struct Work<'a> {
    pub(super) op: &'a ConvTranspose,
    pub(super) geometry: &'a Geometry,
    packed: &'a Packed,
    plain: &'a Packed,
    pub(super) x: &'a [f32],
    pub(super) shape: TaskShape,
}

impl Work<'_> {
    /// How many outputs were written.
    fn run(&self, panel: Panel, mut parts: Parts<'_>, scratch: &mut Scratch) -> usize {
        let mut written = self.fill_bare(&mut parts);
        let out_group = self.op.out_channels() / self.op.groups();
        let TaskShape { items, channels, .. } = &self.shape;
        for group in channels.start / out_group..channels.end.div_ceil(out_group) {
            let tiles = |packed: &Packed| -> Vec<usize> {
                let in_task = |tile: &usize| {
                    let tile = &packed.channel_tiles[*tile];
                    channels.start <= group * out_group + tile.start && group * out_group + tile.end <= channels.end
                };
                (0..packed.channel_tiles.len()).filter(in_task).collect()
            };
            let mut run = |packed: &Packed| match panel {
                Panel::Box => {
                    let tiles = tiles(packed);
                    items.clone().map(|item| self.box_group(packed, item, group, &tiles, &mut parts, scratch)).sum()
                }
                Panel::Batched => self.batched_group(packed, group, &tiles(packed), &mut parts, scratch),
                Panel::Gathered => self.gathered_group(packed, group, &tiles(packed), &mut parts, scratch),
            };
            written += run(self.packed).or_else(|| run(self.plain)).unwrap_or(0);
        }
        written
    }

    /// The `q` of these phases on an axis that have an output in this task.
    fn q(&self, axis: usize, residues: impl Iterator<Item = usize>) -> Range<i64> {
        union(residues.map(|residue| q_of(&self.op.axes3()[axis], residue, &self.shape.outputs[axis])))
    }

    pub(super) fn outer_q(&self, group: &RowGroup) -> [Range<i64>; 2] {
        [0, 1].map(|axis| self.q(axis, group.outer.iter().map(|phases| phases[axis].residue)))
    }

    pub(super) fn inner_q(&self, block: &Block) -> Range<i64> {
        self.q(2, block.inner.iter().map(|phase| phase.residue))
    }

    /// Lays the sums of some lines into the output.
    #[allow(clippy::too_many_arguments, reason = "where the sums are and where they go")]
    pub(super) fn lay(
        &self,
        packed: &Packed,
        row_group: &RowGroup,
        blocks: &[BlockSums<'_>],
        lines: &[Line],
        (group, tile): (usize, usize),
        sums: &[f32],
        pitch: usize,
        parts: &mut Parts<'_>,
    ) -> usize {
        let first = group * (self.op.out_channels() / self.op.groups());
        let tile = &packed.channel_tiles[tile];
        packed.instructions.run(Laying {
            op: self.op,
            shape: &self.shape,
            row_group,
            blocks,
            lines,
            channels: first + tile.start..first + tile.end,
            sums,
            pitch,
            parts,
        })
    }

    /// Writes the outputs that no tap reaches: the activation of the bias.
    fn fill_bare(&self, parts: &mut Parts<'_>) -> usize {
        let tables = &self.packed.tables;
        if tables.iter().all(|table| table.phase_count() == table.stride) {
            return 0;
        }
        let reached: [Vec<bool>; 3] = std::array::from_fn(|axis| {
            let pad = self.op.axes3()[axis].pad_begin;
            self.shape.outputs[axis].clone().map(|o| tables[axis].at(o + pad).is_some()).collect()
        });
        let mut written = 0;
        for item in 0..self.shape.items.len() {
            for co in self.shape.channels.clone() {
                let bias = self.packed.bias(co);
                let bare = self.op.activation().apply(co, bias.into()) as f32;
                for (z, &reached_z) in reached[0].iter().enumerate() {
                    for (y, &reached_y) in reached[1].iter().enumerate() {
                        let step = parts.step;
                        let row = parts.row(item, co - self.shape.channels.start, z, y);
                        for (value, &reached_x) in row.iter_mut().step_by(step).zip(&reached[2]) {
                            if !(reached_z && reached_y && reached_x) {
                                value.write(bare);
                                written += 1;
                            }
                        }
                    }
                }
            }
        }
        written
    }
}

/// Whether no element is infinite or NaN.
pub(super) struct Finite<'a>(pub(super) &'a [f32]);

impl WithSimd for Finite<'_> {
    type Output = bool;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> bool {
        const EXPONENT: u32 = 0x7f80_0000;
        self.0.chunks(1024).all(|x| !x.iter().fold(false, |any, x| any | (x.to_bits() & EXPONENT == EXPONENT)))
    }
}
