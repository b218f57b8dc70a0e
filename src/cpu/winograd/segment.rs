//! The tiles of a task, numbered item by item, plane by plane, and in a plane row by row.

use std::ops::Range;

/// How many planes of each item, rows of tiles of each plane and tiles of each row there are.
#[derive(Clone, Copy)]
pub(super) struct Numbering {
    pub(super) planes: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
}

/// Neighbouring tiles of one row.
pub(super) struct Segment {
    pub(super) item: usize,
    pub(super) plane: usize,
    pub(super) row: usize,
    pub(super) columns: Range<usize>,
    /// The place of the first among the tiles that are computed together.
    pub(super) at: usize,
}

impl Numbering {
    /// The tiles of a plane.
    pub(super) fn plane(self) -> usize {
        self.rows * self.columns
    }

    /// These tiles by rows.
    pub(super) fn segments(self, tiles: Range<usize>) -> Vec<Segment> {
        let Self { planes, rows, columns } = self;
        let segment = |row: usize| {
            let start = (row * columns).max(tiles.start);
            let end = ((row + 1) * columns).min(tiles.end);
            Segment {
                item: row / rows / planes,
                plane: row / rows % planes,
                row: row % rows,
                columns: start - row * columns..end - row * columns,
                at: start - tiles.start,
            }
        };
        (tiles.start / columns..tiles.end.div_ceil(columns)).map(segment).collect()
    }
}
