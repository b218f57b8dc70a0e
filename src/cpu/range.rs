//! Ranges along one axis: output `s·q + r − b` has the quotient `q` and the residue `r`, `b` being the padding. Where only
//! every t-th output is kept, there is one residue, and `q` is the output that is kept.

use crate::op::Axis;
use std::ops::Range;

/// The padding between `q` and an output.
fn padding(axis: &Axis) -> i64 {
    if axis.decimation == 1 { axis.pad_begin } else { 0 }
}

/// The input that a tap at offset 0 reads for a `q`; it may lie outside the input's extent.
#[inline(always)]
pub(super) fn input_of(axis: &Axis, q: i64) -> i64 {
    if axis.decimation == 1 { q } else { axis.full_coordinate(q) }
}

/// The extent, on an axis of a box of inputs, that so many `q` read whose taps are `span` apart.
pub(super) fn box_extent(axis: &Axis, q: usize, span: i64) -> usize {
    q.saturating_sub(1).saturating_mul(axis.decimation).saturating_add(usize::from(q > 0)).saturating_add(span as usize)
}

/// All `q` with an output on this axis, at whatever residue.
pub(super) fn all_q(axis: &Axis, output: usize) -> Range<i64> {
    let stride = axis.stride as i64;
    padding(axis).div_euclid(stride)..(output as i64 - 1 + padding(axis)).div_euclid(stride) + 1
}

/// The `q` whose output with this residue lies within `outputs`.
pub(super) fn q_of(axis: &Axis, residue: usize, outputs: &Range<i64>) -> Range<i64> {
    let (stride, shift) = (axis.stride as i64, residue as i64 - padding(axis));
    // ⌈(start − shift) / stride⌉ up to ⌊(end − 1 − shift) / stride⌋.
    -(shift - outputs.start).div_euclid(stride)..(outputs.end - 1 - shift).div_euclid(stride) + 1
}

/// The output with this quotient and residue; it may lie outside the output's extent.
pub(super) fn output_of(axis: &Axis, q: i64, residue: usize) -> i64 {
    q * axis.stride as i64 + residue as i64 - padding(axis)
}

/// The outputs of a band of `q`.
pub(super) fn outputs_of(axis: &Axis, q: &Range<i64>, output: usize) -> Range<i64> {
    let at = |q: i64| output_of(axis, q, 0).clamp(0, output as i64);
    at(q.start)..at(q.end)
}

/// The least range that holds all of these that are not empty.
pub(super) fn union(ranges: impl Iterator<Item = Range<i64>>) -> Range<i64> {
    ranges.filter(|range| !range.is_empty()).reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)).unwrap_or(0..0)
}

/// The number of elements of a range, 0 where it is inverted.
pub(super) fn length(range: &Range<i64>) -> usize {
    (range.end - range.start).max(0) as usize
}
