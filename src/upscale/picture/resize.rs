//! Resampling to any size, larger or smaller, by a table of weights for each axis, as rows of the picture come.
//!
//! A picture keeps its outline: output pixel `o` of `to`, from `from` input pixels, lies at `(o + ½)·from/to − ½`. Where
//! the picture becomes smaller, the filter is widened by the ratio, against aliasing. Beyond the borders there is nothing:
//! the weights of the pixels that are there are divided by their sum. Rows are resampled along x first, held to the range
//! of the samples, and then along y. All of this is how Pillow's `Image.resize` does it, but for its rounding between the
//! two axes.

use super::bands::BANDS;
use super::rows::{at_a_time, each_row};
use super::sample::{Sample, straight};
use crate::error::Error;
use crate::tensor::filled;
use crate::upscale::Method;
use std::collections::VecDeque;

/// What is computed at a time takes no more than this beyond what it must.
const MOST: u64 = 32 << 20;

/// How many samples of a row are added up at a time.
const BLOCK: usize = 512;

/// From one size to another, and how many rows are computed at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) method: Method,
    /// Width and height.
    pub(super) from: (usize, usize),
    pub(super) to: (usize, usize),
    pub(super) channels: usize,
    /// Whether the last channel is alpha and the others are to be multiplied by it.
    pub(super) premultiply: bool,
    /// How many rows are taken, and given, at a time.
    taken: usize,
    given: usize,
}

impl Plan {
    /// A plan that takes no more than `rest` bytes if that is possible, and how many bytes it takes, with the bands of
    /// results of `depth` bytes per sample.
    pub(super) fn new(
        method: Method,
        from: (usize, usize),
        to: (usize, usize),
        channels: usize,
        premultiply: bool,
        depth: u64,
        rest: u64,
    ) -> (Self, u64) {
        let tables = Axis::bytes(method, from.0, to.0).saturating_add(Axis::bytes(method, from.1, to.1));
        let row = (to.0 as u64).saturating_mul(channels as u64);
        let (taken_row, given_row) = (row.saturating_mul(4), row.saturating_mul(BANDS * depth));
        let threads = at_a_time() as u64;
        let unpacked = threads.saturating_mul((from.0 * channels) as u64).saturating_mul(4);
        let window = taken_row.saturating_mul(reach(method, from.1, to.1) as u64);
        let least = tables.saturating_add(unpacked).saturating_add(window);

        let spare = rest.saturating_sub(least).min(MOST) / 2;
        let rows = |bytes: u64, most: usize| (spare / bytes.max(1)).clamp(1, most.max(1) as u64);
        let (taken, given) = (rows(taken_row, from.1), rows(given_row, to.1));
        let bytes =
            least.saturating_add(taken_row.saturating_mul(taken)).saturating_add(given_row.saturating_mul(given));
        let (taken, given) = (taken as usize, given as usize);
        (Self { method, from, to, channels, premultiply, taken, given }, bytes)
    }

    /// The same of a picture with no more channels.
    pub(super) fn for_channels(self, channels: usize) -> Self {
        Self { channels, ..self }
    }

    /// How many rows are taken at a time.
    pub(super) fn taken(&self) -> usize {
        self.taken
    }
}

/// Takes the rows of a picture and gives those of the resampled one.
pub(super) struct Resize {
    plan: Plan,
    across: Axis,
    down: Axis,
    /// For each output row, the first input row that it or a later one reads.
    keep: Vec<usize>,
    /// Rows taken that may still be read, resampled along x.
    window: VecDeque<Vec<f32>>,
    /// How many were taken, and how many given.
    taken: usize,
    given: usize,
}

impl Resize {
    pub(super) fn new(plan: Plan) -> Self {
        let axis = |from, to| Axis::new(plan.method, from, to);
        let (across, down) = (axis(plan.from.0, plan.to.0), axis(plan.from.1, plan.to.1));
        let mut keep: Vec<usize> = down.spans.iter().map(|span| span.first).collect();
        for later in (1..keep.len()).rev() {
            keep[later - 1] = keep[later - 1].min(keep[later]);
        }
        Self { plan, across, down, keep, window: VecDeque::new(), taken: 0, given: 0 }
    }

