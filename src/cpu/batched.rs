//! Products with a vector along the batch: for inputs so small that few of their elements lie in a row, and batches
//! that fill a vector.
//!
//! All elements of a vector stand at the same position, so that a tap outside the input is left out and not
//! multiplied by zero: positions are handled together where the same taps are inside.

use super::choice::length;
use super::packed::{Block, Packed, RowGroup};
use super::panel::resize;
use super::product::{Product, Tap, most_rows};
use super::products::{Finite, Scratch, Work};
use super::task::{Parts, TaskShape};
use crate::op::{ConvTranspose, Geometry};
use pulp::{Simd, WithSimd};
use std::collections::BTreeMap;

/// Positions whose taps inside the input are the same.
struct Class {
    /// By their place among the block's.
    taps: Vec<usize>,
    positions: Vec<[i64; 3]>,
}

fn classes(geometry: &Geometry, block: &Block, positions: impl Iterator<Item = [i64; 3]>) -> Vec<Class> {
    let mut classes: BTreeMap<Vec<usize>, Vec<[i64; 3]>> = BTreeMap::new();
    for q in positions {
        let inside = |offset: &[i64; 3]| (0..3).all(|a| (0..geometry.input[a] as i64).contains(&(q[a] - offset[a])));
        let taps = (0..block.offsets.len()).filter(|&tap| inside(&block.offsets[tap])).collect();
        classes.entry(taps).or_default().push(q);
    }
    classes.into_iter().map(|(taps, positions)| Class { taps, positions }).collect()
}

impl Work<'_> {
    /// How many outputs were written; `None` where the inputs are unfit for this packing.
    pub(super) fn batched_group(
        &self,
        packed: &Packed,
        group: usize,
        tiles: &[usize],
        parts: &mut Parts<'_>,
        scratch: &mut Scratch,
    ) -> Option<usize> {
        let Scratch { panel, sums, starts, .. } = scratch;
        let lanes = packed.level.lanes();
        let in_group = self.op.in_channels() / self.op.groups();
        let vectors = self.shape.items.len().div_ceil(lanes);
        let pitch_of_position = vectors * lanes;
        let [_, height, width] = self.geometry.input.map(|extent| extent as i64);
        let channel_stride = self.geometry.input.iter().product::<usize>() * pitch_of_position;
        resize(panel, in_group * channel_stride);
        let panel = &mut panel[..in_group * channel_stride];
        packed.instructions.run(Transpose { work: self, first_channel: group * in_group, panel, pitch_of_position });
        if packed.holes && !packed.instructions.run(Finite(panel)) {
            return None;
        }
        // Wraps around where q itself, or the shift of a tap, is negative; their sum is not.
        let shift = |[z, y, x]: [i64; 3]| (((z * height + y) * width + x) * pitch_of_position as i64) as usize;
        let mut written = 0;
        for row_group in &packed.groups {
            let [zs, ys] = self.outer_q(row_group);
            for block in &row_group.blocks {
                let xs = self.inner_q(block);
                let positions = zs
                    .clone()
                    .flat_map(|z| ys.clone().map(move |y| (z, y)))
                    .flat_map(|(z, y)| xs.clone().map(move |x| [z, y, x]));
                let pitch = length(&zs) * length(&ys) * length(&xs) * pitch_of_position;
                let classes = classes(self.geometry, block, positions);
                for &tile in tiles {
                    let (weights, rows) = packed.block(group, tile, block);
                    resize(sums, rows.len() * pitch);
                    let mut column = 0;
                    for class in &classes {
                        let back = |&index: &usize| {
                            let shift = shift(block.offsets[index].map(|offset| -offset));
                            Tap { index, shift }
                        };
                        let taps: Vec<Tap> = class.taps.iter().map(back).collect();
                        starts.clear();
                        for &q in &class.positions {
                            starts.extend((0..vectors).map(|v| shift(q).wrapping_add(v * lanes)));
                        }
                        packed.instructions.run(Product {
                            weights,
                            rows,
                            most_rows: most_rows(packed.level),
                            activation: self.op.activation(),
                            panel,
                            channels: in_group,
                            channel_stride,
                            taps_packed: block.offsets.len(),
                            taps: &taps,
                            starts,
                            sums: &mut sums[column..],
                            pitch,
                        });
                        column += class.positions.len() * pitch_of_position;
                    }
                    let first = group * (self.op.out_channels() / self.op.groups());
                    let tile = &packed.channel_tiles[tile];
                    written += packed.instructions.run(Spread {
                        op: self.op,
                        shape: &self.shape,
                        row_group,
                        block,
                        classes: &classes,
                        channels: first + tile.start..first + tile.end,
                        sums,
                        pitch,
                        pitch_of_position,
                        parts,
                    });
                }
            }
        }
        Some(written)
    }
}

