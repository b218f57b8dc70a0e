//! Enlarging by a trained network: it runs once or twice, then scales down if the factor is in between; alpha is
//! enlarged separately.

use super::alpha::{Alpha, fill_transparent};
use super::filter;
use super::model::{Model, Precision, Steps};
use super::on_device::OnDevice;
use super::pass::{self, Colours};
use super::planes::{Sample, View};
use super::shrink::Shrink;
use super::tiles::Tiles;
use super::tiling::{BANDS, Job, Tiling};
use crate::device::Backend;
use crate::picture::{Colour, Depth, Shape};
use anyhow::Result;
use upconv::upscale::Method;

/// The tiles of each pass of a network, and the bands of alpha.
pub(super) struct Cut {
    first: Tiles,
    second: Option<Tiles>,
    alpha: Option<(Job, Tiling)>,
}

impl Cut {
    /// Cuts the picture so that what is computed at a time takes no more than `rest` bytes if that is possible, and
    /// says how many bytes it takes besides the decoded picture and what the writer buffers.
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

        // The result of the first pass is kept with 16 bits per sample.
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
            let bands = (BANDS + u64::from(pass > 0)) * band.bytes();
            computing = computing.max(tiles.bytes(network, precision)? + bands);
        }
        Ok((Self { first, second, alpha }, kept + computing))
    }

    /// The pixels that the passes go through.
    pub(super) fn pixels(&self) -> u64 {
        [Some(self.first), self.second].into_iter().flatten().map(|tiles| (tiles.width * tiles.height) as u64).sum()
    }
}

/// A network on a device, and how it is run.
pub(super) struct Run<'a> {
    pub(super) model: &'a Model,
    pub(super) trained: &'a OnDevice,
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
                Some(Alpha::new(self.alpha(job, *tiling, &plane)?))
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

    /// The alpha plane enlarged, by the bicubic filter: the network is trained on colours only.
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
