//! A layer as matrix products: each task fills a panel with its part of the input, multiplies it with each block of
//! weights, and lays the results, phase by phase, into its rows of the output.

use super::choice::{Cut, Panel, length, q_of, union};
use super::finish::Finish;
use super::lay::{BlockSums, Laying, Line};
use super::packed::{Block, Packed, RowGroup};
use super::panel::{Source, resize};
use super::product::{Product, most_rows};
use super::task::{Parts, Task, TaskShape};
use crate::op::{ConvTranspose, Geometry};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// The most sums, in elements, that wait to be laid into the output.
const SUMS: usize = 16 << 10;
/// The largest gathered panel, in elements.
const GATHERED: usize = 128 << 10;

/// Working memory of one task.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    panel: Vec<f32>,
    sums: Vec<f32>,
    starts: Vec<usize>,
}

/// Working memory to be used again: as many as tasks ever ran at once.
#[derive(Debug, Default)]
pub(super) struct Pool {
    free: Mutex<Vec<Scratch>>,
}

impl Pool {
    fn with<R>(&self, work: impl FnOnce(&mut Scratch) -> R) -> R {
        let free = || self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scratch = free().pop().unwrap_or_default();
        let result = work(&mut scratch);
        free().push(scratch);
        result
    }

    /// The bytes held.
    pub(super) fn bytes(&self) -> usize {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.iter().map(|s| (s.panel.capacity() + s.sums.capacity()) * 4 + s.starts.capacity() * 8).sum()
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
struct Work<'a> {
    op: &'a ConvTranspose,
    geometry: &'a Geometry,
    packed: &'a Packed,
    plain: &'a Packed,
    x: &'a [f32],
    shape: TaskShape,
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

    fn outer_q(&self, group: &RowGroup) -> [Range<i64>; 2] {
        [0, 1].map(|axis| self.q(axis, group.outer.iter().map(|phases| phases[axis].residue)))
    }

    fn inner_q(&self, block: &Block) -> Range<i64> {
        self.q(2, block.inner.iter().map(|phase| phase.residue))
    }

    /// How many outputs were written; `None` where the inputs are unfit for this packing.
    fn box_group(
        &self,
        packed: &Packed,
        item: usize,
        group: usize,
        tiles: &[usize],
        parts: &mut Parts<'_>,
        scratch: &mut Scratch,
    ) -> Option<usize> {
        let mut written = 0;
        let Scratch { panel, sums, starts } = scratch;
        let lanes = packed.level.lanes();
        let in_group = self.op.in_channels() / self.op.groups();
        // Tap offsets run from `least` to `most` before q, so that the box does from `from` on.
        let reach = packed.reach;
        let from: [i64; 3] = std::array::from_fn(|axis| self.shape.q[axis].start - reach[axis].1);
        let extents: [usize; 3] =
            std::array::from_fn(|axis| length(&self.shape.q[axis]) + (reach[axis].1 - reach[axis].0) as usize);
        let channel_stride = extents.iter().product();
        // The last vector of a line may read on.
        resize(panel, in_group * channel_stride + lanes);
        Source::new(self.geometry, self.x, item, group * in_group).copy_box(in_group, from, extents, panel);
        if packed.holes && !packed.instructions.run(Finite(&panel[..in_group * channel_stride])) {
            return None;
        }
        let shift = |[z, y, x]: [i64; 3]| ((z as usize * extents[1]) + y as usize) * extents[2] + x as usize;
        let taps = |block: &Block| -> Vec<usize> {
            let back = |offset: &[i64; 3]| shift(std::array::from_fn(|axis| reach[axis].1 - offset[axis]));
            block.offsets.iter().map(back).collect()
        };
        for row_group in &packed.groups {
            let [zs, ys] = self.outer_q(row_group);
            let lines: Vec<Line> =
                zs.flat_map(|z| ys.clone().map(move |y| Line { item: item - self.shape.items.start, z, y })).collect();
            let blocks: Vec<(&Block, Vec<usize>, Range<i64>)> =
                row_group.blocks.iter().map(|block| (block, taps(block), self.inner_q(block))).collect();
            let widest = blocks.iter().map(|(_, _, q)| length(q).next_multiple_of(lanes)).max().unwrap_or(0);
            for &tile in tiles {
                let channels = packed.channel_tiles[tile].len();
                let rows_of = |block: &Block| row_group.outer.len() * block.inner.len() * channels;
                let rows: usize = row_group.blocks.iter().map(rows_of).sum();
                let at_once = (SUMS / (rows * widest).max(1)).clamp(1, lines.len().max(1));
                let pitch = at_once * widest;
                resize(sums, rows * pitch);
                for lines in lines.chunks(at_once) {
                    let mut first_row = 0;
                    let mut done = Vec::with_capacity(blocks.len());
                    for (block, taps, q) in &blocks {
                        let advance = length(q).next_multiple_of(lanes);
                        starts.clear();
                        for line in lines {
                            let [z, y] = [(line.z, 0), (line.y, 1)].map(|(q, axis)| q - self.shape.q[axis].start);
                            let start = shift([z, y, q.start - self.shape.q[2].start]);
                            starts.extend((0..length(q).div_ceil(lanes)).map(|v| start + v * lanes));
                        }
                        let (weights, rows) = packed.block(group, tile, block);
                        packed.instructions.run(Product {
                            weights,
                            rows,
                            most_rows: most_rows(packed.level),
                            finish: Finish::new(self.op.activation()),
                            panel,
                            channels: in_group,
                            channel_stride,
                            taps,
                            starts,
                            sums: &mut sums[first_row * pitch..],
                            pitch,
                        });
                        done.push(BlockSums { block, q: q.clone(), first_row, advance });
                        first_row += rows_of(block);
                    }
                    written += self.lay(packed, row_group, &done, lines, (group, tile), sums, pitch, parts);
                }
            }
        }
        Some(written)
    }

    /// How many outputs were written; `None` where the inputs are unfit for this packing.
    fn gathered_group(
        &self,
        packed: &Packed,
        group: usize,
        tiles: &[usize],
        parts: &mut Parts<'_>,
        scratch: &mut Scratch,
    ) -> Option<usize> {
        let mut written = 0;
        let Scratch { panel, sums, starts } = scratch;
        let lanes = packed.level.lanes();
        let in_group = self.op.in_channels() / self.op.groups();
        for row_group in &packed.groups {
            let [zs, ys] = self.outer_q(row_group);
            let items = 0..self.shape.items.len();
            let lines: Vec<Line> = items
                .flat_map(|item| zs.clone().map(move |z| (item, z)))
                .flat_map(|(item, z)| ys.clone().map(move |y| Line { item, z, y }))
                .collect();
            for block in &row_group.blocks {
                let q = self.inner_q(block);
                let (width, depth) = (length(&q), in_group * block.offsets.len());
                let at_once = (GATHERED / (depth * width).max(1)).clamp(1, lines.len().max(1));
                for lines in lines.chunks(at_once) {
                    let pitch = (lines.len() * width).next_multiple_of(lanes);
                    resize(panel, depth * pitch);
                    for (index, line) in lines.iter().enumerate() {
                        let item = self.shape.items.start + line.item;
                        let source = Source::new(self.geometry, self.x, item, group * in_group);
                        let at = index * width;
                        source.gather_row(in_group, &block.offsets, [line.z, line.y], &q, panel, pitch, at);
                    }
                    if packed.holes && !packed.instructions.run(Finite(&panel[..depth * pitch])) {
                        return None;
                    }
                    starts.clear();
                    starts.extend((0..pitch).step_by(lanes));
                    for &tile in tiles {
                        let (weights, rows) = packed.block(group, tile, block);
                        resize(sums, rows.len() * pitch);
                        packed.instructions.run(Product {
                            weights,
                            rows,
                            most_rows: most_rows(packed.level),
                            finish: Finish::new(self.op.activation()),
                            panel,
                            channels: depth,
                            channel_stride: pitch,
                            taps: &[0],
                            starts,
                            sums,
                            pitch,
                        });
                        let done = [BlockSums { block, q: q.clone(), first_row: 0, advance: width }];
                        written += self.lay(packed, row_group, &done, lines, (group, tile), sums, pitch, parts);
                    }
                }
            }
        }
        Some(written)
    }

    /// Lays the sums of some lines into the output.
    #[allow(clippy::too_many_arguments, reason = "where the sums are and where they go")]
    fn lay(
        &self,
        packed: &Packed,
        row_group: &RowGroup,
        blocks: &[BlockSums<'_>],
        lines: &[Line],
        (group, tile): (usize, usize),
        sums: &mut [f32],
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
            activate: Finish::new(self.op.activation()) == Finish::Later,
            parts,
        })
    }

    /// Writes the outputs that no tap reaches: the activation of the bias.
    fn fill_bare(&self, parts: &mut Parts<'_>) -> usize {
        let axes = self.op.axes3();
        let reached: [Vec<bool>; 3] = std::array::from_fn(|axis| {
            let table = crate::phase::AxisPhases::new(&axes[axis]);
            let pad = axes[axis].pad_begin;
            self.shape.outputs[axis].clone().map(|o| table.at(o + pad).is_some()).collect()
        });
        if reached.iter().flatten().all(|&reached| reached) {
            return 0;
        }
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
struct Finite<'a>(&'a [f32]);

impl WithSimd for Finite<'_> {
    type Output = bool;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> bool {
        const EXPONENT: u32 = 0x7f80_0000;
        self.0.chunks(1024).all(|x| !x.iter().fold(false, |any, x| any | (x.to_bits() & EXPONENT == EXPONENT)))
    }
}
