//! What one invocation of `direct` or `tiled` computes along one axis.
//!
//! Along an axis of stride `s` the outputs `c·s, c·s + 1, … c·s + s − 1` are *cell* `c`: one output of each phase. An
//! invocation computes some neighbouring cells on each axis, all phases of them or a part, for a few output channels.
//! Which taps and inputs these need depends on neither the cell nor the channel, so that they can be written out. A long
//! kernel of stride 1, as the gradient of an input has, may be gone through in rounds of a few taps instead.

use crate::op::Axis;
use crate::phase::AxisPhases;
use std::collections::BTreeSet;

/// The share of one invocation along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TileAxis {
    /// The number of taps.
    pub(crate) kernel: usize,
    /// The number of phases, empty ones included.
    pub(crate) stride: usize,
    /// The distance between taps on the output.
    pub(crate) dilation: usize,
    /// `pad_begin mod stride`: the phase of output 0.
    pub(crate) shift: usize,
    /// How many neighbouring cells an invocation computes.
    pub(crate) cells: usize,
    /// How many outputs of a cell it computes: all `stride` of them, or a part that divides it.
    pub(crate) phases: usize,
    /// The distance between the inputs of neighbouring cells: 1, or the operation's decimation, whose stride is then 1.
    pub(crate) step: usize,
    /// The taps that are written out, of which each round takes the next: all of the kernel, or a part that divides it.
    pub(crate) written: usize,
}

/// A tap of an invocation: which input it reads, counted from a cell's first, for which output of the cell.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tap {
    pub(crate) tap: usize,
    pub(crate) offset: i64,
    pub(crate) slot: usize,
}

/// Offsets, as [`TileAxis::reads`] counts them, at which every invocation reads inside the input: from `begin` to
/// before `end`. Inputs at other offsets are tested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct InBounds {
    begin: i64,
    end: i64,
}

impl InBounds {
    pub(crate) fn contains(&self, offset: i64) -> bool {
        (self.begin..self.end).contains(&offset)
    }
}

impl TileAxis {
    /// The share of `cells` cells and `phases` of their phases; `None` where the phases cannot be parted so.
    ///
    /// A part of the phases is possible where all parts look alike: without dilation, with as many taps for each phase,
    /// and with no part that begins in one cell and ends in the next.
    pub(crate) fn new(axis: &Axis, cells: usize, phases: usize) -> Option<Self> {
        let Axis { kernel, stride, dilation, pad_begin, decimation: step, .. } = *axis;
        let shift = pad_begin.rem_euclid(stride as i64) as usize;
        let alike = dilation == 1
            && kernel.is_multiple_of(stride)
            && stride.is_multiple_of(phases)
            && shift.is_multiple_of(phases);
        (phases == stride || alike).then_some(Self {
            kernel,
            stride,
            dilation,
            shift,
            cells,
            phases,
            step,
            written: kernel,
        })
    }

    /// The same share in rounds of so many taps; `None` where the taps cannot be parted so, or it is no part.
    pub(crate) fn in_rounds_of(self, written: usize) -> Option<Self> {
        let parts = self.stride == 1 && written < self.kernel && self.kernel.is_multiple_of(written);
        parts.then_some(Self { written, ..self })
    }

    /// The rounds in which it goes through the taps.
    pub(crate) fn rounds(&self) -> usize {
        self.kernel / self.written
    }

    /// The reads that are inside for every invocation where `axis` turns `input` elements into `output`.
    pub(crate) fn in_bounds(&self, axis: &Axis, input: usize, output: usize) -> InBounds {
        if self.rounds() > 1 {
            return InBounds::default();
        }
        let last_cell = (output.max(1) - 1) / self.stride / self.cells * self.cells;
        let last_carry =
            if self.phase_parts() > 1 { (self.stride - self.phases + self.shift) / self.stride } else { 0 };
        let origin = axis.pad_begin.div_euclid(self.stride as i64);
        let end = input as i64 - (last_cell * self.step + last_carry) as i64 - origin;
        // What no invocation reads must not make another kernel; a vector of four reaches 3 elements beyond.
        let reads = self.reads();
        let (Some(first), Some(last)) = (reads.first(), reads.last()) else { return InBounds::default() };
        let (begin, end) = ((-origin).max(first - 3), end.min(last + 4));
        if begin < end { InBounds { begin, end } } else { InBounds::default() }
    }

    /// Into how many parts the phases are cut.
    pub(crate) fn phase_parts(&self) -> usize {
        self.stride / self.phases
    }

    /// The taps of all its outputs, by their numbers, which are counted from those of the part's first phase and from
    /// the round's first.
    pub(crate) fn taps(&self) -> Vec<Tap> {
        let mut taps: Vec<Tap> = if self.phases < self.stride {
            let of = |slot| (0..self.kernel / self.stride).map(move |t| (slot + t * self.stride, -(t as i64), slot));
            (0..self.phases).flat_map(of).map(|(tap, offset, slot)| Tap { tap, offset, slot }).collect()
        } else {
            let Self { written: kernel, stride, dilation, .. } = *self;
            let table = AxisPhases::new(&Axis { kernel, stride, dilation, ..Axis::UNIT });
            let reached = |slot| table.at((self.shift + slot) as i64).map(|(phase, q)| (slot, phase, q));
            let of =
                |(slot, phase, q)| table.taps(phase).map(move |(tap, offset)| Tap { tap, offset: q - offset, slot });
            (0..stride).filter_map(reached).flat_map(of).collect()
        };
        taps.sort_unstable();
        taps
    }

