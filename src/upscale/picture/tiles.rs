//! How a picture is cut into tiles for a network.

use super::bands::{largest, pieces};
use crate::error::Result;
use crate::upscale::Network;
use crate::upscale::network::TileCost;
use std::ops::Range;

/// Sides of tiles are multiples of this, which most blocks are that kernels compute at once: so little is computed twice.
const STEP: usize = 8;

/// What a tile takes at most where no size is asked for.
const LARGEST_TILE: u64 = 256 << 20;

/// What the largest tensor between two layers takes at most: every device binds as much.
const LARGEST_TENSOR: u64 = 128 << 20;

/// How many times the input and the output of a tile are in memory: of two tiles on their way to the device and back, there
/// and here.
const COPIES: u64 = 8;

/// The largest side of a tile where no size is asked for.
const LARGEST_SIDE: usize = 1 << 14;

/// The tiles of a picture: equal ones, of which the last are smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tiles {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Whether each is a picture of its own, with the pixels around it as its border.
    pub(super) alone: bool,
    /// Whether the memory holds the whole picture at once, and a CPU need not cut it to know its means. A GPU may have less.
    pub(super) or_whole: bool,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    pub(super) rows: Range<usize>,
    pub(super) columns: Range<usize>,
}

impl Tile {
    pub(super) fn pixels(&self) -> u64 {
        (self.rows.len() * self.columns.len()) as u64
    }
}

impl Tiles {
    /// Tiles of at most `asked` pixels a side, or the largest that `memory` bytes allow.
    pub(super) fn new(
        network: &Network,
        [height, width]: [usize; 2],
        asked: Option<usize>,
        memory: u64,
        between_bytes: u64,
        alone: bool,
    ) -> Result<Self> {
        let cost = network.tile_cost([height, width])?;
        let bytes = |sides: [usize; 2]| cost(sides).map(|cost| bytes(cost, between_bytes));
        let side = match asked {
            Some(side) => (side / STEP).max(1),
            None => {
                let fits = |steps: usize| -> Result<bool> {
                    let (tensor, all) = bytes([steps * STEP; 2])?;
                    Ok(tensor <= LARGEST_TENSOR && all <= memory.min(LARGEST_TILE))
                };
                largest(width.max(height).div_ceil(STEP).min(LARGEST_SIDE / STEP), fits)?
            }
        } * STEP;
        let even = |extent: usize| extent.div_ceil(extent.div_ceil(side)).next_multiple_of(STEP);
        Ok(Self { width, height, rows: even(height), columns: even(width), alone, or_whole: false })
    }

    /// The picture as one tile.
    pub(super) fn joined(self) -> Self {
        Self { rows: self.height, columns: self.width, ..self }
    }

    /// What it takes to compute them.
    pub(super) fn bytes(self, network: &Network, between_bytes: u64) -> Result<u64> {
        let cost = network.tile_cost([self.height, self.width])?([self.rows, self.columns])?;
        Ok(bytes(cost, between_bytes).1)
    }

    /// From left to right, band after band.
    pub(super) fn iter(self) -> impl Iterator<Item = Tile> {
        pieces(self.height, self.rows).flat_map(move |rows| {
            pieces(self.width, self.columns).map(move |columns| Tile { rows: rows.clone(), columns })
        })
    }

    /// Whether means are of the whole picture, of which there are several tiles.
    pub(super) fn whole_means(self) -> bool {
        !self.alone && (self.rows < self.height || self.columns < self.width)
    }

    /// Height and width of the picture that the network is given for a tile.
    pub(super) fn seen(self, tile: &Tile) -> [usize; 2] {
        if self.alone { [tile.rows.len(), tile.columns.len()] } else { [self.height, self.width] }
    }

    /// Where that picture begins, along h and w.
    pub(super) fn first(self, tile: &Tile) -> [usize; 2] {
        if self.alone { [tile.rows.start, tile.columns.start] } else { [0; 2] }
    }

    /// The tile in that picture.
    pub(super) fn within(self, tile: &Tile) -> Tile {
        match self.alone {
            true => Tile { rows: 0..tile.rows.len(), columns: 0..tile.columns.len() },
            false => tile.clone(),
        }
    }
}

/// What the largest tensor of a tile takes, and all that are in memory at a time.
fn bytes(TileCost { ends, between, largest }: TileCost, between_bytes: u64) -> (u64, u64) {
    (largest * between_bytes, between * between_bytes + ends * 4 * COPIES)
}

#[cfg(test)]
#[cfg(feature = "waifu2x")]
mod tests {
    use super::*;
    use crate::upscale::models::WAIFU2X_PHOTO;

    fn tiles(width: usize, height: usize, asked: Option<usize>, memory: u64) -> Tiles {
        let network = WAIFU2X_PHOTO.network().unwrap();
        Tiles::new(&network, [height, width], asked, memory, 4, false).unwrap()
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
        assert!((200..512).contains(&large.rows) && (200..512).contains(&large.columns), "{large:?}");
        let last = large.iter().last().unwrap();
        assert_eq!((last.rows.end, last.columns.end), (6000, 8000));
        let pixels: u64 = large.iter().map(|tile| tile.pixels()).sum();
        assert_eq!(pixels, 48_000_000);
    }

    #[test]
    fn the_memory_of_tiles_is_bounded() {
        let network = WAIFU2X_PHOTO.network().unwrap();
        for memory in [4 << 20, 32 << 20, 256 << 20, u64::MAX] {
            for between_bytes in [4, 2] {
                let tiles = Tiles::new(&network, [6000, 8000], None, memory, between_bytes, false).unwrap();
                let bytes = tiles.bytes(&network, between_bytes).unwrap();
                assert!(bytes <= memory.min(LARGEST_TILE));
            }
        }
    }
}