/// Fills a panel with `[channel][z][y][x][item]`.
struct Transpose<'a> {
    work: &'a Work<'a>,
    first_channel: usize,
    panel: &'a mut [f32],
    pitch_of_position: usize,
}

impl WithSimd for Transpose<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Transpose { work: Work { geometry, x, shape, .. }, first_channel, panel, pitch_of_position } = self;
        let strides = geometry.input_strides();
        let pixels: usize = geometry.input.iter().product();
        let step = strides.spatial[2];
        for (channel, panel) in panel.chunks_exact_mut(pixels * pitch_of_position).enumerate() {
            for (place, item) in shape.items.clone().enumerate() {
                let from = item * strides.batch + (first_channel + channel) * strides.channel;
                let to = panel[place..].iter_mut().step_by(pitch_of_position);
                // The pixels of a channel are evenly spaced in both layouts.
                for (to, from) in to.zip(x[from..].iter().step_by(step)).take(pixels) {
                    *to = *from;
                }
            }
        }
    }
}

/// Lays the sums of a block into the output.
struct Spread<'a, 'y> {
    op: &'a ConvTranspose,
    shape: &'a TaskShape,
    row_group: &'a RowGroup,
    block: &'a Block,
    classes: &'a [Class],
    channels: std::ops::Range<usize>,
    sums: &'a [f32],
    pitch: usize,
    pitch_of_position: usize,
    parts: &'a mut Parts<'y>,
}

impl WithSimd for Spread<'_, '_> {
    /// How many outputs were written.
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        let Spread { op, shape, row_group, block, classes, channels, sums, pitch, pitch_of_position, parts } = self;
        let inside = |axis: usize, q: i64, residue: usize| {
            let axis_of = &op.axes3()[axis];
            let o = q * axis_of.stride as i64 + residue as i64 - axis_of.pad_begin;
            shape.outputs[axis].contains(&o).then_some((o - shape.outputs[axis].start) as usize)
        };
        let mut written = 0;
        let mut row = 0;
        for outer in &row_group.outer {
            for phase in &block.inner {
                let mut targets = Vec::new();
                for (index, q) in classes.iter().flat_map(|class| &class.positions).enumerate() {
                    let place = |axis: usize, residue| inside(axis, q[axis], residue);
                    let (z, y) = (place(0, outer[0].residue), place(1, outer[1].residue));
                    if let (Some(z), Some(y), Some(x)) = (z, y, place(2, phase.residue)) {
                        targets.push((z, y, x * parts.step, index * pitch_of_position));
                    }
                }
                targets.sort_unstable();
                for co in channels.clone() {
                    let sums = &sums[row * pitch..][..pitch];
                    for item in 0..shape.items.len() {
                        for line in targets.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
                            let row = parts.row(item, co - shape.channels.start, line[0].0, line[0].1);
                            for &(_, _, x, column) in line {
                                row[x].write(sums[column + item]);
                            }
                        }
                    }
                    row += 1;
                    written += targets.len() * shape.items.len();
                }
            }
        }
        written
    }
}
