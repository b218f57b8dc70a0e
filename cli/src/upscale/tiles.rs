//! How a picture is cut into tiles for a network.

use super::model::Precision;
use anyhow::Result;
use std::ops::Range;
use upconv::upscale::Network;

/// Tiles begin at multiples of this, and their sides are multiples of it: whatever blocks a kernel works in, a pixel
/// has the same place in its block in each tile and in the whole picture.
pub(super) const STEP: usize = 8;

/// What a tile takes at most where no size is asked for.
const LARGEST_TILE: u64 = 256 << 20;

/// What the largest tensor between two layers takes at most: every device binds as much.
const LARGEST_TENSOR: u64 = 128 << 20;

/// How many times the input and the output of a tile are in memory: in two groups on their way to the device and back,
/// there and here.
const COPIES: u64 = 8;

/// The tiles of a picture. All have the same shape; the last ones reach beyond the picture, whose outermost pixels are
/// replicated there, and what they make of those is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tiles {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl Tiles {
    /// Tiles of at most `asked` pixels a side, or the largest that `memory` bytes allow.
    pub(super) fn new(
        network: &Network,
        width: usize,
        height: usize,
        asked: Option<usize>,
        memory: u64,
        precision: Precision,
    ) -> Result<Self> {
        let side = match asked {
            Some(side) => side / STEP * STEP,
            None => {
                let fits = |side: usize| -> Result<bool> {
                    let (tensor, all) = bytes(network, side, side, precision)?;
                    Ok(tensor <= LARGEST_TENSOR && all <= memory.min(LARGEST_TILE))
                };
                let mut side = width.max(height).next_multiple_of(STEP).min(1 << 14);
                while side > STEP && !fits(side)? {
                    side -= STEP;
                }
                side
            }
        };
        let even = |extent: usize| extent.div_ceil(extent.div_ceil(side)).next_multiple_of(STEP);
        Ok(Self { width, height, rows: even(height), columns: even(width) })
    }

    /// What it takes to compute them.
    pub(super) fn bytes(&self, network: &Network, precision: Precision) -> Result<u64> {
        bytes(network, self.rows, self.columns, precision).map(|(_, all)| all)
    }

    /// The rows of the bands, those beyond the picture left out.
    pub(super) fn bands(self) -> impl Iterator<Item = Range<usize>> {
        (0..self.height).step_by(self.rows).map(move |first| first..(first + self.rows).min(self.height))
    }

    /// The first columns of the tiles.
    pub(super) fn lefts(self) -> Vec<usize> {
        (0..self.width).step_by(self.columns).collect()
    }
}

/// What the largest tensor of a tile takes, and all that are in memory at a time.
fn bytes(network: &Network, rows: usize, columns: usize, precision: Precision) -> Result<(u64, u64)> {
    let size = match precision {
        Precision::F32 => 4,
        Precision::F16 => 2,
    };
    let shapes = network.shapes(rows, columns)?;
    let elements: Vec<u64> = shapes.iter().map(|shape| shape.iter().product::<usize>() as u64).collect();
    let [input, between @ .., output] = &elements[..] else { return Ok((0, 0)) };
    let turn = |first: usize| between.iter().skip(first).step_by(2).max().copied().unwrap_or_default();
    let largest = elements.iter().max().copied().unwrap_or_default();
    Ok((largest * size, (turn(0) + turn(1)) * size + (input + output) * 4 * COPIES))
}

#[cfg(test)]
mod tests {
    use super::*;
    use upconv::upscale::network::WAIFU2X_PHOTO;

    fn network() -> Network {
        Network::from_safetensors(WAIFU2X_PHOTO).unwrap()
    }

    fn tiles(width: usize, height: usize, asked: Option<usize>, memory: u64) -> Tiles {
        Tiles::new(&network(), width, height, asked, memory, Precision::F32).unwrap()
    }

    #[test]
    fn tiles_are_equal_and_whole_steps() {
        let of = |tiles: Tiles| (tiles.rows, tiles.columns);
        assert_eq!(of(tiles(200, 200, Some(64), 0)), (56, 56));
        assert_eq!(of(tiles(200, 200, Some(100), 0)), (72, 72));
        assert_eq!(of(tiles(200, 200, Some(200), 0)), (200, 200));
        assert_eq!(of(tiles(67, 45, None, u64::MAX)), (48, 72));
        assert_eq!(of(tiles(1, 1, None, 0)), (8, 8));
        let large = tiles(8000, 6000, None, u64::MAX);
        assert_eq!(of(large), (336, 352));
        assert_eq!(large.bands().last(), Some(5712..6000));
        assert_eq!(large.lefts().last(), Some(&7744));
    }

    #[test]
    fn the_memory_of_tiles_is_bounded() {
        for memory in [4 << 20, 32 << 20, 256 << 20, u64::MAX] {
            for precision in [Precision::F32, Precision::F16] {
                let tiles = Tiles::new(&network(), 8000, 6000, None, memory, precision).unwrap();
                assert!(tiles.bytes(&network(), precision).unwrap() <= memory.min(LARGEST_TILE));
            }
        }
    }
}
