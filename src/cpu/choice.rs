//! Which algorithm computes an operation at a shape, and how its work is cut: a pure function.

use super::packed::Packed;
use super::product;
use crate::layout::Layout;
use crate::op::{Axis, ConvTranspose, Geometry};
use std::ops::Range;

/// The largest panel, in elements: what leaves room for the weights in a second-level cache of 1 MiB.
const PANEL: usize = 160 << 10;
/// Beyond this stride most outputs are nothing but bias, and the tables of phases outgrow the work.
const LARGEST_STRIDE: usize = 64;
/// The multiply-adds below which a task is not worth its start.
const SMALLEST_TASK: usize = 1 << 16;

// What things cost, in cycles: measured on Zen 5, and only their proportions matter.
/// Vectors that are multiplied and added.
const MULTIPLY_ADDS: f64 = 2.0;
/// Copying an element into a panel.
const COPY: f64 = 0.15;
/// Reading a weight from beyond the second-level cache.
const FETCH: f64 = 0.4;
/// Starting a task, and each row of each phase in it.
const TASK: f64 = 8000.0;

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

fn bands(q: Range<i64>, length: usize, multiple: usize) -> Vec<Range<i64>> {
    let length = length.next_multiple_of(multiple) as i64;
    (q.start..q.end).step_by(length as usize).map(|start| start..(start + length).min(q.end)).collect()
}

/// How a box and its tasks may be cut.
#[derive(Clone, Copy)]
struct Candidate {
    /// The `q` of a task on each axis.
    lengths: [usize; 3],
    /// Into how many parts the output channels of a group are cut.
    parts: usize,
}

/// What the cost of a candidate depends on.
struct Costs {
    total: [usize; 3],
    span: [usize; 3],
    lanes: usize,
    in_group: usize,
    /// Multiply-adds of one `q` and input channel.
    work: usize,
    weights: usize,
    /// Tasks of a candidate that cuts nothing.
    others: usize,
    threads: usize,
}

impl Costs {
    /// The cycles that the slowest thread needs; `None` where a panel is too large.
    fn of(&self, candidate: &Candidate, panel: usize) -> Option<f64> {
        let Candidate { lengths, parts } = *candidate;
        let boxed: usize = (0..3).map(|axis| lengths[axis] + self.span[axis]).product();
        if boxed * self.in_group > panel {
            return None;
        }
        let [depth, height, width] = lengths;
        let lines = (depth * height) as f64;
        let vectors = lines * width.div_ceil(self.lanes) as f64;
        let products = self.work as f64 * vectors / MULTIPLY_ADDS;
        let fetch = if self.weights * 4 > 256 << 10 { self.work as f64 * FETCH } else { 0.0 };
        let cycles = self.in_group as f64 * ((products + fetch) / parts as f64 + COPY * boxed as f64) + TASK;
        let cuts: usize = (0..3).map(|axis| self.total[axis].div_ceil(lengths[axis])).product();
        let tasks = cuts * parts * self.others;
        // Threads seldom keep step: the last task is waited for by all, the more so the larger it is.
        let rounds = tasks.div_ceil(self.threads) as f64 + 0.25;
        Some(cycles * rounds)
    }
}

/// Whole, halves, thirds, quarters and so on, at least 1.
fn fractions(total: usize) -> impl Iterator<Item = usize> + Clone {
    let parts = [1, 2, 3, 4, 6, 8, 11, 16, 22, 32, 48, 64, 96, 128, 256, 512].into_iter();
    let more = (10..40).map(|shift| 1usize << shift);
    parts.chain(more).take_while(move |&parts| parts <= total).map(move |parts| total.div_ceil(parts))
}

fn best_cut(costs: &Costs, most_parts: usize, panel: usize) -> Option<Candidate> {
    let mut best: Option<(f64, Candidate)> = None;
    for width in fractions(costs.total[2]) {
        let width = width.next_multiple_of(costs.lanes).min(costs.total[2]);
        for height in fractions(costs.total[1]) {
            for depth in fractions(costs.total[0]) {
                for parts in [1, 2, 3, 4, 6, 8, 16].into_iter().take_while(|&parts| parts <= most_parts) {
                    let candidate = Candidate { lengths: [depth, height, width], parts };
                    let Some(cost) = costs.of(&candidate, panel) else { continue };
                    if best.is_none_or(|(least, _)| cost < least) {
                        best = Some((cost, candidate));
                    }
                }
            }
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Decides. `packed` is missing where a weight is infinite or NaN: the panels' zeros must not meet it.
pub(super) fn choose(op: &ConvTranspose, geometry: &Geometry, packed: Option<&Packed>, threads: usize) -> Choice {
    let Some(packed) = packed else { return Choice::Gather };
    let axes = op.axes3();
    if axes.iter().any(|axis| axis.stride > LARGEST_STRIDE) || geometry.batch == 0 {
        return Choice::Gather;
    }
    let lanes = packed.level.lanes();
    let (in_group, out_group) = (op.in_channels() / op.groups(), op.out_channels() / op.groups());
    let kernel: usize = axes.iter().map(|axis| axis.kernel).product();
    let all: [Range<i64>; 3] = std::array::from_fn(|axis| all_q(&axes[axis], geometry.output[axis]));
    let total = all.each_ref().map(length);
    let width = longest_row(packed, &axes[2], geometry.output[2]);
    let tiles = &packed.channel_tiles;
    let first = geometry.layout == Layout::ChannelsFirst;
    let gathered = lanes > 1 && width < 2 * lanes && 3 * width.next_multiple_of(lanes) > 4 * width;
    let (panel, items, lengths, parts) = if gathered {
        let items = geometry.batch.div_ceil(4 * threads).max(4).min(geometry.batch);
        let tasks = geometry.batch.div_ceil(items);
        let parts = if tasks < threads && first { (2 * threads).div_ceil(tasks).min(tiles.len()) } else { 1 };
        (Panel::Gathered, items, total, parts)
    } else {
        let costs = Costs {
            total,
            span: packed.reach.map(|(least, most)| (most - least) as usize),
            lanes,
            in_group,
            work: out_group * kernel,
            weights: op.in_channels() * out_group * kernel,
            others: geometry.batch * if first { op.groups() } else { 1 },
            threads,
        };
        let most_parts = if first && op.groups() == 1 { tiles.len() } else { 1 };
        // A box beyond the cache serves too, if it must be.
        let best = [PANEL, 16 * PANEL].into_iter().find_map(|panel| best_cut(&costs, most_parts, panel));
        let Some(Candidate { lengths, parts }) = best else { return Choice::Gather };
        (Panel::Box, 1, lengths, parts)
    };
    let bands: [Vec<Range<i64>>; 3] =
        std::array::from_fn(|axis| bands(all[axis].clone(), lengths[axis], if axis == 2 { lanes } else { 1 }));
    let channels = if !first {
        vec![0..op.out_channels()]
    } else if op.groups() > 1 {
        let work = in_group * out_group * kernel * lengths.iter().product::<usize>();
        let together = (SMALLEST_TASK / work.max(1)).clamp(1, op.groups());
        product::tiles(op.groups(), together).map(|g| g.start * out_group..g.end * out_group).collect()
    } else {
        let parts = product::tiles(tiles.len(), tiles.len().div_ceil(parts));
        parts.map(|part| tiles[part.start].start..tiles[part.end - 1].end).collect()
    };
    Choice::Products(Cut { panel, items, channels, bands })
}
