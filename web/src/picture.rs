//! Pictures in JavaScript's memory.

use crate::array::{Samples, zeros};
use crate::failure::{Failure, Result};
use std::ops::Range;

/// A picture, or a band of it: interleaved samples, row after row.
pub(crate) struct Picture {
    pub(crate) samples: Samples,
    pub(crate) width: usize,
    /// The row of the whole picture that a band begins with.
    pub(crate) first_row: usize,
    pub(crate) height: usize,
    pub(crate) channels: usize,
}

/// A part of a picture in the module's memory.
pub(crate) struct Window {
    pub(crate) pixels: Vec<f32>,
    pub(crate) rows: Range<usize>,
    pub(crate) columns: Range<usize>,
    pub(crate) channels: usize,
}

impl Picture {
    /// # Errors
    /// Where the samples are not those of a picture of this size.
    pub(crate) fn new(samples: Samples, width: usize, height: usize, channels: usize) -> Result<Self> {
        let needed = width as u64 * height as u64 * channels as u64;
        if needed == 0 || samples.len() as u64 != needed {
            let given = samples.len();
            let sentence = format!("{given} samples were given for {width}x{height} pixels, which have {needed}");
            return Err(Failure::Said(sentence));
        }
        Ok(Self { samples, width, first_row: 0, height, channels })
    }

    pub(crate) fn pixels(&self) -> u64 {
        self.width as u64 * self.height as u64
    }

    /// Some rows and columns, which are inside.
    pub(crate) fn window(&self, rows: Range<usize>, columns: Range<usize>) -> Result<Window> {
        let channels = self.channels;
        let mut pixels = zeros(rows.len() * columns.len() * channels)?;
        for (y, row) in rows.clone().zip(pixels.chunks_exact_mut(columns.len() * channels)) {
            self.samples.read(self.place(y, columns.start), row)?;
        }
        Ok(Window { pixels, rows, columns, channels })
    }

    /// Writes a part back, each sample rounded; of a band, those rows that it has.
    pub(crate) fn write(&self, window: &Window) -> Result<()> {
        let row = window.columns.len() * window.channels;
        let own = self.first_row..self.first_row + self.height;
        for (y, pixels) in window.rows.clone().zip(window.pixels.chunks_exact(row)) {
            if own.contains(&y) {
                self.samples.write(self.place(y, window.columns.start), pixels)?;
            }
        }
        Ok(())
    }

    fn place(&self, y: usize, x: usize) -> usize {
        ((y - self.first_row) * self.width + x) * self.channels
    }
}

impl Window {
    /// The pixel at a place of the whole picture.
    pub(crate) fn at(&self, y: usize, x: usize) -> &[f32] {
        let pixel = (y - self.rows.start) * self.columns.len() + x - self.columns.start;
        &self.pixels[pixel * self.channels..][..self.channels]
    }
}

/// From the least to the greatest of some places, `more` wider on either side, of so many.
pub(crate) fn span(places: &[usize], more: usize, extent: usize) -> Range<usize> {
    let (least, most) = (places.iter().min().copied(), places.iter().max().copied());
    least.unwrap_or(0).saturating_sub(more)..(most.unwrap_or(0) + 1 + more).min(extent)
}
