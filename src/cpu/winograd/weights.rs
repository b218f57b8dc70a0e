//! The weights of an operation, in the order of the products, and from there to their points.
//!
//! They are kept as they are and brought to their points for some tiles at a time: 4 taps become 25 points, more than is
//! worth reading from memory, where a few operations on what a cache has do as well.

use super::axis::Depth;
use super::matrix::{Sums, load};
use crate::cpu::memory::{Result, collect, product, reserved};
use crate::cpu::microkernel::Row;
use crate::cpu::microkernel::{most_rows, tiles};
use crate::cpu::simd::Level;
use crate::op::ConvTranspose;
use crate::winograd::{Filter, Transform, crossed};
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// Those of some output channels, the rows of a product.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) channels: Range<usize>,
    pub(super) rows: Vec<Row<f32>>,
    /// `[phase h][phase w][phase d][tap h][tap w]`, and for each of them what [`Product`](crate::cpu::microkernel::Product) reads, followed
    /// by zeros up to a whole vector.
    weights: Vec<f32>,
    /// Where each phase starts.
    starts: Vec<usize>,
}

impl Block {
    /// The weights of a phase; that along d is the last number.
    pub(super) fn of_phase(&self, number: usize) -> &[f32] {
        &self.weights[self.starts[number]..self.starts[number + 1]]
    }
}

/// The weights of all output channels; `bias` may be empty.
pub(super) fn blocks(
    op: &ConvTranspose,
    filters: [Filter; 2],
    depth: &Depth,
    (weight, bias): (&[f32], &[f32]),
    level: Level,
) -> Result<Vec<Block>> {
    let (inputs, kernel) = (op.in_channels(), op.axes3().map(|axis| axis.kernel));
    let strides = op.weight_layout().strides(inputs, op.out_channels(), &kernel);
    let [h, w] = filters;
    let block = |channels: Range<usize>| {
        let pitches = depth.phases.iter().map(|(_, taps)| pitch(product([inputs, taps.len(), channels.len()]), level));
        let each = pitches.fold(0, usize::saturating_add);
        let mut weights = reserved("the weights", product([h.stride, w.stride, h.taps, w.taps, each]))?;
        let phases = product([h.stride, w.stride, depth.phases.len()]);
        let mut starts = reserved("the weights", phases.saturating_add(1))?;
        for [y, x] in crossed([h.stride, w.stride]) {
            for (_, planes) in &depth.phases {
                starts.push(weights.len());
                for [ty, tx] in crossed([h.taps, w.taps]) {
                    let tap = h.tap(y, ty) * strides.spatial[1] + w.tap(x, tx) * strides.spatial[2];
                    for ci in 0..inputs {
                        for &(plane, _) in planes {
                            let at = tap + ci * strides.input + plane * strides.spatial[0];
                            weights.extend(channels.clone().map(|co| weight[at + co * strides.output]));
                        }
                    }
                    weights.resize(pitch(weights.len(), level), 0.0);
                }
            }
        }
        starts.push(weights.len());
        let row = |co: usize| Row { bias: bias.get(co).copied().unwrap_or(0.0), channel: co };
        let rows = collect("the weights", channels.len(), channels.clone().map(row))?;
        Ok(Block { rows, channels, weights, starts })
    };
    tiles(op.out_channels(), most_rows(level)).map(block).collect()
}

/// So many weights, up to a whole vector.
fn pitch(weights: usize, level: Level) -> usize {
    weights.checked_next_multiple_of(level.lanes::<f32>()).unwrap_or(usize::MAX)
}

/// Brings the weights of a phase to their points.
pub(super) struct Weights<'a, const TAPS: usize, const POINTS: usize> {
    /// `[tap h][tap w]`
    pub(super) taps: &'a [f32],
    /// `[point h][point w]`
    pub(super) points: &'a mut [f32],
    /// From one tap to the next, and from one point to the next: whole vectors.
    pub(super) pitch: usize,
}

impl<const TAPS: usize, const POINTS: usize> WithSimd for Weights<'_, TAPS, POINTS>
where
    Transform<TAPS, POINTS>: Sums<TAPS, POINTS>,
{
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Weights { taps, points, pitch } = self;
        let (taps, points) = (S::as_simd_f32s(taps).0, S::as_mut_simd_f32s(points).0);
        let pitch = pitch / S::F32_LANES;
        for at in 0..pitch {
            let mut columns = [[simd.splat_f32s(0.0); POINTS]; TAPS];
            for (j, to) in columns.iter_mut().enumerate() {
                let column = load::<S, TAPS>(simd, taps, j * pitch + at, TAPS * pitch);
                *to = Transform::<TAPS, POINTS>::weights(simd, column);
            }
            for i in 0..POINTS {
                let mut row = [simd.splat_f32s(0.0); TAPS];
                for j in 0..TAPS {
                    row[j] = columns[j][i];
                }
                let row = Transform::<TAPS, POINTS>::weights(simd, row);
                for j in 0..POINTS {
                    points[(i * POINTS + j) * pitch + at] = row[j];
                }
            }
        }
    }
}
