//! Where the pixels of a picture come from.

use super::sample::Sample;
use crate::error::{Error, Result};
use std::borrow::Cow;
use std::ops::Range;

/// A picture that is read in parts: interleaved samples, row after row, from the top.
pub trait Source {
    /// What its samples are.
    type Sample: Sample;

    /// Some rows and columns, which the picture has.
    ///
    /// # Errors
    /// [`Error::Memory`] where it copies and there is no memory for that.
    fn window(&self, rows: Range<usize>, columns: Range<usize>) -> Result<Window<'_, Self::Sample>>;
}

/// Some rows and columns of a picture.
#[derive(Clone, Debug)]
pub struct Window<'a, T: Sample> {
    samples: Cow<'a, [T]>,
    /// The pixel of `samples` that the window begins with, and how many pixels a row of them has.
    first: usize,
    width: usize,
    channels: usize,
    rows: Range<usize>,
    columns: Range<usize>,
}

/// A whole picture in memory.
#[derive(Clone, Copy, Debug)]
pub struct Pixels<'a, T> {
    samples: &'a [T],
    width: usize,
    channels: usize,
}

impl<'a, T: Sample> Pixels<'a, T> {
    /// A picture of so many pixels a row, each of so many samples.
    ///
    /// # Errors
    /// [`Error::DataLength`] where the samples are not those of whole rows.
    pub fn new(samples: &'a [T], width: usize, channels: usize) -> Result<Self> {
        let row = width.saturating_mul(channels);
        match samples.len().checked_rem(row) {
            Some(0) => Ok(Self { samples, width, channels }),
            _ => {
                let rows = samples.len().checked_div(row).unwrap_or_default();
                let (shape, expected) = (vec![rows, width, channels], rows.saturating_mul(row));
                Err(Error::DataLength { shape, expected, given: samples.len() })
            }
        }
    }

    /// Its height.
    pub fn height(&self) -> usize {
        self.samples.len() / (self.width * self.channels)
    }
}

impl<T: Sample> Source for Pixels<'_, T> {
    type Sample = T;

    fn window(&self, rows: Range<usize>, columns: Range<usize>) -> Result<Window<'_, T>> {
        let first = rows.start * self.width + columns.start;
        let (width, channels) = (self.width, self.channels);
        Ok(Window { samples: Cow::Borrowed(self.samples), first, width, channels, rows, columns })
    }
}

impl<'a, T: Sample> Window<'a, T> {
    /// Rows and columns of a picture, of which these are the samples.
    ///
    /// # Errors
    /// [`Error::DataLength`] where they are others.
    pub fn new(
        samples: impl Into<Cow<'a, [T]>>,
        rows: Range<usize>,
        columns: Range<usize>,
        channels: usize,
    ) -> Result<Self> {
        let (samples, width) = (samples.into(), columns.len());
        let expected = rows.len().saturating_mul(width).saturating_mul(channels);
        if samples.len() != expected {
            let shape = vec![rows.len(), width, channels];
            return Err(Error::DataLength { shape, expected, given: samples.len() });
        }
        Ok(Self { samples, first: 0, width, channels, rows, columns })
    }

    /// The rows of the picture that it has.
    pub fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// The columns of the picture that it has.
    pub fn columns(&self) -> Range<usize> {
        self.columns.clone()
    }

    /// The samples of a row of the picture, in these columns.
    pub fn row(&self, y: usize) -> &[T] {
        let first = (self.first + (y - self.rows.start) * self.width) * self.channels;
        &self.samples[first..][..self.columns.len() * self.channels]
    }

    /// All samples, row after row: as they are where the rows are whole.
    pub(super) fn samples(&self) -> Cow<'_, [T]> {
        if self.columns.len() == self.width {
            let row = self.width * self.channels;
            return Cow::Borrowed(&self.samples[self.first * self.channels..][..self.rows.len() * row]);
        }
        Cow::Owned(self.rows().flat_map(|y| self.row(y)).copied().collect())
    }
}

/// One channel of a picture, as a picture of its own.
pub(super) struct Channel<'a, S> {
    pub(super) source: &'a S,
    pub(super) channel: usize,
}

impl<S: Source> Source for Channel<'_, S> {
    type Sample = S::Sample;

    fn window(&self, rows: Range<usize>, columns: Range<usize>) -> Result<Window<'_, S::Sample>> {
        let all = self.source.window(rows.clone(), columns.clone())?;
        let mut plane = crate::tensor::reserved("a channel of a picture", rows.len() as u128 * columns.len() as u128)?;
        for y in rows.clone() {
            plane.extend(all.row(y).iter().skip(self.channel).step_by(all.channels));
        }
        Window::new(plane, rows, columns, 1)
    }
}

/// From the least to the greatest of some places, `more` wider on either side, of so many.
pub(super) fn span(places: &[usize], more: usize, extent: usize) -> Range<usize> {
    let (least, most) = (places.iter().min().copied(), places.iter().max().copied());
    least.unwrap_or(0).saturating_sub(more)..(most.unwrap_or(0) + 1 + more).min(extent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_has_its_rows_and_columns() {
        let samples: Vec<u8> = (0..24).collect();
        let picture = Pixels::new(&samples, 4, 2).unwrap();
        assert_eq!(picture.height(), 3);
        let lent = picture.window(1..3, 1..3).unwrap();
        assert_eq!((lent.row(1), lent.row(2)), (&[10, 11, 12, 13][..], &[18, 19, 20, 21][..]));
        assert_eq!(lent.samples()[..], [10, 11, 12, 13, 18, 19, 20, 21]);
        assert_eq!(picture.window(1..2, 0..4).unwrap().samples()[..], samples[8..16]);
        let own = Window::new(lent.samples().into_owned(), 1..3, 1..3, 2).unwrap();
        assert_eq!(own.row(2), lent.row(2));
        let alpha = Channel { source: &picture, channel: 1 };
        assert_eq!(alpha.window(0..2, 2..4).unwrap().samples()[..], [5, 7, 13, 15]);
    }

    #[test]
    fn samples_that_are_no_rows_are_refused() {
        assert!(matches!(Pixels::new(&[0_u8; 7], 2, 3), Err(Error::DataLength { given: 7, .. })));
        assert!(Pixels::new(&[0_u8; 7], 0, 3).is_err());
        assert!(matches!(Window::new(vec![0_u8; 7], 0..1, 0..2, 3), Err(Error::DataLength { expected: 6, .. })));
    }

    #[test]
    fn a_span_stays_inside() {
        assert_eq!(span(&[3, 2, 2, 5], 2, 7), 0..7);
        assert_eq!(span(&[9, 8], 1, 100), 7..11);
    }
}
