//! Laying sums into the output, the phases of a row side by side.

use super::choice::{length, q_of};
use super::packed::{Block, RowGroup};
use super::task::{Parts, TaskShape};
use crate::op::{Axis, ConvTranspose};
use pulp::{Simd, WithSimd};
use std::mem::MaybeUninit;
use std::ops::Range;

/// A row of positions along the last axis: one `q` on each of the others. The item counts from the task's first.
#[derive(Clone, Copy)]
pub(super) struct Line {
    pub(super) item: usize,
    pub(super) z: i64,
    pub(super) y: i64,
}

/// Where the sums of a block lie.
pub(super) struct BlockSums<'a> {
    pub(super) block: &'a Block,
    /// The `q` of its first and last column.
    pub(super) q: Range<i64>,
    /// The first of its rows.
    pub(super) first_row: usize,
    /// Distance between the columns of two lines.
    pub(super) advance: usize,
}

/// The sums of one phase of the last axis, and where they go in a row.
struct Run {
    row: usize,
    rows_of_phase: usize,
    advance: usize,
    from: usize,
    to: usize,
    count: usize,
}

/// All sums of some lines and channels, to be laid into the output.
pub(super) struct Laying<'a, 'y> {
    pub(super) op: &'a ConvTranspose,
    pub(super) shape: &'a TaskShape,
    pub(super) row_group: &'a RowGroup,
    pub(super) blocks: &'a [BlockSums<'a>],
    pub(super) lines: &'a [Line],
    /// Output channels.
    pub(super) channels: Range<usize>,
    pub(super) sums: &'a [f32],
    pub(super) pitch: usize,
    pub(super) parts: &'a mut Parts<'y>,
}

impl Laying<'_, '_> {
    fn runs(&self) -> Vec<Run> {
        let axis = &self.op.axes3()[2];
        let outputs = &self.shape.outputs[2];
        let channels = self.channels.len();
        let mut runs = Vec::new();
        for sums in self.blocks {
            for (index, phase) in sums.block.inner.iter().enumerate() {
                let q = q_of(axis, phase.residue, outputs);
                if !q.is_empty() {
                    runs.push(Run {
                        row: sums.first_row + index * channels,
                        rows_of_phase: sums.block.inner.len() * channels,
                        advance: sums.advance,
                        from: (q.start - sums.q.start) as usize,
                        to: (output(axis, q.start, phase.residue) - outputs.start) as usize * self.parts.step,
                        count: length(&q),
                    });
                }
            }
        }
        runs.sort_unstable_by_key(|run| run.to);
        runs
    }
}

fn output(axis: &Axis, q: i64, residue: usize) -> i64 {
    q * axis.stride as i64 + residue as i64 - axis.pad_begin
}

impl WithSimd for Laying<'_, '_> {
    /// How many outputs were written.
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        let runs = self.runs();
        let Laying { op, shape, row_group, lines, channels, sums, pitch, parts, .. } = self;
        let step = parts.step * op.axes3()[2].stride;
        let mut written = 0;
        let inside = |axis: usize, q: i64, residue: usize| {
            let o = output(&op.axes3()[axis], q, residue);
            shape.outputs[axis].contains(&o).then_some((o - shape.outputs[axis].start) as usize)
        };
        // Two phases of stride 2 alternate.
        let pairs = step == 2 && matches!(&runs[..], [a, b] if a.to + 1 == b.to);
        for (index, line) in lines.iter().enumerate() {
            for (outer_index, outer) in row_group.outer.iter().enumerate() {
                let Some(z) = inside(0, line.z, outer[0].residue) else { continue };
                let Some(y) = inside(1, line.y, outer[1].residue) else { continue };
                for (channel, co) in channels.clone().enumerate() {
                    let row = parts.row(line.item, co - shape.channels.start, z, y);
                    let at = |run: &Run| {
                        let from = (run.row + outer_index * run.rows_of_phase + channel) * pitch;
                        from + index * run.advance + run.from
                    };
                    match &runs[..] {
                        [a, b] if pairs => {
                            alternate(&sums[at(a)..][..a.count], &sums[at(b)..][..b.count], &mut row[a.to..]);
                        }
                        _ => {
                            for run in &runs {
                                apart(&sums[at(run)..][..run.count], &mut row[run.to..], step);
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

/// `a` and `b` in turn, in pairs that vectors can shuffle; then what the longer has more.
#[inline(always)]
fn alternate(a: &[f32], b: &[f32], to: &mut [MaybeUninit<f32>]) {
    let both = a.len().min(b.len());
    let (pairs, rest) = to.split_at_mut(2 * both);
    let pairs = pairs.as_chunks_mut::<2>().0.iter_mut();
    for ((pair, &a), &b) in pairs.zip(&a[..both]).zip(&b[..both]) {
        *pair = [MaybeUninit::new(a), MaybeUninit::new(b)];
    }
    if a.len() > both {
        apart(&a[both..], rest, 2);
    } else if b.len() > both {
        apart(&b[both..], &mut rest[1..], 2);
    }
}

/// One after another, `step` apart.
#[inline(always)]
fn apart(from: &[f32], to: &mut [MaybeUninit<f32>], step: usize) {
    if step == 1 {
        for (to, &from) in to[..from.len()].iter_mut().zip(from) {
            to.write(from);
        }
    } else {
        for (to, &from) in to.iter_mut().step_by(step).zip(from) {
            to.write(from);
        }
    }
}
