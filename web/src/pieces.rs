//! How a picture is cut into pieces.

use std::ops::Range;

/// A rectangle of a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) rows: Range<usize>,
    pub(crate) columns: Range<usize>,
}

impl Piece {
    pub(crate) fn pixels(&self) -> u64 {
        (self.rows.len() * self.columns.len()) as u64
    }

    /// The same in a picture so many times as large.
    pub(crate) fn scaled(&self, scale: usize) -> Self {
        let times = |range: &Range<usize>| range.start * scale..range.end * scale;
        Self { rows: times(&self.rows), columns: times(&self.columns) }
    }
}

/// Pieces of at most so many rows and columns, which are multiples of `step`: equal ones whose sides are, too, and of which the
/// last are smaller, so that a device compiles and plans once. From left to right, band after band.
pub(crate) fn pieces(
    [height, width]: [usize; 2],
    [rows, columns]: [usize; 2],
    step: usize,
) -> impl Iterator<Item = Piece> {
    let along = move |extent: usize, most: usize| {
        let side = extent.div_ceil(extent.div_ceil(most)).next_multiple_of(step);
        (0..extent).step_by(side).map(move |first| first..(first + side).min(extent))
    };
    along(height, rows)
        .flat_map(move |rows| along(width, columns).map(move |columns| Piece { rows: rows.clone(), columns }))
}

/// The largest of 1 to `most` that fits; 1 if none does. What is smaller fits, too.
pub(crate) fn largest<E>(most: usize, fits: impl Fn(usize) -> Result<bool, E>) -> Result<usize, E> {
    let (mut low, mut high) = (1, most);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if fits(middle)? { low = middle } else { high = middle - 1 }
    }
    Ok(low)
}
