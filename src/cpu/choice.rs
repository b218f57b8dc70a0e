//! Which algorithm computes an operation at a shape, and how its work is cut: a pure function.

use super::packed::Packed;
use crate::layout::Layout;
use crate::op::{Axis, ConvTranspose, Geometry};
use std::ops::Range;

/// The largest panel, in elements: what leaves room for the weights in a second-level cache of 1 MiB.
const PANEL: usize = 96 << 10;
/// The most positions computed at once, so that their sums stay in a cache.
const POSITIONS: usize = 1024;
/// Beyond this stride most outputs are nothing but bias, and the tables of phases outgrow the work.
const LARGEST_STRIDE: usize = 64;
/// How many tasks each thread should find, so that one that is held up is helped.
const TASKS_PER_THREAD: usize = 4;
/// The multiply-adds below which a task is not worth its start.
const SMALLEST_TASK: usize = 1 << 16;

/// What is decided.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Choice {
    /// Row by row, for everything that the products do not serve.
    Gather,
    /// Matrix products over panels.
    Products(Cut),
}

/// How the work of the products is cut into tasks.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cut {
    /// What a panel holds.
    pub(super) panel: Panel,
    /// Items of the batch for each task.
    pub(super) items: usize,
    /// Output channels of each task.
    pub(super) channels: Vec<Range<usize>>,
    /// The `q` of each task, on each axis.
    pub(super) bands: [Vec<Range<i64>>; 3],
}

/// What a panel holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Panel {
    /// A box of the input with the zeros around it, in which each tap is a shift: nothing is held twice.
    Box,
    /// For each channel and tap of a block, the inputs of all its positions side by side: for rows so short that
    /// vectors along them would be mostly empty.
    Gathered,
}

/// All `q` with an output on this axis: output `s·q + r − b` for some residue `r`.
pub(super) fn all_q(axis: &Axis, output: usize) -> Range<i64> {
    let stride = axis.stride as i64;
    axis.pad_begin.div_euclid(stride)..(output as i64 - 1 + axis.pad_begin).div_euclid(stride) + 1
}

/// The `q` whose output with this residue lies within `outputs`.
pub(super) fn q_of(axis: &Axis, residue: usize, outputs: &Range<i64>) -> Range<i64> {
    let (stride, shift) = (axis.stride as i64, residue as i64 - axis.pad_begin);
    // ⌈(start − shift) / stride⌉ up to ⌊(end − 1 − shift) / stride⌋.
    -(shift - outputs.start).div_euclid(stride)..(outputs.end - 1 - shift).div_euclid(stride) + 1
}

/// The outputs of a band of `q`.
pub(super) fn outputs_of(axis: &Axis, q: &Range<i64>, output: usize) -> Range<i64> {
    let stride = axis.stride as i64;
    let at = |q: i64| (q * stride - axis.pad_begin).clamp(0, output as i64);
    at(q.start)..at(q.end)
}

/// The positions along the last axis of the widest block.
fn longest_row(packed: &Packed, axis: &Axis, output: usize) -> usize {
    let whole = 0..output as i64;
    let blocks = packed.groups.iter().flat_map(|group| &group.blocks);
    blocks
        .map(|block| union(block.inner.iter().map(|phase| q_of(axis, phase.residue, &whole))))
        .map(|q| length(&q))
        .max()
        .unwrap_or(1)
}

/// The least range that holds all of these that are not empty.
pub(super) fn union(ranges: impl Iterator<Item = Range<i64>>) -> Range<i64> {
    ranges.filter(|range| !range.is_empty()).reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)).unwrap_or(0..0)
}

/// The number of elements of a range, 0 where it is inverted.
pub(super) fn length(range: &Range<i64>) -> usize {
    (range.end - range.start).max(0) as usize
}

fn bands(q: Range<i64>, length: usize) -> Vec<Range<i64>> {
    let total = (q.end - q.start) as usize;
    super::product::tiles(total, length.max(1)).map(|r| q.start + r.start as i64..q.start + r.end as i64).collect()
}

