//! Enlarging by a trained network: it runs once or twice, and what it makes is reduced to the size that is wanted; alpha is
//! enlarged separately.

use super::alpha::{Alpha, fill_transparent};
use super::filter::Filter;
use super::model::{Model, Precision};
use super::on_device::OnDevice;
use super::pass::{Colours, Pass};
use super::planes::Sample;
use super::resize::{Plan, Resize};
use super::tiles::Tiles;
use super::tiling::BANDS;
use crate::device::Backend;
use crate::picture::{Colour, Depth, Shape};
use anyhow::Result;
use upconv::upscale::{Encoding, Method};

/// What a network's result is reduced by, and alpha enlarged.
const FILTER: Method = Method::Bicubic;

/// What alpha is enlarged by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum AlphaBy {
    /// The bicubic filter.
    #[default]
    Filter,
    /// The network, as it enlarges a grey picture: edges as sharp as those of the colours.
    Network,
}

/// What a network's means are taken over, where it has any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum MeanOf {
    /// The whole picture: in tiles, it is gone through once more for each mean.
    #[default]
    Picture,
    /// Each tile, as if it were a picture: faster, but tiles show.
    Tile,
}

/// How a network is to enlarge a picture.
#[derive(Clone, Copy)]
pub(super) struct Request {
    /// How often the network runs: once or twice.
    pub(super) passes: usize,
    /// The largest side of a tile.
    pub(super) tile: Option<usize>,
    pub(super) mean: MeanOf,
    pub(super) precision: Precision,
    pub(super) alpha: AlphaBy,
}

/// The tiles of each pass of a network, and how its result is reduced and alpha enlarged.
pub(super) struct Cut {
    first: Tiles,
    second: Option<Tiles>,
    /// How often means of the picture are taken, and what may be kept of its values between.
    levels: usize,
    kept_bytes: u64,
    /// Of colours, from what the network makes to what is wanted, where that is smaller.
    reduce: Option<Plan>,
    alpha: Option<CutAlpha>,
    /// The pixels of the result.
    made: usize,
}

enum CutAlpha {
    Filter(Filter),
    Network,
}

impl Cut {
    /// Cuts the picture so that what is computed at a time takes no more than `rest` bytes if that is possible, and
    /// says how many bytes it takes besides the decoded picture and what the writer buffers.
    pub(super) fn new(model: &Model, request: Request, from: Shape, to: Shape, rest: u64) -> Result<(Self, u64)> {
        let network = &model.network;
        let own = network.scale();
        let colour = if from.colour.channels() < 3 { Colour::Grey } else { Colour::Rgb };
        let enlarged = |shape: Shape| {
            let side = |extent: u32| extent.saturating_mul(own as u32);
            Shape { width: side(shape.width), height: side(shape.height), ..shape }
        };

        // The result of the first pass is kept with 16 bits per sample, and so is what is reduced.
        let between = enlarged(Shape { colour, depth: Depth::Sixteen, ..from });
        let mut kept = if request.passes == 2 { between.bytes() } else { 0 };
        let mut computing = 0;
        let alpha = from.colour.has_alpha().then(|| {
            let [from, to] = [from, to].map(|shape| Shape { colour: Colour::Grey, ..shape });
            kept += from.bytes() + to.bytes();
            match request.alpha {
                AlphaBy::Network => CutAlpha::Network,
                AlphaBy::Filter => {
                    let (filter, bytes) = Filter::new(FILTER, from, to, rest / 4);
                    computing = bytes;
                    CutAlpha::Filter(filter)
                }
            }
        });

        let rest = rest.saturating_sub(kept);
        let sides = |shape: Shape| (shape.width as usize, shape.height as usize);
        let made = if request.passes == 2 { enlarged(between) } else { between };
        let is_larger = sides(made) != sides(to);
        let reduced = is_larger.then(|| {
            let depth = u64::from(to.depth.bits() / 8);
            Plan::new(FILTER, sides(made), sides(to), colour.channels(), false, depth, rest / 4)
        });

        let levels = network.graph().means().len();
        let alone = request.mean == MeanOf::Tile && levels > 0;
        // Half of what is there serves to keep values, where that saves computing them again.
        let kept_bytes = if levels > 0 && !alone { rest / 2 } else { 0 };
        // What a pass takes in tiles.
        let passing = |pass: usize, tiles: Tiles| -> Result<u64> {
            let is_last = pass + 1 == request.passes;
            let wide = enlarged(Shape { width: tiles.width as u32, height: tiles.rows as u32, ..from });
            let depth = if is_last && !is_larger { from.depth } else { Depth::Sixteen };
            let bands = (BANDS + u64::from(pass > 0)) * Shape { depth, ..wide }.bytes();
            let reducing = reduced.map_or(0, |(_, bytes)| if is_last { bytes } else { 0 });
            let tile = tiles.bytes(network, request.precision)?;
            Ok(tile.saturating_add(bands).saturating_add(reducing))
        };
        let cut = |pass: usize, shape: Shape| -> Result<Tiles> {
            let (width, height) = sides(shape);
            let memory = (rest - kept_bytes) / 2;
            let tiles = Tiles::new(network, [height, width], request.tile, memory, request.precision, alone)?;
            let is_free = tiles.whole_means() && request.tile.is_none();
            Ok(Tiles { or_whole: is_free && passing(pass, tiles.joined())? <= rest, ..tiles })
        };
        let first = cut(0, from)?;
        let second = if request.passes == 2 { Some(cut(1, between)?) } else { None };
        for (pass, tiles) in [Some(first), second].into_iter().flatten().enumerate() {
            computing = computing.max(passing(pass, tiles)?);
        }
        let reduce = reduced.map(|(plan, _)| plan);
        let cut =
            Self { first, second, levels, kept_bytes, reduce, alpha, made: to.width as usize * to.height as usize };
        let between = if tiles_of(&cut).any(Tiles::whole_means) { kept_bytes } else { 0 };
        Ok((cut, kept.saturating_add(computing).saturating_add(between)))
    }

