//! The alpha of a picture whose colours go through a network.

use super::sample::Sample;
use crate::error::Result;
use crate::tensor::reserved;

/// The enlarged alpha plane, and how much of it has been used.
pub(super) struct Alpha<T> {
    plane: Vec<T>,
    used: usize,
}

impl<T: Sample> Alpha<T> {
    pub(super) fn new(plane: Vec<T>) -> Self {
        Self { plane, used: 0 }
    }

    /// Puts the next pixels of colour and alpha together; where alpha is 0 there is no colour.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory).
    pub(super) fn join(&mut self, colours: &[T], channels: usize) -> Result<Vec<T>> {
        let pixels = colours.chunks_exact(channels);
        let alphas = &self.plane[self.used..];
        self.used += pixels.len();
        let mut out = reserved("a band with its alpha", pixels.len() as u128 * (channels + 1) as u128)?;
        for (colour, &alpha) in pixels.zip(alphas) {
            if alpha == T::default() {
                out.resize(out.len() + channels, T::default());
            } else {
                out.extend_from_slice(colour);
            }
            out.push(alpha);
        }
        Ok(out)
    }
}

/// Gives transparent pixels the colour of the visible ones around them, ring by ring: their hidden colours would
/// otherwise affect the visible pixels at the edge. What a ring becomes depends on as many pixels around it as there are rings,
/// so that a part of a picture with so many more around it has the colours of the whole.
pub(super) fn fill_transparent<T: Sample>(samples: &mut [T], width: usize, channels: usize, rings: usize) {
    let mut has_colour: Vec<bool> =
        samples.chunks_exact(channels).map(|pixel| pixel[channels - 1] != T::default()).collect();
    let height = has_colour.len() / width;
    let around = |pixel: usize| {
        let (y, x) = (pixel / width, pixel % width);
        let rows = y.saturating_sub(1)..(y + 2).min(height);
        rows.flat_map(move |y| (x.saturating_sub(1)..(x + 2).min(width)).map(move |x| y * width + x))
    };
    let touches = |pixel: usize, has_colour: &[bool]| around(pixel).any(|other| has_colour[other]);
    let mut ring: Vec<usize> =
        (0..has_colour.len()).filter(|&pixel| !has_colour[pixel] && touches(pixel, &has_colour)).collect();
    for _ in 0..rings {
        for &pixel in &ring {
            for channel in 0..channels - 1 {
                let coloured = around(pixel).filter(|&other| has_colour[other]);
                let values: Vec<f32> = coloured.map(|other| samples[other * channels + channel].into()).collect();
                let mean = values.iter().sum::<f32>() / values.len().max(1) as f32;
                samples[pixel * channels + channel] = T::nearest(mean);
            }
        }
        ring.iter().for_each(|&pixel| has_colour[pixel] = true);
        let mut next: Vec<usize> =
            ring.iter().flat_map(|&pixel| around(pixel)).filter(|&pixel| !has_colour[pixel]).collect();
        next.sort_unstable();
        next.dedup();
        ring = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transparent_pixels_take_the_colour_beside_them() {
        // Grey and alpha, five pixels in a row and one below.
        let mut samples = [9_u8, 0, 100, 1, 7, 0, 7, 0, 60, 255];
        fill_transparent(&mut samples, 5, 2, 1);
        assert_eq!(samples, [100, 0, 100, 1, 100, 0, 60, 0, 60, 255]);
        let mut samples = [50_u8, 255, 1, 0, 2, 0, 3, 0];
        fill_transparent(&mut samples, 4, 2, 2);
        assert_eq!(samples, [50, 255, 50, 0, 50, 0, 3, 0]);
        let mut nothing = [5_u8, 0, 6, 0];
        fill_transparent(&mut nothing, 2, 2, 3);
        assert_eq!(nothing, [5, 0, 6, 0]);
    }

    #[test]
    fn colour_and_alpha_are_put_together() {
        let mut alpha = Alpha::new(vec![255_u8, 0, 7]);
        assert_eq!(alpha.join(&[1, 2, 3, 4, 5, 6], 3).unwrap(), [1, 2, 3, 255, 0, 0, 0, 0]);
        assert_eq!(alpha.join(&[9, 8, 7], 3).unwrap(), [9, 8, 7, 7]);
    }
}
