//! Interleaved samples to planes of f32 and back.
//!
//! Samples keep their integer values, 0 to 255 or 65,535, which f32 holds exactly. Colour that is to be mixed with its
//! neighbours is multiplied by its alpha before and divided by it after, so that transparent pixels contribute no
//! colour; alpha itself is mixed like any channel.

use rayon::prelude::*;
use std::ops::Range;

/// A sample of a picture.
pub(super) trait Sample: Copy + Default + PartialEq + Send + Sync + Into<f32> {
    /// The largest value.
    const FULL: f32;

    /// The nearest sample: halves are rounded up, values out of range are clamped, NaN gives 0.
    fn nearest(value: f32) -> Self;
}

impl Sample for u8 {
    const FULL: f32 = u8::MAX as f32;

    fn nearest(value: f32) -> Self {
        (clamped(value, Self::FULL) + 0.5) as Self
    }
}

impl Sample for u16 {
    const FULL: f32 = u16::MAX as f32;

    fn nearest(value: f32) -> Self {
        (clamped(value, Self::FULL) + 0.5) as Self
    }
}

/// Comparisons with NaN are false.
fn clamped(value: f32, most: f32) -> f32 {
    if value > 0.0 { if value < most { value } else { most } } else { 0.0 }
}

/// The decoded picture, row after row.
pub(super) struct View<'a, T> {
    pub(super) samples: &'a [T],
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) channels: usize,
    /// Whether the last channel is alpha and the others are to be multiplied by it.
    pub(super) premultiply: bool,
}

impl<T: Sample> View<'_, T> {
    /// The planes `[channels, rows + 2·border, columns + 2·border]` of a piece of the picture. Beyond the picture its
    /// outermost pixels are repeated.
    pub(super) fn planes(&self, rows: &Range<usize>, columns: &Range<usize>, border: usize) -> Vec<f32> {
        let (height, width) = (rows.len() + 2 * border, columns.len() + 2 * border);
        let inside =
            |first: usize, offset: usize, extent: usize| (first + offset).saturating_sub(border).min(extent - 1);
        let mut planes = vec![0.0; self.channels * height * width];
        planes.par_chunks_exact_mut(width).enumerate().for_each(|(index, out)| {
            let (channel, y) = (index / height, index % height);
            let row = self.width * self.channels;
            let row = &self.samples[inside(rows.start, y, self.height) * row..][..row];
            let multiply = self.premultiply && channel + 1 < self.channels;
            for (x, out) in out.iter_mut().enumerate() {
                let pixel = &row[inside(columns.start, x, self.width) * self.channels..][..self.channels];
                let value: f32 = pixel[channel].into();
                *out = if multiply { value * pixel[self.channels - 1].into() / T::FULL } else { value };
            }
        });
        planes
    }

    /// Writes planes `[channels, rows, width]` into a band of as many rows, each `row` samples long, from its column
    /// `first` on.
    pub(super) fn interleave(&self, planes: &[f32], width: usize, band: &mut [T], row: usize, first: usize) {
        let channels = self.channels;
        let plane = planes.len() / channels;
        band.par_chunks_exact_mut(row).enumerate().for_each(|(y, out)| {
            let out = &mut out[first * channels..][..width * channels];
            for (x, pixel) in out.chunks_exact_mut(channels).enumerate() {
                let at = |channel: usize| planes[channel * plane + y * width + x];
                if self.premultiply {
                    straight(pixel, at);
                } else {
                    for (channel, sample) in pixel.iter_mut().enumerate() {
                        *sample = T::nearest(at(channel));
                    }
                }
            }
        });
    }
}

/// Divides colour by alpha, before alpha is rounded or clamped; where the rounded alpha is 0 there is no colour.
pub(super) fn straight<T: Sample>(pixel: &mut [T], at: impl Fn(usize) -> f32) {
    let Some((last, colour)) = pixel.split_last_mut() else { return };
    let alpha = at(colour.len());
    *last = T::nearest(alpha);
    let transparent = *last == T::default();
    for (channel, sample) in colour.iter_mut().enumerate() {
        *sample = if transparent { T::default() } else { T::nearest(at(channel) * T::FULL / alpha) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_rounded_and_clamped() {
        let given = [f32::NAN, f32::NEG_INFINITY, -0.6, 0.49, 0.5, 254.4, 254.5, 256.0, f32::INFINITY];
        assert_eq!(given.map(u8::nearest), [0, 0, 0, 0, 1, 254, 255, 255, 255]);
        assert_eq!([f32::NAN, 65_534.4, 65_534.5, 1e9].map(u16::nearest), [0, 65_534, 65_535, 65_535]);
        assert!((0..=u16::MAX).all(|v| u16::nearest(v.into()) == v));
    }

    #[test]
    fn borders_are_replicated_and_pieces_see_their_neighbours() {
        // Two channels: tens and ones of the pixel's number, 3 wide and 2 high.
        let samples = [1, 10, 2, 20, 3, 30, 4, 40, 5, 50, 6, 60];
        let view = View::<u8> { samples: &samples, width: 3, height: 2, channels: 2, premultiply: false };
        let plane = [1u8, 1, 2, 3, 3, 1, 1, 2, 3, 3, 4, 4, 5, 6, 6, 4, 4, 5, 6, 6].map(f32::from);
        let tens = plane.map(|v| v * 10.0);
        assert_eq!(view.planes(&(0..2), &(0..3), 1), [plane, tens].concat());
        let piece = [2u8, 3, 3, 5, 6, 6, 5, 6, 6].map(f32::from);
        assert_eq!(view.planes(&(1..2), &(2..3), 1)[..9], piece);
    }

    #[test]
    fn alpha_is_multiplied_in_and_divided_out() {
        fn round_trip<T: Sample + std::fmt::Debug>(samples: &[T]) -> Vec<T> {
            let view = View { samples, width: samples.len() / 2, height: 1, channels: 2, premultiply: true };
            let planes = view.planes(&(0..1), &(0..view.width), 0);
            let mut band = vec![T::default(); samples.len()];
            view.interleave(&planes, view.width, &mut band, samples.len(), 0);
            band
        }
        let eight: Vec<u8> = (0..=255).flat_map(|v| (1..=255).flat_map(move |a| [v, a])).collect();
        assert_eq!(round_trip(&eight), eight);
        let sixteen: Vec<u16> =
            (0..=65_535).step_by(97).flat_map(|v| (1..=65_535).step_by(131).flat_map(move |a| [v, a])).collect();
        assert_eq!(round_trip(&sixteen), sixteen);
        assert_eq!(round_trip(&[200u8, 0]), [0, 0], "where alpha is 0 there is no colour");
    }

    #[test]
    fn tiles_are_put_side_by_side() {
        let view = View::<u8> { samples: &[], width: 0, height: 0, channels: 2, premultiply: false };
        let mut band = [0; 12];
        view.interleave(&[1.0, 4.0, 10.0, 40.0], 1, &mut band, 6, 0);
        view.interleave(&[2.0, 3.0, 5.0, 6.0, 20.0, 30.0, 50.0, 60.0], 2, &mut band, 6, 1);
        assert_eq!(band, [1, 10, 2, 20, 3, 30, 4, 40, 5, 50, 6, 60]);
    }
}
