//! How the work is cut: into tasks, and how many tiles of a task are computed at a time.

use super::Winograd;
use crate::cpu::cache;
use crate::cpu::choice::{Cut, Panel};
use crate::cpu::memory::product;
use crate::cpu::microkernel::tiles;
use crate::op::Geometry;
use crate::winograd::Filter;
use std::ops::Range;

/// The most that the inputs of tiles take at a time for a second-level cache of 1 MiB, in elements, and the fewest and the
/// most tiles.
const PANEL: usize = 224 << 10;
pub(super) const FEWEST_TILES: usize = 32;
const MOST_TILES: usize = 128;
/// The tasks for each thread.
const TASKS: usize = 4;

impl Winograd {
    /// How the work is cut into tasks, and the outputs of its bands.
    pub(super) fn cut(&self, geometry: &Geometry, threads: usize) -> (Cut, [Vec<Range<i64>>; 3]) {
        let (output, batch) = (geometry.output(), geometry.batch());
        let [h, w] = self.filters.map(Filter::outputs);
        let (rows, columns) = (output[1].div_ceil(h), output[2].div_ceil(w));
        let planes = output[0].div_ceil(self.depth.phases.len());
        let item = product([planes, rows, columns]);
        // A task is large enough for its weights to serve many tiles, but there is one for each thread if possible.
        let total = item.saturating_mul(batch);
        let least = self.at_once().min(total.div_ceil(threads)).max(FEWEST_TILES);
        let each = total.div_ceil(TASKS * threads).max(least);
        let items = (each / item.max(1)).clamp(1, batch.max(1));
        let mut band = rows.div_ceil(item.div_ceil(each).min(rows).max(1)).max(1);
        // A plane that taps along d reach back to is transformed with each plane that reads it, if it does not fit with it.
        if self.depth.span > 0 {
            band = band.min((self.at_once() / (2 * product([self.depth.span, columns]))).max(1));
        }
        let tasks = batch.div_ceil(items) * rows.div_ceil(band).max(1);
        let parts = threads.div_ceil(tasks.max(1)).min(self.blocks.len());
        let channels = tiles(self.blocks.len(), self.blocks.len().div_ceil(parts.max(1)).max(1));
        let channels =
            channels.map(|part| self.blocks[part.start].channels.start..self.blocks[part.end - 1].channels.end);
        let all = output.map(|extent| 0..extent as i64);
        let [z, _, x] = all;
        let bands = (0..rows).step_by(band).map(|first| (first * h) as i64..((first + band) * h).min(output[1]) as i64);
        let bands = [vec![z], bands.collect(), vec![x]];
        (Cut { panel: Panel::Box, items, channels: channels.collect(), bands: bands.clone() }, bands)
    }

    /// The tiles whose points fit into the cache.
    pub(super) fn at_once(&self) -> usize {
        let [h, w] = self.filters.map(Filter::points);
        let patch =
            if self.groups[0].len() > 1 { product([self.filters[0].patch(), self.filters[1].patch()]) } else { 0 };
        let each = (product([self.groups[1].len(), h, w]) + patch).saturating_mul(self.inputs);
        let fits = cache::elements::<f32>(PANEL) / each;
        (fits / FEWEST_TILES * FEWEST_TILES).clamp(FEWEST_TILES, MOST_TILES)
    }
}
