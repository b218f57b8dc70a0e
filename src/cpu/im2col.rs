//! Products over an im2col panel: for each channel and tap, the inputs of all positions side by side. For rows so short
//! that vectors along them would be mostly empty.

use super::cache;
use super::element::Stored;
use super::interleave::{BlockResults, Line, Results};
use super::memory::{Result, collect, grow, product, reserve};
use super::microkernel::{Product, all_taps, most_rows};
use super::packed::Packed;
use super::panel::{Finite, Source, clear_padding};
use super::range::{input_of, length};
use super::scratch::Scratch;
use super::task::Parts;
use super::work::Work;

/// The largest panel for a second-level cache of 1 MiB, in elements.
const PANEL: usize = 128 << 10;

/// Computes one group; returns how many outputs were written, `None` where an input is infinite or NaN and the packed
/// weights do not allow it.
pub(super) fn run<T: Stored>(
    work: &Work<'_, T::Computed>,
    packed: &Packed<T::Computed>,
    (group, tiles): (usize, &[usize]),
    parts: &mut Parts<'_, T>,
    scratch: &mut Scratch<T::Computed>,
) -> Result<Option<usize>> {
    let mut written = 0;
    let Scratch { panel, results, rounded, starts, .. } = scratch;
    let (op, items, lanes) = (work.geometry.op(), &work.shape.items, packed.lanes());
    let (in_group, axes) = (op.in_channels() / op.groups(), op.axes3());
    for row_group in &packed.groups {
        let [zs, ys] = work.outer_q(row_group);
        let count = product([items.len(), length(&zs), length(&ys)]);
        let lines = (0..items.len())
            .flat_map(|item| zs.clone().map(move |z| (item, z)))
            .flat_map(|(item, z)| ys.clone().map(move |y| Line { item, z, y }));
        let lines = collect("the lines of a task", count, lines)?;
        for block in &row_group.blocks {
            let q = work.inner_q(block);
            let (width, depth) = (length(&q), in_group * block.offsets.len());
            let at_once =
                (cache::elements::<T::Computed>(PANEL) / product([depth, width]).max(1)).clamp(1, lines.len().max(1));
            for lines in lines.chunks(at_once) {
                let used = lines.len() * width;
                let pitch = used.next_multiple_of(lanes);
                let size = product([depth, pitch]);
                grow(panel, size)?;
                for (index, line) in lines.iter().enumerate() {
                    let source = Source::new(work.geometry, work.x, items.start + line.item, group * in_group);
                    let panel = &mut panel[index * width..];
                    let first = [input_of(&axes[0], line.z), input_of(&axes[1], line.y), input_of(&axes[2], q.start)];
                    source.im2col_row(in_group, &block.offsets, first, width, panel, pitch);
                }
                clear_padding(&mut panel[..size], pitch, used);
                if packed.has_zero_taps && !packed.instructions.run(Finite(&panel[..size])) {
                    return Ok(None);
                }
                starts.clear();
                reserve(starts, pitch / lanes)?;
                starts.extend((0..pitch).step_by(lanes));
                for &tile in tiles {
                    let (weights, rows) = packed.block(group, tile, block);
                    grow(results, product([rows.len(), pitch]))?;
                    packed.instructions.run(Product {
                        weights,
                        rows,
                        most_rows: most_rows(packed.level),
                        activation: op.activation(),
                        panel,
                        channels: depth,
                        channel_stride: pitch,
                        taps_packed: 1,
                        taps: &all_taps([0].into_iter()),
                        starts,
                        results,
                        pitch,
                    });
                    let blocks = &[BlockResults { block, q: q.clone(), first_row: 0, advance: width }];
                    let (tile, values) = ((group, tile), &results[..rows.len() * pitch]);
                    let results = Results { row_group, blocks, lines, tile, values, pitch };
                    written += results.store(work, packed, rounded, parts)?;
                }
            }
        }
    }
    Ok(Some(written))
}
