//! Products with vectors along the batch: for inputs so small that few of their elements are in a row, and batches that
//! fill a vector.
//!
//! All elements of a vector are at the same position, so that a tap that is out of bounds is left out and not multiplied
//! by zero: positions with the same taps in bounds are computed together.

use super::element::{Element, Stored};
use super::memory::{Result, grow, product, reserve};
use super::microkernel::{Product, Tap, most_rows};
use super::output::Slot;
use super::packed::{Block, Packed, RowGroup};
use super::panel::{Finite, clear_padding};
use super::range::{input_of, length};
use super::scratch::Scratch;
use super::task::Parts;
use super::work::Work;
use crate::op::Geometry;
use pulp::{Simd, WithSimd};
use std::collections::BTreeMap;
use std::ops::Range;

/// Positions that have the same taps in bounds.
struct Class {
    /// Indices among the block's taps, in ascending order.
    taps: Vec<usize>,
    positions: Vec<[i64; 3]>,
}

fn classes(geometry: &Geometry, block: &Block, positions: impl Iterator<Item = [i64; 3]>) -> Result<Vec<Class>> {
    let input = geometry.input();
    let mut classes: BTreeMap<Vec<usize>, Vec<[i64; 3]>> = BTreeMap::new();
    for q in positions {
        let read = |a: usize, offset: &[i64; 3]| input_of(&geometry.op().axes3()[a], q[a]) - offset[a];
        let in_bounds = |offset: &[i64; 3]| (0..3).all(|a| (0..input[a] as i64).contains(&read(a, offset)));
        let taps = (0..block.offsets.len()).filter(|&tap| in_bounds(&block.offsets[tap])).collect();
        let class = classes.entry(taps).or_default();
        reserve(class, 1)?;
        class.push(q);
    }
    Ok(classes.into_iter().map(|(taps, positions)| Class { taps, positions }).collect())
}

/// Computes one group; returns how many outputs were written, `None` where an input is infinite or NaN and the packed
/// weights do not allow it.
pub(super) fn run<T: Stored>(
    work: &Work<'_, T::Computed>,
    packed: &Packed<T::Computed>,
    (group, tiles): (usize, &[usize]),
    parts: &mut Parts<'_, T>,
    scratch: &mut Scratch<T::Computed>,
) -> Result<Option<usize>> {
    let Scratch { panel, results, rounded, starts, .. } = scratch;
    let (op, items, lanes) = (work.geometry.op(), work.shape.items.len(), packed.lanes());
    let in_group = op.in_channels() / op.groups();
    let vectors = items.div_ceil(lanes);
    let pitch_of_position = vectors * lanes;
    let extents = work.geometry.input();
    let channel_stride = product(extents).saturating_mul(pitch_of_position);
    let size = channel_stride.saturating_mul(in_group);
    grow(panel, size)?;
    let panel = &mut panel[..size];
    packed.instructions.run(Transpose { work, first_channel: group * in_group, panel, pitch_of_position });
    clear_padding(panel, pitch_of_position, items);
    if packed.has_zero_taps && !packed.instructions.run(Finite(panel)) {
        return Ok(None);
    }
    let [_, height, width] = extents.map(|extent| extent as i64);
    let mut written = 0;
    for row_group in &packed.groups {
        let [zs, ys] = work.outer_q(row_group);
        for block in &row_group.blocks {
            let xs = work.inner_q(block);
            let pitch = product([length(&zs), length(&ys), length(&xs), pitch_of_position]);
            let positions = zs
                .clone()
                .flat_map(|z| ys.clone().map(move |y| (z, y)))
                .flat_map(|(z, y)| xs.clone().map(move |x| [z, y, x]));
            let classes = classes(work.geometry, block, positions)?;
            // Where the input that a tap reads, which is in bounds, is in the panel's first channel.
            let place = |q: [i64; 3], tap: usize| {
                let [z, y, x]: [i64; 3] =
                    std::array::from_fn(|axis| input_of(&op.axes3()[axis], q[axis]) - block.offsets[tap][axis]);
                ((z * height + y) * width + x) as usize * pitch_of_position
            };
            for &tile in tiles {
                let (weights, rows) = packed.block(group, tile, block);
                grow(results, product([rows.len(), pitch]))?;
                let mut column = 0;
                for Class { taps, positions } in &classes {
                    // Offsets ascend with the taps, so that the last one reads the first input.
                    let start = |q| taps.last().map_or(0, |&last| place(q, last));
                    let shift = |&index: &usize| Tap { index, shift: place(positions[0], index) - start(positions[0]) };
                    let taps: Vec<Tap> = taps.iter().map(shift).collect();
                    starts.clear();
                    reserve(starts, positions.len() * vectors)?;
                    starts.extend(positions.iter().flat_map(|&q| (0..vectors).map(move |v| start(q) + v * lanes)));
                    packed.instructions.run(Product {
                        weights,
                        rows,
                        most_rows: most_rows(packed.level),
                        activation: op.activation(),
                        panel,
                        channels: in_group,
                        channel_stride,
                        taps_packed: block.offsets.len(),
                        taps: &taps,
                        starts,
                        results: &mut results[column..],
                        pitch,
                    });
                    column += positions.len() * pitch_of_position;
                }
                written += packed.instructions.run(Spread {
                    work,
                    row_group,
                    block,
                    classes: &classes,
                    channels: work.channels(packed, (group, tile)),
                    results: T::all_of(&results[..rows.len() * pitch], rounded)?,
                    pitch,
                    pitch_of_position,
                    parts,
                })?;
            }
        }
    }
    Ok(Some(written))
}

