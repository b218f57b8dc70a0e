//! Pictures in JavaScript's memory.

use crate::array::zeros;
use crate::failure::{Failure, Result};
use js_sys::Uint8ClampedArray;
use std::ops::Range;
use upconv::upscale::picture::{Shape, Source, Window};

/// What a pixel has in JavaScript: red, green, blue and straight alpha.
const RGBA: usize = 4;

/// A picture of RGBA, of which one without transparency is seen as RGB.
pub(crate) struct Picture {
    samples: Uint8ClampedArray,
    shape: Shape,
}

impl Picture {
    /// # Errors
    /// Where the samples are not those of a picture of this size.
    pub(crate) fn new(samples: Uint8ClampedArray, width: usize, height: usize, opaque: bool) -> Result<Self> {
        let needed = width as u64 * height as u64 * RGBA as u64;
        let given = samples.length();
        if needed == 0 || u64::from(given) != needed {
            let sentence = format!("{given} samples were given for {width}x{height} pixels, which have {needed}");
            return Err(Failure::Said(sentence));
        }
        let channels = if opaque { 3 } else { RGBA };
        Ok(Self { samples, shape: Shape { width, height, channels, sample_bytes: 1 } })
    }

    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    /// Rows of a result in JavaScript's memory, as RGBA.
    ///
    /// # Errors
    /// Where there is no memory.
    pub(crate) fn rgba(&self, mut rows: Vec<u8>) -> Result<Uint8ClampedArray> {
        if self.shape.channels == 3 {
            let mut whole = zeros::<u8>("a band of the result", rows.len() / 3 * RGBA)?;
            for (rgba, rgb) in whole.chunks_exact_mut(RGBA).zip(rows.chunks_exact(3)) {
                rgba[..3].copy_from_slice(rgb);
                rgba[3] = u8::MAX;
            }
            rows = whole;
        }
        Ok(Uint8ClampedArray::from(&rows[..]))
    }
}

impl Source for Picture {
    type Sample = u8;

    fn window(&self, rows: Range<usize>, columns: Range<usize>) -> upconv::Result<Window<'_, u8>> {
        let (Shape { width, channels, .. }, pixels) = (self.shape, rows.len() * columns.len());
        let mut samples = zeros("a part of the picture", pixels * channels)?;
        let mut row = zeros("a row of the picture", columns.len() * RGBA)?;
        for (y, part) in rows.clone().zip(samples.chunks_exact_mut(columns.len() * channels)) {
            let [first, end] = [columns.start, columns.end].map(|x| ((y * width + x) * RGBA) as u32);
            self.samples.subarray(first, end).copy_to(&mut row);
            for (to, from) in part.chunks_exact_mut(channels).zip(row.chunks_exact(RGBA)) {
                to.copy_from_slice(&from[..channels]);
            }
        }
        Window::new(samples, rows, columns, channels)
    }
}
