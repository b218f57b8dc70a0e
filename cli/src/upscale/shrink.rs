//! From a larger factor down to a smaller one, row by row.
//!
//! The bicubic filter (Catmull-Rom), stretched by the ratio of the factors against aliasing. Pixel centres line up as
//! in [`upconv::upscale`]; borders are replicated.

use super::planes::Sample;
use std::collections::VecDeque;
use std::ops::Range;

/// The taps of an output coordinate: the first input, and the weights from there on.
struct Taps {
    first: i64,
    weights: Vec<f32>,
}

/// Takes the rows of a picture enlarged `from` times and gives those of one enlarged `to` times.
pub(super) struct Shrink {
    from: usize,
    to: usize,
    channels: usize,
    /// In rows of the larger picture.
    height: usize,
    phases: Vec<Taps>,
    /// Rows received that may still be read, resampled along x.
    rows: VecDeque<Vec<f32>>,
    /// How many were received, and how many were given out.
    taken: usize,
    given: usize,
}

impl Shrink {
    /// `height` is that of the original.
    pub(super) fn new(from: usize, to: usize, height: usize, channels: usize) -> Self {
        let phases = (0..to).map(|phase| taps(from, to, phase)).collect();
        Self { from, to, channels, height: height * from, phases, rows: VecDeque::new(), taken: 0, given: 0 }
    }

    /// Takes rows and gives those that are complete.
    pub(super) fn push<T: Sample>(&mut self, band: &[u16], width: usize) -> Vec<T> {
        let mut out = Vec::new();
        for row in band.chunks_exact(width * self.from * self.channels) {
            self.rows.push_back(self.along_x(row, width));
            self.taken += 1;
            while let Some(row) = self.next_row() {
                out.extend(row.into_iter().map(|value| T::nearest(value / f32::from(u16::MAX) * T::FULL)));
            }
        }
        out
    }

    fn along_x(&self, row: &[u16], width: usize) -> Vec<f32> {
        let most = (width * self.from - 1) as i64;
        let mut out = Vec::with_capacity(width * self.to * self.channels);
        for x in 0..width * self.to {
            let (taps, first) = self.at(x);
            for channel in 0..self.channels {
                let value = |(offset, weight): (i64, &f32)| {
                    let x = (first + offset).clamp(0, most) as usize;
                    weight * f32::from(row[x * self.channels + channel])
                };
                out.push((0..).zip(&taps.weights).map(value).sum());
            }
        }
        out
    }

    /// The next row, if all rows that it reads have been received.
    fn next_row(&mut self) -> Option<Vec<f32>> {
        let last = self.height as i64 - 1;
        let reads = |y: usize| -> Range<i64> {
            let (taps, first) = self.at(y);
            first..first + taps.weights.len() as i64
        };
        if self.given == self.height / self.from * self.to {
            return None;
        }
        let Range { start, end } = reads(self.given);
        if (end - 1).min(last) >= self.taken as i64 {
            return None;
        }
        let (taps, _) = self.at(self.given);
        let oldest = (self.taken - self.rows.len()) as i64;
        let mut out = vec![0.0; self.rows.back()?.len()];
        for (y, weight) in (start..end).zip(&taps.weights) {
            let row = self.rows.get((y.clamp(0, last) - oldest) as usize)?;
            out.iter_mut().zip(row).for_each(|(out, value)| *out += weight * value);
        }
        self.given += 1;
        let needed = self.at(self.given).1.clamp(0, last);
        for _ in oldest..needed.min(self.taken as i64 - 1) {
            self.rows.pop_front();
        }
        Some(out)
    }

    /// The taps of an output coordinate and its first input.
    fn at(&self, output: usize) -> (&Taps, i64) {
        let taps = &self.phases[output % self.to];
        (taps, taps.first + (output / self.to * self.from) as i64)
    }
}

fn taps(from: usize, to: usize, phase: usize) -> Taps {
    let ratio = from as f64 / to as f64;
    let centre = (phase as f64 + 0.5) * ratio - 0.5;
    let first = (centre - 2.0 * ratio).ceil();
    let last = (centre + 2.0 * ratio).floor();
    let weights: Vec<f64> = (first as i64..=last as i64).map(|i| catmull_rom((i as f64 - centre) / ratio)).collect();
    let sum: f64 = weights.iter().sum();
    Taps { first: first as i64, weights: weights.into_iter().map(|weight| (weight / sum) as f32).collect() }
}

fn catmull_rom(x: f64) -> f64 {
    match x.abs() {
        x if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        x if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shrink(from: usize, to: usize, width: usize, height: usize, picture: &[u16], rows: usize) -> Vec<u16> {
        let mut shrink = Shrink::new(from, to, height, 1);
        let bands = picture.chunks(rows * width * from);
        let made: Vec<u16> = bands.flat_map(|band| shrink.push::<u16>(band, width)).collect();
        assert_eq!(made.len(), width * to * height * to);
        made
    }

    #[test]
    fn a_constant_stays_and_a_ramp_stays_one() {
        let (from, to, width, height) = (4, 3, 6, 5);
        let flat = vec![40_000; width * from * height * from];
        assert_eq!(shrink(from, to, width, height, &flat, 7), vec![40_000; width * to * height * to]);
        let at = |p: f64| 5_000.0 + 1_000.0 * p;
        let ramp: Vec<u16> =
            (0..width * from * height * from).map(|i| at((i % (width * from)) as f64) as u16).collect();
        for (index, value) in shrink(from, to, width, height, &ramp, 1).into_iter().enumerate() {
            let x = index % (width * to);
            if (2..width * to - 2).contains(&x) {
                let expected = at((x as f64 + 0.5) * 4.0 / 3.0 - 0.5);
                assert!((f64::from(value) - expected).abs() < 60.0, "{value} {expected}");
            }
        }
    }

    #[test]
    fn rows_come_out_the_same_in_bands_of_any_height() {
        for (from, to) in [(4, 3), (9, 4), (9, 8)] {
            let picture: Vec<u16> = (0..5 * from * 4 * from).map(|i| (i * 40_503 % 65_536) as u16).collect();
            let whole = shrink(from, to, 5, 4, &picture, 4 * from);
            for rows in [1, 3, 5] {
                assert_eq!(shrink(from, to, 5, 4, &picture, rows), whole);
            }
        }
    }

    #[test]
    fn rows_do_not_pile_up() {
        let mut shrink = Shrink::new(4, 3, 100, 1);
        for _ in 0..400 {
            shrink.push::<u8>(&[0; 8], 2);
            assert!(shrink.rows.len() <= 8, "{}", shrink.rows.len());
        }
        assert_eq!(shrink.given, 300);
    }
}
