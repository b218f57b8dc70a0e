//! Any operation, in f32 or f64: each row of the output gathers the rows of the input that reach it.
//!
//! The readable algorithm, to which the others fall back. A tap that is out of bounds is never multiplied, so that a
//! weight that is infinite or NaN shows only where it is used.

use super::element::{Element, Stored};
use super::memory::{Result, collect, reserve, reserved, unless_stopped};
use super::order::Order;
use super::output::Slot;
use crate::layout::Layout;
use crate::op::{Axis, ConvTranspose, Geometry};
use crate::phase::AxisPhases;
use crate::stop::Stop;
use rayon::prelude::*;
use std::ops::Range;

/// The most outputs of a row that are accumulated at a time.
const SEGMENT: usize = 2048;

/// The weights as this algorithm reads them.
#[derive(Clone, Debug)]
pub(super) struct Weights<T> {
    /// `[out_channels][in_channels / groups][kd][kh][kw]`
    pub(super) weight: Vec<T>,
    /// `[out_channels]`, or empty.
    pub(super) bias: Vec<T>,
}

impl<T: Element> Weights<T> {
    /// Reorders a weight; `bias` may be empty.
    pub(super) fn new(op: &ConvTranspose, order: Order, weight: &[T], bias: &[T]) -> Result<Self> {
        let kernel = op.axes3().map(|axis| axis.kernel);
        let (in_group, out_group) = (op.in_channels() / op.groups(), op.out_channels() / op.groups());
        let strides = order.strides;
        let mut reordered = reserved("the weights", weight.len())?;
        for co in 0..op.out_channels() {
            for ci in 0..in_group {
                let origin = co / out_group * order.group + ci * strides.input + co % out_group * strides.output;
                for kz in 0..kernel[0] {
                    for ky in 0..kernel[1] {
                        let row = origin + kz * strides.spatial[0] + ky * strides.spatial[1];
                        reordered.extend((0..kernel[2]).map(|kx| weight[row + kx * strides.spatial[2]]));
                    }
                }
            }
        }
        Ok(Self { weight: reordered, bias: collect("the bias", bias.len(), bias.iter().copied())? })
    }

    /// The same weights in another type.
    pub(super) fn map<U>(&self, convert: impl Fn(T) -> U) -> Result<Weights<U>> {
        let map = |values: &[T]| collect("the weights", values.len(), values.iter().map(|&value| convert(value)));
        Ok(Weights { weight: map(&self.weight)?, bias: map(&self.bias)? })
    }
}

/// One tap on the last axis, over all the outputs it reaches: `count` outputs from `output` on, `stride` apart, read
/// neighbouring inputs from `input` on.
#[derive(Clone, Copy)]
struct Run {
    tap: usize,
    input: usize,
    output: usize,
    count: usize,
    /// The distance between the inputs that neighbouring outputs of the run read.
    input_step: usize,
}

impl Run {
    /// The part whose outputs are in a segment, counted from its start.
    fn within(&self, segment: &Range<usize>, stride: usize) -> Option<Self> {
        let before = |end: usize| end.saturating_sub(self.output).div_ceil(stride).min(self.count);
        let (skipped, end) = (before(segment.start), before(segment.end));
        let output = || self.output + skipped * stride - segment.start;
        (skipped < end).then(|| Run {
            input: self.input + skipped * self.input_step,
            output: output(),
            count: end - skipped,
            ..*self
        })
    }
}

/// The outputs that each tap reaches on the last axis, by the first of them. So the taps of an output are in their order.
fn runs(geometry: &Geometry) -> Result<Vec<Run>> {
    let axis = &geometry.op().axes3()[2];
    let (input, output) = (geometry.input()[2] as i64, geometry.output()[2] as i64);
    if axis.decimation > 1 {
        return decimated_runs(axis, input, output);
    }
    let table = AxisPhases::new(axis);
    let stride = axis.stride as i64;
    let mut runs = Vec::new();
    for phase in table.iter() {
        // Output o = q·s + r − b, for the q that keep o within the output.
        let shift = phase.residue as i64 - axis.pad_begin;
        let (least, most) = (-shift.div_euclid(stride), (output - 1 - shift).div_euclid(stride));
        for (tap, offset) in table.taps(phase) {
            let (first, last) = (least.max(offset), most.min(input - 1 + offset));
            if first <= last {
                let (input, output) = ((first - offset) as usize, (first * stride + shift) as usize);
                reserve(&mut runs, 1)?;
                runs.push(Run { tap, input, output, count: (last - first + 1) as usize, input_step: 1 });
            }
        }
    }
    runs.sort_unstable_by_key(|run| (run.output, run.tap));
    Ok(runs)
}

