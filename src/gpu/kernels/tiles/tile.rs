//! What one invocation of `direct` or `tiled` computes.
//!
//! Along an axis of stride `s` the outputs `c·s, c·s + 1, … c·s + s − 1` are *cell* `c`: one output of each phase. An
//! invocation computes some neighbouring cells on each axis, all phases of them or a part, for a few output channels.
//! Which taps and inputs these need depends on neither the cell nor the channel, so that they can be written out.

use super::slab::Slab;
use crate::gpu::kernels::pack::tiles::Packing;
use crate::kernel::Kernel;
use crate::op::Axis;
use crate::phase::AxisPhases;
use std::collections::BTreeSet;
use std::fmt;

/// The share of one invocation along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TileAxis {
    /// The number of taps.
    pub kernel: usize,
    /// The number of phases, empty ones included.
    pub stride: usize,
    /// The distance between taps on the output.
    pub dilation: usize,
    /// `pad_begin mod stride`: the phase of output 0.
    pub shift: usize,
    /// How many neighbouring cells an invocation computes.
    pub cells: usize,
    /// How many outputs of a cell it computes: all `stride` of them, or a part that divides it.
    pub phases: usize,
    /// The offsets, from the first to before the second, at which every invocation reads inside the input, as
    /// [`reads`](Self::reads) counts them. The inputs at others are tested.
    pub sure: (i64, i64),
}

impl TileAxis {
    /// The share of `cells` cells and `phases` of their phases, with no read that is [`sure`](Self::sure); `None` where
    /// the phases cannot be parted so.
    ///
    /// A part of the phases is possible where all parts look alike: without dilation, with as many taps for each phase,
    /// and with no part that begins in one cell and ends in the next.
    pub fn new(axis: &Axis, cells: usize, phases: usize) -> Option<Self> {
        let Axis { kernel, stride, dilation, pad_begin, .. } = *axis;
        let shift = pad_begin.rem_euclid(stride as i64) as usize;
        let alike = dilation == 1
            && kernel.is_multiple_of(stride)
            && stride.is_multiple_of(phases)
            && shift.is_multiple_of(phases);
        (phases == stride || alike).then_some(Self { kernel, stride, dilation, shift, cells, phases, sure: (0, 0) })
    }

    /// The same with the reads that are sure where `axis` turns `input` elements into `output`.
    #[must_use]
    pub fn at(self, axis: &Axis, input: usize, output: usize) -> Self {
        let last_cell = (output.max(1) - 1) / self.stride / self.cells * self.cells;
        let last_carry =
            if self.phase_parts() > 1 { (self.stride - self.phases + self.shift) / self.stride } else { 0 };
        let origin = axis.pad_begin.div_euclid(self.stride as i64);
        let begin = -origin;
        let end = input as i64 - (last_cell + last_carry) as i64 - origin;
        // What no invocation reads must not make another kernel; a quad reaches 3 elements beyond.
        let reads = self.reads();
        let (Some(first), Some(last)) = (reads.first(), reads.last()) else { return self };
        let (begin, end) = (begin.max(first - 3), end.min(last + 4));
        Self { sure: if begin < end { (begin, end) } else { (0, 0) }, ..self }
    }

    /// Whether the input at offset `read` is inside for every invocation.
    pub fn is_sure(&self, read: i64) -> bool {
        (self.sure.0..self.sure.1).contains(&read)
    }

    /// Into how many parts the phases are cut.
    pub fn phase_parts(&self) -> usize {
        self.stride / self.phases
    }

    /// The taps that reach output `slot` of a cell, as `(tap, offset)`, which reads input `cell + offset`, both counted
    /// from those of the part's first phase.
    pub fn taps(&self, slot: usize) -> Vec<(usize, i64)> {
        if self.phases < self.stride {
            return (0..self.kernel / self.stride).map(|t| (slot + t * self.stride, -(t as i64))).collect();
        }
        let axis = Axis { kernel: self.kernel, stride: self.stride, dilation: self.dilation, ..Axis::UNIT };
        let table = AxisPhases::new(&axis);
        match table.at((self.shift + slot) as i64) {
            Some((phase, q)) => table.taps(phase).map(|(tap, offset)| (tap, q - offset)).collect(),
            None => Vec::new(),
        }
    }

    /// The inputs that an invocation reads, counted from that of its first cell at offset 0, in order.
    pub fn reads(&self) -> Vec<i64> {
        let cells = 0..self.cells as i64;
        let offsets = (0..self.phases).flat_map(|slot| self.taps(slot)).map(|(_, offset)| offset);
        let reads: BTreeSet<i64> = offsets.flat_map(|offset| cells.clone().map(move |cell| cell + offset)).collect();
        reads.into_iter().collect()
    }

