//! Into which parts the sums of a gradient are cut: by the operation, its shape and the class of the device alone, so
//! that no limit changes a bit.

use crate::gpu::kernels::weight_gradient::tile::WeightTile;
use crate::gpu::profile::{DeviceProfile, loop_iterations};
use crate::op::Geometry;
use std::ops::Range;

/// The most rounds of the loop over a segment.
const MAX_ROUNDS: usize = 64;

/// The most iterations of the loops of a part, as a driver in software counts them: it ends them at 65,535.
const MAX_ITERATIONS: u64 = 1 << 14;

/// The least rounds of a part, where the sum has as many: parts have to be added up too.
const LEAST_ROUNDS: usize = 16;

/// The most elements of a tensor's rows in a part, but at least those of one segment: a fraction of what any device
/// binds, whatever it is.
const MAX_ELEMENTS: usize = 8 << 20;

/// The most outputs in a part of a bias's sum, and the least where there are as many.
const POSITIONS: Range<usize> = 64..4096;

/// What is summed, item by item of the batch, in parts that follow each other: each is a part of one item, or some whole
/// items, so that what a dispatch sees of a batch need not be more than one item.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Runs {
    /// The length of all.
    pub(crate) all: usize,
    /// The length of an item that is cut into parts, or of the items that make one.
    pub(crate) unit: usize,
    /// The parts of an item, or 1.
    pub(crate) per_unit: usize,
    /// The length of a part; the last one of a unit may be shorter.
    pub(crate) length: usize,
    /// How many parts there are; none for an empty batch.
    pub(crate) count: usize,
}

impl Runs {
    /// Parts of about this length, of even lengths.
    fn new(items: usize, item: usize, length: usize) -> Self {
        let even = |all: usize, most: usize| all.div_ceil(all.div_ceil(most).max(1)).max(1);
        let all = items.saturating_mul(item);
        let (unit, length) = match length / item {
            0 => (item, even(item, length.max(1))),
            most => {
                let unit = even(items, most) * item;
                (unit, unit)
            }
        };
        let per_unit = unit.div_ceil(length);
        Self { all, unit, per_unit, length, count: all.div_ceil(unit) * per_unit }
    }

    /// From the first of some parts to the last.
    fn range(&self, parts: &Range<usize>) -> Range<usize> {
        let part = |part: usize| {
            let (unit, first) = (part / self.per_unit * self.unit, part % self.per_unit * self.length);
            unit + first..(unit + (first + self.length).min(self.unit)).min(self.all)
        };
        part(parts.start).start..part(parts.end - 1).end
    }
}

/// The inputs of a batch in segments of neighbours along w, and these in parts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parts {
    /// The inputs of a segment.
    pub(crate) positions: usize,
    /// The segments of a row.
    pub(crate) row_segments: usize,
    /// The segments of all rows.
    pub(crate) runs: Runs,
    /// The iterations of the loops of a part.
    pub(crate) iterations: u64,
    input: [usize; 3],
}

impl Parts {
    pub(crate) fn new(geometry: &Geometry, tile: &WeightTile, profile: &DeviceProfile) -> Self {
        let op = &geometry.op;
        let [depth, height, width] = geometry.input;
        let row_segments = width.div_ceil(MAX_ROUNDS * tile.positions);
        let positions = width.div_ceil(row_segments).next_multiple_of(tile.positions);
        let row_segments = width.div_ceil(positions);
        let item = depth * height * row_segments;
        let rounds = positions.min(width).div_ceil(tile.positions);
        let segment = loop_iterations(rounds as u64, 0);
        // As long as the invocations that occupy the device let it be.
        let wanted = (profile.class.hardware().invocations / tile.tiles(geometry) as f64).ceil().max(1.0) as usize;
        let occupying = geometry.batch.saturating_mul(item).div_ceil(wanted).max(LEAST_ROUNDS.div_ceil(rounds));
        let [_, stride, _] = op.axes3().map(|axis| axis.stride);
        let rows =
            [(op.in_channels(), width, 1), (op.out_channels(), geometry.output[2], stride.min(geometry.output[1]))];
        let elements = |(channels, row, rows): (usize, usize, usize)| channels as f64 * row as f64 * rows as f64;
        let largest = rows.into_iter().map(elements).fold(1.0, f64::max);
        let seen = (row_segments as f64 * MAX_ELEMENTS as f64 / largest) as usize;
        let most = ((MAX_ITERATIONS - 2) / (segment + 1)) as usize;
        let runs = Runs::new(geometry.batch, item, occupying.min(seen).min(most).max(1));
        let iterations = loop_iterations(runs.length as u64, segment);
        Self { positions, row_segments, runs, iterations, input: geometry.input }
    }

