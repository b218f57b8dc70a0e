//! A network over a picture: its tiles computed and put together band by band.

use super::model::Precision;
use super::on_device::OnDevice;
use super::planes::Sample;
use super::tiles::Tiles;
use anyhow::{Result, ensure};
use rayon::prelude::*;
use std::ops::Range;
use upconv::Tensor;
use upconv::upscale::network::CHANNELS;
use upconv::upscale::{Encoding, Network};

/// The most that the inputs and outputs of a group of tiles take.
const GROUP: usize = 32 << 20;

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

    /// The planes of a tile with the network's borders, as the network sees it: red, green and blue from 0 to 1.
    fn tile(&self, tiles: &Tiles, top: usize, left: usize, network: &Network) -> Result<Tensor> {
        let (border, both) = (network.border(), network.border() + network.border_end());
        let (height, width) = (tiles.rows + both, tiles.columns + both);
        let inside =
            |first: usize, offset: usize, extent: usize| (first + offset).saturating_sub(border).min(extent - 1);
        let mut planes = vec![0.0; CHANNELS * height * width];
        planes.par_chunks_exact_mut(width).enumerate().for_each(|(index, out)| {
            let channel = if self.is_grey() { 0 } else { index / height };
            let row = tiles.width * self.channels;
            let row = &self.samples[inside(top, index % height, tiles.height) * row..][..row];
            for (x, out) in out.iter_mut().enumerate() {
                let value: f32 = row[inside(left, x, tiles.width) * self.channels + channel].into();
                *out = self.encoding.of_stored(value / T::FULL);
            }
        });
        Ok(Tensor::f32([1, CHANNELS, height, width], planes)?)
    }
}

/// Runs a network over a picture and gives its bands, in their order, to `emit`: interleaved samples, one of a grey
/// pixel, three of a coloured one. `advance` hears how many pixels of the picture are done.
pub(super) fn run<T: Sample, U: Sample>(
    network: &Network,
    trained: &OnDevice,
    precision: Precision,
    tiles: Tiles,
    picture: &Colours<'_, T>,
    advance: &(dyn Fn(u64) + Sync),
    mut emit: impl FnMut(Vec<U>) -> Result<()>,
) -> Result<()> {
    let shapes = network.shapes(tiles.rows, tiles.columns)?;
    let [Some(&[n, c, h, w]), Some(&[_, _, out_height, out_width])] =
        [shapes.first(), shapes.last()].map(|shape| shape.and_then(|shape| shape.first_chunk::<4>()))
    else {
        return Ok(());
    };
    let mut prepared = trained.prepare([n, c, h, w], precision)?;
    let most = GROUP / (4 * CHANNELS * (h * w + out_height * out_width));
    let group = prepared.group(network.multiply_adds(tiles.rows, tiles.columns)?, most);

    // The tiles in the order in which they are pushed and come back.
    let places: Vec<(Range<usize>, usize)> =
        tiles.bands().flat_map(|rows| tiles.lefts().into_iter().map(move |left| (rows.clone(), left))).collect();
    let (channels, encoding) = (picture.made(), picture.encoding);
    let assembly = Assembly { network, tiles, out_height, out_width, channels, encoding };
    let mut band = Vec::new();
    let mut done = places.iter();
    let mut accept = |outputs: Vec<Vec<f32>>| -> Result<()> {
        for output in outputs {
            let Some((rows, left)) = done.next() else { return Ok(()) };
            if *left == 0 {
                band = vec![U::default(); assembly.band_samples(rows)];
            }
            assembly.place(&output, rows, *left, &mut band)?;
            let columns = tiles.columns.min(tiles.width - left);
            advance((rows.len() * columns) as u64);
            if left + tiles.columns >= tiles.width {
                emit(std::mem::take(&mut band))?;
            }
        }
        Ok(())
    };
    for group in places.chunks(group) {
        let inputs = group.iter().map(|(rows, left)| picture.tile(&tiles, rows.start, *left, network));
        if let Some(outputs) = prepared.push(&inputs.collect::<Result<Vec<_>>>()?)? {
            accept(outputs)?;
        }
    }
    while let Some(outputs) = prepared.pop()? {
        accept(outputs)?;
    }
    Ok(())
}

/// Where the output of a tile goes.
struct Assembly<'a> {
    network: &'a Network,
    tiles: Tiles,
    out_height: usize,
    out_width: usize,
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

    /// Rounds the planes of a tile into its place in a band. Values are clamped as floats, before they are integers.
    fn place<U: Sample>(&self, planes: &[f32], rows: &Range<usize>, left: usize, band: &mut [U]) -> Result<()> {
        let (scale, crop, channels) = (self.network.scale(), self.network.crop(), self.channels);
        let nearest = |value: f32| U::nearest(self.encoding.to_stored(value) * U::FULL);
        let plane = self.out_height * self.out_width;
        ensure!(planes.len() == CHANNELS * plane, "the network made {} values, not {}", planes.len(), CHANNELS * plane);
        let columns = self.tiles.columns.min(self.tiles.width - left) * scale;
        ensure!(band.len() == self.band_samples(rows), "a band of {} samples", band.len());
        band.par_chunks_exact_mut(self.row_samples()).enumerate().for_each(|(y, row)| {
            let out = &mut row[left * scale * channels..][..columns * channels];
            let first = (crop + y) * self.out_width + crop;
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
    use upconv::upscale::network::WAIFU2X_PHOTO;

    fn assembly(network: &Network, tiles: Tiles, encoding: Encoding) -> Assembly<'_> {
        Assembly { network, tiles, out_height: 16, out_width: 16, channels: 3, encoding }
    }

    #[test]
    fn what_is_below_0_is_black() {
        let network = Network::from_safetensors(WAIFU2X_PHOTO).unwrap();
        let tiles = Tiles { width: 1, height: 1, rows: 8, columns: 8 };
        let assembly = assembly(&network, tiles, Encoding::Srgb);
        let mut planes = vec![-1.0; 3 * 256];
        (planes[256], planes[512]) = (f32::NAN, 1.5);
        let mut band = vec![7_u8; 12];
        assembly.place(&planes, &(0..1), 0, &mut band).unwrap();
        assert_eq!(band[..6], [0, 0, 255, 0, 0, 0]);
    }

    #[test]
    fn a_network_sees_the_encoding_that_it_wants() {
        let network = Network::from_safetensors(WAIFU2X_PHOTO).unwrap();
        let tiles = Tiles { width: 1, height: 1, rows: 8, columns: 8 };
        let picture = Colours { samples: &[188_u8, 0, 255], channels: 3, encoding: Encoding::Linear };
        let planes = picture.tile(&tiles, 0, 0, &network).unwrap().to_f32();
        let plane = planes.len() / 3;
        assert!((planes[0] - 0.5029).abs() < 1e-4 && planes[plane] == 0.0 && planes[2 * plane] == 1.0);
        let assembly = assembly(&network, tiles, Encoding::Linear);
        let mut made = vec![0.5; 3 * 256];
        (made[256], made[512]) = (-1.0, 1.5);
        let mut band = vec![7_u8; 12];
        assembly.place(&made, &(0..1), 0, &mut band).unwrap();
        assert_eq!(band[..3], [188, 0, 255]);
    }
}
