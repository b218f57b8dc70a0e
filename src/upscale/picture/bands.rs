//! How a picture is cut into pieces for a filter, within a limit of memory and the limits of devices.

use std::convert::Infallible;
use std::ops::Range;

/// The tensors of a piece, input and output together, take no more than this: below the 128 MiB that every device
/// binds, and enough to keep a large one busy. Twice as much cost 13 s of system time instead of 1 for a picture of
/// 12,000×9,000 doubled on the CPU: glibc hands blocks of more than 32 MiB back to the system each time.
const PLANES: u64 = 32 << 20;

/// How many bands of samples there are: one being computed, one waiting, one being written.
pub(super) const BANDS: u64 = 3;

/// The size of a picture, and how it is enlarged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) channels: usize,
    pub(super) scale: usize,
    /// Pixels that a piece needs on each side of it.
    pub(super) border: usize,
}

/// A picture in bands of rows, which are read and written one after the other, and each band in tiles of columns, which
/// are computed one after the other; only very wide pictures have more than one. Sizes are in pixels of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bands {
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl Bands {
    /// The largest pieces whose tensors take at most `most` bytes, or 32 MiB if that is less; at least one pixel. All
    /// are equal but the last ones, which may be smaller, so that a device compiles and plans once.
    pub(super) fn new(job: &Job, most: u64) -> Self {
        let fits = |rows, columns| tensor_bytes(job, rows, columns) <= most.min(PLANES);
        let Ok(columns) = largest(job.width, |columns| Ok::<_, Infallible>(fits(1, columns)));
        let Ok(rows) = match columns == job.width {
            true => largest(job.height, |rows| Ok::<_, Infallible>(fits(rows, columns))),
            false => Ok(1),
        };
        Self { rows: even(job.height, rows), columns: even(job.width, columns) }
    }

    /// The bytes that the tensors of one piece take, input and output together.
    pub(super) fn tensor_bytes(&self, job: &Job) -> u64 {
        tensor_bytes(job, self.rows, self.columns)
    }

    /// The rows of the bands.
    pub(super) fn rows(self, job: &Job) -> impl Iterator<Item = Range<usize>> {
        pieces(job.height, self.rows)
    }

    /// The columns of the tiles of a band.
    pub(super) fn columns(self, job: &Job) -> impl Iterator<Item = Range<usize>> {
        pieces(job.width, self.columns)
    }
}

fn tensor_bytes(job: &Job, rows: usize, columns: usize) -> u64 {
    let [rows, columns, border, scale] = [rows, columns, job.border, job.scale].map(|x| x as u64);
    let input = (rows + 2 * border) * (columns + 2 * border);
    (input + rows * scale * columns * scale) * 4 * job.channels as u64
}

/// The largest of 1 to `most` that fits; 1 if none does. What fits is assumed to fit when it is smaller.
pub(super) fn largest<E>(most: usize, fits: impl Fn(usize) -> Result<bool, E>) -> Result<usize, E> {
    let (mut low, mut high) = (1, most);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if fits(middle)? { low = middle } else { high = middle - 1 }
    }
    Ok(low)
}

/// The least size of a piece with which there are no more pieces than with `size`.
fn even(extent: usize, size: usize) -> usize {
    extent.div_ceil(extent.div_ceil(size))
}

/// One range behind another, all of this size but the last.
pub(super) fn pieces(extent: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..extent).step_by(size).map(move |first| first..(first + size).min(extent))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: Job = Job { width: 12_000, height: 9_000, channels: 3, scale: 2, border: 2 };

    #[test]
    fn a_large_picture_goes_in_equal_bands() {
        let bands = Bands::new(&LARGE, u64::MAX);
        assert_eq!(bands, Bands { rows: 45, columns: 12_000 });
        assert!(bands.tensor_bytes(&LARGE) <= PLANES);
        let bands: Vec<_> = bands.rows(&LARGE).collect();
        assert_eq!(bands.len(), 200);
        assert_eq!(bands[199], 8_955..9_000);
    }

    #[test]
    fn less_memory_makes_smaller_bands() {
        let bands = Bands::new(&LARGE, 4 << 20);
        assert_eq!(bands.columns, 12_000);
        assert!((1..=5).contains(&bands.rows), "{bands:?}");
        assert!(bands.tensor_bytes(&LARGE) <= 4 << 20);
    }

    #[test]
    fn a_row_too_long_for_a_tensor_goes_in_tiles() {
        let wide = Job { width: 30_000, height: 10, channels: 4, scale: 64, border: 3 };
        let bands = Bands::new(&wide, u64::MAX);
        assert_eq!(bands.rows, 1);
        assert!(bands.tensor_bytes(&wide) <= PLANES, "{bands:?}");
        let tiles: Vec<_> = bands.columns(&wide).collect();
        assert_eq!(tiles.first().map(|tile| tile.start), Some(0));
        assert!(tiles.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert_eq!(tiles.last().map(|tile| tile.end), Some(30_000));
    }

    #[test]
    fn a_small_picture_is_one_piece_and_a_pixel_is_never_cut() {
        let small = Job { width: 512, height: 300, channels: 3, scale: 2, border: 2 };
        assert_eq!(Bands::new(&small, u64::MAX), Bands { rows: 300, columns: 512 });
        assert_eq!(Bands::new(&small, 0), Bands { rows: 1, columns: 1 });
    }
}