    /// Takes rows, and gives those that are complete to `emit`, in their order.
    pub(super) async fn push<S: Sample, T: Sample, E: From<Error>>(
        &mut self,
        rows: &[S],
        emit: &mut impl AsyncFnMut(Vec<T>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (from_row, to_row) = (self.plan.from.0 * self.plan.channels, self.plan.to.0 * self.plan.channels);
        for rows in rows.chunks(self.plan.taken * from_row) {
            let mut made = vec![Vec::new(); rows.len() / from_row];
            each_row(&mut made, 1, |row, made| made.fill(self.along_x(&rows[row * from_row..][..from_row])));
            self.taken += made.len();
            self.window.extend(made);
            loop {
                let waiting = self.down.spans[self.given..].iter();
                let ready = waiting.take(self.plan.given).take_while(|span| span.end() <= self.taken).count();
                if ready == 0 {
                    break;
                }
                let mut band = filled("rows of a picture", T::default(), ready * to_row)?;
                each_row(&mut band, to_row, |y, row| self.along_y::<S, T>(self.given + y, row));
                self.given += ready;
                let needed = self.keep.get(self.given).copied().unwrap_or(self.taken).min(self.taken);
                let oldest = self.taken - self.window.len();
                self.window.drain(..needed.saturating_sub(oldest));
                emit(band).await?;
            }
        }
        Ok(())
    }

    fn along_x<S: Sample>(&self, row: &[S]) -> Vec<f32> {
        match self.plan.channels {
            1 => self.across::<S, 1>(row),
            2 => self.across::<S, 2>(row),
            3 => self.across::<S, 3>(row),
            _ => self.across::<S, 4>(row),
        }
    }

    /// A row resampled along x, with C interleaved channels.
    fn across<S: Sample, const C: usize>(&self, row: &[S]) -> Vec<f32> {
        let mut pixels: Vec<f32> = row.iter().map(|&sample| sample.into()).collect();
        if self.plan.premultiply {
            for pixel in pixels.chunks_exact_mut(C) {
                let alpha = pixel[C - 1];
                pixel[..C - 1].iter_mut().for_each(|value| *value = *value * alpha / S::FULL);
            }
        }
        let mut out = Vec::with_capacity(self.plan.to.0 * C);
        for span in &self.across.spans {
            let mut sums = [0.0_f64; C];
            let from = pixels[span.first * C..].chunks_exact(C);
            for (pixel, &weight) in from.zip(self.across.weights(span)) {
                for (sum, &value) in sums.iter_mut().zip(pixel) {
                    *sum += f64::from(weight) * f64::from(value);
                }
            }
            out.extend(sums.map(|sum| (sum as f32).clamp(0.0, S::FULL)));
        }
        out
    }

    /// An output row, of the rows in the window.
    fn along_y<S: Sample, T: Sample>(&self, y: usize, out: &mut [T]) {
        let span = &self.down.spans[y];
        let oldest = self.taken - self.window.len();
        let channels = self.plan.channels;
        let unit = f64::from(T::FULL) / f64::from(S::FULL);
        let block = BLOCK / channels * channels;
        for (index, out) in out.chunks_mut(block).enumerate() {
            let mut sums = [0.0_f64; BLOCK];
            let rows = self.window.range(span.first - oldest..span.end() - oldest);
            for (row, &weight) in rows.zip(self.down.weights(span)) {
                let row = &row[index * block..][..out.len()];
                for (sum, &value) in sums.iter_mut().zip(row) {
                    *sum += f64::from(weight) * f64::from(value);
                }
            }
            for (pixel, sums) in out.chunks_exact_mut(channels).zip(sums.chunks_exact(channels)) {
                let at = |channel: usize| (sums[channel] * unit) as f32;
                if self.plan.premultiply {
                    straight(pixel, at);
                } else {
                    pixel.iter_mut().enumerate().for_each(|(channel, sample)| *sample = T::nearest(at(channel)));
                }
            }
        }
    }
}

/// The weights of an axis: for each output coordinate those of the inputs it is made of.
struct Axis {
    spans: Vec<Span>,
    weights: Vec<f32>,
}

/// The inputs of an output coordinate: the first, how many, and where their weights begin.
struct Span {
    first: usize,
    count: usize,
    start: usize,
}

impl Span {
    fn end(&self) -> usize {
        self.first + self.count
    }
}

impl Axis {
    fn new(method: Method, from: usize, to: usize) -> Self {
        let mut axis =
            Self { spans: Vec::with_capacity(to), weights: Vec::with_capacity(to * reach(method, from, to)) };
        for output in 0..to {
            let start = axis.weights.len();
            let first = if from == to {
                axis.weights.push(1.0);
                output
            } else if method == Method::Nearest {
                axis.weights.push(1.0);
                ((2 * output as u128 + 1) * from as u128 / (2 * to as u128)) as usize
            } else {
                let (first, weights) = weights(method, from, to, output);
                let sum: f64 = weights.iter().sum();
                axis.weights.extend(weights.into_iter().map(|weight| (weight / sum) as f32));
                first
            };
            axis.spans.push(Span { first, count: axis.weights.len() - start, start });
        }
        axis
    }

