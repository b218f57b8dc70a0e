//! A picture enlarged by a resampling filter, in pieces.

use crate::array::zeros;
use crate::colours::Colours;
use crate::failure::{Failure, Result};
use crate::job::Job;
use crate::picture::{Picture, Window, span};
use crate::pieces::{largest, pieces};
use std::convert::Infallible;
use std::ops::Range;
use upconv::Tensor;
use upconv::gpu::Layer;
use upconv::upscale::Method;

/// What the tensors of a piece take together: far below what every device binds, and soon enough done to be cancelled.
const PIECE: u64 = 16 << 20;

/// Enlarges by a whole factor into a picture of that size.
pub(crate) async fn enlarge(
    method: Method,
    scale: usize,
    colours: Colours,
    from: &Picture,
    to: &Picture,
    job: &mut Job,
) -> Result<()> {
    let channels = colours.channels();
    let upsampler = method.upsampler(scale, channels)?;
    let layer = Layer::new(job.device().context(), &upsampler.op, &upsampler.weight, None)?;
    let border = upsampler.border;
    for piece in pieces([from.height, from.width], sides(from, channels, scale, border), 1) {
        let [rows, columns] = [(&piece.rows, from.height), (&piece.columns, from.width)]
            .map(|(range, extent)| around(range, border, extent));
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
        let output = layer.run_async(&input).await?;
        let planes = output.as_f32().ok_or_else(|| Failure::Said("the device gave no f32".into()))?;

        let made = piece.scaled(scale);
        let plane = made.pixels() as usize;
        let mut pixels = zeros(plane * 4)?;
        for (place, pixel) in pixels.chunks_exact_mut(4).enumerate() {
            pixel.copy_from_slice(&colours.pixel(|channel| planes[channel * plane + place]));
        }
        to.write(&Window { pixels, rows: made.rows, columns: made.columns, channels: 4 })?;
        job.advance(piece.pixels())?;
    }
    Ok(())
}

/// Some places and so many around them, of which those outside are the outermost ones.
fn around(range: &Range<usize>, border: usize, extent: usize) -> Vec<usize> {
    (range.start..range.end + 2 * border).map(|place| place.saturating_sub(border).min(extent - 1)).collect()
}

/// Rows and columns of a piece: whole rows if there is room for one.
fn sides(picture: &Picture, channels: usize, scale: usize, border: usize) -> [usize; 2] {
    let bytes = |rows: usize, columns: usize| {
        let [rows, columns, border, scale] = [rows, columns, border, scale].map(|side| side as u64);
        let read = (rows + 2 * border) * (columns + 2 * border);
        (read + rows * scale * columns * scale) * 4 * channels as u64
    };
    let fit = |most: usize, bytes: &dyn Fn(usize) -> u64| {
        let Ok(side) = largest(most, |side| Ok::<_, Infallible>(bytes(side) <= PIECE));
        side
    };
    let columns = fit(picture.width, &|columns| bytes(1, columns));
    let rows = if columns == picture.width { fit(picture.height, &|rows| bytes(rows, columns)) } else { 1 };
    [rows, columns]
}
