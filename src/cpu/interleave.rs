//! Storing results in the output, the phases of a row interleaved.

use super::element::{Element, Stored};
use super::memory::Result;
use super::output::Slot;
use super::packed::{Block, Packed, RowGroup};
use super::range::{length, q_of};
use super::task::Parts;
use super::work::Work;
use half::f16;
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// A row of positions along the last axis: one `q` on each of the others. The item counts from the task's first.
#[derive(Clone, Copy)]
pub(super) struct Line {
    pub(super) item: usize,
    pub(super) z: i64,
    pub(super) y: i64,
}

/// Where the results of a block lie.
pub(super) struct BlockResults<'a> {
    pub(super) block: &'a Block,
    /// The `q` of its first and last column.
    pub(super) q: Range<i64>,
    /// The first of its rows.
    pub(super) first_row: usize,
    /// Distance between the columns of two lines.
    pub(super) advance: usize,
}

/// The results of some lines and channels.
pub(super) struct Results<'a, T> {
    pub(super) row_group: &'a RowGroup,
    pub(super) blocks: &'a [BlockResults<'a>],
    pub(super) lines: &'a [Line],
    /// The group and its channel tile.
    pub(super) tile: (usize, usize),
    /// Row after row, `pitch` apart.
    pub(super) values: &'a [T],
    pub(super) pitch: usize,
}

impl<E: Element> Results<'_, E> {
    /// Stores them in the output, and returns how many elements were written.
    pub(super) fn store<T: Stored<Computed = E>>(
        self,
        work: &Work<'_, E>,
        packed: &Packed<E>,
        rounded: &mut Vec<f16>,
        parts: &mut Parts<'_, T>,
    ) -> Result<usize> {
        let (values, channels) = (T::all_of(self.values, rounded)?, work.channels(packed, self.tile));
        Ok(packed.instructions.run(Interleave { work, results: self, values, channels, parts }))
    }
}

/// The results of one phase of the last axis, and where they go in a row.
struct Run {
    row: usize,
    rows_of_phase: usize,
    advance: usize,
    from: usize,
    to: usize,
    count: usize,
}

struct Interleave<'a, 'y, T: Stored> {
    work: &'a Work<'a, T::Computed>,
    results: Results<'a, T::Computed>,
    values: &'a [T],
    /// Output channels.
    channels: Range<usize>,
    parts: &'a mut Parts<'y, T>,
}

impl<T: Stored> Interleave<'_, '_, T> {
    fn runs(&self) -> Vec<Run> {
        let axis = &self.work.geometry.op().axes3()[2];
        let channels = self.channels.len();
        let mut runs = Vec::new();
        for results in self.results.blocks {
            for (index, phase) in results.block.inner.iter().enumerate() {
                let q = q_of(axis, phase.residue, &self.work.shape.outputs[2]);
                if let Some(to) = self.work.place(2, q.start, phase.residue).filter(|_| !q.is_empty()) {
                    runs.push(Run {
                        row: results.first_row + index * channels,
                        rows_of_phase: results.block.inner.len() * channels,
                        advance: results.advance,
                        from: (q.start - results.q.start) as usize,
                        to: to * self.parts.step,
                        count: length(&q),
                    });
                }
            }
        }
        runs.sort_unstable_by_key(|run| run.to);
        runs
    }
}

impl<T: Stored> WithSimd for Interleave<'_, '_, T> {
    /// How many outputs were written.
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        let runs = self.runs();
        let Interleave { work, results: Results { row_group, lines, pitch, .. }, values, channels, parts } = self;
        // A stride beyond the output is that of a single element.
        let step = parts.step.saturating_mul(work.geometry.op().axes3()[2].stride);
        let mut written = 0;
        // Two phases of stride 2 alternate.
        let pairs = step == 2 && matches!(&runs[..], [a, b] if a.to + 1 == b.to);
        for (index, line) in lines.iter().enumerate() {
            for (outer_index, outer) in row_group.outer.iter().enumerate() {
                let Some(z) = work.place(0, line.z, outer[0].residue) else { continue };
                let Some(y) = work.place(1, line.y, outer[1].residue) else { continue };
                let from =
                    |run: &Run| (run.row + outer_index * run.rows_of_phase) * pitch + index * run.advance + run.from;
                if parts.channel_in_slice {
                    let row = parts.row(line.item, channels.start - work.shape.channels.start, z, y);
                    for run in &runs {
                        transpose(&values[from(run)..], (run.count, pitch), &mut row[run.to..], (channels.len(), step));
                        written += run.count * channels.len();
                    }
                    continue;
                }
                for (channel, co) in channels.clone().enumerate() {
                    let row = parts.row(line.item, co - work.shape.channels.start, z, y);
                    let at = |run: &Run| from(run) + channel * pitch;
                    match &runs[..] {
                        [a, b] if pairs => {
                            alternate(&values[at(a)..][..a.count], &values[at(b)..][..b.count], &mut row[a.to..]);
                        }
                        _ => {
                            for run in &runs {
                                spread(&values[at(run)..][..run.count], &mut row[run.to..], step);
                            }
                        }
                    }
                    written += runs.iter().map(|run| run.count).sum::<usize>();
                }
            }
        }
        written
    }
}

