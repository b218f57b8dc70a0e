//! By a trained network: the network once or twice, then down if that was too much, with alpha apart.

use super::filter;
use super::model::{Model, Precision, Steps, Trained};
use super::pass::{self, Colours, Tiles};
use super::planes::{Sample, View};
use super::shrink::Shrink;
use super::tiling::{Job, Tiling};
use crate::device::Backend;
use crate::picture::{Colour, Depth, Shape};
use anyhow::Result;
use upconv::upscale::Method;

/// How a picture is cut for each pass of a network, and how for its alpha.
pub(super) struct Cut {
    first: Tiles,
    second: Option<Tiles>,
    alpha: Option<(Job, Tiling)>,
}

impl Cut {
    /// Cuts the picture so that what is computed at a time takes no more than `rest` bytes if that is possible, and
    /// says how many bytes it takes besides the decoded picture and what is gathered for the writer.
    pub(super) fn new(
        model: &Model,
        steps: Steps,
        shape: Shape,
        asked: Option<usize>,
        rest: u64,
        precision: Precision,
    ) -> Result<(Self, u64)> {
        let network = &model.network;
        let (width, height) = (shape.width as usize, shape.height as usize);
        let own = network.scale();

        // What is between two passes has 16 bits.
        let colour = if shape.colour.channels() < 3 { Colour::Grey } else { Colour::Rgb };
        let side = |extent: u32| extent.saturating_mul(own as u32);
        let between = Shape { width: side(shape.width), height: side(shape.height), colour, depth: Depth::Sixteen };
        let mut kept = if steps.passes == 2 { between.bytes() } else { 0 };
        let mut computing = 0;
        let alpha = shape.colour.has_alpha().then(|| {
            let job = Job { width, height, channels: 1, scale: steps.scale, border: Method::Bicubic.border() };
            // The samples, and the enlarged ones.
            let one = Shape { colour: Colour::Grey, ..shape }.bytes();
            kept += one + one * (steps.scale * steps.scale) as u64;
            let (tiling, bytes) = filter::fit(&job, Shape { colour: Colour::Grey, ..shape }, rest / 4);
            computing = bytes;
            (job, tiling)
        });

        let rest = rest.saturating_sub(kept);
        let tiles = |width, height| Tiles::new(network, width, height, asked, rest / 2, precision);
        let first = tiles(width, height)?;
        let second = if steps.passes == 2 { Some(tiles(width * own, height * own)?) } else { None };
        for (pass, tiles) in [Some(first), second].into_iter().flatten().enumerate() {
            let scale = own.pow(pass as u32 + 1);
            let band = Shape {
                width: shape.width.saturating_mul(scale as u32),
                height: (tiles.rows * own) as u32,
                colour: shape.colour,
                depth: if scale > steps.scale { Depth::Sixteen } else { shape.depth },
            };
            let bands = (super::BANDS + u64::from(pass > 0)) * band.bytes();
            computing = computing.max(tiles.bytes(network, precision)? + bands);
        }
        Ok((Self { first, second, alpha }, kept + computing))
    }

    /// The pixels that the passes go through.
    pub(super) fn pixels(&self) -> u64 {
        [Some(self.first), self.second].into_iter().flatten().map(|tiles| (tiles.width * tiles.height) as u64).sum()
    }
}

/// A network on a device, and what it is to make.
pub(super) struct Run<'a> {
    pub(super) model: &'a Model,
    pub(super) trained: &'a Trained,
    pub(super) backend: &'a Backend,
    pub(super) steps: Steps,
    pub(super) precision: Precision,
}

