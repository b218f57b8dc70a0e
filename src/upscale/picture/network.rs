//! Enlarging by a trained network: it runs once or twice, and what it makes is reduced to the size that is wanted; alpha is
//! enlarged separately.

use super::alpha::Alpha;
use super::backend::{Backend, NetworkOn};
use super::bands::BANDS;
use super::filter::Filter;
use super::pass::{Colours, Pass};
use super::resize::{self, Resize};
use super::sample::Sample;
use super::source::{Channel, Pixels, Source};
use super::tiles::Tiles;
use super::{AlphaBy, MeanOf, Options, Shape};
use crate::error::{Error, Result};
use crate::tensor::reserved;
use crate::upscale::{Encoding, Method, Network};

/// What a network's result is reduced by, and alpha enlarged.
const FILTER: Method = Method::Bicubic;

/// The tiles of each pass of a network, and how its result is reduced and alpha enlarged.
#[derive(Clone, Debug)]
pub(super) struct Cut {
    from: Shape,
    to: Shape,
    first: Tiles,
    second: Option<Tiles>,
    half: bool,
    /// How often means of the picture are taken, and what may be kept of its values between.
    levels: usize,
    kept_bytes: u64,
    /// Of colours, from what the network makes to what is wanted, where that is smaller.
    reduce: Option<resize::Plan>,
    alpha: Option<CutAlpha>,
}

#[derive(Clone, Debug)]
enum CutAlpha {
    Filter(Filter),
    Network,
}

/// How often a network runs, once or twice, to make at least a size of a picture.
fn passes(network: &Network, from: Shape, to: Shape) -> Result<usize> {
    let own = network.scale();
    let is_within =
        |factor: usize| to.sides().iter().zip(from.sides()).all(|(&to, from)| to <= from.saturating_mul(factor));
    match (is_within(own), is_within(own.saturating_mul(own))) {
        (true, _) => Ok(1),
        (false, true) => Ok(2),
        (false, false) => {
            let most = from.sides().map(|side| side.saturating_mul(own).saturating_mul(own));
            Err(Error::Network {
                problem: format!(
                    "{}x{} pixels are out of reach: it enlarges {}x{} to at most {}x{}, by the square of its factor {own}",
                    to.width, to.height, from.width, from.height, most[1], most[0]
                ),
            })
        }
    }
}

