//! Which algorithm computes an operation at a shape, and how its work is cut: a pure function.

use super::cost::{Candidate, Costs, best_cut};
use super::element::Element;
use super::memory::product;
use super::microkernel::tiles;
use super::packed::Packed;
use super::range::{all_q, length, q_of, union};
use crate::layout::Layout;
use crate::op::{Axis, Geometry};
use std::ops::Range;

/// The largest panel for a second-level cache of 1 MiB, in elements: half of it, which leaves room for the weights.
pub(super) const PANEL: usize = 128 << 10;
/// Products that do so many times the useful multiply-adds, the others by zeros, take longer than gathering them.
const MOST_ZEROS: f64 = 64.0;
/// The fewest multiply-adds of a task that pay for its start.
const SMALLEST_TASK: usize = 1 << 16;

/// The algorithm, with its cut.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Choice {
    /// Row by row, for everything else.
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
    /// A box of the input with a border of zeros, in which each tap is a shift: implicit im2col, no input is held twice.
    Box,
    /// For each channel and tap of a block, the inputs of all its positions side by side: for rows so short that
    /// vectors along them would be mostly empty.
    Im2col,
    /// The whole input with vectors along the batch: for such rows where the batch fills vectors.
    Batched,
}

/// The positions along the last axis of the widest block.
fn longest_row(packed: &Packed<impl Element>, axis: &Axis, output: usize) -> usize {
    let whole = 0..output as i64;
    let blocks = packed.groups.iter().flat_map(|group| &group.blocks);
    blocks
        .map(|block| union(block.inner.iter().map(|phase| q_of(axis, phase.residue, &whole))))
        .map(|q| length(&q))
        .max()
        .unwrap_or(1)
}

fn bands(q: Range<i64>, length: usize, multiple: usize) -> Vec<Range<i64>> {
    let length = length.next_multiple_of(multiple) as i64;
    (q.start..q.end).step_by(length as usize).map(|start| start..(start + length).min(q.end)).collect()
}

