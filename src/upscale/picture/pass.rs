//! A network over a picture: its tiles computed and put together band by band.

use super::alpha::fill_transparent;
use super::backend::{Made, NetworkOn, Part, Queue, Wanted};
use super::known::Known;
use super::rows::each_row;
use super::sample::Sample;
use super::source::{Source, Window, span};
use super::tiles::{Tile, Tiles};
use crate::error::{Error, Result};
use crate::graph::{Region, Value};
use crate::tensor::{Tensor, element_count, filled};
use crate::upscale::network::CHANNELS;
use crate::upscale::{Encoding, Network};
use std::ops::Range;

/// A picture, or its alpha, that a network enlarges.
pub(super) struct Colours<'a, S> {
    pub(super) source: &'a S,
    /// Samples of a pixel: 1 or 2 of a grey one, whose value serves for all three; 3 or 4 of a coloured one.
    pub(super) channels: usize,
    /// Whether transparent pixels are to take the colours of those around them.
    pub(super) transparent: bool,
    /// As what the network sees the samples.
    pub(super) encoding: Encoding,
}

impl<S: Source> Colours<'_, S> {
    fn is_grey(&self) -> bool {
        self.channels < CHANNELS
    }

    /// The channels of the result of a pass.
    pub(super) fn made(&self) -> usize {
        if self.is_grey() { 1 } else { CHANNELS }
    }

    /// The planes of a region of what a network reads, as it sees them: red, green and blue from 0 to 1. `rows` and
    /// `columns` say which pixel stands at each place, of a picture of so many; transparent pixels have colours so many rings
    /// around the others.
    fn planes(&self, [height, width]: [usize; 2], rows: &[usize], columns: &[usize], rings: usize) -> Result<Tensor> {
        let rings = if self.transparent { rings } else { 0 };
        let mut window = self.source.window(span(rows, rings, height), span(columns, rings, width))?;
        if self.transparent {
            let (mut samples, [h, w]) = (window.samples().into_owned(), [window.rows(), window.columns()]);
            fill_transparent(&mut samples, w.len(), self.channels, rings);
            window = Window::new(samples, h, w, self.channels)?;
        }
        let (first, encoding, channels, is_grey) =
            (window.columns().start, self.encoding, self.channels, self.is_grey());
        let shape = [1, CHANNELS, rows.len(), columns.len()];
        let mut planes = filled("a tile of the picture", 0.0, element_count(&shape)?)?;
        each_row(&mut planes, columns.len(), |index, out| {
            let channel = if is_grey { 0 } else { index / rows.len() };
            let row = window.row(rows[index % rows.len()]);
            for (out, &x) in out.iter_mut().zip(columns) {
                let value: f32 = row[(x - first) * channels + channel].into();
                *out = encoding.of_stored(value / S::Sample::FULL);
            }
        });
        Tensor::f32(shape, planes)
    }
}

/// A network on a device, and how a picture is cut for it.
#[derive(Clone, Copy)]
pub(super) struct Pass<'a> {
    pub(super) network: &'a Network,
    pub(super) on_device: &'a NetworkOn,
    /// Whether a GPU stores what is between the layers in 16 bits.
    pub(super) half: bool,
    pub(super) tiles: Tiles,
    /// What may be kept of values over the picture between the passes that its means need.
    pub(super) kept_bytes: u64,
}

impl Pass<'_> {
    /// Runs the network over a picture and gives its bands, in their order, to `emit`: interleaved samples, one of a grey
    /// pixel, three of a coloured one. `advance` hears how many pixels of the picture are done.
    pub(super) async fn run<S: Source, U: Sample, E: From<Error>>(
        &self,
        picture: &Colours<'_, S>,
        emit: &mut impl AsyncFnMut(Vec<U>) -> Result<(), E>,
        advance: &mut impl AsyncFnMut(u64) -> Result<(), E>,
    ) -> Result<(), E> {
        let at_once = !self.on_device.takes_parts() || (self.tiles.or_whole && self.on_device.is_cpu());
        let tiles = if at_once { self.tiles.joined() } else { self.tiles };
        let this = Self { tiles, ..*self };
        let known = this.known(picture, advance).await?;
        let assembly = Assembly { network: self.network, tiles, channels: picture.made(), encoding: picture.encoding };
        let (mut queue, mut done, mut band) = (self.on_device.queue(self.half), tiles.iter(), Vec::new());
        let mut accept = async |made: Made| -> Result<(), E> {
            let (Some(tile), [(region, output)]) = (done.next(), &made[..]) else { return Ok(()) };
            if tile.columns.start == 0 {
                band = assembly.band(&tile.rows)?;
            }
            assembly.place(region, output, &tile, &mut band)?;
            advance(tile.pixels()).await?;
            if tile.columns.end == tiles.width { emit(std::mem::take(&mut band)).await } else { Ok(()) }
        };
        let given = known.values();
        for tile in tiles.iter() {
            let within = tiles.within(&tile);
            let wanted = self.network.wanted(&within.rows, &within.columns).into_iter().collect();
            if let Some(made) = this.push(&mut queue, &tile, (&given, wanted), picture, &known).await? {
                accept(made).await?;
            }
        }
        while let Some(made) = queue.pop().await? {
            accept(made).await?;
        }
        Ok(())
    }

    /// Computes some values for a tile.
    pub(super) async fn push<S: Source>(
        &self,
        queue: &mut Queue<'_>,
        tile: &Tile,
        (given, wanted): (&[Value], Wanted),
        picture: &Colours<'_, S>,
        known: &Known,
    ) -> Result<Option<Made>> {
        let (network, tiles) = (self.network, self.tiles);
        let (seen, first) = (tiles.seen(tile), tiles.first(tile));
        let part = Part { shape: network.input_shape(seen), given, wanted };
        let supply = |region: &Region| {
            if let Some(tensor) = known.region(region) {
                return tensor;
            }
            let pixels = |axis: usize, pixels: usize| -> Vec<usize> {
                let places = region.begin[axis]..region.begin[axis] + region.shape[axis + 2];
                places.map(|place| network.pixel(place + first[axis], pixels)).collect()
            };
            let (ys, xs) = (pixels(0, tiles.height), pixels(1, tiles.width));
            picture.planes([tiles.height, tiles.width], &ys, &xs, 2 * network.border())
        };
        queue.push(&part, supply).await
    }
}

