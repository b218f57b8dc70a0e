//! A picture enlarged by a resampling filter, in pieces.

use crate::array::zeros;
use crate::colours::Colours;
use crate::device::Device;
use crate::failure::{Failure, Result};
use crate::job::Job;
use crate::picture::{Picture, Window, span};
use crate::pieces::{Piece, cut, largest};
use std::convert::Infallible;
use std::ops::Range;
use upconv::Tensor;
use upconv::gpu::Layer;
use upconv::upscale::Method;

/// What the tensors of a piece take together: far below what every device binds, and soon enough done to be cancelled.
const PIECE: u64 = 16 << 20;

/// A filter on a device, for a whole factor.
pub(crate) struct Filter {
    layer: Layer,
    border: usize,
    scale: usize,
    colours: Colours,
}

impl Filter {
    pub(crate) fn new(device: &Device, method: Method, scale: usize, colours: Colours) -> Result<Self> {
        let upsampler = method.upsampler(scale, colours.channels())?;
        let layer = Layer::new(device.context(), &upsampler.op, &upsampler.weight, None)?;
        Ok(Self { layer, border: upsampler.border, scale, colours })
    }

    /// The rows of a picture that are computed at a time, one band after another.
    pub(crate) fn bands(&self, picture: &Picture) -> impl Iterator<Item = Range<usize>> + use<> {
        cut(0..picture.height, self.sides(picture)[0], 1)
    }

    /// Enlarges some rows of a picture into those of the result that it has.
    pub(crate) async fn enlarge(&self, from: &Picture, rows: Range<usize>, to: &Picture, job: &mut Job) -> Result<()> {
        let [most_rows, most_columns] = self.sides(from);
        for rows in cut(rows, most_rows, 1) {
            for columns in cut(0..from.width, most_columns, 1) {
                let piece = Piece { rows: rows.clone(), columns };
                self.piece(from, &piece, to).await?;
                job.advance(piece.pixels())?;
            }
        }
        Ok(())
    }

    async fn piece(&self, from: &Picture, piece: &Piece, to: &Picture) -> Result<()> {
        let (colours, channels) = (self.colours, self.colours.channels());
        let [rows, columns] = [(&piece.rows, from.height), (&piece.columns, from.width)]
            .map(|(range, extent)| around(range, self.border, extent));
        let window = from.window(span(&rows, 0, from.height), span(&columns, 0, from.width))?;
        let mut planes = zeros::<f32>(channels * rows.len() * columns.len())?;
        let mut values = planes.iter_mut();
        for channel in 0..channels {
            for &y in &rows {
                for (&x, value) in columns.iter().zip(&mut values) {
                    *value = colours.of(window.at(y, x), channel);
                }
            }
        }
        let input = Tensor::f32([1, channels, rows.len(), columns.len()], planes)?;
        let output = self.layer.run_async(&input).await?;
        let planes = output.as_f32().ok_or_else(|| Failure::Said("the device gave no f32".into()))?;

        let made = piece.scaled(self.scale);
        let plane = made.pixels() as usize;
        let mut pixels = zeros(plane * 4)?;
        for (place, pixel) in pixels.chunks_exact_mut(4).enumerate() {
            pixel.copy_from_slice(&colours.pixel(|channel| planes[channel * plane + place]));
        }
        to.write(&Window { pixels, rows: made.rows, columns: made.columns, channels: 4 })
    }

    /// Rows and columns of a piece: whole rows if there is room for one.
    fn sides(&self, picture: &Picture) -> [usize; 2] {
        let bytes = |rows: usize, columns: usize| {
            let [rows, columns, border, scale] = [rows, columns, self.border, self.scale].map(|side| side as u64);
            let read = (rows + 2 * border) * (columns + 2 * border);
            (read + rows * scale * columns * scale) * 4 * self.colours.channels() as u64
        };
        let fit = |most: usize, bytes: &dyn Fn(usize) -> u64| {
            let Ok(side) = largest(most, |side| Ok::<_, Infallible>(bytes(side) <= PIECE));
            side
        };
        let columns = fit(picture.width, &|columns| bytes(1, columns));
        let rows = if columns == picture.width { fit(picture.height, &|rows| bytes(rows, columns)) } else { 1 };
        [rows, columns]
    }
}

/// Some places and so many around them, of which those outside are the outermost ones.
fn around(range: &Range<usize>, border: usize, extent: usize) -> Vec<usize> {
    (range.start..range.end + 2 * border).map(|place| place.saturating_sub(border).min(extent - 1)).collect()
}
