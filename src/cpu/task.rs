//! The tasks of a layer: each owns the parts of the output that it alone writes.

use super::choice::Cut;
use super::memory::{Result, product, reserved};
use super::output::Slot;
use super::range::{length, outputs_of};
use crate::layout::Layout;
use crate::op::Geometry;
use std::ops::Range;

/// One task and its parts of the output.
pub(super) struct Task<'a, T> {
    pub(super) shape: TaskShape,
    pub(super) parts: Parts<'a, T>,
}

/// What a task computes.
pub(super) struct TaskShape {
    pub(super) items: Range<usize>,
    pub(super) channels: Range<usize>,
    pub(super) q: [Range<i64>; 3],
    pub(super) outputs: [Range<i64>; 3],
}

/// Slices of the output, in the order of its memory.
pub(super) struct Parts<'a, T> {
    slices: Vec<&'a mut [Slot<T>]>,
    /// Whether each row is a slice of its own; otherwise the rows of a band are together in one.
    by_rows: bool,
    row_pitch: usize,
    pub(super) step: usize,
    /// How many channels and slices along the first two axes there are.
    channels: usize,
    depth: usize,
    rows: usize,
    pub(super) channel_in_slice: bool,
}

impl<'a, T> Task<'a, T> {
    /// All tasks. The cut's channels and bands cover the output, each element once.
    pub(super) fn all(geometry: &Geometry, cut: &Cut, y: &'a mut [Slot<T>]) -> Result<Vec<Self>> {
        let axes = geometry.op().axes3();
        let outputs = std::array::from_fn(|axis| {
            cut.bands[axis].iter().map(|q| outputs_of(&axes[axis], q, geometry.output()[axis])).collect()
        });
        Self::with_outputs(geometry, cut, &outputs, y)
    }

    /// As [`all`](Self::all), where each band of the cut has these outputs.
    pub(super) fn with_outputs(
        geometry: &Geometry,
        cut: &Cut,
        outputs: &[Vec<Range<i64>>; 3],
        y: &'a mut [Slot<T>],
    ) -> Result<Vec<Self>> {
        let (strides, batch) = (geometry.output_strides(), geometry.batch());
        let channel_in_slice = geometry.op().layout() == Layout::ChannelsLast;
        let by_rows = cut.bands[2].len() > 1;
        let cuts = cut.bands.iter().map(Vec::len).chain([batch.div_ceil(cut.items.max(1)), cut.channels.len()]);
        let mut tasks = reserved("the tasks", product(cuts))?;
        for first in (0..batch).step_by(cut.items.max(1)) {
            let items = first..(first + cut.items).min(batch);
            for channels in &cut.channels {
                for (qz, oz) in cut.bands[0].iter().zip(&outputs[0]) {
                    for (qy, oy) in cut.bands[1].iter().zip(&outputs[1]) {
                        for (qx, ox) in cut.bands[2].iter().zip(&outputs[2]) {
                            let planes = if channel_in_slice { 1 } else { channels.len() };
                            let (depth, rows) = (length(oz), length(oy));
                            let slices = product([items.len(), planes, depth, if by_rows { rows } else { 1 }]);
                            let parts = Parts {
                                slices: reserved("the tasks", slices)?,
                                by_rows,
                                row_pitch: strides.spatial[1],
                                step: strides.spatial[2],
                                channels: planes,
                                depth,
                                rows,
                                channel_in_slice,
                            };
                            let shape = TaskShape {
                                items: items.clone(),
                                channels: channels.clone(),
                                q: [qz.clone(), qy.clone(), qx.clone()],
                                outputs: [oz.clone(), oy.clone(), ox.clone()],
                            };
                            tasks.push(Task { shape, parts });
                        }
                    }
                }
            }
        }
        deal(geometry, cut, outputs, by_rows, y, &mut tasks);
        Ok(tasks)
    }
}

/// Cuts the output, in the order of its memory, and gives each piece to its task.
fn deal<'a, T>(
    geometry: &Geometry,
    cut: &Cut,
    outputs: &[Vec<Range<i64>>; 3],
    by_rows: bool,
    y: &'a mut [Slot<T>],
    tasks: &mut [Task<'a, T>],
) {
    let strides = geometry.output_strides();
    let last = geometry.op().layout() == Layout::ChannelsLast;
    let [nz, ny, nx] = [0, 1, 2].map(|axis| outputs[axis].len());
    let mut rest = y;
    let mut take = |length: usize| {
        let (piece, after) = std::mem::take(&mut rest).split_at_mut(length);
        rest = after;
        piece
    };
    for item in 0..geometry.batch() {
        for (part, channels) in cut.channels.iter().enumerate() {
            for _ in if last { 0..1 } else { channels.clone() } {
                for (z, oz) in outputs[0].iter().enumerate() {
                    for _ in oz.clone() {
                        for (y, oy) in outputs[1].iter().enumerate() {
                            let index = (((item / cut.items * cut.channels.len() + part) * nz + z) * ny + y) * nx;
                            if by_rows {
                                for _ in oy.clone() {
                                    for (x, ox) in outputs[2].iter().enumerate() {
                                        let piece = take(length(ox) * strides.spatial[2]);
                                        tasks[index + x].parts.slices.push(piece);
                                    }
                                }
                            } else {
                                let piece = take(length(oy) * strides.spatial[1]);
                                tasks[index].parts.slices.push(piece);
                            }
                        }
                    }
                }
            }
        }
    }
}

impl<T> Parts<'_, T> {
    /// A row of the output, from its first element of this task on; `channel`, `z` and `y` count from the task's
    /// first. Its elements are [`step`](Self::step) apart.
    #[inline(always)]
    pub(super) fn row(&mut self, item: usize, channel: usize, z: usize, y: usize) -> &mut [Slot<T>] {
        let (plane, inside) = if self.channel_in_slice { (0, channel) } else { (channel, 0) };
        let slice = (item * self.channels + plane) * self.depth + z;
        if self.by_rows {
            &mut self.slices[slice * self.rows + y][inside..]
        } else {
            let row = &mut self.slices[slice][y * self.row_pitch..][..self.row_pitch];
            &mut row[inside..]
        }
    }
}
