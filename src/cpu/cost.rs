//! The estimated cost of products over boxes, and the cut of the work that costs least.

use super::memory::product;

// Cycles, measured on Zen 5; only their proportions matter.
/// Vectors that are multiplied and added in a cycle.
const MULTIPLY_ADDS: f64 = 2.0;
/// Copying an element into a panel.
const COPY: f64 = 0.15;
/// Reading a weight from beyond the second-level cache.
const FETCH: f64 = 0.4;
/// Storing one row of results in the output, whatever its length.
const ROW: f64 = 20.0;
/// Starting a task.
const TASK: f64 = 8000.0;

/// How a box and its tasks may be cut.
#[derive(Clone, Copy)]
pub(super) struct Candidate {
    /// The `q` of a task on each axis.
    pub(super) lengths: [usize; 3],
    /// The number of parts into which the output channels of a group are cut.
    pub(super) parts: usize,
}

/// What the cost of a candidate depends on.
pub(super) struct Costs {
    /// All `q` on each axis.
    pub(super) total: [usize; 3],
    /// The longest row of positions, where it is not cut.
    pub(super) row: usize,
    /// Tiles of output channels in a group.
    pub(super) tiles: usize,
    /// Output channels of a group times phases.
    pub(super) rows: usize,
    /// How much longer than its `q` a box is on each axis: the distance of the first input that a tap reads from the last.
    pub(super) span: [i64; 3],
    /// The distance between the inputs of neighbouring `q` on each axis.
    pub(super) steps: [usize; 3],
    pub(super) lanes: usize,
    pub(super) in_group: usize,
    /// Multiply-adds of one `q` and input channel.
    pub(super) work: usize,
    pub(super) weights: usize,
    /// Tasks of a candidate that cuts nothing.
    pub(super) others: usize,
    pub(super) threads: usize,
}

impl Costs {
    /// The cycles that the slowest thread needs; `None` where a panel is too large.
    fn of(&self, candidate: &Candidate, panel: usize) -> Option<f64> {
        let Candidate { lengths, parts } = *candidate;
        // In f64, exact up to 2⁵³: the box of a valid operation may exceed 64 bits.
        let extent = |axis: usize| lengths[axis] as f64 * self.steps[axis] as f64 + self.span[axis] as f64;
        let boxed: f64 = (0..3).map(extent).product();
        if boxed * self.in_group as f64 > panel as f64 {
            return None;
        }
        let [depth, height, width] = lengths;
        let lines = depth as f64 * height as f64;
        let row = if width == self.total[2] { self.row } else { width };
        let vectors = lines * row.div_ceil(self.lanes) as f64;
        // The largest part's share of the tiles.
        let share = self.tiles.div_ceil(parts) as f64 / self.tiles as f64;
        let products = self.work as f64 * vectors / MULTIPLY_ADDS;
        let fetch = if self.weights > 64 << 10 { self.work as f64 * FETCH } else { 0.0 };
        let copy = COPY * boxed;
        let rows = ROW * lines * self.rows as f64;
        let cycles = self.in_group as f64 * ((products + fetch) * share + copy) + rows * share + TASK;
        let cuts = (0..3).map(|axis| self.total[axis].div_ceil(lengths[axis]));
        let tasks = product(cuts.chain([parts, self.others]));
        // Threads do not finish together: all wait for the last task, the longer the larger it is.
        let rounds = tasks.div_ceil(self.threads) as f64 + 0.25;
        Some(cycles * rounds)
    }
}

/// Whole, halves, thirds, quarters and so on, at least 1.
fn fractions(total: usize) -> impl Iterator<Item = usize> + Clone {
    let parts = [1, 2, 3, 4, 6, 8, 11, 16, 22, 32, 48, 64, 96, 128, 256, 512].into_iter();
    let more = (10..usize::BITS.min(40)).map(|shift| 1usize << shift);
    parts.chain(more).take_while(move |&parts| parts <= total).map(move |parts| total.div_ceil(parts))
}

/// The candidate of the least cost whose panels have at most `panel` elements.
pub(super) fn best_cut(costs: &Costs, most_parts: usize, panel: usize) -> Option<Candidate> {
    let mut best: Option<(f64, Candidate)> = None;
    for width in fractions(costs.total[2]) {
        let width = width.next_multiple_of(costs.lanes).min(costs.total[2]);
        for height in fractions(costs.total[1]) {
            for depth in fractions(costs.total[0]) {
                for parts in [1, 2, 3, 4, 6, 8, 16].into_iter().take_while(|&parts| parts <= most_parts) {
                    let candidate = Candidate { lengths: [depth, height, width], parts };
                    let Some(cost) = costs.of(&candidate, panel) else { continue };
                    if best.is_none_or(|(least, _)| cost < least) {
                        best = Some((cost, candidate));
                    }
                }
            }
        }
    }
    best.map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_beyond_64_bits_is_too_large() {
        let cost = |span: [i64; 3], in_group: usize| {
            let (total, work, weights) = ([1, 40, 40], 4, 4);
            let costs = Costs {
                total,
                row: 40,
                tiles: 1,
                rows: 4,
                span,
                steps: [1; 3],
                lanes: 16,
                in_group,
                work,
                weights,
                others: 1,
                threads: 2,
            };
            best_cut(&costs, 1, 16 * (160 << 10))
        };
        assert!(cost([0, 1, 1], 1).is_some());
        // Two products that are 0 modulo 2⁶⁴.
        assert!(cost([0, (1 << 32) - 40, (1 << 32) - 40], 1).is_none());
        assert!(cost([0, (1 << 40) - 40, (1 << 40) - 40], 1).is_none());
        assert!(cost([0, (1 << 60) - 40, 0], 1 << 20).is_none());
    }
}
