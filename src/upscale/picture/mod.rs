//! Pictures of any size, enlarged within a limit of memory: cut into pieces, computed on a device, and given row after row.
//!
//! A [`Plan`] says how a picture is cut, and what that takes; it needs no device. An [`Upscaler`] is a filter or a network with
//! its weights on a [`Backend`]; it reads the picture from a [`Source`] in parts and gives the result in bands.
//!
//! ```
//! use upconv::upscale::Method;
//! use upconv::upscale::picture::{Backend, Options, Pixels, Plan, Shape, Upscaler};
//! # fn main() -> upconv::Result<()> {
//! let grey: Vec<u8> = vec![10, 20, 30, 40, 50, 60];
//! let shape = Shape { width: 3, height: 2, channels: 1, sample_bytes: 1 };
//! let plan = Plan::filter(Method::Nearest, shape, [4, 6], Options::default())?;
//! let upscaler = Upscaler::filter(Method::Nearest, Backend::Reference);
//! let mut enlarged = Vec::new();
//! let emit = |rows: Vec<u8>| {
//!     enlarged.extend(rows);
//!     Ok::<_, upconv::Error>(())
//! };
//! upscaler.run(&plan, &Pixels::new(&grey, 3, 1)?, emit, |_done| Ok(()))?;
//! assert_eq!(enlarged[..12], [10, 10, 20, 20, 30, 30, 10, 10, 20, 20, 30, 30]);
//! # Ok(())
//! # }
//! ```
//!
//! # What the result is
//! - By a filter and a whole factor: the transposed convolution of [`Method::upsampler`]. To any other size, larger or smaller,
//!   what Pillow's `Image.resize` makes, but for its rounding between the two axes.
//! - By a network: what it makes of the whole picture, whatever the tiles. A second pass, and what is reduced to a smaller size
//!   by [`Method::Bicubic`], reads the result of the first with 16 bits per sample.
//! - Samples are rounded to the nearest and clamped; NaN gives 0.
//! - Alpha is straight. A filter multiplies colours by it before and divides after, but for [`Method::Nearest`]. A network sees
//!   colours alone, where transparent pixels have taken those of the visible ones around them, and alpha is enlarged
//!   [by itself](AlphaBy). Where it is 0 there is no colour.

mod alpha;
mod backend;
mod bands;
mod filter;
mod known;
mod means;
mod network;
mod pass;
mod resize;
mod rows;
mod sample;
mod source;
mod tiles;

use super::{Method, Network};
use crate::error::{Error, Result};
pub use backend::Backend;
use filter::Filter;
pub use filter::whole_factor;
use network::{Cut, Trained};
pub use sample::Sample;
pub use source::{Pixels, Source, Window};

/// The size of a picture and of its samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Samples of a pixel: 1 is grey, 2 grey and alpha, 3 red, green and blue, 4 these and alpha.
    pub channels: usize,
    /// Bytes of a sample: see [`Sample`].
    pub sample_bytes: usize,
}

impl Shape {
    /// Whether the last channel is alpha.
    pub fn has_alpha(self) -> bool {
        self.channels.is_multiple_of(2)
    }

    /// Height and width.
    pub fn sides(self) -> [usize; 2] {
        [self.height, self.width]
    }

    /// What its samples take.
    pub fn bytes(self) -> u64 {
        let pixels = (self.width as u64).saturating_mul(self.height as u64);
        pixels.saturating_mul(self.channels as u64).saturating_mul(self.sample_bytes as u64)
    }
}

/// How a picture is enlarged. The default is what one wants where nothing else is known.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What the work may take, in bytes, besides the picture and what becomes of the result.
    pub memory: u64,
    /// The largest side of a network's tile, in pixels of the picture; by default the largest that the memory allows.
    pub tile: Option<usize>,
    /// Whether a GPU stores what is between the layers of a network in 16 bits: half the memory, with about three significant
    /// digits.
    pub half: bool,
    /// What alpha is enlarged by where a network enlarges the colours.
    pub alpha: AlphaBy,
    /// What a network's means are taken over, where it has any.
    pub means: MeanOf,
}