/// Where only every so many outputs are kept: the run of each tap that reaches one, the stride being 1.
fn decimated_runs(axis: &Axis, input: i64, output: i64) -> Result<Vec<Run>> {
    let step = axis.decimation as i64;
    let mut runs = Vec::new();
    for tap in 0..axis.kernel {
        // Output o reads input o·step + lead.
        let lead = axis.pad_begin - tap as i64 * axis.dilation as i64;
        let first = (-lead.div_euclid(step)).max(0);
        let last = (input - 1 - lead).div_euclid(step).min(output - 1);
        if first <= last {
            let count = (last - first + 1) as usize;
            let input = (first * step + lead) as usize;
            reserve(&mut runs, 1)?;
            runs.push(Run { tap, input, output: first as usize, count, input_step: axis.decimation });
        }
    }
    runs.sort_unstable_by_key(|run| (run.output, run.tap));
    Ok(runs)
}

/// Those of the runs that may have outputs in a segment; none is longer than `longest` outputs.
fn near<'a>(runs: &'a [Run], segment: &Range<usize>, longest: usize) -> &'a [Run] {
    let begin = runs.partition_point(|run| run.output + longest <= segment.start);
    let end = runs.partition_point(|run| run.output < segment.end);
    &runs[begin..end]
}

/// The (tap, input) pairs that reach an output coordinate of an axis: those whose input is in bounds.
fn reaching(
    axis: &Axis,
    table: &AxisPhases,
    input: usize,
    output: usize,
) -> impl Iterator<Item = (usize, usize)> + Clone + use<> {
    let (step, tap_step) = (table.input_step as i64, table.tap_step);
    // The first tap reads the input `newest`, and each further one `step` inputs before that.
    let (first_tap, newest, taps) = match table.at(axis.full_coordinate(output as i64)) {
        Some((phase, q)) => {
            let newest = q - phase.first_offset;
            let skipped = (newest - (input as i64 - 1)).max(0) as u64;
            let end = if newest < 0 { 0 } else { newest as u64 / step as u64 + 1 };
            (phase.first_tap, newest, skipped.div_ceil(step as u64)..end.min(phase.taps as u64))
        }
        None => (0, 0, 0..0),
    };
    taps.map(move |t| (first_tap + t as usize * tap_step, (newest - t as i64 * step) as usize))
}