/// Fills a panel with `[channel][z][y][x][item]`.
struct Transpose<'a, T> {
    work: &'a Work<'a, T>,
    first_channel: usize,
    panel: &'a mut [T],
    pitch_of_position: usize,
}

impl<T: Element> WithSimd for Transpose<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Transpose { work: Work { geometry, x, shape, .. }, first_channel, panel, pitch_of_position } = self;
        let strides = geometry.input_strides();
        let pixels: usize = geometry.input().iter().product();
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

/// Stores the results of a block in the output.
struct Spread<'a, 'y, T: Stored> {
    work: &'a Work<'a, T::Computed>,
    row_group: &'a RowGroup,
    block: &'a Block,
    classes: &'a [Class],
    channels: Range<usize>,
    results: &'a [T],
    pitch: usize,
    pitch_of_position: usize,
    parts: &'a mut Parts<'y, T>,
}

impl<T: Stored> WithSimd for Spread<'_, '_, T> {
    /// How many outputs were written.
    type Output = Result<usize>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Result<usize> {
        let Spread { work, row_group, block, classes, channels, results, pitch, pitch_of_position, parts } = self;
        let mut written = 0;
        let mut row = 0;
        let mut targets = Vec::new();
        reserve(&mut targets, pitch / pitch_of_position)?;
        for outer in &row_group.outer {
            for phase in &block.inner {
                targets.clear();
                for (index, q) in classes.iter().flat_map(|class| &class.positions).enumerate() {
                    let place = |axis: usize, residue| work.place(axis, q[axis], residue);
                    let (z, y) = (place(0, outer[0].residue), place(1, outer[1].residue));
                    if let (Some(z), Some(y), Some(x)) = (z, y, place(2, phase.residue)) {
                        targets.push((z, y, x * parts.step, index * pitch_of_position));
                    }
                }
                targets.sort_unstable();
                for co in channels.clone() {
                    let results = &results[row * pitch..][..pitch];
                    for item in 0..work.shape.items.len() {
                        for line in targets.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
                            let row = parts.row(item, co - work.shape.channels.start, line[0].0, line[0].1);
                            for &(_, _, x, column) in line {
                                row[x] = Slot::new(results[column + item]);
                            }
                        }
                    }
                    row += 1;
                    written += targets.len() * work.shape.items.len();
                }
            }
        }
        Ok(written)
    }
}