impl Default for Options {
    fn default() -> Self {
        let (alpha, means) = (AlphaBy::default(), MeanOf::default());
        Self { memory: 1 << 30, tile: None, half: false, alpha, means }
    }
}

/// What alpha is enlarged by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AlphaBy {
    /// The bicubic filter.
    #[default]
    Filter,
    /// The network, as it enlarges a grey picture: edges as sharp as those of the colours.
    Network,
}

/// What a network's means are taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MeanOf {
    /// The whole picture: in tiles, it is gone through once more for each mean.
    #[default]
    Picture,
    /// Each tile, as if it were a picture: faster, but tiles show.
    Tile,
}

/// How a picture is cut so that it fits into the memory.
///
/// ```
/// use upconv::upscale::Method;
/// use upconv::upscale::picture::{Options, Plan, Shape};
/// # fn main() -> upconv::Result<()> {
/// let photograph = Shape { width: 8000, height: 6000, channels: 3, sample_bytes: 1 };
/// let options = Options { memory: 256 << 20, ..Options::default() };
/// let plan = Plan::filter(Method::Bicubic, photograph, [12_000, 16_000], options)?;
/// assert!(plan.is_on_backend(), "a whole factor is a transposed convolution");
/// assert!(plan.bytes() <= 256 << 20);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Plan {
    from: Shape,
    pieces: Pieces,
    bytes: u64,
}

#[derive(Clone, Debug)]
enum Pieces {
    Filter(Method, Filter),
    Network(Box<Cut>),
}

impl Plan {
    /// For a filter: to any height and width.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a side of 0 and for other channels than 1 to 4.
    pub fn filter(method: Method, from: Shape, to: [usize; 2], options: Options) -> Result<Self> {
        let to = checked(from, to)?;
        let (filter, bytes) = Filter::new(method, from, to, options.memory);
        Ok(Self { from, pieces: Pieces::Filter(method, filter), bytes })
    }

    /// For a network, which runs once or twice: to any height and width up to the square of its factor.
    ///
    /// # Errors
    /// As [`filter`](Self::filter), and [`Error::Network`] for a size out of its reach.
    pub fn network(network: &Network, from: Shape, to: [usize; 2], options: Options) -> Result<Self> {
        let to = checked(from, to)?;
        let (cut, bytes) = Cut::new(network, from, to, options)?;
        Ok(Self { from, pieces: Pieces::Network(Box::new(cut)), bytes })
    }

    /// What the work takes, besides the picture and what becomes of the result: of bands there are three, one that is computed
    /// and two that the caller holds. More than was allowed where it cannot be done with less.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The pixels that it goes through: of all passes.
    pub fn pixels(&self) -> u64 {
        match &self.pieces {
            Pieces::Filter(..) => self.from.width as u64 * self.from.height as u64,
            Pieces::Network(cut) => cut.pixels(),
        }
    }

    /// Whether the backend computes it: sizes that are no whole factor a filter computes on the CPU.
    pub fn is_on_backend(&self) -> bool {
        match &self.pieces {
            Pieces::Filter(_, filter) => filter.is_on_device(),
            Pieces::Network(_) => true,
        }
    }
}

/// The shape of the result.
fn checked(from: Shape, [height, width]: [usize; 2]) -> Result<Shape> {
    let refused = |what: &str, given: usize, expected: &str| {
        Err(Error::OutOfRange { what: what.into(), given: given as i128, expected: expected.into() })
    };
    for (what, side) in [("rows", from.height), ("pixels in a row", from.width)] {
        if side == 0 {
            return refused(what, side, "at least 1");
        }
    }
    for (what, side) in [("rows wanted", height), ("pixels in a row wanted", width)] {
        if side == 0 {
            return refused(what, side, "at least 1");
        }
    }
    if !(1..=4).contains(&from.channels) {
        return refused("samples of a pixel", from.channels, "1 to 4");
    }
    Ok(Shape { width, height, ..from })
}

