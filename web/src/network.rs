//! A picture enlarged by a trained network, in tiles that have the bits of the whole.

use crate::alpha::fill_transparent;
use crate::array::{nearest, zeros};
use crate::failure::{Failure, Result};
use crate::job::Job;
use crate::picture::{Picture, Window, span};
use crate::pieces::{Piece, cut, largest};
use std::ops::Range;
use upconv::gpu::Graph;
use upconv::graph::Region;
use upconv::upscale::Network;
use upconv::upscale::network::CHANNELS;
use upconv::{Storage, Tensor};

/// Sides of tiles are multiples of this, which most blocks are that kernels compute at once: so little is computed twice.
const STEP: usize = 8;

/// What a tile takes at most, in bytes.
const TILE: u64 = 128 << 20;

/// What the largest tensor of a tile has at most, in elements: 128 MiB, which every device binds.
const LARGEST: u64 = 1 << 25;

/// The largest side of a tile.
const LARGEST_SIDE: usize = 1 << 12;

/// A network with its weights on the device.
pub(crate) struct Trained {
    pub(crate) network: Network,
    pub(crate) graph: Graph,
}

impl Trained {
    /// The rows of a picture that are computed at a time, one band after another.
    pub(crate) fn bands(&self, picture: &Picture) -> Result<impl Iterator<Item = Range<usize>> + use<>> {
        Ok(cut(0..picture.height, self.sides(picture)?[0], STEP))
    }

    /// Enlarges some rows of a picture, of RGBA or of what another pass made, by the network's factor: into RGB, or into the
    /// colours of RGBA whose alpha is known. `opaque` says that the picture has no transparent pixels.
    pub(crate) async fn enlarge(
        &self,
        from: &Picture,
        opaque: bool,
        rows: Range<usize>,
        to: &Picture,
        job: &mut Job,
    ) -> Result<()> {
        let most = self.sides(from)?[1];
        for columns in cut(0..from.width, most, STEP) {
            let tile = Piece { rows: rows.clone(), columns };
            let shape = self.network.input_shape([from.height, from.width]);
            let nothing = || Failure::Said("the network makes nothing".into());
            let (value, wanted) = self.network.wanted(&tile.rows, &tile.columns).ok_or_else(nothing)?;
            let prepared = self.graph.prepare_part(&[shape], &[], &[(value, wanted.clone())], Storage::F32)?;
            let read = |region: &Region| self.read(from, region, opaque);
            let inputs = prepared.inputs().map(read).collect::<Result<Vec<Tensor>>>()?;
            let made = prepared.run_async(&inputs).await?;
            let (Some(region), Some(output)) = (prepared.outputs().next(), made.first()) else {
                return Err(nothing());
            };
            let first = [0, 1].map(|axis| wanted[axis].start - region.begin[axis]);
            self.place(output, first, &tile.scaled(self.network.scale()), to)?;
            job.advance(tile.pixels())?;
        }
        Ok(())
    }

    /// Rows and columns of a tile.
    fn sides(&self, picture: &Picture) -> Result<[usize; 2]> {
        let sides = [picture.height, picture.width];
        let cost = self.network.tile_cost(sides)?;
        let fits = |sides: [usize; 2]| -> Result<bool> {
            let cost = cost(sides)?;
            Ok((cost.between + 2 * cost.ends) * 4 <= TILE && cost.largest <= LARGEST)
        };
        if self.network.graph().means().is_empty() {
            let most = picture.height.max(picture.width).div_ceil(STEP).min(LARGEST_SIDE / STEP);
            return Ok([largest(most, |steps| fits([steps * STEP; 2]))? * STEP; 2]);
        }
        // Its means are of the whole picture.
        match fits(sides)? {
            true => Ok(sides),
            false => Err(Failure::Said(format!(
                "this network takes means over the whole picture, which has to fit into one tile of {} MiB; {}x{} pixels \
                 do not: take a smaller picture, or another network",
                TILE >> 20,
                picture.width,
                picture.height
            ))),
        }
    }

    /// A region of what the network reads: red, green and blue from 0 to 1.
    fn read(&self, from: &Picture, region: &Region, opaque: bool) -> Result<Tensor> {
        let places = |axis: usize, extent: usize| -> Vec<usize> {
            let places = region.begin[axis]..region.begin[axis] + region.shape[axis + 2];
            places.map(|place| self.network.pixel(place, extent)).collect()
        };
        let (rows, columns) = (places(0, from.height), places(1, from.width));
        let rings = if opaque { 0 } else { 2 * self.network.border() };
        let mut window = from.window(span(&rows, rings, from.height), span(&columns, rings, from.width))?;
        if !opaque {
            fill_transparent(&mut window, rings)?;
        }
        let (encoding, full) = (self.network.encoding(), from.samples.full());
        let mut planes = zeros::<f32>(CHANNELS * rows.len() * columns.len())?;
        let mut values = planes.iter_mut();
        for channel in 0..CHANNELS {
            for &y in &rows {
                for (&x, value) in columns.iter().zip(&mut values) {
                    *value = encoding.of_stored(window.at(y, x)[channel] / full);
                }
            }
        }
        Ok(Tensor::f32([1, CHANNELS, rows.len(), columns.len()], planes)?)
    }

    /// Puts what was made, from `first` on, into its place.
    fn place(&self, output: &Tensor, first: [usize; 2], made: &Piece, to: &Picture) -> Result<()> {
        let (&[_, _, height, width], Some(planes)) = (output.shape(), output.as_f32()) else {
            return Err(Failure::Said(format!("the network made {:?}", output.shape())));
        };
        let (encoding, full, [top, left]) = (self.network.encoding(), to.samples.full(), first);
        // With the alpha that is there already.
        let mut window: Window = to.window(made.rows.clone(), made.columns.clone())?;
        for (index, pixel) in window.pixels.chunks_exact_mut(to.channels).enumerate() {
            let (y, x) = (index / made.columns.len(), index % made.columns.len());
            let is_transparent = pixel.get(CHANNELS) == Some(&0.0);
            for (channel, sample) in pixel.iter_mut().take(CHANNELS).enumerate() {
                let value = planes[(channel * height + top + y) * width + left + x];
                *sample = if is_transparent { 0.0 } else { nearest(encoding.to_stored(value) * full, full) };
            }
        }
        to.write(&window)
    }
}
