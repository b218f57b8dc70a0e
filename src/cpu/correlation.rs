//! The weight gradient: a correlation of two tensors, summed over the batch and the positions of one of them.

use super::element::Element;
use super::memory::{Result, filled};
use crate::layout::{Strides, WeightLayout};
use crate::op::{Axis, ConvTranspose, Geometry};
use rayon::prelude::*;
use std::ops::Range;

/// For each group, row channel `r`, column channel `c` and tap `k`: the sum over all items and positions `i` of
/// `rows[r][i] · columns[c][i·stride + k·dilation − pad_begin]`, where the latter is within bounds.
pub(super) struct Correlation<'a, T> {
    pub(super) batch: usize,
    pub(super) groups: usize,
    pub(super) rows: Side<'a, T>,
    pub(super) columns: Side<'a, T>,
    /// The decimation of all of them is 1.
    pub(super) axes: [Axis; 3],
    /// Whether the rows are the operation's output channels, and its kernel is turned.
    turned: bool,
}

/// One of the two tensors.
pub(super) struct Side<'a, T> {
    pub(super) values: &'a [T],
    pub(super) strides: Strides,
    pub(super) extents: [usize; 3],
    /// The channels of one group.
    pub(super) channels: usize,
}

impl<'a, T: Element> Correlation<'a, T> {
    /// The weight gradient of an operation, from its input and the gradient of its sums. The rows are the input's channels
    /// and the columns the output's; but for an ordinary convolution with a stride it is the other way round, and the
    /// kernel is turned, because the positions are those of its output.
    pub(super) fn new(geometry: &Geometry, x: &'a [T], dz: &'a [T]) -> Self {
        let (op, batch) = (geometry.op(), geometry.batch());
        let groups = op.groups();
        let (strides, extents, channels) = (geometry.input_strides(), geometry.input(), op.in_channels() / groups);
        let input = Side { values: x, strides, extents, channels };
        let (strides, extents, channels) = (geometry.output_strides(), geometry.output(), op.out_channels() / groups);
        let output = Side { values: dz, strides, extents, channels };
        if op.is_decimated() {
            Self { batch, groups, rows: output, columns: input, axes: *geometry.adjoint().axes3(), turned: true }
        } else {
            Self { batch, groups, rows: input, columns: output, axes: *op.axes3(), turned: false }
        }
    }

    /// The taps of a kernel.
    pub(super) fn taps(&self) -> usize {
        self.axes.iter().map(|axis| axis.kernel).product()
    }

    /// How many sums there are.
    pub(super) fn len(&self) -> usize {
        self.groups * self.rows.channels * self.columns.channels * self.taps()
    }

    /// The sums `[group][row][column][tap]`, one product after another: slow, but a zero that stands for nothing is never
    /// multiplied.
    pub(super) fn literally(&self) -> Result<Vec<T>> {
        let mut sums = filled("the weight's gradient", T::default(), self.len())?;
        if self.batch == 0 {
            return Ok(sums);
        }
        let [kd, kh, kw] = self.axes.map(|axis| axis.kernel);
        sums.par_chunks_mut(kd * kh * kw).enumerate().for_each(|(index, sums)| {
            let (row, column) = (index / self.columns.channels, index % self.columns.channels);
            let group = row / self.rows.channels;
            let rows = &self.rows.values[row * self.rows.strides.channel..];
            let first = (group * self.columns.channels + column) * self.columns.strides.channel;
            let columns = &self.columns.values[first..];
            for (tap, sum) in sums.iter_mut().enumerate() {
                *sum = self.literal_sum([tap / kw / kh, tap / kw % kh, tap % kw], rows, columns);
            }
        });
        Ok(sums)
    }

    /// The sums, from `[group][row][column][tap]`, in the weight layout of the operation that this was made of.
    pub(super) fn in_weight_order(&self, op: &ConvTranspose, sums: Vec<T>) -> Result<Vec<T>> {
        if op.weight_layout() == WeightLayout::Iohw && !self.turned {
            return Ok(sums);
        }
        let (in_group, out_group) = (op.in_channels() / op.groups(), op.out_channels() / op.groups());
        let kernel = op.axes3().map(|axis| axis.kernel);
        let ([_, kh, kw], taps) = (kernel, self.taps());
        let strides = op.weight_layout().strides(op.in_channels(), out_group, &kernel);
        let mut ordered = filled("the weight's gradient", T::default(), sums.len())?;
        for (index, sums) in sums.chunks_exact(taps).enumerate() {
            let (row, column) = (index / self.columns.channels, index % self.columns.channels);
            let (group, row) = (row / self.rows.channels, row % self.rows.channels);
            let (input, output) = if self.turned { (column, row) } else { (row, column) };
            let first = (group * in_group + input) * strides.input + output * strides.output;
            for (tap, &sum) in sums.iter().enumerate() {
                let tap = if self.turned { taps - 1 - tap } else { tap };
                let [sz, sy, sx] = strides.spatial;
                ordered[first + tap / kw / kh * sz + tap / kw % kh * sy + tap % kw * sx] = sum;
            }
        }
        Ok(ordered)
    }

    /// The sum of one tap, from the first elements of a row and a column channel on.
    fn literal_sum(&self, taps: [usize; 3], rows: &[T], columns: &[T]) -> T {
        let (r, c) = (&self.rows.strides, &self.columns.strides);
        let [zs, ys, xs]: [Range<usize>; 3] = std::array::from_fn(|axis| self.meeting(axis, taps[axis]));
        let met = |axis: usize, position: usize| {
            (position as i64 * self.axes[axis].stride as i64 + self.lead(axis, taps[axis])) as usize
        };
        let mut sum = T::default();
        if xs.is_empty() {
            return sum;
        }
        for item in 0..self.batch {
            for z in zs.clone() {
                for y in ys.clone() {
                    let from = item * r.batch + z * r.spatial[0] + y * r.spatial[1] + xs.start * r.spatial[2];
                    let row = rows[from..].iter().step_by(r.spatial[2]).take(xs.len());
                    let from = item * c.batch
                        + met(0, z) * c.spatial[0]
                        + met(1, y) * c.spatial[1]
                        + met(2, xs.start) * c.spatial[2];
                    let column = columns[from..].iter().step_by(self.axes[2].stride.saturating_mul(c.spatial[2]));
                    for (&a, &b) in row.zip(column) {
                        sum += a * b;
                    }
                }
            }
        }
        sum
    }

    /// The element of the columns, on an axis, that position 0 meets with a tap; it may be out of bounds.
    fn lead(&self, axis: usize, tap: usize) -> i64 {
        tap as i64 * self.axes[axis].dilation as i64 - self.axes[axis].pad_begin
    }

    /// The positions, on an axis, that meet an element of the columns with a tap.
    fn meeting(&self, axis: usize, tap: usize) -> Range<usize> {
        meeting(self.lead(axis, tap), self.axes[axis].stride, self.rows.extents[axis], self.columns.extents[axis])
    }
}

/// The `i` below `positions` for which `lead + i·step` is within `extent`.
pub(super) fn meeting(lead: i64, step: usize, positions: usize, extent: usize) -> Range<usize> {
    let (step, positions) = (step as i64, positions as i64);
    // ⌈−lead / step⌉ up to ⌊(extent − 1 − lead) / step⌋.
    let start = (-lead.div_euclid(step)).clamp(0, positions);
    let end = ((extent as i64 - 1 - lead).div_euclid(step) + 1).clamp(start, positions);
    start as usize..end as usize
}
