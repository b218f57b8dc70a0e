//! Panels: the part of an input that a product reads, with zeros where it reaches beyond the input.

use crate::layout::Strides;
use crate::op::Geometry;
use std::ops::Range;

/// The part of the input that belongs to one item of the batch and one group.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) x: &'a [f32],
    pub(super) strides: Strides,
    pub(super) extents: [usize; 3],
}

impl<'a> Source<'a> {
    pub(super) fn new(geometry: &Geometry, x: &'a [f32], item: usize, channel: usize) -> Self {
        let strides = geometry.input_strides();
        let x = &x[item * strides.batch + channel * strides.channel..];
        Self { x, strides, extents: geometry.input }
    }

    /// The part `start..end` of `length` inputs `from ..` along a row that lies within the input, and where it starts
    /// in a channel; nothing where the row itself is outside.
    pub(super) fn inside(&self, [z, y]: [i64; 2], from: i64, length: usize) -> (Range<usize>, usize) {
        let [depth, height, width] = self.extents.map(|extent| extent as i64);
        if !(0..depth).contains(&z) || !(0..height).contains(&y) {
            return (0..0, 0);
        }
        let start = (-from).clamp(0, length as i64) as usize;
        let end = (width - from).clamp(start as i64, length as i64) as usize;
        if start == end {
            return (0..0, 0);
        }
        let [sz, sy, sx] = self.strides.spatial;
        (start..end, z as usize * sz + y as usize * sy + (from + start as i64) as usize * sx)
    }

    /// Copies the inputs of a channel that [`inside`](Self::inside) found, with zeros around them.
    #[inline(always)]
    pub(super) fn copy_row(&self, channel: usize, (inside, at): (&Range<usize>, usize), row: &mut [f32]) {
        row[..inside.start].fill(0.0);
        row[inside.end..].fill(0.0);
        if inside.is_empty() {
            return;
        }
        let from = &self.x[channel * self.strides.channel + at..];
        let row = &mut row[inside.clone()];
        match self.strides.spatial[2] {
            1 if row.len() >= 16 => row.copy_from_slice(&from[..row.len()]),
            // A call would take longer.
            1 => row.iter_mut().zip(from).for_each(|(to, &from)| *to = from),
            step => row.iter_mut().zip(from.iter().step_by(step)).for_each(|(to, &from)| *to = from),
        }
    }

    /// Fills `panel` with `[channel][z][y][x]` of the box that starts at `from`.
    pub(super) fn copy_box(&self, channels: usize, from: [i64; 3], extents: [usize; 3], panel: &mut Vec<f32>) {
        let [depth, height, width] = extents;
        resize(panel, channels * depth * height * width);
        let lines = (0..depth as i64).flat_map(|z| (0..height as i64).map(move |y| [from[0] + z, from[1] + y]));
        let lines: Vec<_> = lines.map(|line| self.inside(line, from[2], width)).collect();
        let size = depth * height * width;
        if self.strides.channel == 1 && self.strides.spatial[2] > 1 {
            // Channels last: a few channels at a time, so that each line of the input's memory is read once.
            for (first, block) in (0..channels).step_by(16).zip(panel[..channels * size].chunks_mut(16 * size)) {
                self.copy_channels(first, &lines, width, size, block);
            }
            return;
        }
        for (channel, rows) in panel.chunks_exact_mut(size).take(channels).enumerate() {
            for ((inside, at), row) in lines.iter().zip(rows.chunks_exact_mut(width)) {
                self.copy_row(channel, (inside, *at), row);
            }
        }
    }

    /// Fills `block` with `[channel][line][x]` of some neighbouring channels, each of `size` elements.
    fn copy_channels(
        &self,
        first: usize,
        lines: &[(Range<usize>, usize)],
        width: usize,
        size: usize,
        block: &mut [f32],
    ) {
        block.fill(0.0);
        for (line, (inside, at)) in lines.iter().enumerate() {
            for (place, x) in inside.clone().enumerate() {
                let pixel = &self.x[at + place * self.strides.spatial[2] + first..];
                let to = block[line * width + x..].iter_mut().step_by(size);
                for (to, &from) in to.zip(pixel) {
                    *to = from;
                }
            }
        }
    }

    /// Writes, for each channel and tap, the inputs at one row of `q` into `panel[channel][tap]`, rows
    /// that are `pitch` apart.
    pub(super) fn gather_row(
        &self,
        channels: usize,
        offsets: &[[i64; 3]],
        [z, y]: [i64; 2],
        q: &Range<i64>,
        panel: &mut [f32],
        pitch: usize,
    ) {
        let length = super::choice::length(q);
        for (tap, offset) in offsets.iter().enumerate() {
            let (inside, from) = self.inside([z - offset[0], y - offset[1]], q.start - offset[2], length);
            for channel in 0..channels {
                let row = &mut panel[(channel * offsets.len() + tap) * pitch..][..length];
                self.copy_row(channel, (&inside, from), row);
            }
        }
    }
}

/// Makes a scratch at least as long; what it holds is arbitrary.
pub(super) fn resize(scratch: &mut Vec<f32>, length: usize) {
    if scratch.len() < length {
        scratch.resize(length, 0.0);
    }
}