/// Writes `a` and `b` in turn, in pairs that vectors can shuffle; then the remainder of the longer one.
#[inline(always)]
fn alternate<T: Copy>(a: &[T], b: &[T], to: &mut [Slot<T>]) {
    let both = a.len().min(b.len());
    let (pairs, rest) = to.split_at_mut(2 * both);
    let pairs = pairs.as_chunks_mut::<2>().0.iter_mut();
    for ((pair, &a), &b) in pairs.zip(&a[..both]).zip(&b[..both]) {
        *pair = [Slot::new(a), Slot::new(b)];
    }
    if a.len() > both {
        spread(&a[both..], rest, 2);
    } else if b.len() > both {
        spread(&b[both..], &mut rest[1..], 2);
    }
}

/// Writes `columns` of some rows, `pitch` apart, the rows of each column side by side and the columns `step` apart; panics
/// where they do not fit.
#[inline(always)]
fn transpose<T: Copy>(from: &[T], (columns, pitch): (usize, usize), to: &mut [Slot<T>], (rows, step): (usize, usize)) {
    // A few columns at a time, so that the lines of memory that they are written to stay in the cache for all rows.
    for first in (0..columns).step_by(16) {
        let count = (columns - first).min(16);
        let line = |row: usize| &from[row * pitch + first..][..count];
        let mut row = 0;
        while row + 4 <= rows {
            let [a, b, c, d] = [0, 1, 2, 3].map(|beyond| line(row + beyond));
            for column in 0..count {
                let place = &mut to[(first + column) * step + row..][..4];
                place.as_chunks_mut().0[0] = [a[column], b[column], c[column], d[column]].map(Slot::new);
            }
            row += 4;
        }
        for row in row..rows {
            spread(line(row), &mut to[first * step + row..], step);
        }
    }
}

/// Writes all of them, `step` apart; panics where they do not fit.
#[inline(always)]
fn spread<T: Copy>(from: &[T], to: &mut [Slot<T>], step: usize) {
    if step == 1 {
        for (to, &from) in to[..from.len()].iter_mut().zip(from) {
            *to = Slot::new(from);
        }
    } else if let Some(last) = from.len().checked_sub(1) {
        for (to, &from) in to[..=last.saturating_mul(step)].iter_mut().step_by(step).zip(from) {
            *to = Slot::new(from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::output::slots;

    #[test]
    fn values_are_written_a_step_apart() {
        let mut row = [0.0; 8];
        spread(&[1.0, 2.0, 3.0], slots(&mut row[1..]), 3);
        alternate(&[4.0, 5.0], &[6.0], slots(&mut row[2..6]));
        assert_eq!(row, [0.0, 1.0, 4.0, 6.0, 5.0, 0.0, 0.0, 3.0]);
        spread(&[9.0], slots(&mut row), usize::MAX);
        assert_eq!(row[0], 9.0);
    }

    #[test]
    fn columns_are_written_side_by_side() {
        // 6 rows of 18 columns, 20 apart, to columns that are 7 apart.
        let values: Vec<f32> = (0..120).map(|value| value as f32).collect();
        let mut to = vec![-1.0; 17 * 7 + 6];
        transpose(&values, (18, 20), slots(&mut to), (6, 7));
        for (at, value) in to.into_iter().enumerate() {
            let (column, row) = (at / 7, at % 7);
            assert_eq!(value, if row < 6 { (row * 20 + column) as f32 } else { -1.0 }, "{column}, {row}");
        }
    }

    #[test]
    #[should_panic(expected = "out of range")]
    fn values_that_do_not_fit_are_not_left_out_silently() {
        spread(&[1.0, 2.0, 3.0], slots(&mut [0.0; 6]), 3);
    }
}
