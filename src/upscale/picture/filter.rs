//! Resampling by a filter: by a whole factor as a transposed convolution on a device, to any other size on the CPU.

use super::Shape;
use super::backend::{Backend, FilterOn};
use super::bands::{BANDS, Bands, Job};
use super::resize::{self, Resize};
use super::rows::each_row;
use super::sample::{Sample, straight};
use super::source::{Source, span};
use crate::error::{Error, Result};
use crate::tensor::{Data, Tensor, element_count, filled};
use crate::upscale::{MAX_SCALE, Method};
use std::ops::Range;

/// How many times the tensors of a piece are in memory: on their way to a device and back, and on a device that
/// computes in the same memory.
const COPIES: u64 = 6;

/// A filter for a picture, and how the work is cut.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    method: Method,
    mix: Mix,
    cut: Cut,
}

#[derive(Clone, Debug)]
enum Cut {
    /// By a whole factor, in pieces.
    Whole(Job, Bands),
    /// To another size, row by row.
    Any(resize::Plan),
}

impl Filter {
    /// Cuts the work so that it takes at most `rest` bytes if that is possible, and returns how many bytes it takes, with
    /// its bands of samples. The shapes differ in their sides alone.
    pub(super) fn new(method: Method, from: Shape, to: Shape, rest: u64) -> (Self, u64) {
        // `nearest` mixes no pixels, so it can keep the colours of transparent ones.
        let premultiply = from.has_alpha() && method != Method::Nearest;
        let mix = Mix { channels: from.channels, premultiply };
        let (cut, bytes) = match whole_factor(from.sides(), to.sides()) {
            Some(scale) => {
                let Shape { width, height, channels, .. } = from;
                let job = Job { width, height, channels, scale, border: method.border() };
                let bands = Bands::new(&job, rest / (2 * COPIES));
                let band = Shape { height: bands.rows * scale, ..to };
                (Cut::Whole(job, bands), COPIES * bands.tensor_bytes(&job) + BANDS * band.bytes())
            }
            None => {
                let depth = from.sample_bytes as u64;
                let (sides, wanted) = ((from.width, from.height), (to.width, to.height));
                let (plan, bytes) = resize::Plan::new(method, sides, wanted, from.channels, premultiply, depth, rest);
                (Cut::Any(plan), bytes)
            }
        };
        (Self { method, mix, cut }, bytes)
    }

    /// Whether a device computes it; otherwise the CPU does.
    pub(super) fn is_on_device(&self) -> bool {
        matches!(self.cut, Cut::Whole(..))
    }

    /// Computes the bands and gives them, in their order, to `emit`. `advance` hears how many pixels of the picture are
    /// done.
    pub(super) async fn run<S: Source, E: From<Error>>(
        &self,
        source: &S,
        backend: &Backend,
        emit: &mut impl AsyncFnMut(Vec<S::Sample>) -> Result<(), E>,
        advance: &mut impl AsyncFnMut(u64) -> Result<(), E>,
    ) -> Result<(), E> {
        match &self.cut {
            Cut::Whole(job, bands) => {
                let layer = FilterOn::new(self.method.upsampler(job.scale, job.channels)?, backend)?;
                let row = job.width * job.scale * job.channels;
                for rows in bands.rows(job) {
                    let samples = rows.len() as u128 * job.scale as u128 * row as u128;
                    let samples = usize::try_from(samples).unwrap_or(usize::MAX);
                    let mut band = filled("a band of the picture", S::Sample::default(), samples)?;
                    for columns in bands.columns(job) {
                        let input = self.mix.planes(source, job, &rows, &columns)?;
                        let Data::F32(planes) = layer.run(&input).await?.into_data() else {
                            return Err(Error::Network { problem: "a filter of f32 gave something else".into() }.into());
                        };
                        let (width, first) = (columns.len() * job.scale, columns.start * job.scale);
                        self.mix.interleave(&planes, width, &mut band, row, first);
                        advance((rows.len() * columns.len()) as u64).await?;
                    }
                    emit(band).await?;
                }
            }
            Cut::Any(plan) => {
                let (mut resize, (width, height)) = (Resize::new(*plan), plan.from);
                for first in (0..height).step_by(plan.taken()) {
                    let rows = first..(first + plan.taken()).min(height);
                    let window = source.window(rows.clone(), 0..width)?;
                    resize.push(&window.samples(), emit).await?;
                    advance((rows.len() * width) as u64).await?;
                }
            }
        }
        Ok(())
    }
}

/// The factor by which both sides are enlarged, if it is one, whole, and within the reach of the filters.
pub fn whole_factor(from: [usize; 2], to: [usize; 2]) -> Option<usize> {
    let factor = to[0].checked_div(from[0])?;
    let is_exact = from.map(|side| side.checked_mul(factor)) == to.map(Some);
    (is_exact && (1..=MAX_SCALE).contains(&factor)).then_some(factor)
}

