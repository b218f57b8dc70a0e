//! A network over a picture: its tiles computed and put together band by band.

use super::means::Known;
use super::model::Precision;
use super::on_device::{Made, OnDevice, Part, Queue, Wanted};
use super::planes::Sample;
use super::tiles::{Tile, Tiles};
use anyhow::{Context as _, Result, bail, ensure};
use rayon::prelude::*;
use std::ops::Range;
use upconv::Tensor;
use upconv::graph::{Region, Value};
use upconv::upscale::network::CHANNELS;
use upconv::upscale::{Encoding, Network};

/// A picture, or its alpha, that a network enlarges.
pub(super) struct Colours<'a, T> {
    pub(super) samples: &'a [T],
    /// Samples of a pixel: 1 or 2 of a grey one, whose value serves for all three; 3 or 4 of a coloured one.
    pub(super) channels: usize,
    /// As what the network sees the samples.
    pub(super) encoding: Encoding,
}

impl<T: Sample> Colours<'_, T> {
    fn is_grey(&self) -> bool {
        self.channels < CHANNELS
    }

    /// The channels of the result of a pass.
    pub(super) fn made(&self) -> usize {
        if self.is_grey() { 1 } else { CHANNELS }
    }

    /// The planes of a region of what a network reads, as it sees them: red, green and blue from 0 to 1. `rows` and
    /// `columns` say which pixel stands at each place.
    fn planes(&self, width: usize, rows: &[usize], columns: &[usize]) -> Result<Tensor> {
        let mut planes = vec![0.0; CHANNELS * rows.len() * columns.len()];
        planes.par_chunks_exact_mut(columns.len()).enumerate().for_each(|(index, out)| {
            let channel = if self.is_grey() { 0 } else { index / rows.len() };
            let row = width * self.channels;
            let row = &self.samples[rows[index % rows.len()] * row..][..row];
            for (out, &x) in out.iter_mut().zip(columns) {
                let value: f32 = row[x * self.channels + channel].into();
                *out = self.encoding.of_stored(value / T::FULL);
            }
        });
        Ok(Tensor::f32([1, CHANNELS, rows.len(), columns.len()], planes)?)
    }
}

/// A network on a device, and how a picture is cut for it.
#[derive(Clone, Copy)]
pub(super) struct Pass<'a> {
    pub(super) network: &'a Network,
    pub(super) on_device: &'a OnDevice,
    pub(super) precision: Precision,
    pub(super) tiles: Tiles,
    /// What may be kept of values over the picture between the passes that its means need.
    pub(super) kept_bytes: u64,
}

impl Pass<'_> {
    /// Runs the network over a picture and gives its bands, in their order, to `emit`: interleaved samples, one of a grey
    /// pixel, three of a coloured one. `advance` hears how many pixels of the picture are done.
    pub(super) fn run<T: Sample, U: Sample>(
        &self,
        picture: &Colours<'_, T>,
        advance: &(dyn Fn(u64) + Sync),
        mut emit: impl FnMut(Vec<U>) -> Result<()>,
    ) -> Result<()> {
        let Self { network, on_device, precision, tiles, .. } = *self;
        let at_once = !on_device.takes_parts() || (tiles.or_whole && on_device.is_cpu());
        if at_once && tiles != tiles.joined() {
            return Self { tiles: tiles.joined(), ..*self }.run(picture, advance, emit);
        }
        let known = self.known(picture, advance)?;
        let assembly = Assembly { network, tiles, channels: picture.made(), encoding: picture.encoding };
        let (mut queue, mut done, mut band) = (on_device.queue(precision)?, tiles.iter(), Vec::new());
        let mut accept = |made: Made| -> Result<()> {
            let Some(tile) = done.next() else { return Ok(()) };
            if tile.columns.start == 0 {
                band = vec![U::default(); assembly.band_samples(&tile.rows)];
            }
            let [(region, output)] = &made[..] else { return Ok(()) };
            assembly.place(region, output, &tile, &mut band)?;
            advance(tile.pixels());
            if tile.columns.end == tiles.width { emit(std::mem::take(&mut band)) } else { Ok(()) }
        };
        let given = known.values();
        for tile in tiles.iter() {
            let within = tiles.within(&tile);
            let wanted = network.wanted(&within.rows, &within.columns).into_iter().collect();
            if let Some(made) = self.push(&mut queue, &tile, (&given, wanted), picture, &known)? {
                accept(made)?;
            }
        }
        while let Some(made) = queue.pop()? {
            accept(made)?;
        }
        Ok(())
    }

    /// Computes some values for a tile.
    pub(super) fn push<T: Sample>(
        &self,
        queue: &mut Queue<'_>,
        tile: &Tile,
        (given, wanted): (&[Value], Wanted),
        picture: &Colours<'_, T>,
        known: &Known,
    ) -> Result<Option<Made>> {
        let (network, tiles) = (self.network, self.tiles);
        let (seen, first) = (tiles.seen(tile), tiles.first(tile));
        queue.push(&Part { shape: network.input_shape(seen), given, wanted }, |region| {
            if let Some(tensor) = known.region(region) {
                return tensor;
            }
            let pixels = |axis: usize, pixels: usize| -> Vec<usize> {
                let places = region.begin[axis]..region.begin[axis] + region.shape[axis + 2];
                places.map(|place| network.pixel(place + first[axis], pixels)).collect()
            };
            picture.planes(tiles.width, &pixels(0, tiles.height), &pixels(1, tiles.width))
        })
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

    fn band_samples(&self, rows: &Range<usize>) -> usize {
        rows.len() * self.network.scale() * self.row_samples()
    }

    /// Rounds the planes of a tile, of which there may be more than is wanted, into its place in a band. Values are clamped
    /// as floats, before they are integers.
    fn place<U: Sample>(&self, region: &Region, output: &Tensor, tile: &Tile, band: &mut [U]) -> Result<()> {
        let (scale, channels) = (self.network.scale(), self.channels);
        let nearest = |value: f32| U::nearest(self.encoding.to_stored(value) * U::FULL);
        let within = self.tiles.within(tile);
        let wanted = self.network.wanted(&within.rows, &within.columns).context("the network makes nothing")?.1;
        let [_, CHANNELS, height, width] = region.shape[..] else { bail!("the network made {:?}", region.shape) };
        let [top, left] = [0, 1].map(|axis| wanted[axis].start - region.begin[axis]);
        let (planes, plane) = (output.to_f32(), height * width);
        ensure!(band.len() == self.band_samples(&tile.rows), "a band of {} samples", band.len());
        band.par_chunks_exact_mut(self.row_samples()).enumerate().for_each(|(y, row)| {
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
mod tests {
    use super::*;
    use upconv::upscale::models::WAIFU2X_PHOTO;

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
        let picture = Colours { samples: &[188_u8, 0, 255], channels: 3, encoding: Encoding::Linear };
        let planes = picture.planes(1, &[0; 4], &[0; 4]).unwrap().to_f32();
        assert!((planes[0] - 0.5029).abs() < 1e-4 && planes[16] == 0.0 && planes[32] == 1.0);
        let mut made = vec![0.5; 3 * 256];
        (made[256], made[512]) = (-1.0, 1.5);
        assert_eq!(placed(made, Encoding::Linear)[..3], [188, 0, 255]);
    }
}