/// Decides. `packed` is missing where a weight is infinite or NaN: the panels' zeros must not meet it.
pub(super) fn choose(op: &ConvTranspose, geometry: &Geometry, packed: Option<&Packed>, threads: usize) -> Choice {
    let Some(packed) = packed else { return Choice::Gather };
    let axes = op.axes3();
    if axes.iter().any(|axis| axis.stride > LARGEST_STRIDE) {
        return Choice::Gather;
    }
    let lanes = packed.level.lanes();
    let (in_group, out_group) = (op.in_channels() / op.groups(), op.out_channels() / op.groups());
    let all: [Range<i64>; 3] = std::array::from_fn(|axis| all_q(&axes[axis], geometry.output[axis]));
    let total = all.clone().map(|q| (q.end - q.start) as usize);
    let span = packed.reach.map(|(least, most)| (most - least) as usize);
    let width = longest_row(packed, &axes[2], geometry.output[2]);
    let mut length = total;
    let wasteful = 3 * width.div_ceil(lanes) * lanes > 4 * width.max(lanes / 2) && lanes > 1 && width < 2 * lanes;
    let panel = if wasteful { Panel::Gathered } else { Panel::Box };
    let wanted = TASKS_PER_THREAD * threads;
    let mut items = 1;
    if panel == Panel::Gathered {
        items = geometry.batch.div_ceil(wanted).max(4).min(geometry.batch);
    } else {
        let size = |length: &[usize; 3]| in_group * (0..3).map(|axis| length[axis] + span[axis]).product::<usize>();
        let too_large = |length: &[usize; 3]| size(length) > PANEL || length.iter().product::<usize>() > POSITIONS;
        // Whole rows if they fit; as many of them as fit.
        for axis in [0, 1] {
            while length[axis] > 1 && too_large(&length) {
                length[axis] = length[axis].div_ceil(2);
            }
        }
        while length[2] > 4 * lanes && too_large(&length) {
            length[2] = (length[2].div_ceil(2)).next_multiple_of(lanes);
        }
        if size(&length) > 16 * PANEL {
            return Choice::Gather;
        }
        // More bands than memory asks for, while the rows read twice cost little beside the products.
        let kernel: usize = axes.iter().map(|axis| axis.kernel).product();
        let others = geometry.batch * op.groups();
        for axis in [0, 1] {
            let tasks =
                |length: &[usize; 3]| others * (0..3).map(|axis| total[axis].div_ceil(length[axis])).product::<usize>();
            while length[axis] > 1 && tasks(&length) < wanted && length[axis] * out_group * kernel > 48 * span[axis] {
                length[axis] = length[axis].div_ceil(2);
            }
        }
    }
    let bands: [Vec<Range<i64>>; 3] = std::array::from_fn(|axis| bands(all[axis].clone(), length[axis]));
    let tasks = geometry.batch.div_ceil(items.max(1)) * bands.iter().map(Vec::len).product::<usize>();
    let channels = match geometry.layout {
        Layout::ChannelsLast => vec![0..op.out_channels()],
        Layout::ChannelsFirst if op.groups() > 1 => {
            let work = in_group
                * out_group
                * axes.iter().map(|axis| axis.kernel).product::<usize>()
                * length.iter().product::<usize>();
            let together = (SMALLEST_TASK / work.max(1)).clamp(1, op.groups());
            let groups = super::product::tiles(op.groups(), together);
            groups.map(|g| g.start * out_group..g.end * out_group).collect()
        }
        Layout::ChannelsFirst if tasks < threads => {
            let wanted = (2 * threads).div_ceil(tasks.max(1));
            let tiles = &packed.channel_tiles;
            let parts = super::product::tiles(tiles.len(), tiles.len().div_ceil(wanted));
            parts.map(|part| tiles[part.start].start..tiles[part.end - 1].end).collect()
        }
        Layout::ChannelsFirst => vec![0..op.out_channels()],
    };
    Choice::Products(Cut { panel, items, channels, bands })
}