    fn weights(&self, span: &Span) -> &[f32] {
        &self.weights[span.start..][..span.count]
    }

    /// The bytes that it takes; of an axis along y, also [`Resize::keep`].
    fn bytes(method: Method, from: usize, to: usize) -> u64 {
        let output = size_of::<Span>() + size_of::<usize>() + 4 * reach(method, from, to);
        (to as u64).saturating_mul(output as u64)
    }
}

/// The most inputs that an output is made of.
fn reach(method: Method, from: usize, to: usize) -> usize {
    match method {
        _ if from == to => 1,
        Method::Nearest => 1,
        _ => from.min((2.0 * support(method, from, to)) as usize + 1),
    }
}

/// How far the filter reaches, in input pixels.
fn support(method: Method, from: usize, to: usize) -> f64 {
    method.border() as f64 * (from as f64 / to as f64).max(1.0)
}

/// The first input of an output, and the filter at that one and those that follow.
fn weights(method: Method, from: usize, to: usize, output: usize) -> (usize, Vec<f64>) {
    let ratio = from as f64 / to as f64;
    let (centre, support) = ((output as f64 + 0.5) * ratio, support(method, from, to));
    let first = (centre - support + 0.5).max(0.0) as usize;
    let end = ((centre + support + 0.5) as usize).min(from);
    (first, (first..end).map(|input| method.value((input as f64 + 0.5 - centre) / ratio.max(1.0))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resized(plan: Plan, picture: &[u16], rows: usize) -> Vec<u16> {
        let (mut resize, mut made) = (Resize::new(plan), Vec::new());
        for rows in picture.chunks(rows * plan.from.0 * plan.channels) {
            let mut emit = async |band: Vec<u16>| {
                made.extend(band);
                Ok::<_, Error>(())
            };
            pollster::block_on(resize.push(rows, &mut emit)).unwrap();
        }
        assert_eq!(made.len(), plan.to.0 * plan.to.1 * plan.channels);
        made
    }

    fn plan(method: Method, from: (usize, usize), to: (usize, usize)) -> Plan {
        Plan::new(method, from, to, 1, false, 2, u64::MAX).0
    }

    const SIZES: [(usize, usize); 9] = [(9, 7), (13, 10), (18, 14), (9, 10), (4, 3), (1, 1), (5, 40), (100, 1), (8, 7)];

    fn noise(samples: usize) -> Vec<u16> {
        (0..samples).map(|i| (i * 40_503 % 65_536) as u16).collect()
    }

    #[test]
    fn the_weights_of_an_output_sum_to_one_and_are_mirrored() {
        for method in Method::ALL {
            for (from, to) in [(1, 1), (1, 7), (7, 1), (5, 8), (8, 5), (100, 64), (3, 1000), (1000, 3), (6, 6)] {
                let axis = Axis::new(method, from, to);
                assert_eq!(axis.spans.len(), to);
                for (output, span) in axis.spans.iter().enumerate() {
                    let weights = axis.weights(span);
                    assert!((1..=reach(method, from, to)).contains(&span.count) && span.end() <= from);
                    let sum: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
                    assert!((sum - 1.0).abs() < 1e-6, "{method} {from} {to} {output}: {sum}");
                    // An output on the border between two inputs is the right one's.
                    if method != Method::Nearest {
                        let other = &axis.spans[to - 1 - output];
                        for (input, weight) in (span.first..).zip(weights) {
                            let place = (from - 1 - input).checked_sub(other.first);
                            let mirrored = place.and_then(|place| axis.weights(other).get(place)).copied();
                            let difference = weight - mirrored.unwrap_or_default();
                            assert!(difference.abs() < 1e-6, "{method} {from} {to} {output}: {difference}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_constant_stays_and_a_size_of_its_own_changes_nothing() {
        for method in Method::ALL {
            for to in SIZES {
                let made = resized(plan(method, (9, 7), to), &[40_000; 63], 7);
                assert!(made.iter().all(|&value| value == 40_000), "{method} {to:?}");
            }
            assert_eq!(resized(plan(method, (9, 7), (9, 7)), &noise(63), 2), noise(63));
        }
    }

    #[test]
    fn a_ramp_stays_one_inside() {
        let at = |p: f64| 5_000.0 + 1_000.0 * p;
        let ramp: Vec<u16> = (0..24 * 3).map(|i| at(f64::from(i % 24)) as u16).collect();
        for to in [36, 31, 25, 18, 13] {
            for (index, value) in resized(plan(Method::Bicubic, (24, 3), (to, 3)), &ramp, 3).into_iter().enumerate() {
                let position = (index % to) as f64 + 0.5;
                let expected = at(position * 24.0 / to as f64 - 0.5);
                if (0.2..0.8).contains(&(position / to as f64)) {
                    assert!((f64::from(value) - expected).abs() < 20.0, "{to}: {value} {expected}");
                }
            }
        }
    }

    /// However many rows come, and are computed, at a time.
    #[test]
    fn rows_come_out_the_same_in_bands_of_any_height() {
        for method in Method::ALL {
            for to in SIZES {
                let whole = resized(plan(method, (9, 7), to), &noise(63), 7);
                for rows in [1, 2, 5] {
                    let small = Plan { taken: rows, given: 1, ..plan(method, (9, 7), to) };
                    assert_eq!(resized(small, &noise(63), rows), whole, "{method} {to:?}");
                }
            }
        }
    }

    /// More than a block of samples, of which pixels are not cut.
    #[test]
    fn channels_are_resampled_alike() {
        let (from, to) = ((300, 4), (451, 5));
        let grey = noise(300 * 4);
        let expected = resized(plan(Method::Lanczos3, from, to), &grey, 4);
        for channels in [2, 3, 4] {
            let picture: Vec<u16> = grey.iter().flat_map(|&value| vec![value; channels]).collect();
            let made = resized(Plan { channels, ..plan(Method::Lanczos3, from, to) }, &picture, 4);
            assert!(made.chunks_exact(channels).zip(&expected).all(|(pixel, value)| pixel.iter().all(|v| v == value)));
        }
    }

    #[test]
    fn rows_do_not_pile_up() {
        for (from, to, most) in [((2, 400), (3, 300), 8), ((2, 400), (3, 9_000), 8), ((2, 400), (1, 40), 50)] {
            let plan = Plan { taken: 1, given: 1, ..plan(Method::Bicubic, from, to) };
            let mut resize = Resize::new(plan);
            for _ in 0..400 {
                let mut emit = async |_: Vec<u8>| Ok::<_, Error>(());
                pollster::block_on(resize.push(&[0_u8; 2], &mut emit)).unwrap();
                assert!(resize.window.len() <= most, "{}", resize.window.len());
            }
            assert_eq!(resize.given, to.1);
        }
    }

    #[test]
    fn the_memory_is_bounded() {
        let plan = |to, rest| Plan::new(Method::Bicubic, (12_000, 9_000), to, 3, false, 1, rest);
        for rest in [16 << 20, 64 << 20, u64::MAX] {
            let (plan, bytes) = plan((18_000, 13_500), rest);
            assert!(bytes <= rest.min(64 << 20) && plan.taken >= 1 && plan.given >= 1, "{bytes}");
        }
        // What cannot be had is a number, and nothing is allocated.
        assert!(plan((1 << 31, 1 << 31), u64::MAX).1 > 1 << 34);
        assert!(plan((usize::MAX, usize::MAX), 0).1 > 1 << 62);
    }
}
