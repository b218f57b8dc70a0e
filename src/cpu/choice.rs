//! Which algorithm computes an operation at a shape, and how its work is cut: a pure function.

use super::packed::Packed;
use super::product;
use crate::layout::Layout;
use crate::op::{Axis, ConvTranspose, Geometry};
use std::ops::Range;

/// The largest panel, in elements: what leaves room for the weights in a second-level cache of 1 MiB.
const PANEL: usize = 160 << 10;
/// The multiply-adds below which a task is not worth its start.
const SMALLEST_TASK: usize = 1 << 16;

// What things cost, in cycles: measured on Zen 5, and only their proportions matter.
/// Vectors that are multiplied and added.
const MULTIPLY_ADDS: f64 = 2.0;
/// Copying an element into a panel.
const COPY: f64 = 0.15;
/// Reading a weight from beyond the second-level cache.
const FETCH: f64 = 0.4;
/// Laying one row of sums into the output, whatever its length.
const ROW: f64 = 20.0;
/// Starting a task.
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
    /// The whole input, a vector along the batch: for such rows where the batch fills vectors.
    Batched,
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
    /// The longest row of positions, where it is not cut.
    row: usize,
    /// Tiles of output channels in a group.
    tiles: usize,
    /// Output channels of a group times phases.
    rows: usize,
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
        let row = if width == self.total[2] { self.row } else { width };
        let vectors = lines * row.div_ceil(self.lanes) as f64;
        // The largest part's share of the tiles.
        let share = self.tiles.div_ceil(parts) as f64 / self.tiles as f64;
        let products = self.work as f64 * vectors / MULTIPLY_ADDS;
        let fetch = if self.weights * 4 > 256 << 10 { self.work as f64 * FETCH } else { 0.0 };
        let copy = COPY * boxed as f64;
        let rows = ROW * lines * self.rows as f64;
        let cycles = self.in_group as f64 * ((products + fetch) * share + copy) + rows * share + TASK;
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
    if geometry.batch == 0 {
        return Choice::Gather;
    }
    let lanes = packed.level.lanes();
    let (in_group, out_group) = (op.in_channels() / op.groups(), op.out_channels() / op.groups());
    let kernel: usize = axes.iter().map(|axis| axis.kernel).product();
    let all: [Range<i64>; 3] = std::array::from_fn(|axis| all_q(&axes[axis], geometry.output[axis]));
    let total = all.each_ref().map(length);
    let width = longest_row(packed, &axes[2], geometry.output[2]);
    let tiles = &packed.channel_tiles;
    let first = op.layout() == Layout::ChannelsFirst;
    let gathered = lanes > 1 && width < 2 * lanes && 3 * width.next_multiple_of(lanes) > 4 * width;
    let vectors = geometry.batch.div_ceil(lanes);
    let whole = in_group * geometry.input.iter().product::<usize>() * lanes;
    let batched = gathered && 4 * geometry.batch >= 3 * vectors * lanes && whole <= PANEL;
    let (panel, items, lengths, parts) = if gathered {
        let items = if batched {
            lanes * vectors.div_ceil(threads).min(PANEL / whole)
        } else {
            geometry.batch.div_ceil(4 * threads).max(4)
        };
        let tasks = geometry.batch.div_ceil(items);
        let parts = if tasks < threads && first { threads.div_ceil(tasks).min(tiles.len()) } else { 1 };
        (if batched { Panel::Batched } else { Panel::Gathered }, items, total, parts)
    } else {
        let costs = Costs {
            total,
            row: width,
            tiles: tiles.len(),
            rows: out_group * packed.phases(),
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
        product::tiles(op.out_channels(), op.out_channels()).collect()
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

#[cfg(test)]
mod tests {
    use super::super::simd::Level;
    use super::*;

    fn op(in_channels: usize, out_channels: usize, [kernel, stride, padding]: [usize; 3]) -> ConvTranspose {
        let op = ConvTranspose::builder().in_channels(in_channels).out_channels(out_channels);
        op.kernel([kernel; 2]).stride([stride; 2]).padding([padding; 2]).build().unwrap()
    }

    fn chosen(op: &ConvTranspose, input: &[usize], threads: usize) -> Choice {
        let weight = vec![1.0; op.weight_shape().iter().product()];
        let packed = Packed::new(op, &weight, &[], Level::Avx512, true);
        choose(op, &op.at(input).unwrap(), Some(&packed), threads)
    }

    #[test]
    fn the_panel_goes_by_the_length_of_rows() {
        let panel = |input: &[usize]| match chosen(&op(64, 32, [4, 2, 1]), input, 2) {
            Choice::Products(cut) => cut.panel,
            Choice::Gather => panic!("gather"),
        };
        assert_eq!(panel(&[1, 64, 40, 40]), Panel::Box);
        assert_eq!(panel(&[2, 64, 16, 16]), Panel::Box, "a row of one phase fills a vector");
        assert_eq!(panel(&[1, 64, 4, 4]), Panel::Gathered);
        assert_eq!(panel(&[16, 64, 4, 4]), Panel::Batched);
    }

    #[test]
    fn what_products_do_not_serve_is_gathered_row_by_row() {
        let wide = ConvTranspose::builder().kernel([2, 2]).dilation([1, 1 << 24]).build().unwrap();
        assert_eq!(chosen(&wide, &[1, 1, 4, 40], 2), Choice::Gather, "a box would be as wide as the dilation");
        let op = op(2, 2, [3, 2, 0]);
        assert_eq!(choose(&op, &op.at(&[1, 2, 4, 4]).unwrap(), None, 2), Choice::Gather);
    }

    #[test]
    fn a_cut_covers_the_output_once_and_its_panels_fit() {
        for (op, input) in [
            (op(128, 64, [2, 2, 0]), [1, 128, 128, 128]),
            (op(56, 1, [9, 2, 4]), [1, 56, 256, 256]),
            (op(256, 3, [4, 2, 3]), [1, 256, 128, 128]),
            (op(21, 21, [64, 32, 16]), [1, 21, 10, 15]),
            (op(3, 3, [5, 3, 7]), [2, 3, 1000, 37]),
            (op(512, 512, [3, 1, 1]), [1, 512, 7, 2000]),
        ] {
            for threads in [1, 2, 64] {
                let Choice::Products(cut) = chosen(&op, &input, threads) else { panic!("gather") };
                let geometry = op.at(&input).unwrap();
                for axis in 0..3 {
                    let mut end = 0;
                    for q in &cut.bands[axis] {
                        let outputs = outputs_of(&op.axes3()[axis], q, geometry.output[axis]);
                        assert_eq!(outputs.start, end, "{op:?}");
                        assert!(outputs.end > end, "{op:?}");
                        end = outputs.end;
                    }
                    assert_eq!(end as usize, geometry.output[axis], "{op:?}");
                }
                assert_eq!(cut.channels.iter().map(Range::len).sum::<usize>(), op.out_channels());
                let longest = |axis: usize| cut.bands[axis].iter().map(length).max().unwrap();
                let reach = op.axes()[0].kernel.div_ceil(op.axes()[0].stride) - 1;
                let size = input[1] * (longest(1) + reach) * (longest(2) + reach);
                assert!(size <= PANEL, "{size} elements: {op:?}, {cut:?}");
                let tasks = cut.channels.len() * cut.bands.iter().map(Vec::len).product::<usize>() * input[0];
                assert!(tasks >= threads.min(8), "{tasks} tasks for {threads} threads");
            }
        }
    }
}
