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

/// The most outputs in a part of a bias's sum, and the least where there are as many.
const POSITIONS: Range<usize> = 64..4096;

/// The inputs of a batch in segments of neighbours along w, and these in parts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parts {
    /// The inputs of a segment.
    pub(crate) positions: usize,
    /// The segments of a row.
    pub(crate) row_segments: usize,
    /// The segments of all rows.
    pub(crate) segments: usize,
    /// The segments of a part.
    pub(crate) part_segments: usize,
    /// How many parts there are; none for an empty batch.
    pub(crate) count: usize,
    /// The iterations of the loops of a part.
    pub(crate) iterations: u64,
    rows: [usize; 2],
    row: usize,
}

impl Parts {
    pub(crate) fn new(geometry: &Geometry, tile: &WeightTile, profile: &DeviceProfile) -> Self {
        let [depth, height, width] = geometry.input;
        let row_segments = width.div_ceil(MAX_ROUNDS * tile.positions);
        let positions = width.div_ceil(row_segments).next_multiple_of(tile.positions);
        let row_segments = width.div_ceil(positions);
        let segments = (geometry.batch * depth * height).saturating_mul(row_segments);
        let rounds = positions.min(width).div_ceil(tile.positions);
        let segment = loop_iterations(rounds as u64, 0);
        let most = ((MAX_ITERATIONS - 2) / (segment + 1)).max(1) as usize;
        let wanted = (profile.class.hardware().invocations / tile.tiles(geometry) as f64).ceil().max(1.0) as usize;
        let least = LEAST_ROUNDS.div_ceil(rounds);
        let part_segments = segments.div_ceil(wanted).max(least).min(most).max(1);
        let count = segments.div_ceil(part_segments);
        // All of the same length, but for the last one.
        let part_segments = segments.div_ceil(count.max(1)).max(1);
        Self {
            positions,
            row_segments,
            segments,
            part_segments,
            count: segments.div_ceil(part_segments),
            iterations: loop_iterations(part_segments as u64, segment),
            rows: [depth, height],
            row: width,
        }
    }

    /// The items of the batch and the inputs along (d, h, w) that some parts read, or more.
    pub(crate) fn inputs(&self, parts: &Range<usize>) -> (Range<usize>, [Range<usize>; 3]) {
        let first = parts.start * self.part_segments;
        let last = (parts.end * self.part_segments).min(self.segments) - 1;
        let [depth, height] = self.rows;
        let place = |segment: usize| {
            let (row, x) = (segment / self.row_segments, segment % self.row_segments);
            [row / height / depth, row / height % depth, row % height, x]
        };
        let (first, last) = (place(first), place(last));
        // Where they differ on an outer axis, inner ones are read as a whole.
        let range = |axis: usize, extent: usize, unit: usize| {
            let alike = first[..axis] == last[..axis];
            if alike { first[axis] * unit..((last[axis] + 1) * unit).min(extent) } else { 0..extent }
        };
        let batch = first[0]..last[0] + 1;
        (batch, [range(1, depth, 1), range(2, height, 1), range(3, self.row, self.positions)])
    }

    /// The most inputs that some parts read.
    pub(crate) fn input_count(&self, parts: &Range<usize>) -> u64 {
        (parts.len() * self.part_segments) as u64 * self.positions.min(self.row) as u64
    }
}

/// The outputs of a channel, over the whole batch, in parts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BiasParts {
    /// The outputs of a part.
    pub(crate) part_positions: usize,
    /// The outputs of all.
    pub(crate) positions: usize,
    /// The outputs of an item of the batch.
    pub(crate) item_positions: usize,
    /// How many parts there are; none for an empty batch.
    pub(crate) count: usize,
}

impl BiasParts {
    pub(crate) fn new(geometry: &Geometry, profile: &DeviceProfile) -> Self {
        let item_positions = geometry.output.iter().product::<usize>();
        let positions = geometry.batch * item_positions;
        let wanted = (profile.class.hardware().invocations / geometry.op.out_channels() as f64).ceil() as usize;
        let part_positions = positions.div_ceil(wanted.max(1)).clamp(POSITIONS.start, POSITIONS.end);
        Self { part_positions, positions, item_positions, count: positions.div_ceil(part_positions) }
    }

    /// The iterations of the loop of a part.
    pub(crate) fn iterations(&self) -> u64 {
        loop_iterations(self.part_positions as u64, 0)
    }

    /// The items of the batch and the places in them that some parts read, or more.
    pub(crate) fn outputs(&self, parts: &Range<usize>) -> (Range<usize>, Range<usize>) {
        let first = parts.start * self.part_positions;
        let last = (parts.end * self.part_positions).min(self.positions) - 1;
        let (first, last) = (
            (first / self.item_positions, first % self.item_positions),
            (last / self.item_positions, last % self.item_positions),
        );
        let places = if first.0 == last.0 { first.1..last.1 + 1 } else { 0..self.item_positions };
        (first.0..last.0 + 1, places)
    }
}