/// Chooses, for so many threads and panels of at most so many elements. `packed` is missing where a weight is infinite or NaN:
/// the zeros of a panel must not be multiplied with it.
///
/// The bands are fewer than the output's elements, which must be allocated before.
pub(super) fn choose(
    geometry: &Geometry,
    packed: Option<&Packed<impl Element>>,
    threads: usize,
    most: usize,
) -> Choice {
    let Some(packed) = packed else { return Choice::Gather };
    let (op, batch, output) = (geometry.op(), geometry.batch(), geometry.output());
    if batch == 0 {
        return Choice::Gather;
    }
    let axes = op.axes3();
    let lanes = packed.lanes();
    let (in_group, out_group) = (op.in_channels() / op.groups(), op.out_channels() / op.groups());
    let kernel: usize = axes.iter().map(|axis| axis.kernel).product();
    let all: [Range<i64>; 3] = std::array::from_fn(|axis| all_q(&axes[axis], output[axis]));
    let total = all.each_ref().map(length);
    // Where the input is much smaller than the kernel, few of the taps of an output read an input that exists.
    let done: f64 = total.iter().chain(&[batch, op.in_channels(), out_group, kernel]).map(|&n| n as f64).product();
    if done > MOST_ZEROS * geometry.useful_multiply_adds() as f64 {
        return Choice::Gather;
    }
    let width = longest_row(packed, &axes[2], output[2]);
    let channel_tiles = &packed.channel_tiles;
    let first = op.layout() == Layout::ChannelsFirst;
    let short = lanes > 1 && width < 2 * lanes && 3 * width.next_multiple_of(lanes) > 4 * width;
    let vectors = batch.div_ceil(lanes);
    let whole = product(geometry.input().into_iter().chain([in_group, lanes]));
    let batched = short && 4 * batch >= 3 * vectors * lanes && whole <= most;
    let (panel, items, lengths, parts) = if short {
        let items = if batched {
            lanes * vectors.div_ceil(threads).min(most / whole)
        } else {
            batch.div_ceil(4 * threads).max(4)
        };
        let tasks = batch.div_ceil(items);
        let parts = if tasks < threads && first { threads.div_ceil(tasks).min(channel_tiles.len()) } else { 1 };
        (if batched { Panel::Batched } else { Panel::Im2col }, items, total, parts)
    } else {
        let costs = Costs {
            total,
            row: width,
            tiles: channel_tiles.len(),
            rows: out_group * packed.phases(),
            span: packed.reach.map(|(least, most)| most - least),
            steps: axes.each_ref().map(|axis| axis.decimation),
            lanes,
            in_group,
            work: out_group * kernel,
            weights: op.in_channels() * out_group * kernel,
            others: batch * if first { op.groups() } else { 1 },
            threads,
        };
        let most_parts = if first && op.groups() == 1 { channel_tiles.len() } else { 1 };
        // A box beyond the cache serves too where no smaller one is possible.
        let best = [most, 16 * most].into_iter().find_map(|panel| best_cut(&costs, most_parts, panel));
        let Some(Candidate { lengths, parts }) = best else { return Choice::Gather };
        (Panel::Box, 1, lengths, parts)
    };
    let bands: [Vec<Range<i64>>; 3] =
        std::array::from_fn(|axis| bands(all[axis].clone(), lengths[axis], if axis == 2 { lanes } else { 1 }));
    let channels = if !first {
        tiles(op.out_channels(), op.out_channels()).collect()
    } else if op.groups() > 1 {
        let work = product(lengths.into_iter().chain([in_group, out_group, kernel]));
        let together = (SMALLEST_TASK / work.max(1)).clamp(1, op.groups());
        tiles(op.groups(), together).map(|g| g.start * out_group..g.end * out_group).collect()
    } else {
        let parts = tiles(channel_tiles.len(), channel_tiles.len().div_ceil(parts));
        parts.map(|part| channel_tiles[part.start].start..channel_tiles[part.end - 1].end).collect()
    };
    Choice::Products(Cut { panel, items, channels, bands })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::range::outputs_of;
    use crate::cpu::simd::Level;
    use crate::op::ConvTranspose;

    fn op(in_channels: usize, out_channels: usize, [kernel, stride, padding]: [usize; 3]) -> ConvTranspose {
        let op = ConvTranspose::builder().in_channels(in_channels).out_channels(out_channels);
        op.kernel([kernel; 2]).stride([stride; 2]).padding([padding; 2]).build().unwrap()
    }

    fn chosen(op: &ConvTranspose, input: &[usize], threads: usize) -> Choice {
        let weight = vec![1.0; op.weight_shape().iter().product()];
        let packed = Packed::new(op, &weight, &[], Level::Avx512, true).unwrap();
        choose(&op.at(input).unwrap(), Some(&packed), threads, PANEL)
    }

    #[test]
    fn the_panel_goes_by_the_length_of_rows() {
        let panel = |input: &[usize]| match chosen(&op(64, 32, [4, 2, 1]), input, 2) {
            Choice::Products(cut) => cut.panel,
            Choice::Gather => panic!("gather"),
        };
        assert_eq!(panel(&[1, 64, 40, 40]), Panel::Box);
        assert_eq!(panel(&[2, 64, 16, 16]), Panel::Box, "a row of one phase fills a vector");
        assert_eq!(panel(&[1, 64, 4, 4]), Panel::Im2col);
        assert_eq!(panel(&[16, 64, 4, 4]), Panel::Batched);
    }

    #[test]
    fn what_products_cannot_compute_is_gathered_row_by_row() {
        let wide = ConvTranspose::builder().kernel([2, 2]).dilation([1, 1 << 24]).build().unwrap();
        assert_eq!(chosen(&wide, &[1, 1, 4, 40], 2), Choice::Gather, "a box would be as wide as the dilation");
        // Boxes whose number of elements is 0 modulo 2⁶⁴.
        for (dilation, padding) in [((1_usize << 32) - 40, (1_i64 << 31) - 20), (1 << 40, 1 << 39)] {
            let wide = ConvTranspose::builder().kernel([2, 2]).dilation([dilation; 2]).padding([padding; 2]);
            assert_eq!(chosen(&wide.build().unwrap(), &[1, 1, 40, 40], 2), Choice::Gather, "dilation {dilation}");
        }
        let long = ConvTranspose::builder().kernel([1 << 12]).build().unwrap();
        assert_eq!(chosen(&long, &[1, 1, 4], 2), Choice::Gather, "of 4096 taps 4 read an input that exists");
        assert_ne!(chosen(&long, &[1, 1, 4096], 2), Choice::Gather);
        let op = op(2, 2, [3, 2, 0]);
        assert_eq!(choose(&op.at(&[1, 2, 4, 4]).unwrap(), None::<&Packed<f32>>, 2, PANEL), Choice::Gather);
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
            // Ordinary convolutions.
            (op(48, 128, [4, 2, 1]).adjoint().transposed().clone(), [1, 128, 60, 200]),
            (op(1, 56, [9, 4, 4]).adjoint().transposed().clone(), [1, 56, 300, 300]),
            (op(24, 3, [3, 3, 1]).adjoint().transposed().clone(), [2, 3, 200, 41]),
        ] {
            for threads in [1, 2, 64] {
                let Choice::Products(cut) = chosen(&op, &input, threads) else { panic!("gather") };
                let geometry = op.at(&input).unwrap();
                for axis in 0..3 {
                    let mut end = 0;
                    for q in &cut.bands[axis] {
                        let outputs = outputs_of(&op.axes3()[axis], q, geometry.output()[axis]);
                        assert_eq!(outputs.start, end, "{op:?}");
                        assert!(outputs.end > end, "{op:?}");
                        end = outputs.end;
                    }
                    assert_eq!(end as usize, geometry.output()[axis], "{op:?}");
                }
                assert_eq!(cut.channels.iter().map(Range::len).sum::<usize>(), op.out_channels());
                let longest = |axis: usize| cut.bands[axis].iter().map(length).max().unwrap();
                let axis = op.axes()[0];
                let reach = axis.kernel.div_ceil(axis.stride) - 1;
                let extent = |a: usize| (longest(a) - 1) * axis.decimation + 1 + reach;
                let size = input[1] * extent(1) * extent(2);
                assert!(size <= PANEL, "{size} elements: {op:?}, {cut:?}");
                let tasks = cut.channels.len() * cut.bands.iter().map(Vec::len).product::<usize>() * input[0];
                assert!(tasks >= threads.min(8), "{tasks} tasks for {threads} threads");
            }
        }
    }
}
