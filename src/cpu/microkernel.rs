//! The microkernel: a register tile of a few rows of weights times vectors of positions.
//!
//! `y[row][position] = Σ over (channel, tap) of w[channel][tap][row] · panel[channel][position + tap]`, all accumulators
//! of a tile in registers. Each loaded vector serves all rows, each loaded weight all vectors, so that multiply-adds,
//! not loads, are the limit.

#![allow(unsafe_code, reason = "bounds checks would take a fifth of the inner loop; `Product::check` makes them once")]

use super::element::Element;
use super::simd::Level;
use crate::activation::Activation;
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// The most rows of a register tile: so many that no accumulator is spilled.
pub(super) fn most_rows(level: Level) -> usize {
    match level {
        // Without a fused multiply-add each product takes a register on its way.
        Level::Simd128 => 4,
        Level::Avx2 | Level::Scalar => 6,
        Level::Avx512 | Level::Neon => 8,
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
    /// Its index among the packed taps.
    pub(super) index: usize,
    /// Its distance in the panel from a vector's start.
    pub(super) shift: usize,
}

/// All packed taps, by their distances.
pub(super) fn all_taps(shifts: impl Iterator<Item = usize>) -> Vec<Tap> {
    shifts.enumerate().map(|(index, shift)| Tap { index, shift }).collect()
}

/// What the results of a row begin with, and the output channel whose activation they go through.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Row<T> {
    pub(super) bias: T,
    pub(super) channel: usize,
}

/// All rows of a block times all vectors of a panel.
pub(super) struct Product<'a, T> {
    /// For each tile of [`tiles`], `[channel][tap][row]`.
    pub(super) weights: &'a [T],
    pub(super) rows: &'a [Row<T>],
    pub(super) most_rows: usize,
    pub(super) activation: &'a Activation,
    pub(super) panel: &'a [T],
    pub(super) channels: usize,
    pub(super) channel_stride: usize,
    /// How many taps the weights have for each channel.
    pub(super) taps_packed: usize,
    /// The taps that are multiplied.
    pub(super) taps: &'a [Tap],
    /// Where each vector starts in the panel's first channel.
    pub(super) starts: &'a [usize],
    /// Vector `v` of row `r` is stored at `r · pitch + v · lanes`.
    pub(super) results: &'a mut [T],
    pub(super) pitch: usize,
}

impl<T> Product<'_, T> {
    /// Checks once what the inner loop relies on: every vector that a start and a tap point to lies within the panel in
    /// every channel, and there is a weight for every channel and tap of each row.
    fn check(&self, lanes: usize) {
        let shift = self.taps.iter().map(|tap| tap.shift).max();
        if let (Some(start), Some(shift)) = (self.starts.iter().max(), shift) {
            // Start, shift and channel are at least 0, so that the greatest of each bound all others.
            let last_channel = self.channels.saturating_sub(1).checked_mul(self.channel_stride);
            let last = last_channel.and_then(|at| at.checked_add(*start)?.checked_add(shift)?.checked_add(lanes));
            assert!(last.is_some_and(|end| end <= self.panel.len()), "a product reads outside its panel");
        }
        assert!(self.taps.iter().all(|tap| tap.index < self.taps_packed), "a product has more taps than weights");
        let weights = self.channels.checked_mul(self.taps_packed).and_then(|depth| depth.checked_mul(self.rows.len()));
        assert!(weights.is_some_and(|weights| weights <= self.weights.len()), "a product has too few weights");
    }
}

impl<T: Element> WithSimd for Product<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        self.check(T::lanes::<S>());
        let depth = self.channels * self.taps_packed;
        for rows in tiles(self.rows.len(), self.most_rows) {
            let weights = &self.weights[depth * rows.start..depth * rows.end];
            let first = rows.start;
            // Rows × vectors: as many accumulators as leave registers for the loaded vectors and one weight.
            if S::REGISTER_COUNT >= 32 {
                match rows.len() {
                    1 => strip::<S, T, 1, 8>(simd, &mut self, weights, first),
                    2 => strip::<S, T, 2, 8>(simd, &mut self, weights, first),
                    3 => strip::<S, T, 3, 5>(simd, &mut self, weights, first),
                    4 => strip::<S, T, 4, 4>(simd, &mut self, weights, first),
                    5 => strip::<S, T, 5, 3>(simd, &mut self, weights, first),
                    6 => strip::<S, T, 6, 3>(simd, &mut self, weights, first),
                    7 => strip::<S, T, 7, 3>(simd, &mut self, weights, first),
                    _ => strip::<S, T, 8, 2>(simd, &mut self, weights, first),
                }
            } else {
                match rows.len() {
                    1 => strip::<S, T, 1, 6>(simd, &mut self, weights, first),
                    2 => strip::<S, T, 2, 4>(simd, &mut self, weights, first),
                    3 => strip::<S, T, 3, 3>(simd, &mut self, weights, first),
                    4 => strip::<S, T, 4, 2>(simd, &mut self, weights, first),
                    5 => strip::<S, T, 5, 2>(simd, &mut self, weights, first),
                    _ => strip::<S, T, 6, 2>(simd, &mut self, weights, first),
                }
            }
            let columns = self.starts.len() * T::lanes::<S>();
            for row in rows {
                let results = &mut self.results[row * self.pitch..][..columns];
                T::activate_all(self.activation, self.rows[row].channel, results);
            }
        }
    }
}

