//! What an invocation of `weight_tiles` computes: a tile of weights.

use crate::layout::Layout;
use crate::op::Geometry;
use std::fmt;

/// The weights of some input channels, output channels and taps, and how their factors are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct WeightTile {
    /// Input channels of a group.
    pub(crate) inputs: usize,
    /// Output channels of a group.
    pub(crate) outputs: usize,
    /// Neighbouring taps along (h, w).
    pub(crate) taps: [usize; 2],
    /// Neighbouring inputs along w in one round of the loop.
    pub(crate) positions: usize,
    /// How the input is read.
    pub(crate) input: Read,
    /// How the gradient of the output is read.
    pub(crate) gradient: Read,
    /// Stride and dilation along w: they say which taps read the same outputs.
    pub(crate) stride: usize,
    pub(crate) dilation: usize,
    /// Invocations of a workgroup.
    pub(crate) workgroup: u32,
}

/// How an operand is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Read {
    /// Number by number.
    Numbers,
    /// Four neighbours along w at once; of the gradient, those at multiples of 4, of which the output of input 0 and tap 0
    /// is number `first`.
    Columns { first: usize },
    /// Four neighbouring channels at once.
    Channels,
}

impl WeightTile {
    /// The tile of one weight, in the order of which `weight_gradient.wgsl` leaves its numbers.
    pub(crate) fn single() -> Self {
        Self {
            inputs: 1,
            outputs: 1,
            taps: [1, 1],
            positions: 1,
            input: Read::Numbers,
            gradient: Read::Numbers,
            stride: 1,
            dilation: 1,
            workgroup: 64,
        }
    }

    /// How many weights it is.
    pub(crate) fn weights(&self) -> usize {
        self.inputs * self.outputs * self.taps[0] * self.taps[1]
    }

    /// So many input channels make a vector of accumulators.
    pub(crate) fn vector(&self) -> usize {
        [4, 2, 1].into_iter().find(|&width| self.inputs.is_multiple_of(width)).unwrap_or(1)
    }

    /// The taps of a tile along (d, h, w).
    pub(crate) fn taps3(&self) -> [usize; 3] {
        [1, self.taps[0], self.taps[1]]
    }

    /// The outputs along w that a round reads, counted from the one of its first input and the tile's first tap, in
    /// their order.
    pub(crate) fn columns(&self) -> Vec<usize> {
        let landing = |u: usize| (0..self.taps[1]).map(move |t| u * self.stride + t * self.dilation);
        let mut columns: Vec<usize> = (0..self.positions).flat_map(landing).collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// Where a round reads the gradient of the output along w: at each of the [`columns`](Self::columns), or at the first
    /// of each four that has some of them, which lies `first` before where it is counted from.
    pub(crate) fn reads(&self) -> Vec<usize> {
        let mut reads = self.columns();
        if let Read::Columns { first } = self.gradient {
            reads.iter_mut().for_each(|column| *column = (*column + first) / 4 * 4);
            reads.dedup();
        }
        reads
    }

    /// Whether a round has one output along w, and is left out where that is none: nothing is multiplied by 0 for it.
    pub(crate) fn is_guarded(&self) -> bool {
        self.positions == 1 && self.taps[1] == 1
    }

    /// How many blocks of channels, input and output, a group has.
    pub(crate) fn blocks(&self, geometry: &Geometry) -> [usize; 2] {
        let op = &geometry.op;
        [
            (op.in_channels() / op.groups()).div_ceil(self.inputs),
            (op.out_channels() / op.groups()).div_ceil(self.outputs),
        ]
    }

    /// How many tiles the taps along (d, h, w) are.
    pub(crate) fn tap_tiles(&self, geometry: &Geometry) -> [usize; 3] {
        let taps = self.taps3();
        [0, 1, 2].map(|a| geometry.op.axes3()[a].kernel.div_ceil(taps[a]))
    }

    /// The invocations of one part.
    pub(crate) fn tiles(&self, geometry: &Geometry) -> u64 {
        let [inputs, outputs] = self.blocks(geometry);
        let taps = self.tap_tiles(geometry).iter().fold(1u64, |product, &tiles| product.saturating_mul(tiles as u64));
        taps.saturating_mul((geometry.op.groups() * inputs) as u64).saturating_mul(outputs as u64)
    }

    /// The same tile, its operands read in the largest pieces that the shape allows.
    pub(crate) fn reading(self, geometry: &Geometry) -> Self {
        let op = &geometry.op;
        let in_fours = |extent: usize| extent.is_multiple_of(4);
        let axis = &op.axes3()[2];
        let (input, gradient) = match op.layout() {
            Layout::ChannelsFirst => {
                let fours = in_fours(self.positions);
                // Where every tile begins at the same output modulo 4.
                let alike = axis.kernel <= self.taps[1] || in_fours(self.taps[1] * axis.dilation);
                let first = (-axis.pad_begin).rem_euclid(4) as usize;
                (
                    if fours && in_fours(geometry.input[2]) { Read::Columns { first: 0 } } else { Read::Numbers },
                    if fours && alike && in_fours(geometry.output[2]) {
                        Read::Columns { first }
                    } else {
                        Read::Numbers
                    },
                )
            }
            Layout::ChannelsLast => {
                let read = |tile: usize, channels: usize| {
                    let fours = in_fours(tile) && in_fours(channels / op.groups());
                    if fours { Read::Channels } else { Read::Numbers }
                };
                (read(self.inputs, op.in_channels()), read(self.outputs, op.out_channels()))
            }
        };
        Self { input, gradient, ..self }
    }
}

impl Read {
    /// Whether vectors of four are read.
    pub(crate) fn vectors(self) -> bool {
        self != Read::Numbers
    }
}

impl fmt::Display for WeightTile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { inputs, outputs, taps: [y, x], positions, .. } = self;
        write!(f, "{inputs}x{outputs} channels, {y}x{x} taps, {positions} inputs at a time")
    }
}
