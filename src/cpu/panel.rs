//! Panels: the part of an input that a product reads, with zeros where it reaches beyond the input.

use super::element::Element;
use super::memory::{Result, collect, grow, product};
use crate::layout::Strides;
use crate::op::Geometry;
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// The part of the input that belongs to one item of the batch and one group.
#[derive(Clone, Copy)]
pub(super) struct Source<'a, T> {
    pub(super) x: &'a [T],
    pub(super) strides: Strides,
    pub(super) extents: [usize; 3],
    /// The distance between inputs that neighbouring `q` of a row read.
    pub(super) step: usize,
}

impl<'a, T: Element> Source<'a, T> {
    pub(super) fn new(geometry: &Geometry, x: &'a [T], item: usize, channel: usize) -> Self {
        let strides = geometry.input_strides();
        let x = &x[item * strides.batch + channel * strides.channel..];
        Self { x, strides, extents: geometry.input(), step: geometry.op().axes3()[2].decimation }
    }

    /// Of `length` inputs along a row, from `from` on and a step apart, the range that is in bounds, and where it starts in a channel; nothing
    /// where the row itself is out of bounds.
    pub(super) fn in_bounds(&self, [z, y]: [i64; 2], from: i64, length: usize) -> (Range<usize>, usize) {
        let [depth, height, width] = self.extents.map(|extent| extent as i64);
        if !(0..depth).contains(&z) || !(0..height).contains(&y) {
            return (0..0, 0);
        }
        let step = self.step as i64;
        // The inputs below a coordinate: ⌈(coordinate − from) / step⌉ of them.
        let below = |coordinate: i64| -(from - coordinate).div_euclid(step);
        let start = below(0).clamp(0, length as i64) as usize;
        let end = below(width).clamp(start as i64, length as i64) as usize;
        if start == end {
            return (0..0, 0);
        }
        let [sz, sy, sx] = self.strides.spatial;
        (start..end, z as usize * sz + y as usize * sy + (from + start as i64 * step) as usize * sx)
    }

    /// Copies the inputs of a channel that [`in_bounds`](Self::in_bounds) found, with zeros around them.
    #[inline(always)]
    pub(super) fn copy_row(&self, channel: usize, (within, at): (&Range<usize>, usize), row: &mut [T]) {
        row[..within.start].fill(T::default());
        row[within.end..].fill(T::default());
        if within.is_empty() {
            return;
        }
        let from = &self.x[channel * self.strides.channel + at..];
        let row = &mut row[within.clone()];
        match self.strides.spatial[2] * self.step {
            1 if row.len() >= 16 => row.copy_from_slice(&from[..row.len()]),
            // A call would take longer.
            1 => row.iter_mut().zip(from).for_each(|(to, &from)| *to = from),
            step => row.iter_mut().zip(from.iter().step_by(step)).for_each(|(to, &from)| *to = from),
        }
    }

    /// Fills `panel` with `[channel][z][y][x]` of the box that starts at `from`; where a row's inputs are a step apart, with
    /// `[channel][z][y][residue][x]`: those that are read together side by side. `extents` has whole steps along x.
    pub(super) fn copy_box(
        &self,
        channels: usize,
        from: [i64; 3],
        extents: [usize; 3],
        panel: &mut Vec<T>,
    ) -> Result<()> {
        let [depth, height, width] = extents;
        let (size, width) = (product(extents), width / self.step);
        grow(panel, size.saturating_mul(channels))?;
        let lines = (0..depth as i64).flat_map(|z| (0..height as i64).map(move |y| [from[0] + z, from[1] + y]));
        let lines = lines.flat_map(|line| (0..self.step as i64).map(move |residue| (line, from[2] + residue)));
        let lines = lines.map(|(line, from)| self.in_bounds(line, from, width));
        let lines = collect("the rows of a panel", product([depth, height, self.step]), lines)?;
        if self.strides.channel == 1 && self.strides.spatial[2] > 1 {
            // Channels last: a few channels at a time, so that each line of the input's memory is read once.
            for (first, block) in (0..channels).step_by(16).zip(panel[..channels * size].chunks_mut(16 * size)) {
                self.copy_channels(first, &lines, width, size, block);
            }
            return Ok(());
        }
        for (channel, rows) in panel.chunks_exact_mut(size).take(channels).enumerate() {
            for ((within, at), row) in lines.iter().zip(rows.chunks_exact_mut(width)) {
                self.copy_row(channel, (within, *at), row);
            }
        }
        Ok(())
    }

    /// Fills `block` with `[channel][line][x]` of some neighbouring channels, each of `size` elements.
    fn copy_channels(&self, first: usize, lines: &[(Range<usize>, usize)], width: usize, size: usize, block: &mut [T]) {
        block.fill(T::default());
        for (line, (within, at)) in lines.iter().enumerate() {
            for (place, x) in within.clone().enumerate() {
                let pixel = &self.x[at + place * self.strides.spatial[2] * self.step + first..];
                let to = block[line * width + x..].iter_mut().step_by(size);
                for (to, &from) in to.zip(pixel) {
                    *to = from;
                }
            }
        }
    }

    /// Im2col of one row of `q`, for whose first one a tap at offset 0 reads the input `first`: writes, for each channel and
    /// tap, its inputs into `panel[channel][tap]`, rows that are `pitch` apart.
    pub(super) fn im2col_row(
        &self,
        channels: usize,
        offsets: &[[i64; 3]],
        first: [i64; 3],
        length: usize,
        panel: &mut [T],
        pitch: usize,
    ) {
        for (tap, offset) in offsets.iter().enumerate() {
            let [z, y, x] = [0, 1, 2].map(|axis| first[axis] - offset[axis]);
            let (within, from) = self.in_bounds([z, y], x, length);
            for channel in 0..channels {
                let row = &mut panel[(channel * offsets.len() + tap) * pitch..][..length];
                self.copy_row(channel, (&within, from), row);
            }
        }
    }
}

/// Sets to zero what padding each `pitch` elements of a panel have after the first `used`. What an earlier run left there
/// could be NaN, and would make [`Finite`] refuse inputs that are not.
pub(super) fn clear_padding<T: Element>(panel: &mut [T], pitch: usize, used: usize) {
    if used < pitch {
        panel.chunks_exact_mut(pitch).for_each(|row| row[used..].fill(T::default()));
    }
}

/// Whether no element is infinite or NaN.
pub(super) struct Finite<'a, T>(pub(super) &'a [T]);

impl<T: Element> WithSimd for Finite<'_, T> {
    type Output = bool;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> bool {
        self.0.chunks(1024).all(|x| !x.iter().fold(false, |any, x| any | !x.is_finite()))
    }
}
