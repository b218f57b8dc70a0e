//! Products over a box of the input with a border of zeros, in which each tap is a shift.

use super::element::Stored;
use super::interleave::{BlockResults, Line, Results};
use super::memory::{Result, grow, product, reserve};
use super::microkernel::{Product, Tap, all_taps, most_rows};
use super::packed::{Block, Packed};
use super::panel::{Finite, Source};
use super::range::{box_extent, input_of, length};
use super::scratch::Scratch;
use super::task::Parts;
use super::work::Work;
use std::ops::Range;

/// The most results, in elements, that are computed before they are stored in the output.
const RESULTS: usize = 8 << 10;

/// Computes one group; returns how many outputs were written, `None` where an input is infinite or NaN and the packed
/// weights do not allow it.
pub(super) fn run<T: Stored>(
    work: &Work<'_, T::Computed>,
    packed: &Packed<T::Computed>,
    tiles: (usize, &[usize]),
    parts: &mut Parts<'_, T>,
    scratch: &mut Scratch<T::Computed>,
) -> Result<Option<usize>> {
    let mut written = 0;
    for item in work.shape.items.clone() {
        let Some(done) = run_item(work, packed, item, tiles, parts, scratch)? else { return Ok(None) };
        written += done;
    }
    Ok(Some(written))
}

fn run_item<T: Stored>(
    work: &Work<'_, T::Computed>,
    packed: &Packed<T::Computed>,
    item: usize,
    (group, tiles): (usize, &[usize]),
    parts: &mut Parts<'_, T>,
    scratch: &mut Scratch<T::Computed>,
) -> Result<Option<usize>> {
    let mut written = 0;
    let Scratch { panel, results, rounded, starts, .. } = scratch;
    let (op, shape, lanes) = (work.geometry.op(), &work.shape, packed.lanes());
    let in_group = op.in_channels() / op.groups();
    // Taps read from `least` to `most` inputs before q, so that the box begins at `from`.
    let reach = packed.reach;
    let axes = op.axes3();
    let from: [i64; 3] = std::array::from_fn(|axis| input_of(&axes[axis], shape.q[axis].start) - reach[axis].1);
    let mut extents: [usize; 3] =
        std::array::from_fn(|axis| box_extent(&axes[axis], length(&shape.q[axis]), reach[axis].1 - reach[axis].0));
    // Along x, inputs that are a step apart lie side by side, behind those of the residue before.
    let steps = axes.each_ref().map(|axis| axis.decimation);
    extents[2] = extents[2].next_multiple_of(steps[2]);
    let beside = |x: i64| x % steps[2] as i64 * (extents[2] / steps[2]) as i64 + x / steps[2] as i64;
    let channel_stride = product(extents);
    let size = channel_stride.saturating_mul(in_group);
    // The last vector of a line may read beyond the box.
    grow(panel, size.saturating_add(lanes))?;
    Source::new(work.geometry, work.x, item, group * in_group).copy_box(in_group, from, extents, panel)?;
    if packed.has_zero_taps && !packed.instructions.run(Finite(&panel[..size])) {
        return Ok(None);
    }
    let shift = |[z, y, x]: [i64; 3]| ((z * extents[1] as i64 + y) * extents[2] as i64 + x) as usize;
    let taps = |block: &Block| {
        let back = |offset: &[i64; 3]| {
            let [z, y, x] = std::array::from_fn(|axis| reach[axis].1 - offset[axis]);
            shift([z, y, beside(x)])
        };
        all_taps(block.offsets.iter().map(back))
    };
    for row_group in &packed.groups {
        let [zs, ys] = work.outer_q(row_group);
        let lines: Vec<Line> =
            zs.flat_map(|z| ys.clone().map(move |y| Line { item: item - shape.items.start, z, y })).collect();
        let blocks: Vec<(&Block, Vec<Tap>, Range<i64>)> =
            row_group.blocks.iter().map(|block| (block, taps(block), work.inner_q(block))).collect();
        let widest = blocks.iter().map(|(_, _, q)| length(q).next_multiple_of(lanes)).max().unwrap_or(0);
        for &tile in tiles {
            let channels = packed.channel_tiles[tile].len();
            let rows_of = |block: &Block| row_group.outer.len() * block.inner.len() * channels;
            let rows: usize = row_group.blocks.iter().map(rows_of).sum();
            let at_once = (RESULTS / product([rows, widest]).max(1)).clamp(1, lines.len().max(1));
            let pitch = at_once * widest;
            grow(results, product([rows, pitch]))?;
            for lines in lines.chunks(at_once) {
                let mut first_row = 0;
                let mut done = Vec::with_capacity(blocks.len());
                for (block, taps, q) in &blocks {
                    let advance = length(q).next_multiple_of(lanes);
                    starts.clear();
                    reserve(starts, lines.len() * (advance / lanes))?;
                    for line in lines {
                        let [z, y] =
                            [(line.z, 0), (line.y, 1)].map(|(q, axis)| (q - shape.q[axis].start) * steps[axis] as i64);
                        let x = q.start - shape.q[2].start;
                        starts.extend((0..advance / lanes).map(|v| shift([z, y, x]) + v * lanes));
                    }
                    let (weights, rows) = packed.block(group, tile, block);
                    packed.instructions.run(Product {
                        weights,
                        rows,
                        most_rows: most_rows(packed.level),
                        activation: op.activation(),
                        panel,
                        channels: in_group,
                        channel_stride,
                        taps_packed: taps.len(),
                        taps,
                        starts,
                        results: &mut results[first_row * pitch..],
                        pitch,
                    });
                    done.push(BlockResults { block, q: q.clone(), first_row, advance });
                    first_row += rows_of(block);
                }
                let (tile, values) = ((group, tile), &results[..rows * pitch]);
                let results = Results { row_group, blocks: &done, lines, tile, values, pitch };
                written += results.store(work, packed, rounded, parts)?;
            }
        }
    }
    Ok(Some(written))
}