    /// Taps of one invocation: of all its phases, for one cell.
    pub fn tap_count(&self) -> usize {
        if self.phases < self.stride { self.kernel / self.stride * self.phases } else { self.kernel }
    }
}

/// The share of one invocation of `direct` or `tiled`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tile {
    /// The number of the operation's axes; the last ones of `axes` are in use.
    pub rank: usize,
    /// Along (d, h, w).
    pub axes: [TileAxis; 3],
    /// Output channels of a vector: the lesser of 4 and those of a group.
    pub width: usize,
    /// Vectors of output channels.
    pub vectors: usize,
    /// Invocations of a workgroup.
    pub workgroup: u32,
    /// Whether the last vector of a group has channels beyond the group's.
    pub ragged: bool,
    /// Whether inputs are read four at a time along w, and then by how many elements (0 to 3) cell 0 begins after
    /// such a quad.
    pub input_quads: Option<usize>,
    /// Whether outputs are written four at a time along w.
    pub output_quads: bool,
    /// Whether inputs that are neighbours along w are neighbours in memory.
    pub rows: bool,
    /// Into how many parts the input channels of a group are split, to be added up side by side; `sum.wgsl` adds their
    /// sums. 1 where they are not.
    pub splits: usize,
    /// Input channels of one turn of the loop over them: they divide those of a group, of a split and of each part.
    pub turn: usize,
    /// Whether one turn is all there is.
    pub once: bool,
    /// The order of its products.
    pub order: Order,
    /// What the invocations of a workgroup of `tiled` share; `None` for `direct`, where each reads for itself.
    pub slab: Option<Slab>,
}

/// In which order an invocation multiplies. A sum always takes its taps in the order of their numbers, so that no bit
/// depends on it; what does is how much has to be kept in registers at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// Vector by vector and tap by tap: a weight is read once and multiplies the inputs of all cells.
    Taps,
    /// By rows of taps, and for each vector by vector: inputs are read when the row that wants them is reached.
    Rows,
    /// So many sums of a vector and an output of neighbouring cells, each with all its taps, before the next.
    Sums(usize),
}

impl Order {
    /// What this order of a class of devices is for a tile, whose inputs all fit the registers beside its sums or not.
    pub fn of(self, tile: &Tile, fits: bool) -> Self {
        match self {
            Order::Rows if fits => Order::Taps,
            Order::Sums(sums) => Order::Sums((sums / tile.width).max(1)),
            order => order,
        }
    }
}

/// An input that an invocation reads, or a quad of them, on one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Of its first element from the input of the first cell.
    pub offset: i64,
    /// Whether it is inside the input for every invocation.
    pub sure: bool,
    /// How many of its elements are wanted.
    pub wanted: usize,
}

impl Tile {
    /// The kernel that it is for.
    pub fn kernel(&self) -> Kernel {
        if self.slab.is_some() { Kernel::Tiled } else { Kernel::Direct }
    }

    /// Output channels of an invocation.
    pub fn channels(&self) -> usize {
        self.width * self.vectors
    }

    /// Input channels of each split of `channels`; the last one may have fewer.
    pub fn split_channels(&self, channels: usize) -> usize {
        channels.div_ceil(self.splits)
    }

    /// Vectors of output channels of a workgroup.
    pub fn group_vectors(&self) -> usize {
        self.vectors * self.slab.map_or(1, |slab| slab.blocks)
    }

    /// The cells of a workgroup of `tiled` along an axis; those of an invocation where each is for itself.
    pub fn box_cells(&self, axis: usize) -> usize {
        self.axes[axis].cells * self.slab.map_or(1, |slab| slab.lanes[axis])
    }

    /// The sums an invocation keeps in registers, as numbers.
    pub fn sums(&self) -> usize {
        self.channels() * self.axes.iter().map(|axis| axis.cells * axis.phases).product::<usize>()
    }

    /// The quads along w that hold what the invocation reads, counted from that of its first cell, where inputs are
    /// read four at a time and cell 0 begins `lead` elements into a quad.
    pub fn quads(axis: &TileAxis, lead: usize) -> Vec<i64> {
        let quads: BTreeSet<i64> = axis.reads().iter().map(|read| (read + lead as i64).div_euclid(4)).collect();
        quads.into_iter().collect()
    }

