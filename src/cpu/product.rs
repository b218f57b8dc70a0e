//! The register tile: a few rows of weights times vectors of positions.
//!
//! `y[row][position] = Σ over (channel, tap) of w[channel][tap][row] · panel[channel][position + tap]`, all sums of a
//! tile in registers. Each loaded vector serves all rows, each loaded weight all vectors, so that multiply-adds, not
//! loads, are what limits it.

#![allow(unsafe_code, reason = "bounds tests would take a fifth of the inner loop; `Product::check` makes them once")]

use super::finish::{Row, finish};
use crate::activation::Activation;
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

/// A tap of a product.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tap {
    /// Its place among those packed.
    pub(super) index: usize,
    /// Its distance in the panel from a vector's start; wraps around, so that it may be negative.
    pub(super) shift: usize,
}

/// All taps, by their distances.
pub(super) fn all_taps(shifts: impl Iterator<Item = usize>) -> Vec<Tap> {
    shifts.enumerate().map(|(index, shift)| Tap { index, shift }).collect()
}

/// All rows of a block times all vectors of a panel.
pub(super) struct Product<'a> {
    /// For each tile of [`tiles`], `[channel][tap][row]`.
    pub(super) weights: &'a [f32],
    pub(super) rows: &'a [Row],
    pub(super) most_rows: usize,
    pub(super) activation: &'a Activation,
    pub(super) panel: &'a [f32],
    pub(super) channels: usize,
    pub(super) channel_stride: usize,
    /// How many taps the weights have for each channel.
    pub(super) taps_packed: usize,
    /// Those to be used.
    pub(super) taps: &'a [Tap],
    /// Where each vector starts in the panel's first channel.
    pub(super) starts: &'a [usize],
    /// The result: vector `v` of row `r` at `r · pitch + v · lanes`.
    pub(super) sums: &'a mut [f32],
    pub(super) pitch: usize,
}

impl Product<'_> {
    /// Tests once what the inner loop relies on: every vector that a start and a tap point to lies within each
    /// channel's rest of the panel, and there is a weight for every channel and tap of each row.
    fn check(&self, lanes: usize) {
        let signed = |x: usize| x as isize;
        let shifts = || self.taps.iter().map(|tap| signed(tap.shift));
        let starts = || self.starts.iter().map(|&start| signed(start));
        if let (Some(first), Some(last)) = (starts().min().zip(shifts().min()), starts().max().zip(shifts().max())) {
            let end =
                (last.0 + last.1 + signed(lanes)) as usize + self.channels.saturating_sub(1) * self.channel_stride;
            assert!(first.0 + first.1 >= 0 && end <= self.panel.len(), "a product reads outside its panel");
        }
        assert!(self.taps.iter().all(|tap| tap.index < self.taps_packed), "a product has more taps than weights");
        let weights = self.channels * self.taps_packed * self.rows.len();
        assert!(self.weights.len() >= weights, "a product has too few weights");
    }
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        self.check(S::F32_LANES);
        let depth = self.channels * self.taps_packed;
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
                    7 => strip::<S, 7, 3>(simd, &mut self, weights, first),
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
                finish(self.activation, &self.rows[row], &mut self.sums[row * self.pitch..][..columns]);
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
    let x = starts.map(|start| p.panel.as_ptr().wrapping_add(start));
    let weights = weights.as_ptr().cast::<[f32; M]>();
    for channel in 0..p.channels {
        for tap in p.taps {
            // SAFETY: `check` has seen that there are `channels · taps_packed` times as many weights as rows in the
            // block, of which this tile's `M` have their share, and that `tap.index` is below `taps_packed`.
            let w = unsafe { &*weights.add(channel * p.taps_packed + tap.index) };
            let at = (channel * p.channel_stride).wrapping_add(tap.shift);
            // SAFETY: `check` has seen that a vector at each start, shifted by each tap, lies within the panel in the
            // first and in the last channel, and so in all. Any bits are a vector of f32.
            let x: [S::f32s; V] = x.map(|x| unsafe { x.wrapping_add(at).cast::<S::f32s>().read_unaligned() });
            for (sums, &w) in sums.iter_mut().zip(w) {
                let w = simd.splat_f32s(w);
                for (sum, &x) in sums.iter_mut().zip(&x) {
                    *sum = multiply_add(simd, w, x, *sum);
                }
            }
        }
    }
    for (m, sums) in sums.iter().enumerate() {
        for (v, &sum) in sums.iter().enumerate() {
            store(simd, &mut p.sums[(first + m) * p.pitch + (vector + v) * S::F32_LANES..], sum);
        }
    }
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