/// `M` rows over all vectors, `V` at a time, then the remainder.
#[inline(always)]
fn strip<S: Simd, T: Element, const M: usize, const V: usize>(
    simd: S,
    p: &mut Product<'_, T>,
    weights: &[T],
    first: usize,
) {
    let mut v = 0;
    while v + V <= p.starts.len() {
        tile::<S, T, M, V>(simd, p, weights, first, v);
        v += V;
    }
    if V > 2 {
        while v + 2 <= p.starts.len() {
            tile::<S, T, M, 2>(simd, p, weights, first, v);
            v += 2;
        }
    }
    while v < p.starts.len() {
        tile::<S, T, M, 1>(simd, p, weights, first, v);
        v += 1;
    }
}

#[inline(always)]
fn tile<S: Simd, T: Element, const M: usize, const V: usize>(
    simd: S,
    p: &mut Product<'_, T>,
    weights: &[T],
    first: usize,
    vector: usize,
) {
    let starts: [usize; V] = std::array::from_fn(|v| p.starts[vector + v]);
    let rows = &p.rows[first..first + M];
    let mut accumulators: [[T::Vector<S>; V]; M] = std::array::from_fn(|m| [rows[m].bias.splat(simd); V]);
    let x = starts.map(|start| p.panel.as_ptr().wrapping_add(start));
    let weights = weights.as_ptr().cast::<[T; M]>();
    for channel in 0..p.channels {
        for tap in p.taps {
            // SAFETY: `check` has made sure that there are `channels · taps_packed` weights for each row, of which
            // `weights` are those of at least `M` rows, and that `tap.index` is below `taps_packed`.
            let w = unsafe { &*weights.add(channel * p.taps_packed + tap.index) };
            let at = channel * p.channel_stride + tap.shift;
            // SAFETY: `check` has made sure that a vector at each start, shifted by each tap, lies within the panel in
            // every channel. Any bits are a vector.
            let x: [T::Vector<S>; V] = x.map(|x| unsafe { x.wrapping_add(at).cast::<T::Vector<S>>().read_unaligned() });
            for (accumulators, &w) in accumulators.iter_mut().zip(w) {
                let w = w.splat(simd);
                for (accumulator, &x) in accumulators.iter_mut().zip(&x) {
                    *accumulator = T::multiply_add(simd, w, x, *accumulator);
                }
            }
        }
    }
    for (m, accumulators) in accumulators.iter().enumerate() {
        for (v, &accumulator) in accumulators.iter().enumerate() {
            T::store(simd, &mut p.results[(first + m) * p.pitch + (vector + v) * T::lanes::<S>()..], accumulator);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Activation;

    fn product(channel_stride: usize, starts: &[usize], taps: &[Tap], weights: usize) {
        let (buffer, mut results) = ([1.0_f32; 64], [0.0; 64]);
        Level::Scalar.instructions().run(Product {
            weights: &vec![1.0; weights],
            rows: &[Row::default()],
            most_rows: 6,
            activation: &Activation::None,
            panel: &buffer[16..48],
            channels: 2,
            channel_stride,
            taps_packed: 2,
            taps,
            starts,
            results: &mut results,
            pitch: 8,
        });
        assert_eq!(results[0], (2 * taps.len()) as f32);
    }

    #[test]
    fn what_lies_within_the_panel_is_read() {
        product(16, &[0, 14], &all_taps([1, 0].into_iter()), 4);
        product(usize::MAX, &[5], &[], 4);
    }

    #[test]
    #[should_panic(expected = "outside its panel")]
    fn a_channel_beyond_the_panel_is_refused() {
        product(17, &[0, 14], &all_taps([1, 0].into_iter()), 4);
    }

    #[test]
    #[should_panic(expected = "outside its panel")]
    fn distances_that_wrap_around_are_refused() {
        product(usize::MAX, &[5], &all_taps([0].into_iter()), 4);
    }

    #[test]
    #[should_panic(expected = "outside its panel")]
    fn starts_and_taps_that_wrap_around_are_refused() {
        product(0, &[usize::MAX - 3, 3], &all_taps([4, 5].into_iter()), 4);
    }

    #[test]
    #[should_panic(expected = "too few weights")]
    fn missing_weights_are_refused() {
        product(16, &[0], &all_taps([0].into_iter()), 3);
    }
}
