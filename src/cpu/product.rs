//! The register tile: a few rows of weights times vectors of positions.
//!
//! `y[row][position] = Σ over (channel, tap) of w[channel][tap][row] · panel[channel][position + tap]`, all sums of a
//! tile in registers. Each loaded vector serves all rows, each loaded weight all vectors, so that multiply-adds, not
//! loads, are what limits it.

use super::finish::{Finish, Row};
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// The most rows of a tile with these registers: with as many accumulators as a tile then has, none is spilled.
pub(super) fn most_rows(level: super::Level) -> usize {
    match level {
        super::Level::Avx2 | super::Level::Scalar => 6,
        super::Level::Avx512 | super::Level::Neon => 8,
    }
}

/// Cuts rows into the fewest tiles, as even as possible.
pub(super) fn tiles(rows: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let count = rows.div_ceil(most);
    (0..count).map(move |i| rows * i / count..rows * (i + 1) / count)
}

/// All rows of a block times all vectors of a panel.
pub(super) struct Product<'a> {
    /// For each tile of [`tiles`], `[channel][tap][row]`.
    pub(super) weights: &'a [f32],
    pub(super) rows: &'a [Row],
    pub(super) most_rows: usize,
    pub(super) finish: Finish,
    pub(super) panel: &'a [f32],
    pub(super) channels: usize,
    pub(super) channel_stride: usize,
    /// Distances in the panel from a vector's start.
    pub(super) taps: &'a [usize],
    /// Where each vector starts in the panel's first channel.
    pub(super) starts: &'a [usize],
    /// The result: vector `v` of row `r` at `r · pitch + v · lanes`.
    pub(super) sums: &'a mut [f32],
    pub(super) pitch: usize,
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let depth = self.channels * self.taps.len();
        for rows in tiles(self.rows.len(), self.most_rows) {
            let weights = &self.weights[depth * rows.start..depth * rows.end];
            let first = rows.start;
            // Rows × vectors: as many accumulators as leave registers for a column of vectors and one weight.
            if S::REGISTER_COUNT >= 32 {
                match rows.len() {
                    1 => strip::<S, 1, 8>(simd, &mut self, weights, first),
                    2 => strip::<S, 2, 8>(simd, &mut self, weights, first),
                    3 => strip::<S, 3, 5>(simd, &mut self, weights, first),
                    4 => strip::<S, 4, 4>(simd, &mut self, weights, first),
                    5 => strip::<S, 5, 3>(simd, &mut self, weights, first),
                    6 => strip::<S, 6, 3>(simd, &mut self, weights, first),
                    7 => strip::<S, 7, 2>(simd, &mut self, weights, first),
                    _ => strip::<S, 8, 2>(simd, &mut self, weights, first),
                }
            } else {
                match rows.len() {
                    1 => strip::<S, 1, 6>(simd, &mut self, weights, first),
                    2 => strip::<S, 2, 4>(simd, &mut self, weights, first),
                    3 => strip::<S, 3, 3>(simd, &mut self, weights, first),
                    4 => strip::<S, 4, 2>(simd, &mut self, weights, first),
                    5 => strip::<S, 5, 2>(simd, &mut self, weights, first),
                    _ => strip::<S, 6, 2>(simd, &mut self, weights, first),
                }
            }
            let columns = self.starts.len() * S::F32_LANES;
            for row in rows {
                self.finish.apply(simd, &self.rows[row], &mut self.sums[row * self.pitch..][..columns]);
            }
        }
    }
}

/// `M` rows over all vectors, `V` at a time, then what is left.
#[inline(always)]
fn strip<S: Simd, const M: usize, const V: usize>(simd: S, p: &mut Product<'_>, weights: &[f32], first: usize) {
    let mut v = 0;
    while v + V <= p.starts.len() {
        tile::<S, M, V>(simd, p, weights, first, v);
        v += V;
    }
    if V > 2 {
        while v + 2 <= p.starts.len() {
            tile::<S, M, 2>(simd, p, weights, first, v);
            v += 2;
        }
    }
    while v < p.starts.len() {
        tile::<S, M, 1>(simd, p, weights, first, v);
        v += 1;
    }
}

#[inline(always)]
fn tile<S: Simd, const M: usize, const V: usize>(
    simd: S,
    p: &mut Product<'_>,
    weights: &[f32],
    first: usize,
    vector: usize,
) {
    let starts: [usize; V] = std::array::from_fn(|v| p.starts[vector + v]);
    let rows = &p.rows[first..first + M];
    let mut sums: [[S::f32s; V]; M] = std::array::from_fn(|m| [simd.splat_f32s(rows[m].bias); V]);
    let mut weights = weights.as_chunks::<M>().0.iter();
    for channel in 0..p.channels {
        let panel = &p.panel[channel * p.channel_stride..];
        for &tap in p.taps {
            let Some(w) = weights.next() else { break };
            let x: [S::f32s; V] = std::array::from_fn(|v| load(simd, &panel[starts[v] + tap..]));
            for m in 0..M {
                let w = simd.splat_f32s(w[m]);
                for v in 0..V {
                    sums[m][v] = multiply_add(simd, w, x[v], sums[m][v]);
                }
            }
        }
    }
    for m in 0..M {
        for v in 0..V {
            store(simd, &mut p.sums[(first + m) * p.pitch + (vector + v) * S::F32_LANES..], sums[m][v]);
        }
    }
}

#[inline(always)]
pub(super) fn load<S: Simd>(_: S, x: &[f32]) -> S::f32s {
    S::as_simd_f32s(&x[..S::F32_LANES]).0[0]
}

#[inline(always)]
pub(super) fn store<S: Simd>(_: S, y: &mut [f32], value: S::f32s) {
    S::as_mut_simd_f32s(&mut y[..S::F32_LANES]).0[0] = value;
}

#[inline(always)]
pub(super) fn multiply_add<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
    // Without the instruction, a fused one is a slow library call.
    if S::IS_SCALAR { simd.add_f32s(simd.mul_f32s(a, b), c) } else { simd.mul_add_e_f32s(a, b, c) }
}