    /// The items of the batch and the inputs along (d, h, w) that some parts read, or more.
    pub(crate) fn inputs(&self, parts: &Range<usize>) -> (Range<usize>, [Range<usize>; 3]) {
        let segments = self.runs.range(parts);
        let [depth, height, width] = self.input;
        let place = |segment: usize| {
            let (row, x) = (segment / self.row_segments, segment % self.row_segments);
            [row / height / depth, row / height % depth, row % height, x]
        };
        let (first, last) = (place(segments.start), place(segments.end - 1));
        // Where they differ on an outer axis, inner ones are read as a whole.
        let range = |axis: usize, extent: usize, unit: usize| {
            let alike = first[..axis] == last[..axis];
            if alike { first[axis] * unit..((last[axis] + 1) * unit).min(extent) } else { 0..extent }
        };
        let batch = first[0]..last[0] + 1;
        (batch, [range(1, depth, 1), range(2, height, 1), range(3, width, self.positions)])
    }

    /// The most inputs that some parts read.
    pub(crate) fn input_count(&self, parts: &Range<usize>) -> u64 {
        (parts.len() * self.runs.length) as u64 * self.positions.min(self.input[2]) as u64
    }
}

/// The outputs of a channel, over the whole batch, in parts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BiasParts {
    /// The outputs of all items.
    pub(crate) runs: Runs,
    /// The outputs of an item of the batch.
    pub(crate) item_positions: usize,
}

impl BiasParts {
    pub(crate) fn new(geometry: &Geometry, profile: &DeviceProfile) -> Self {
        let item_positions = geometry.output.iter().product::<usize>();
        let positions = geometry.batch.saturating_mul(item_positions);
        let wanted = (profile.class.hardware().invocations / geometry.op.out_channels() as f64).ceil() as usize;
        let length = positions.div_ceil(wanted.max(1)).clamp(POSITIONS.start, POSITIONS.end);
        Self { runs: Runs::new(geometry.batch, item_positions, length), item_positions }
    }

    /// The iterations of the loop of a part.
    pub(crate) fn iterations(&self) -> u64 {
        loop_iterations(self.runs.length as u64, 0)
    }

    /// The items of the batch and the places in them that some parts read, or more.
    pub(crate) fn outputs(&self, parts: &Range<usize>) -> (Range<usize>, Range<usize>) {
        let positions = self.runs.range(parts);
        let place = |position: usize| (position / self.item_positions, position % self.item_positions);
        let (first, last) = (place(positions.start), place(positions.end - 1));
        let places = if first.0 == last.0 { first.1..last.1 + 1 } else { 0..self.item_positions };
        (first.0..last.0 + 1, places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_each_other_and_cut_an_item_or_hold_whole_ones() {
        for (items, item, length) in [(0, 5, 3), (1, 1, 1), (3, 5, 2), (3, 5, 5), (7, 5, 12), (7, 5, 100), (2, 13, 6)] {
            let runs = Runs::new(items, item, length);
            let mut end = 0;
            for part in 0..runs.count {
                let range = runs.range(&(part..part + 1));
                assert_eq!(range.start, end);
                assert!(!range.is_empty() && range.len() <= length.max(1));
                let within = range.start / item == (range.end - 1) / item;
                assert!(
                    within || range.start.is_multiple_of(item) && range.end.is_multiple_of(item),
                    "{range:?} of {item}"
                );
                end = range.end;
            }
            assert_eq!(end, items * item);
        }
    }
}