/// Where the output of a tile goes.
struct Assembly<'a> {
    network: &'a Network,
    tiles: Tiles,
    channels: usize,
    encoding: Encoding,
}

impl Assembly<'_> {
    fn row_samples(&self) -> usize {
        self.tiles.width * self.network.scale() * self.channels
    }

    fn band<U: Sample>(&self, rows: &Range<usize>) -> Result<Vec<U>> {
        let samples = element_count(&[rows.len(), self.network.scale(), self.row_samples()])?;
        filled("a band of the picture", U::default(), samples)
    }

    /// Rounds the planes of a tile, of which there may be more than is wanted, into its place in a band. Values are clamped
    /// as floats, before they are integers.
    fn place<U: Sample>(&self, region: &Region, output: &Tensor, tile: &Tile, band: &mut [U]) -> Result<()> {
        let (scale, channels) = (self.network.scale(), self.channels);
        let nearest = |value: f32| U::nearest(self.encoding.to_stored(value) * U::FULL);
        let within = self.tiles.within(tile);
        let wanted = self.network.wanted(&within.rows, &within.columns);
        let (Some((_, wanted)), &[_, CHANNELS, height, width]) = (wanted, &region.shape[..]) else {
            return Err(Error::Network { problem: format!("it made {:?}, expected a picture", region.shape) });
        };
        let [top, left] = [0, 1].map(|axis| wanted[axis].start - region.begin[axis]);
        let (planes, plane) = (output.to_f32(), height * width);
        each_row(band, self.row_samples(), |y, row| {
            let out = &mut row[tile.columns.start * scale * channels..][..wanted[1].len() * channels];
            let first = (top + y) * width + left;
            for (x, pixel) in out.chunks_exact_mut(channels).enumerate() {
                let at = |channel: usize| planes[channel * plane + first + x];
                match pixel {
                    [grey] => *grey = nearest((at(0) + at(1) + at(2)) / 3.0),
                    colours => {
                        for (channel, colour) in colours.iter_mut().enumerate() {
                            *colour = nearest(at(channel));
                        }
                    }
                }
            }
        });
        Ok(())
    }
}

#[cfg(test)]
#[cfg(feature = "waifu2x")]
mod tests {
    use super::super::source::Pixels;
    use super::*;
    use crate::upscale::models::WAIFU2X_PHOTO;

    fn placed(planes: Vec<f32>, encoding: Encoding) -> Vec<u8> {
        let network = WAIFU2X_PHOTO.network().unwrap();
        let tiles = Tiles { width: 1, height: 1, rows: 8, columns: 8, alone: false, or_whole: false };
        let tile = tiles.iter().next().unwrap();
        let assembly = Assembly { network: &network, tiles, channels: 3, encoding };
        let region = Region { value: network.graph().outputs()[0], begin: vec![0; 2], shape: vec![1, 3, 16, 16] };
        let mut band = vec![7_u8; 12];
        assembly.place(&region, &Tensor::f32([1, 3, 16, 16], planes).unwrap(), &tile, &mut band).unwrap();
        band
    }

    #[test]
    fn what_is_below_0_is_black() {
        let mut planes = vec![-1.0; 3 * 256];
        (planes[256], planes[512]) = (f32::NAN, 1.5);
        assert_eq!(placed(planes, Encoding::Srgb)[..6], [0, 0, 255, 0, 0, 0]);
    }

    #[test]
    fn a_network_sees_the_encoding_that_it_wants() {
        let source = &Pixels::new(&[188_u8, 0, 255], 1, 3).unwrap();
        let picture = Colours { source, channels: 3, transparent: false, encoding: Encoding::Linear };
        let planes = picture.planes([1, 1], &[0; 4], &[0; 4], 0).unwrap().to_f32();
        assert!((planes[0] - 0.5029).abs() < 1e-4 && planes[16] == 0.0 && planes[32] == 1.0);
        let mut made = vec![0.5; 3 * 256];
        (made[256], made[512]) = (-1.0, 1.5);
        assert_eq!(placed(made, Encoding::Linear)[..3], [188, 0, 255]);
    }
}