    /// The input that a tap at this offset reads for a cell, counted from that of the first cell at offset 0.
    pub(crate) fn read(&self, cell: i64, offset: i64) -> i64 {
        cell * self.step as i64 + offset
    }

    /// The inputs that an invocation reads, counted from that of its first cell at offset 0, in order.
    pub(crate) fn reads(&self) -> Vec<i64> {
        let cells = 0..self.cells as i64;
        let reads = self.taps().into_iter().flat_map(|tap| cells.clone().map(move |cell| self.read(cell, tap.offset)));
        reads.collect::<BTreeSet<i64>>().into_iter().collect()
    }

    /// Taps of one invocation and round: of all its phases, for one cell.
    pub(crate) fn tap_count(&self) -> usize {
        if self.phases < self.stride { self.kernel / self.stride * self.phases } else { self.written }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every share of two cells of a few hundred axes.
    fn shares() -> impl Iterator<Item = (Axis, TileAxis)> {
        let shapes = [(1, 1), (1, 4), (1, 6), (2, 3), (3, 5), (4, 2)];
        let axes = (1..=6).flat_map(move |stride| {
            shapes.into_iter().flat_map(move |(dilation, kernel)| {
                (-7..=7).map(move |pad_begin| Axis { kernel, stride, dilation, pad_begin, ..Axis::UNIT })
            })
        });
        axes.flat_map(|axis| (1..=axis.stride).filter_map(move |phases| Some((axis, TileAxis::new(&axis, 2, phases)?))))
    }

    /// The first tap of a part of the phases, and whether it begins in the next cell.
    fn part_begins(tile: &TileAxis, part: usize) -> (usize, i64) {
        let first = part * tile.phases + tile.shift;
        if tile.phase_parts() == 1 { (0, 0) } else { (first % tile.stride, (first / tile.stride) as i64) }
    }

    #[test]
    fn a_tile_reads_what_the_definition_says() {
        for (axis, tile) in shares() {
            let stride = axis.stride as i64;
            let origin = axis.pad_begin.div_euclid(stride);
            for (cell, part) in (0..3_i64).flat_map(|cell| (0..tile.phase_parts()).map(move |part| (cell, part))) {
                let (first_tap, carry) = part_begins(&tile, part);
                for slot in 0..tile.phases {
                    let o = cell * stride + (part * tile.phases + slot) as i64;
                    let taps = tile.taps().into_iter().filter(|tap| tap.slot == slot);
                    let got: Vec<(usize, i64)> =
                        taps.map(|tap| (first_tap + tap.tap, cell + origin + carry + tap.offset)).collect();
                    // Every (tap, input) that lands on the output, by trying all.
                    let reach = |k: usize| o + axis.pad_begin - (k * axis.dilation) as i64;
                    let taps = (0..axis.kernel).filter(|&k| reach(k).rem_euclid(stride) == 0);
                    let expected: Vec<(usize, i64)> = taps.map(|k| (k, reach(k).div_euclid(stride))).collect();
                    assert_eq!(got, expected, "{axis:?}, {tile:?}, output {o}");
                }
            }
        }
    }

    #[test]
    fn what_is_in_bounds_is_so_for_every_invocation_and_nothing_else_is() {
        let (mut inside, mut tested) = (0, 0);
        for (axis, tile) in shares() {
            for (input, output) in [(1, 1), (5, 9), (8, 8), (9, 20), (20, 5)] {
                let in_bounds = tile.in_bounds(&axis, input, output);
                let origin = axis.pad_begin.div_euclid(axis.stride as i64);
                let cells = (0..output.div_ceil(axis.stride)).step_by(tile.cells);
                let firsts: Vec<i64> = cells
                    .flat_map(|cell| (0..tile.phase_parts()).map(move |part| cell as i64 + part_begins(&tile, part).1))
                    .collect();
                for read in tile.reads() {
                    let all = firsts.iter().all(|first| (0..input as i64).contains(&(first + origin + read)));
                    assert_eq!(in_bounds.contains(read), all, "{axis:?}, {tile:?}, {input} -> {output}, {read}");
                    *(if all { &mut inside } else { &mut tested }) += 1;
                }
            }
        }
        assert!(inside > 100 && tested > 100, "{inside} in bounds, {tested} tested");
    }

    #[test]
    fn phases_are_parted_only_where_the_parts_look_alike() {
        let axis = |kernel, stride, dilation, pad_begin| Axis { kernel, stride, dilation, pad_begin, ..Axis::UNIT };
        assert!(TileAxis::new(&axis(64, 32, 1, 16), 1, 4).is_some());
        assert!(TileAxis::new(&axis(64, 32, 1, 2), 1, 4).is_none(), "a part would straddle two cells");
        assert!(TileAxis::new(&axis(63, 32, 1, 16), 1, 4).is_none(), "the last phase has a tap less");
        assert!(TileAxis::new(&axis(64, 32, 3, 16), 1, 4).is_none());
        assert!(TileAxis::new(&axis(63, 32, 3, 5), 1, 32).is_some());
    }
}