    /// What is read along an axis: inputs, or quads of them.
    pub fn loads(&self, axis: usize) -> Vec<Load> {
        let along = &self.axes[axis];
        let reads = along.reads();
        match (axis, self.input_quads) {
            (2, Some(lead)) => Self::quads(along, lead)
                .into_iter()
                .map(|quad| quad * 4 - lead as i64)
                .map(|offset| Load {
                    offset,
                    sure: along.is_sure(offset) && along.is_sure(offset + 3),
                    wanted: reads.iter().filter(|read| (offset..offset + 4).contains(read)).count(),
                })
                .collect(),
            _ => reads.into_iter().map(|offset| Load { offset, sure: along.is_sure(offset), wanted: 1 }).collect(),
        }
    }

    /// vec4s of weights that lie together at a multiple of their size, and are read at once. Where the phases are
    /// parted, the first tap is known only when the kernel runs: it is a multiple of the phases of a part and of whole
    /// rows.
    pub fn unit(&self, packing: &Packing) -> usize {
        if self.slab.is_some() {
            // Each invocation brings vec4s of its own.
            return 1;
        }
        if self.phase_parts() == 1 {
            return packing.unit;
        }
        let x = &self.axes[2];
        let together =
            |unit: usize| x.kernel.is_multiple_of(unit) && (x.phase_parts() == 1 || x.phases.is_multiple_of(unit));
        [4, 2].into_iter().find(|&unit| packing.unit.is_multiple_of(unit) && together(unit)).unwrap_or(1)
    }

    /// The taps an invocation reads for one input and one output channel.
    pub fn taps(&self) -> usize {
        self.axes.iter().map(TileAxis::tap_count).product()
    }

    /// The multiply-adds of an invocation for one input channel.
    pub fn multiply_adds(&self) -> usize {
        self.written_out() * self.width
    }

    /// The multiply-adds of whole vectors for one input channel, each a line of the kernel.
    pub fn written_out(&self) -> usize {
        self.taps() * self.cells() * self.vectors
    }

    /// The cells of an invocation.
    pub fn cells(&self) -> usize {
        self.axes.iter().map(|axis| axis.cells).product()
    }

    /// Into how many parts the phases of all axes are cut.
    pub fn phase_parts(&self) -> usize {
        self.axes.iter().map(TileAxis::phase_parts).product()
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let axes = &self.axes[3 - self.rank..];
        let join = |value: fn(&TileAxis) -> usize| {
            axes.iter().map(|axis| value(axis).to_string()).collect::<Vec<_>>().join("x")
        };
        write!(
            f,
            "{} cells of {} outputs, {} channels",
            join(|axis| axis.cells),
            join(|axis| axis.phases),
            self.channels()
        )?;
        if self.splits > 1 { write!(f, ", {} splits of the input channels", self.splits) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_reads_what_the_definition_says() {
        for stride in 1..=6 {
            for (dilation, kernel) in [(1, 1), (1, 4), (1, 6), (2, 3), (3, 5), (4, 2)] {
                for pad_begin in -7..=7 {
                    for phases in 1..=stride {
                        let axis = Axis { kernel, stride, dilation, pad_begin, ..Axis::UNIT };
                        if let Some(tile) = TileAxis::new(&axis, 2, phases) {
                            check(&axis, &tile);
                        }
                    }
                }
            }
        }
    }

    /// Every (tap, input) that lands on an output, by trying all, against the tile's.
    fn check(axis: &Axis, tile: &TileAxis) {
        let stride = axis.stride as i64;
        let origin = axis.pad_begin.div_euclid(stride);
        for cell in 0..3_i64 {
            for part in 0..tile.phase_parts() {
                let first = part * tile.phases + tile.shift;
                let (first_tap, carry) =
                    if tile.phase_parts() == 1 { (0, 0) } else { (first % axis.stride, (first / axis.stride) as i64) };
                for slot in 0..tile.phases {
                    let o = cell * stride + (part * tile.phases + slot) as i64;
                    let mut got: Vec<(usize, i64)> = tile
                        .taps(slot)
                        .into_iter()
                        .map(|(tap, offset)| (first_tap + tap, cell + origin + carry + offset))
                        .collect();
                    got.sort_unstable();
                    let mut expected = Vec::new();
                    for k in 0..axis.kernel {
                        let reach = o + axis.pad_begin - (k * axis.dilation) as i64;
                        if reach.rem_euclid(stride) == 0 {
                            expected.push((k, reach.div_euclid(stride)));
                        }
                    }
                    assert_eq!(got, expected, "{axis:?}, {tile:?}, output {o}");
                }
            }
        }
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