/// How the channels of a pixel are mixed with those of its neighbours.
#[derive(Clone, Copy, Debug)]
struct Mix {
    channels: usize,
    /// Whether the last channel is alpha and the others are to be multiplied by it.
    premultiply: bool,
}

impl Mix {
    /// The planes `[1, channels, rows + 2·border, columns + 2·border]` of a piece of a picture. Beyond the picture its
    /// outermost pixels are repeated.
    fn planes<S: Source>(self, source: &S, job: &Job, rows: &Range<usize>, columns: &Range<usize>) -> Result<Tensor> {
        let around = |range: &Range<usize>, extent: usize| -> Vec<usize> {
            let places = range.start..range.end + 2 * job.border;
            places.map(|place| place.saturating_sub(job.border).min(extent - 1)).collect()
        };
        let (ys, xs) = (around(rows, job.height), around(columns, job.width));
        let window = source.window(span(&ys, 0, job.height), span(&xs, 0, job.width))?;
        let (first, channels) = (window.columns().start, self.channels);
        let shape = [1, channels, ys.len(), xs.len()];
        let mut planes = filled("a piece of the picture", 0.0, element_count(&shape)?)?;
        each_row(&mut planes, xs.len(), |index, out| {
            let (channel, row) = (index / ys.len(), window.row(ys[index % ys.len()]));
            let multiply = self.premultiply && channel + 1 < channels;
            for (out, &x) in out.iter_mut().zip(&xs) {
                let pixel = &row[(x - first) * channels..][..channels];
                let value: f32 = pixel[channel].into();
                *out = if multiply { value * pixel[channels - 1].into() / S::Sample::FULL } else { value };
            }
        });
        Tensor::f32(shape, planes)
    }

    /// Writes planes `[channels, rows, width]` into a band of as many rows, each `row` samples long, from its column
    /// `first` on.
    fn interleave<T: Sample>(self, planes: &[f32], width: usize, band: &mut [T], row: usize, first: usize) {
        let channels = self.channels;
        let plane = planes.len() / channels;
        each_row(band, row, |y, out| {
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

#[cfg(test)]
mod tests {
    use super::super::source::Pixels;
    use super::*;

    fn job(width: usize, height: usize, channels: usize, border: usize) -> Job {
        Job { width, height, channels, scale: 1, border }
    }

    #[test]
    fn borders_are_replicated_and_pieces_see_their_neighbours() {
        // Two channels: tens and ones of the pixel's number, 3 wide and 2 high.
        let samples: [u8; 12] = [1, 10, 2, 20, 3, 30, 4, 40, 5, 50, 6, 60];
        let picture = Pixels::new(&samples, 3, 2).unwrap();
        let mix = Mix { channels: 2, premultiply: false };
        let planes = |rows, columns| mix.planes(&picture, &job(3, 2, 2, 1), &rows, &columns).unwrap().to_f32();
        let plane = [1u8, 1, 2, 3, 3, 1, 1, 2, 3, 3, 4, 4, 5, 6, 6, 4, 4, 5, 6, 6].map(f32::from);
        let tens = plane.map(|v| v * 10.0);
        assert_eq!(planes(0..2, 0..3), [plane, tens].concat());
        let piece = [2u8, 3, 3, 5, 6, 6, 5, 6, 6].map(f32::from);
        assert_eq!(planes(1..2, 2..3)[..9], piece);
    }

    #[test]
    fn alpha_is_multiplied_in_and_divided_out() {
        fn round_trip<T: Sample>(samples: &[T]) -> Vec<T> {
            let width = samples.len() / 2;
            let (picture, mix) = (Pixels::new(samples, width, 2).unwrap(), Mix { channels: 2, premultiply: true });
            let planes = mix.planes(&picture, &job(width, 1, 2, 0), &(0..1), &(0..width)).unwrap().to_f32();
            let mut band = vec![T::default(); samples.len()];
            mix.interleave(&planes, width, &mut band, samples.len(), 0);
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
        let mix = Mix { channels: 2, premultiply: false };
        let mut band = [0_u8; 12];
        mix.interleave(&[1.0, 4.0, 10.0, 40.0], 1, &mut band, 6, 0);
        mix.interleave(&[2.0, 3.0, 5.0, 6.0, 20.0, 30.0, 50.0, 60.0], 2, &mut band, 6, 1);
        assert_eq!(band, [1, 10, 2, 20, 3, 30, 4, 40, 5, 50, 6, 60]);
    }

    #[test]
    fn a_factor_is_whole_along_both_sides() {
        assert_eq!(whole_factor([45, 67], [90, 134]), Some(2));
        assert_eq!(whole_factor([45, 67], [45, 67]), Some(1));
        assert_eq!(whole_factor([45, 67], [90, 135]), None);
        assert_eq!(whole_factor([1, 1], [MAX_SCALE + 1; 2]), None);
        assert_eq!(whole_factor([0, 1], [2, 2]), None);
    }
}
