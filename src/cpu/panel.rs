//! Panels: the part of an input that a product reads, with zeros where it reaches beyond the input.

use crate::op::{Geometry, Strides};
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

    /// Copies inputs `from ..` along a row of a channel into `row`, zeros where there are none.
    fn copy_row(&self, channel: usize, [z, y]: [i64; 2], from: i64, row: &mut [f32]) {
        let [depth, height, width] = self.extents.map(|extent| extent as i64);
        if !(0..depth).contains(&z) || !(0..height).contains(&y) {
            row.fill(0.0);
            return;
        }
        let start = (-from).clamp(0, row.len() as i64) as usize;
        let end = (width - from).clamp(start as i64, row.len() as i64) as usize;
        row[..start].fill(0.0);
        row[end..].fill(0.0);
        if start == end {
            return;
        }
        let step = self.strides.spatial[2];
        let origin = channel * self.strides.channel
            + z as usize * self.strides.spatial[0]
            + y as usize * self.strides.spatial[1];
        let first = origin + (from + start as i64) as usize * step;
        if step == 1 {
            row[start..end].copy_from_slice(&self.x[first..][..end - start]);
        } else {
            for (to, &from) in row[start..end].iter_mut().zip(self.x[first..].iter().step_by(step)) {
                *to = from;
            }
        }
    }

    /// Fills `panel` with `[channel][z][y][x]` of the box that starts at `from`.
    pub(super) fn copy_box(&self, channels: usize, from: [i64; 3], extents: [usize; 3], panel: &mut Vec<f32>) {
        let [depth, height, width] = extents;
        resize(panel, channels * depth * height * width);
        let mut rows = panel.chunks_exact_mut(width);
        for channel in 0..channels {
            for z in 0..depth as i64 {
                for (y, row) in (0..height as i64).zip(&mut rows) {
                    self.copy_row(channel, [from[0] + z, from[1] + y], from[2], row);
                }
            }
        }
    }

    /// Writes, for each channel and tap, the inputs at one row of `q` into `panel[channel][tap][at ..]`.
    pub(super) fn gather_row(
        &self,
        channels: usize,
        offsets: &[[i64; 3]],
        [z, y]: [i64; 2],
        q: &Range<i64>,
        panel: &mut [f32],
        pitch: usize,
        at: usize,
    ) {
        let length = super::choice::length(q);
        let mut depth = 0;
        for channel in 0..channels {
            for offset in offsets {
                let row = &mut panel[depth * pitch + at..][..length];
                self.copy_row(channel, [z - offset[0], y - offset[1]], q.start - offset[2], row);
                depth += 1;
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
