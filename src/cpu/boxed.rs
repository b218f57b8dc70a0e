//! Products over a box of the input with zeros around it, in which each tap is a shift.

use super::choice::length;
use super::lay::{BlockSums, Line};
use super::packed::{Block, Packed};
use super::panel::{Source, resize};
use super::product::{Product, Tap, all_taps, most_rows};
use super::products::{Finite, Scratch, Work};
use super::task::Parts;
use std::ops::Range;

/// The most sums, in elements, that wait to be laid into the output.
const SUMS: usize = 8 << 10;

impl Work<'_> {
    /// How many outputs were written; `None` where the inputs are unfit for this packing.
    pub(super) fn box_group(
        &self,
        packed: &Packed,
        item: usize,
        group: usize,
        tiles: &[usize],
        parts: &mut Parts<'_>,
        scratch: &mut Scratch,
    ) -> Option<usize> {
        let mut written = 0;
        let Scratch { panel, sums, starts, .. } = scratch;
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
        // A line may begin before the box, where no tap of its block does: below 0, and back within it with each tap.
        let shift = |[z, y, x]: [i64; 3]| ((z * extents[1] as i64 + y) * extents[2] as i64 + x) as usize;
        let taps = |block: &Block| {
            let back = |offset: &[i64; 3]| shift(std::array::from_fn(|axis| reach[axis].1 - offset[axis]));
            all_taps(block.offsets.iter().map(back))
        };
        for row_group in &packed.groups {
            let [zs, ys] = self.outer_q(row_group);
            let lines: Vec<Line> =
                zs.flat_map(|z| ys.clone().map(move |y| Line { item: item - self.shape.items.start, z, y })).collect();
            let blocks: Vec<(&Block, Vec<Tap>, Range<i64>)> =
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
                            starts.extend((0..length(q).div_ceil(lanes)).map(|v| start.wrapping_add(v * lanes)));
                        }
                        let (weights, rows) = packed.block(group, tile, block);
                        packed.instructions.run(Product {
                            weights,
                            rows,
                            most_rows: most_rows(packed.level),
                            activation: self.op.activation(),
                            panel,
                            channels: in_group,
                            channel_stride,
                            taps_packed: taps.len(),
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
}
