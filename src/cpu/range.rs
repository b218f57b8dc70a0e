//! Ranges along one axis: output `s·q + r − b` has the quotient `q` and the residue `r`, `b` being the padding.

use crate::op::Axis;
use std::ops::Range;

/// All `q` with an output on this axis, at whatever residue.
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

/// The output with this quotient and residue; it may lie outside the output's extent.
pub(super) fn output_of(axis: &Axis, q: i64, residue: usize) -> i64 {
    q * axis.stride as i64 + residue as i64 - axis.pad_begin
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
