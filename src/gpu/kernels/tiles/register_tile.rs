//! The outputs that one invocation of `direct` or `tiled` computes, in accumulators that stay in its registers.

use super::axis::TileAxis;

/// The names of the axes (d, h, w) in a kernel's text.
pub(crate) const LETTERS: [&str; 3] = ["z", "y", "x"];

/// What is read or written of a tensor at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Access {
    Element,
    /// Four neighbours along w, channels first.
    Columns,
    /// Four channels, channels last.
    Channels,
}

impl Access {
    /// How many elements these are.
    pub(crate) fn elements(self) -> usize {
        if self == Access::Element { 1 } else { 4 }
    }

    /// How many of them lie side by side along w.
    pub(crate) fn columns(self) -> usize {
        if self == Access::Columns { 4 } else { 1 }
    }
}

/// The share of one invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RegisterTile {
    /// The number of the operation's axes; the last ones of `axes` are in use.
    pub(crate) rank: usize,
    /// Along (d, h, w).
    pub(crate) axes: [TileAxis; 3],
    /// The vector width: output channels of a vector, the lesser of 4 and those of a group.
    pub(crate) width: usize,
    /// Vectors of output channels.
    pub(crate) vectors: usize,
    /// Whether the last vector of a group has channels beyond the group's.
    pub(crate) ragged: bool,
    /// How outputs are written.
    pub(crate) writes: Access,
}

/// An accumulator: one vector of output channels at one output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accumulator {
    pub(crate) vector: usize,
    /// Along each axis the cell, and the output of the cell.
    pub(crate) at: [(usize, usize); 3],
}

impl Accumulator {
    /// Which output of its cell it is for.
    pub(crate) fn slots(&self) -> [usize; 3] {
        self.at.map(|(_, slot)| slot)
    }
}

impl RegisterTile {
    /// Output channels of an invocation.
    pub(crate) fn channels(&self) -> usize {
        self.width * self.vectors
    }

    /// The cells of an invocation.
    pub(crate) fn cells(&self) -> usize {
        self.axes.iter().map(|axis| axis.cells).product()
    }

    /// Into how many parts the phases of all axes are cut.
    pub(crate) fn phase_parts(&self) -> usize {
        self.axes.iter().map(TileAxis::phase_parts).product()
    }

    /// The numbers that the accumulators hold.
    pub(crate) fn outputs(&self) -> usize {
        self.channels() * self.axes.iter().map(|axis| axis.cells * axis.phases).product::<usize>()
    }

    /// The rounds in which an invocation goes through the taps of an input channel.
    pub(crate) fn rounds(&self) -> usize {
        self.axes.iter().map(TileAxis::rounds).product()
    }

    /// The taps an invocation reads for one input and one output channel in one round.
    pub(crate) fn taps(&self) -> usize {
        self.axes.iter().map(TileAxis::tap_count).product()
    }

    /// The multiply-adds of whole vectors for one input channel and round: each is a statement of the kernel.
    pub(crate) fn vector_fmas(&self) -> usize {
        self.taps() * self.cells() * self.vectors
    }

    /// The multiply-adds of an invocation for one input channel and round.
    pub(crate) fn multiply_adds(&self) -> usize {
        self.vector_fmas() * self.width
    }

    /// The axes in use, with their letters, the fastest first.
    pub(crate) fn used_axes(&self) -> impl DoubleEndedIterator<Item = (usize, &'static str, &TileAxis)> {
        (3 - self.rank..3).rev().map(|a| (a, LETTERS[a], &self.axes[a]))
    }

    /// Every accumulator, in the order of their numbers: along w, h, d, and by vectors.
    pub(crate) fn accumulators(&self) -> Vec<Accumulator> {
        let places = self.axes.map(|axis| {
            (0..axis.cells).flat_map(|cell| (0..axis.phases).map(move |slot| (cell, slot))).collect::<Vec<_>>()
        });
        let mut accumulators = Vec::new();
        for vector in 0..self.vectors {
            for &z in &places[0] {
                for &y in &places[1] {
                    accumulators.extend(places[2].iter().map(|&x| Accumulator { vector, at: [z, y, x] }));
                }
            }
        }
        accumulators
    }
}
