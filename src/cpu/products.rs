//! A layer as matrix products: each task fills a panel with its part of the input, multiplies it with each block of
//! weights, and lays the results, phase by phase, into its rows of the output.

use super::choice::{Cut, Panel, length, q_of, union};
use super::finish::Finish;
use super::interleave::Interleave;
use super::packed::{Block, Packed, RowGroup};
use super::panel::{Source, resize};
use super::product::{Product, most_rows};
use super::task::{Parts, Task, TaskShape};
use crate::op::{ConvTranspose, Geometry};
use rayon::prelude::*;
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
    fn with(&self, work: impl FnOnce(&mut Scratch)) {
        let free = || self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scratch = free().pop().unwrap_or_default();
        work(&mut scratch);
        free().push(scratch);
    }

    /// The bytes held.
    pub(super) fn bytes(&self) -> usize {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.iter().map(|s| (s.panel.capacity() + s.sums.capacity()) * 4 + s.starts.capacity() * 8).sum()
    }
}

/// Computes the output; every element is written.
///
/// The second packing serves where the first has holes and an input is infinite or NaN.
pub(super) fn run(
    op: &ConvTranspose,
    geometry: &Geometry,
    [packed, plain]: [&Packed; 2],
    cut: &Cut,
    pool: &Pool,
    x: &[f32],
    y: &mut [f32],
) {
    let tasks = Task::all(op, geometry, cut, y);
    tasks.into_par_iter().with_max_len(1).for_each(|task| {
        let (shape, parts) = task.split();
        let work = Work { op, geometry, packed, plain, x, shape };
        pool.with(|scratch| work.run(cut.panel, parts, scratch));
    });
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

/// A row of positions along the last axis.
#[derive(Clone, Copy)]
struct Line {
    item: usize,
    z: i64,
    y: i64,
}

/// Where the sums of a block lie.
struct Sums<'a> {
    block: &'a Block,
    q: Range<i64>,
    /// The first of its rows.
    first_row: usize,
    /// Distance between two lines.
    advance: usize,
}

impl Work<'_> {
    fn run(&self, panel: Panel, mut parts: Parts<'_>, scratch: &mut Scratch) {
        self.fill_bare(&mut parts);
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
                    items.clone().all(|item| self.box_group(packed, item, group, &tiles(packed), &mut parts, scratch))
                }
                Panel::Gathered => self.gathered_group(packed, group, &tiles(packed), &mut parts, scratch),
            };
            if !run(self.packed) {
                run(self.plain);
            }
        }
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

    /// Whether the inputs were fit for this packing.
    fn box_group(
        &self,
        packed: &Packed,
        item: usize,
        group: usize,
        tiles: &[usize],
        parts: &mut Parts<'_>,
        scratch: &mut Scratch,
    ) -> bool {
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
        if packed.holes && !finite(&panel[..in_group * channel_stride]) {
            return false;
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
                        done.push(Sums { block, q: q.clone(), first_row, advance });
                        first_row += rows_of(block);
                    }
                    self.lay(packed, row_group, &done, lines, (group, tile), sums, pitch, parts);
                }
            }
        }
        true
    }

    /// Whether the inputs were fit for this packing.
    fn gathered_group(
        &self,
        packed: &Packed,
        group: usize,
        tiles: &[usize],
        parts: &mut Parts<'_>,
        scratch: &mut Scratch,
    ) -> bool {
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
                    if packed.holes && !finite(&panel[..depth * pitch]) {
                        return false;
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
                        let done = [Sums { block, q: q.clone(), first_row: 0, advance: width }];
                        self.lay(packed, row_group, &done, lines, (group, tile), sums, pitch, parts);
                    }
                }
            }
        }
        true
    }

    /// Lays the sums of some lines into the output.
    #[allow(clippy::too_many_arguments, reason = "where the sums are and where they go")]
    fn lay(
        &self,
        packed: &Packed,
        row_group: &RowGroup,
        done: &[Sums<'_>],
        lines: &[Line],
        (group, tile): (usize, usize),
        sums: &mut [f32],
        pitch: usize,
        parts: &mut Parts<'_>,
    ) {
        let axes = self.op.axes3();
        let outputs = &self.shape.outputs;
        let tile = &packed.channel_tiles[tile];
        let first_channel = group * (self.op.out_channels() / self.op.groups()) + tile.start;
        let coordinate = |axis: usize, q: i64, residue: usize| {
            let o = q * axes[axis].stride as i64 + residue as i64 - axes[axis].pad_begin;
            outputs[axis].contains(&o).then_some((o - outputs[axis].start) as usize)
        };
        let later = Finish::new(self.op.activation()) == Finish::Later;
        let stride = axes[2].stride;
        let mut interleave = Interleave { step: parts.step * stride, runs: Vec::new() };
        for (line_index, line) in lines.iter().enumerate() {
            for (outer_index, outer) in row_group.outer.iter().enumerate() {
                let Some(z) = coordinate(0, line.z, outer[0].residue) else { continue };
                let Some(y) = coordinate(1, line.y, outer[1].residue) else { continue };
                for channel in 0..tile.len() {
                    let co = first_channel + channel;
                    interleave.runs.clear();
                    for sum in done {
                        for (inner_index, phase) in sum.block.inner.iter().enumerate() {
                            let q = q_of(&axes[2], phase.residue, &outputs[2]);
                            if q.is_empty() {
                                continue;
                            }
                            let row = (outer_index * sum.block.inner.len() + inner_index) * tile.len() + channel;
                            let from = (sum.first_row + row) * pitch
                                + line_index * sum.advance
                                + (q.start - sum.q.start) as usize;
                            let to = q.start * stride as i64 + phase.residue as i64 - axes[2].pad_begin;
                            let to = (to - outputs[2].start) as usize * parts.step;
                            interleave.runs.push((from, to, length(&q)));
                            if later {
                                for value in &mut sums[from..][..length(&q)] {
                                    *value = self.op.activation().apply(co, (*value).into()) as f32;
                                }
                            }
                        }
                    }
                    let row = parts.row(line.item, co - self.shape.channels.start, z, y);
                    self.packed.instructions.run(interleave.with(sums, row));
                }
            }
        }
    }

    /// Writes the outputs that no tap reaches: the activation of the bias.
    fn fill_bare(&self, parts: &mut Parts<'_>) {
        let axes = self.op.axes3();
        let reached: [Vec<bool>; 3] = std::array::from_fn(|axis| {
            let table = crate::phase::AxisPhases::new(&axes[axis]);
            let pad = axes[axis].pad_begin;
            self.shape.outputs[axis].clone().map(|o| table.at(o + pad).is_some()).collect()
        });
        if reached.iter().flatten().all(|&reached| reached) {
            return;
        }
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
                                *value = bare;
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Whether no element is infinite or NaN. Positions that no line has filled may make it say no.
fn finite(x: &[f32]) -> bool {
    x.chunks(256).all(|x| x.iter().fold(0, |most, x| most.max(x.to_bits() & 0x7fff_ffff)) < 0x7f80_0000)
}
