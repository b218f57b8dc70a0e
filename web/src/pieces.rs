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

/// Cuts a range into pieces of at most `most`, which is a multiple of `step`: equal ones that are, too, and of which the last is
/// smaller, so that a device compiles and plans once.
pub(crate) fn cut(range: Range<usize>, most: usize, step: usize) -> impl Iterator<Item = Range<usize>> {
    let extent = range.len().max(1);
    let side = extent.div_ceil(extent.div_ceil(most)).next_multiple_of(step);
    range.clone().step_by(side).map(move |first| first..(first + side).min(range.end))
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