/// Computes the output, each element of it.
pub(super) fn run<T: Stored>(
    geometry: &Geometry,
    weights: &Weights<T::Computed>,
    x: &[T::Computed],
    y: &mut [Slot<T>],
) -> Result<()> {
    let (op, input, output) = (geometry.op(), geometry.input(), geometry.output());
    let (xs, ys) = (geometry.input_strides(), geometry.output_strides());
    let axes = op.axes3();
    let [kd, kh, kw] = axes.map(|axis| axis.kernel);
    let (in_group, out_group) = (op.in_channels() / op.groups(), op.out_channels() / op.groups());
    let tables = [0, 1].map(|axis| AxisPhases::new(&axes[axis]));
    let reaching = |axis: usize, o: usize| reaching(&axes[axis], &tables[axis], input[axis], o);
    let runs = runs(geometry)?;
    let stride = axes[2].stride;
    let longest = runs.iter().map(|run| (run.count - 1) * stride + 1).max().unwrap_or(0);
    // What is contiguous in memory: with the channels first, a row of one channel; with the channels last, of all.
    let (apart, together) = match op.layout() {
        Layout::ChannelsFirst => (op.out_channels(), 1),
        Layout::ChannelsLast => (1, op.out_channels()),
    };
    let segment_len = output[2].min(SEGMENT);
    let scratch = || (vec![T::Computed::default(); segment_len], Vec::new());
    let stop = Stop::watched();
    y.par_chunks_mut(output[2] * together).enumerate().try_for_each_init(scratch, |scratch, (index, row)| {
        unless_stopped(stop.as_ref())?;
        let (accumulators, within) = scratch;
        let (rest, oy) = (index / output[1], index % output[1]);
        let (rest, oz) = (rest / output[0], rest % output[0]);
        let (n, first_channel) = (rest / apart, rest % apart);
        for start in (0..output[2]).step_by(SEGMENT) {
            let segment = start..(start + SEGMENT).min(output[2]);
            let accumulators = &mut accumulators[..segment.len()];
            within.clear();
            let near = near(&runs, &segment, longest);
            reserve(within, near.len())?;
            within.extend(near.iter().filter_map(|run| run.within(&segment, stride)));
            for channel in 0..together {
                let co = first_channel + channel;
                accumulators.fill(T::Computed::default());
                for ci in 0..in_group {
                    let x0 = n * xs.batch + (co / out_group * in_group + ci) * xs.channel;
                    for (kz, iz) in reaching(0, oz) {
                        for (ky, iy) in reaching(1, oy) {
                            let x1 = x0 + iz * xs.spatial[0] + iy * xs.spatial[1];
                            let w = &weights.weight[(((co * in_group + ci) * kd + kz) * kh + ky) * kw..][..kw];
                            for run in &*within {
                                let x = x[x1 + run.input * xs.spatial[2]..].iter();
                                let x = x.step_by(xs.spatial[2] * run.input_step);
                                let y = accumulators[run.output..].iter_mut().step_by(stride);
                                for (y, &x) in y.zip(x).take(run.count) {
                                    *y += w[run.tap] * x;
                                }
                            }
                        }
                    }
                }
                let slots = row[channel + start * ys.spatial[2]..].iter_mut().step_by(ys.spatial[2]);
                for (slot, y) in slots.zip(&mut *accumulators) {
                    if let Some(&bias) = weights.bias.get(co) {
                        *y += bias;
                    }
                    *slot = Slot::new(T::of(y.activate(op.activation(), co)));
                }
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_taps_in_bounds_are_enumerated() {
        let axis = Axis { kernel: 1 << 30, stride: 3, dilation: 2, pad_begin: 1, ..Axis::UNIT };
        let table = AxisPhases::new(&axis);
        for output in [0_usize, 1, 2, 3, 100, 1 << 20] {
            let expected: Vec<_> = (0..5)
                .rev()
                .filter_map(|i: usize| {
                    let rest = (output + 1).checked_sub(i * 3)?;
                    (rest % 2 == 0).then_some((rest / 2, i))
                })
                .collect();
            assert_eq!(reaching(&axis, &table, 5, output).collect::<Vec<_>>(), expected, "output {output}");
        }
    }

    #[test]
    fn runs_near_a_segment_are_all_that_reach_it() {
        let op = ConvTranspose::builder().kernel([29]).stride([6]).dilation([4]).padding([(9, 5)]).build().unwrap();
        let geometry = op.at(&[1, 1, 7]).unwrap();
        let (runs, stride) = (runs(&geometry).unwrap(), 6);
        assert!(runs.is_sorted_by_key(|run| run.output));
        let longest = runs.iter().map(|run| (run.count - 1) * stride + 1).max().unwrap();
        for start in (0..geometry.output()[2]).step_by(5) {
            let segment = start..start + 5;
            let reach = |runs: &[Run]| runs.iter().filter(|run| run.within(&segment, stride).is_some()).count();
            let near = near(&runs, &segment, longest);
            assert_eq!(reach(near), reach(&runs), "{segment:?}");
            assert!(near.len() < runs.len());
        }
    }

    #[test]
    fn segments_cut_a_run_without_loss() {
        let run = Run { tap: 7, input: 3, output: 5, count: 9, input_step: 1 };
        for (stride, len) in [(1, 4), (3, 7), (4, 1), (100, 50)] {
            let mut pairs = Vec::new();
            for start in (0..1000).step_by(len) {
                if let Some(Run { tap: 7, input, output, count, .. }) = run.within(&(start..start + len), stride) {
                    assert!(output + (count - 1) * stride < len);
                    pairs.extend((0..count).map(|j| (input + j, start + output + j * stride)));
                }
            }
            assert_eq!(pairs, (0..9).map(|j| (3 + j, 5 + j * stride)).collect::<Vec<_>>());
        }
    }
}