impl Run<'_> {
    /// Enlarges a picture and gives its bands, in their order, to `emit`.
    pub(super) fn run<T: Sample>(
        &self,
        cut: &Cut,
        samples: &mut [T],
        shape: Shape,
        advance: &(dyn Fn(u64) + Sync),
        mut emit: impl FnMut(Vec<T>) -> Result<()>,
    ) -> Result<()> {
        let channels = shape.colour.channels();
        let mut alpha = match &cut.alpha {
            Some((job, tiling)) => {
                let border = self.model.network.border();
                fill_transparent(samples, shape.width as usize, channels, 2 * border);
                let plane: Vec<T> = samples.iter().skip(channels - 1).step_by(channels).copied().collect();
                Some(Alpha { plane: self.alpha(job, *tiling, &plane)?, used: 0 })
            }
            None => None,
        };
        let mut finish = |colours: Vec<T>| match &mut alpha {
            Some(alpha) => emit(alpha.join(&colours, channels - 1)),
            None => emit(colours),
        };
        let picture = Colours { samples, channels };
        let Some(second) = cut.second else {
            return self.pass(cut.first, &picture, advance, finish);
        };

        let between_channels = if channels < 3 { 1 } else { 3 };
        let mut between: Vec<u16> = Vec::with_capacity(second.width * second.height * between_channels);
        self.pass(cut.first, &picture, advance, |band: Vec<u16>| {
            between.extend_from_slice(&band);
            Ok(())
        })?;
        let between = Colours { samples: &between, channels: between_channels };
        if self.steps.made == self.steps.scale {
            return self.pass(second, &between, advance, finish);
        }
        let (width, height) = (shape.width as usize, shape.height as usize);
        let mut shrink = Shrink::new(self.steps.made, self.steps.scale, height, between_channels);
        self.pass(second, &between, advance, |band: Vec<u16>| finish(shrink.push(&band, width)))
    }

    fn pass<T: Sample, U: Sample>(
        &self,
        tiles: Tiles,
        picture: &Colours<'_, T>,
        advance: &(dyn Fn(u64) + Sync),
        emit: impl FnMut(Vec<U>) -> Result<()>,
    ) -> Result<()> {
        pass::run(&self.model.network, self.trained, self.precision, tiles, picture, advance, emit)
    }

    /// The alpha plane enlarged, by the bicubic filter: a network trained on colours has nothing to say of it.
    fn alpha<T: Sample>(&self, job: &Job, tiling: Tiling, plane: &[T]) -> Result<Vec<T>> {
        let upsampler = Method::Bicubic.upsampler(job.scale, 1)?;
        let layer = self.backend.layer(&upsampler.op, &upsampler.weight, None)?;
        let view = View { samples: plane, width: job.width, height: job.height, channels: 1, premultiply: false };
        let mut enlarged = Vec::with_capacity(plane.len() * job.scale * job.scale);
        filter::run(job, tiling, &view, &layer, &|_| {}, |band| {
            enlarged.extend_from_slice(&band);
            Ok(())
        })?;
        Ok(enlarged)
    }
}

/// The enlarged alpha plane, as far as it was given out.
struct Alpha<T> {
    plane: Vec<T>,
    used: usize,
}

impl<T: Sample> Alpha<T> {
    /// Puts the next pixels of colour and alpha together; where alpha is 0 there is no colour.
    fn join(&mut self, colours: &[T], channels: usize) -> Vec<T> {
        let pixels = colours.chunks_exact(channels);
        let alphas = &self.plane[self.used..];
        self.used += pixels.len();
        let mut out = Vec::with_capacity(colours.len() / channels * (channels + 1));
        for (colour, &alpha) in pixels.zip(alphas) {
            if alpha == T::default() {
                out.resize(out.len() + channels, T::default());
            } else {
                out.extend_from_slice(colour);
            }
            out.push(alpha);
        }
        out
    }
}

/// Gives transparent pixels the colour of the visible ones around them, ring by ring: what nobody sees would otherwise
/// be drawn into what a network makes of the edge.
fn fill_transparent<T: Sample>(samples: &mut [T], width: usize, channels: usize, rings: usize) {
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
        let mut alpha = Alpha { plane: vec![255_u8, 0, 7], used: 0 };
        assert_eq!(alpha.join(&[1, 2, 3, 4, 5, 6], 3), [1, 2, 3, 255, 0, 0, 0, 0]);
        assert_eq!(alpha.join(&[9, 8, 7], 3), [9, 8, 7, 7]);
    }
}