impl Cut {
    /// Cuts the picture so that what is computed at a time takes no more than the memory that is allowed if that is possible,
    /// and says how many bytes it takes besides the picture.
    pub(super) fn new(network: &Network, from: Shape, to: Shape, options: Options) -> Result<(Self, u64)> {
        let (own, rest) = (network.scale(), options.memory);
        let passes = passes(network, from, to)?;
        let channels = if from.channels < 3 { 1 } else { 3 };
        let enlarged = |shape: Shape| Shape {
            width: shape.width.saturating_mul(own),
            height: shape.height.saturating_mul(own),
            ..shape
        };

        // The result of the first pass is kept with 16 bits per sample, and so is what is reduced.
        let between = enlarged(Shape { channels, sample_bytes: 2, ..from });
        let mut kept = if passes == 2 { between.bytes() } else { 0 };
        let mut computing = 0;
        let alpha = from.has_alpha().then(|| {
            let [from, to] = [from, to].map(|shape| Shape { channels: 1, ..shape });
            kept += to.bytes();
            match options.alpha {
                AlphaBy::Network => CutAlpha::Network,
                AlphaBy::Filter => {
                    let (filter, bytes) = Filter::new(FILTER, from, to, rest / 4);
                    computing = bytes;
                    CutAlpha::Filter(filter)
                }
            }
        });

        let rest = rest.saturating_sub(kept);
        let made = if passes == 2 { enlarged(between) } else { between };
        let is_larger = made.sides() != to.sides();
        let reduced = is_larger.then(|| {
            let (made, wanted) = ((made.width, made.height), (to.width, to.height));
            resize::Plan::new(FILTER, made, wanted, channels, false, to.sample_bytes as u64, rest / 4)
        });

        let levels = network.graph().means().len();
        let alone = options.means == MeanOf::Tile && levels > 0;
        let between_bytes = if options.half { 2 } else { 4 };
        // Half of what is there serves to keep values, where that saves computing them again.
        let kept_bytes = if levels > 0 && !alone { rest / 2 } else { 0 };
        // What a pass takes in tiles.
        let passing = |pass: usize, tiles: Tiles| -> Result<u64> {
            let is_last = pass + 1 == passes;
            let sample_bytes = if is_last && !is_larger { from.sample_bytes } else { 2 };
            let wide = enlarged(Shape { width: tiles.width, height: tiles.rows, sample_bytes, ..from });
            let bands = (BANDS + u64::from(pass > 0)) * wide.bytes();
            let reducing = reduced.map_or(0, |(_, bytes)| if is_last { bytes } else { 0 });
            let tile = tiles.bytes(network, between_bytes)?;
            // Where there is alpha, the tile is copied, and transparent pixels take the colours of others.
            let seen = Shape { width: tiles.columns, height: tiles.rows, sample_bytes: from.sample_bytes + 1, ..from };
            let copied = if alpha.is_some() && pass == 0 { seen.bytes() } else { 0 };
            Ok(tile.saturating_add(bands).saturating_add(reducing).saturating_add(copied))
        };
        let cut = |pass: usize, shape: Shape| -> Result<Tiles> {
            let memory = (rest - kept_bytes) / 2;
            let tiles = Tiles::new(network, shape.sides(), options.tile, memory, between_bytes, alone)?;
            let is_free = tiles.whole_means() && options.tile.is_none();
            Ok(Tiles { or_whole: is_free && passing(pass, tiles.joined())? <= rest, ..tiles })
        };
        let first = cut(0, from)?;
        let second = if passes == 2 { Some(cut(1, between)?) } else { None };
        for (pass, tiles) in [Some(first), second].into_iter().flatten().enumerate() {
            computing = computing.max(passing(pass, tiles)?);
        }
        let reduce = reduced.map(|(plan, _)| plan);
        let cut = Self { from, to, first, second, half: options.half, levels, kept_bytes, reduce, alpha };
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

/// A network with its weights on a device.
pub(super) struct Trained {
    network: Network,
    on_device: NetworkOn,
}

impl Trained {
    pub(super) fn new(network: Network, backend: &Backend) -> Result<Self> {
        let on_device = NetworkOn::new(&network, backend)?;
        Ok(Self { network, on_device })
    }

    /// Enlarges a picture and gives its bands, in their order, to `emit`.
    pub(super) async fn run<S: Source, E: From<Error>>(
        &self,
        cut: &Cut,
        source: &S,
        backend: &Backend,
        emit: &mut impl AsyncFnMut(Vec<S::Sample>) -> Result<(), E>,
        advance: &mut impl AsyncFnMut(u64) -> Result<(), E>,
    ) -> Result<(), E> {
        let channels = cut.from.channels;
        let (transparent, encoding) = (cut.alpha.is_some(), self.network.encoding());
        let picture = Colours { source, channels, transparent, encoding };
        let Some(by) = &cut.alpha else { return self.enlarge(cut, &picture, emit, advance).await };
        let plane = Channel { source, channel: channels - 1 };
        let mut alpha = Alpha::new(self.alpha(cut, by, &plane, backend, advance).await?);
        let mut join = async |colours: Vec<S::Sample>| emit(alpha.join(&colours, channels - 1)?).await;
        self.enlarge(cut, &picture, &mut join, advance).await
    }

    /// The alpha plane enlarged. It is in proportion to what covers a pixel, and no network sees it otherwise.
    async fn alpha<S: Source, E: From<Error>>(
        &self,
        cut: &Cut,
        by: &CutAlpha,
        plane: &Channel<'_, S>,
        backend: &Backend,
        advance: &mut impl AsyncFnMut(u64) -> Result<(), E>,
    ) -> Result<Vec<S::Sample>, E> {
        let mut enlarged = reserved("the enlarged alpha", cut.to.width as u128 * cut.to.height as u128)?;
        let mut gather = async |band: Vec<S::Sample>| {
            enlarged.extend_from_slice(&band);
            Ok(())
        };
        match by {
            CutAlpha::Filter(filter) => {
                // It takes next to no time, of which nothing is told but that work goes on.
                let mut silent = async |_: u64| advance(0).await;
                filter.run(plane, backend, &mut gather, &mut silent).await?;
            }
            CutAlpha::Network => {
                // Neither decoded nor encoded.
                let picture = Colours { source: plane, channels: 1, transparent: false, encoding: Encoding::Srgb };
                self.enlarge(cut, &picture, &mut gather, advance).await?;
            }
        }
        Ok(enlarged)
    }

    /// Runs the network once or twice, and reduces what it makes if that is too large.
    async fn enlarge<S: Source, T: Sample, E: From<Error>>(
        &self,
        cut: &Cut,
        picture: &Colours<'_, S>,
        emit: &mut impl AsyncFnMut(Vec<T>) -> Result<(), E>,
        advance: &mut impl AsyncFnMut(u64) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(second) = cut.second else { return self.last(cut, cut.first, picture, emit, advance).await };
        let channels = picture.made();
        let samples = second.width as u128 * second.height as u128 * channels as u128;
        let mut between: Vec<u16> = reserved("what is between the two passes of the network", samples)?;
        let mut gather = async |band: Vec<u16>| {
            between.extend_from_slice(&band);
            Ok(())
        };
        self.pass(cut, cut.first, picture, &mut gather, advance).await?;
        let source = &Pixels::new(&between, second.width, channels)?;
        let between = Colours { source, channels, transparent: false, encoding: picture.encoding };
        self.last(cut, second, &between, emit, advance).await
    }

    async fn last<S: Source, T: Sample, E: From<Error>>(
        &self,
        cut: &Cut,
        tiles: Tiles,
        picture: &Colours<'_, S>,
        emit: &mut impl AsyncFnMut(Vec<T>) -> Result<(), E>,
        advance: &mut impl AsyncFnMut(u64) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(plan) = cut.reduce else { return self.pass(cut, tiles, picture, emit, advance).await };
        let mut resize = Resize::new(plan.for_channels(picture.made()));
        let mut reduce = async |band: Vec<u16>| resize.push(&band, emit).await;
        self.pass(cut, tiles, picture, &mut reduce, advance).await
    }

    async fn pass<S: Source, T: Sample, E: From<Error>>(
        &self,
        cut: &Cut,
        tiles: Tiles,
        picture: &Colours<'_, S>,
        emit: &mut impl AsyncFnMut(Vec<T>) -> Result<(), E>,
        advance: &mut impl AsyncFnMut(u64) -> Result<(), E>,
    ) -> Result<(), E> {
        let Self { network, on_device } = self;
        let pass = Pass { network, on_device, half: cut.half, tiles, kept_bytes: cut.kept_bytes };
        pass.run(picture, emit, advance).await
    }
}
