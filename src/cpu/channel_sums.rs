//! Sums by channels.

use super::element::Element;
use super::memory::{Result, filled, reserved};
use super::simd::Instructions;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// The most neighbours that are added up in their own type; the sums of these are added in f64.
const TOGETHER: usize = 1024;
/// The most neighbouring pixels that are added up where the channels come last.
const PIXELS: usize = 64;
/// Sums side by side.
const LANES: usize = 16;

/// The sum of each channel of values whose channels are `stride` apart, in an order that the shape alone fixes.
pub(super) fn channel_sums<T: Element + Into<f64>>(
    values: &[T],
    channels: usize,
    stride: usize,
    instructions: Instructions,
) -> Result<Vec<f64>> {
    let mut sums = filled("the sums of the channels", 0.0, channels)?;
    if stride > 1 {
        let mut planes = reserved("the sums of the channels", values.len() / stride)?;
        values.par_chunks(stride).map(|plane| instructions.run(Plane(plane))).collect_into_vec(&mut planes);
        for (plane, sum) in planes.into_iter().enumerate() {
            sums[plane % channels] += sum;
        }
        return Ok(sums);
    }
    let mut parts = reserved("the sums of the channels", values.len().div_ceil(PIXELS * channels))?;
    let part = |pixels| instructions.run(Pixels { pixels, channels });
    values.par_chunks(PIXELS * channels).map(part).collect_into_vec(&mut parts);
    for part in parts {
        sums.iter_mut().zip(part?).for_each(|(sum, part)| *sum += part.into());
    }
    Ok(sums)
}

/// The sum of a plane of one channel.
struct Plane<'a, T>(&'a [T]);

impl<T: Element + Into<f64>> WithSimd for Plane<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f64 {
        let mut sum = 0.0;
        for together in self.0.chunks(TOGETHER) {
            let mut lanes = [T::default(); LANES];
            let (vectors, rest) = together.as_chunks::<LANES>();
            for vector in vectors {
                lanes.iter_mut().zip(vector).for_each(|(lane, &value)| *lane += value);
            }
            sum += lanes.iter().chain(rest).map(|&value| value.into()).sum::<f64>();
        }
        sum
    }
}

/// The sums of the channels of a few pixels.
struct Pixels<'a, T> {
    pixels: &'a [T],
    channels: usize,
}

impl<T: Element> WithSimd for Pixels<'_, T> {
    type Output = Result<Vec<T>>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Result<Vec<T>> {
        let mut sums = filled("the sums of the channels", T::default(), self.channels)?;
        for pixel in self.pixels.chunks_exact(self.channels) {
            sums.iter_mut().zip(pixel).for_each(|(sum, &value)| *sum += value);
        }
        Ok(sums)
    }
}
