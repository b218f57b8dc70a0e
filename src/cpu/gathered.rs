//! Products over gathered inputs: for each channel and tap, those of all positions side by side. For rows so short that
//! vectors along them would be mostly empty.

use super::choice::length;
use super::lay::{BlockSums, Line};
use super::packed::Packed;
use super::panel::{Source, resize};
use super::product::{Product, all_taps, most_rows};
use super::products::{Finite, Scratch, Work};
use super::task::Parts;

/// The largest gathered panel, in elements.
const GATHERED: usize = 128 << 10;

impl Work<'_> {
    /// How many outputs were written; `None` where the inputs are unfit for this packing.
    pub(super) fn gathered_group(
        &self,
        packed: &Packed,
        group: usize,
        tiles: &[usize],
        parts: &mut Parts<'_>,
        scratch: &mut Scratch,
    ) -> Option<usize> {
        let mut written = 0;
        let Scratch { panel, sums, starts, .. } = scratch;
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
                        let panel = &mut panel[index * width..];
                        source.gather_row(in_group, &block.offsets, [line.z, line.y], &q, panel, pitch);
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
                            activation: self.op.activation(),
                            panel,
                            channels: depth,
                            channel_stride: pitch,
                            taps_packed: 1,
                            taps: &all_taps([0].into_iter()),
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
}