/// A filter, or a network with its weights, on a device.
///
/// By a network on a GPU; the [module](self) has a filter on the reference:
///
/// ```no_run
/// use upconv::gpu::{AdapterRequest, Context};
/// use upconv::upscale::Network;
/// use upconv::upscale::picture::{Backend, Options, Pixels, Plan, Shape, Upscaler};
/// # fn enlarge(rgb: &[u8], width: usize, height: usize, file: &[u8]) -> upconv::Result<Vec<u8>> {
/// let network = Network::from_safetensors(file)?;
/// let shape = Shape { width, height, channels: 3, sample_bytes: 1 };
/// let plan = Plan::network(&network, shape, [height * 2, width * 2], Options::default())?;
/// let context = Context::request(&AdapterRequest::default())?;
/// let upscaler = Upscaler::network(network, Backend::Gpu(context))?;
/// let mut enlarged = Vec::new();
/// let emit = |rows: Vec<u8>| {
///     enlarged.extend(rows);
///     Ok::<_, upconv::Error>(())
/// };
/// upscaler.run(&plan, &Pixels::new(rgb, width, 3)?, emit, |_done| Ok(()))?;
/// # Ok(enlarged)
/// # }
/// ```
pub struct Upscaler {
    backend: Backend,
    by: By,
}

enum By {
    Filter(Method),
    Network(Box<Trained>),
}

impl Upscaler {
    /// A filter.
    pub fn filter(method: Method, backend: Backend) -> Self {
        Self { backend, by: By::Filter(method) }
    }

    /// A network: packs its weights onto the device.
    ///
    /// # Errors
    /// What [`Network::on_gpu`] and [`Network::on_cpu`] refuse.
    pub fn network(network: Network, backend: Backend) -> Result<Self> {
        let trained = Trained::new(network, &backend)?;
        Ok(Self { backend, by: By::Network(Box::new(trained)) })
    }

    /// Enlarges a picture by a plan that was made for its shape, and for this filter or network. `emit` is given the rows of the
    /// result, from the top, as they are made: interleaved samples. `advance` hears how many [pixels](Plan::pixels) more are
    /// done. An error of either ends the work and is returned.
    ///
    /// # Errors
    /// [`Error::Network`] for another's plan, [`Error::Memory`], and what the device and the caller's functions report.
    #[cfg(not(target_family = "wasm"))]
    pub fn run<S: Source, E: From<Error>>(
        &self,
        plan: &Plan,
        source: &S,
        mut emit: impl FnMut(Vec<S::Sample>) -> Result<(), E>,
        mut advance: impl FnMut(u64) -> Result<(), E>,
    ) -> Result<(), E> {
        pollster::block_on(self.run_async(plan, source, async |rows| emit(rows), async |pixels| advance(pixels)))
    }

    /// [`run`](Self::run) as a future, for a browser: it waits for the device and for the caller's functions. Elsewhere it waits
    /// for the device inside.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn run_async<S: Source, E: From<Error>>(
        &self,
        plan: &Plan,
        source: &S,
        mut emit: impl AsyncFnMut(Vec<S::Sample>) -> Result<(), E>,
        mut advance: impl AsyncFnMut(u64) -> Result<(), E>,
    ) -> Result<(), E> {
        rows::ready()?;
        if plan.from.sample_bytes != size_of::<S::Sample>() {
            let (given, planned) = (size_of::<S::Sample>(), plan.from.sample_bytes);
            let problem = format!("the picture's samples have {given} bytes, those of the plan {planned}");
            return Err(Error::Network { problem }.into());
        }
        match (&self.by, &plan.pieces) {
            (By::Filter(method), Pieces::Filter(planned, filter)) if method == planned => {
                filter.run(source, &self.backend, &mut emit, &mut advance).await
            }
            (By::Network(trained), Pieces::Network(cut)) => {
                trained.run(cut, source, &self.backend, &mut emit, &mut advance).await
            }
            _ => Err(Error::Network { problem: "the plan is for another filter or network".into() }.into()),
        }
    }
}