    /// The pixels that the passes go through.
    pub(super) fn pixels(&self) -> u64 {
        let of = |tiles: Tiles| {
            let times = if tiles.whole_means() { 1 + self.levels } else { 1 };
            (tiles.width * tiles.height * times) as u64
        };
        let pixels: u64 = tiles_of(self).map(of).sum();
        if let Some(CutAlpha::Network) = self.alpha { 2 * pixels } else { pixels }
    }
}

/// The tiles of each pass.
fn tiles_of(cut: &Cut) -> impl Iterator<Item = Tiles> {
    [Some(cut.first), cut.second].into_iter().flatten()
}

/// A network on a device, and how it is run.
pub(super) struct Run<'a> {
    pub(super) model: &'a Model,
    pub(super) trained: &'a OnDevice,
    pub(super) backend: &'a Backend,
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
        let network = &self.model.network;
        let mut alpha = match &cut.alpha {
            Some(by) => {
                fill_transparent(samples, shape.width as usize, channels, 2 * network.border());
                let plane: Vec<T> = samples.iter().skip(channels - 1).step_by(channels).copied().collect();
                Some(Alpha::new(self.alpha(cut, by, &plane, advance)?))
            }
            None => None,
        };
        let picture = Colours { samples, channels, encoding: network.encoding() };
        self.enlarge(cut, &picture, advance, |colours: Vec<T>| match &mut alpha {
            Some(alpha) => emit(alpha.join(&colours, channels - 1)),
            None => emit(colours),
        })
    }

    /// The alpha plane enlarged. It is in proportion to what covers a pixel, and no network sees it otherwise.
    fn alpha<T: Sample>(
        &self,
        cut: &Cut,
        by: &CutAlpha,
        plane: &[T],
        advance: &(dyn Fn(u64) + Sync),
    ) -> Result<Vec<T>> {
        let mut enlarged = Vec::with_capacity(cut.made);
        let gather = |band: Vec<T>| {
            enlarged.extend_from_slice(&band);
            Ok(())
        };
        match by {
            CutAlpha::Filter(filter) => filter.run(plane, Some(self.backend), &|_| {}, gather)?,
            CutAlpha::Network => {
                // Neither decoded nor encoded.
                let picture = Colours { samples: plane, channels: 1, encoding: Encoding::Srgb };
                self.enlarge(cut, &picture, advance, gather)?;
            }
        }
        Ok(enlarged)
    }

    /// Runs the network once or twice, and reduces what it makes if that is too large.
    fn enlarge<T: Sample>(
        &self,
        cut: &Cut,
        picture: &Colours<'_, T>,
        advance: &(dyn Fn(u64) + Sync),
        emit: impl FnMut(Vec<T>) -> Result<()>,
    ) -> Result<()> {
        let Some(second) = cut.second else { return self.last(cut, cut.first, picture, advance, emit) };
        let channels = picture.made();
        let mut between: Vec<u16> = Vec::with_capacity(second.width * second.height * channels);
        self.pass(cut, cut.first, picture, advance, |band: Vec<u16>| {
            between.extend_from_slice(&band);
            Ok(())
        })?;
        let between = Colours { samples: &between, channels, encoding: picture.encoding };
        self.last(cut, second, &between, advance, emit)
    }

    fn last<S: Sample, T: Sample>(
        &self,
        cut: &Cut,
        tiles: Tiles,
        picture: &Colours<'_, S>,
        advance: &(dyn Fn(u64) + Sync),
        mut emit: impl FnMut(Vec<T>) -> Result<()>,
    ) -> Result<()> {
        let Some(plan) = cut.reduce else { return self.pass(cut, tiles, picture, advance, emit) };
        let mut resize = Resize::new(plan.for_channels(picture.made()));
        self.pass(cut, tiles, picture, advance, |band: Vec<u16>| resize.push(&band, &mut emit))
    }

    fn pass<S: Sample, T: Sample>(
        &self,
        cut: &Cut,
        tiles: Tiles,
        picture: &Colours<'_, S>,
        advance: &(dyn Fn(u64) + Sync),
        emit: impl FnMut(Vec<T>) -> Result<()>,
    ) -> Result<()> {
        let Self { model, trained: on_device, precision, .. } = *self;
        let kept_bytes = cut.kept_bytes;
        Pass { network: &model.network, on_device, precision, tiles, kept_bytes }.run(picture, advance, emit)
    }
}
