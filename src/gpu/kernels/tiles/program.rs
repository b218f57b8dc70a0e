//! The kernels `direct` and `tiled` as a tree of statements: what is read, tested, multiplied and stored, and in which
//! order. Index arithmetic is text. `wgsl.rs` prints it.

use super::register_tile::Access;
use crate::gpu::storage::Storage;
use std::fmt;

pub(crate) const COMPONENTS: [&str; 4] = [".x", ".y", ".z", ".w"];

/// A kernel.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    /// Invocations of a workgroup.
    pub(crate) workgroup: usize,
    /// The vector width: output channels of an accumulator.
    pub(crate) width: usize,
    pub(crate) operands: Operands,
    /// How outputs are written.
    pub(crate) writes: Access,
    /// Whether it leaves the accumulators of a share of the input channels for `sum.wgsl` to finish.
    pub(crate) split_k: bool,
    /// Whether several dispatches share the input channels of an output.
    pub(crate) in_parts: bool,
    pub(crate) statements: Vec<Statement>,
}

/// How inputs and weights are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operands {
    /// How inputs are read.
    pub(crate) reads: Access,
    /// vec4s of weights that lie together at a multiple of their size, and are read at once.
    pub(crate) unit: usize,
    pub(crate) memory: Option<Memory>,
    /// What inputs and weights are rounded to.
    pub(crate) factors: Storage,
}

/// The memory of a workgroup.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// Input channels that are there at a time.
    pub(crate) k_chunk: usize,
    /// Units of inputs for each channel, and the elements of a unit.
    pub(crate) units: usize,
    pub(crate) unit: usize,
    /// Vectors of output channels, and for each of them the vec4s of weights of a K-chunk.
    pub(crate) vectors: usize,
    pub(crate) weights: usize,
}

impl Memory {
    pub(crate) fn bytes(&self) -> u64 {
        (self.k_chunk * self.units * self.unit * 4 + self.vectors * self.weights * 16) as u64
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Statement {
    /// Lines of index arithmetic, and what is done once for each accumulator or vector of channels.
    Text(String),
    If(Condition, Vec<Statement>),
    Block(Vec<Statement>),
    /// The loop over input channels, by so many; its bounds are the dispatch's, or the split's.
    Loop(usize, Vec<Statement>),
    /// The rounds through the taps of an axis: the first input of each is so many before that of the one before.
    Rounds {
        axis: usize,
        rounds: usize,
        back: usize,
        body: Vec<Statement>,
    },
    Barrier,
    /// Whether load `number` along an axis, at an offset from the first input, is inside.
    Test {
        axis: usize,
        number: usize,
        offset: i64,
    },
    /// Its distance in the input, of the nearest input inside where it is `clamped`.
    Distance {
        axis: usize,
        number: usize,
        offset: i64,
        clamped: bool,
    },
    LoadInput(Input, InputAt),
    LoadWeight(Weight, WeightAt),
    /// Adds the product of an input, a component of it where it is a vector, and a part of a vec4 of weights; where these
    /// are of f16, to the accumulator's sum of those of this round.
    Fma {
        accumulator: usize,
        input: Input,
        component: Option<usize>,
        weight: Weight,
        part: usize,
    },
    /// On to the input so many channels further.
    AdvanceInputs(usize),
    /// On by so many units of weights, with one of the indices into them.
    AdvanceWeights {
        number: usize,
        units: usize,
    },
    /// Brings something from a buffer into the workgroup's memory.
    Fill(Brought),
    /// Reads it into a register of its name, which is there already.
    ReadAhead(Brought),
    /// Writes that register into the workgroup's memory.
    FillAhead(Brought),
    /// Stores a channel of one accumulator, or of four that are neighbours along w, or all channels of one.
    Store {
        accumulators: Vec<usize>,
        vector: usize,
        lane: usize,
    },
}

/// What an invocation brings into the workgroup's memory.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Brought {
    /// Its input `number`, of one channel of the K-chunk; 0 where it lies outside.
    Input { number: usize, channel: usize },
    /// Vec4 `number` of its weights.
    Weight { number: usize },
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Condition {
    /// Whether outputs, by axis, cell and output of the cell, are inside the dispatch's part.
    Inside(Vec<(usize, (usize, usize))>),
    /// Whether a lane of a vector is a channel of the group.
    IsChannel {
        vector: usize,
        lane: usize,
    },
    /// Whether input or vec4 of weights `number` of this invocation is one of the `total` that a workgroup brings.
    IsInput {
        number: usize,
        total: usize,
    },
    IsWeight {
        number: usize,
        total: usize,
    },
    /// Whether input channels are left behind the next so many.
    IsMore {
        channels: usize,
    },
}

/// An input, or a vector of four, in a register: by its first channel and its numbers along the axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Input {
    pub(crate) channel: usize,
    pub(crate) at: [usize; 3],
}

/// A vec4 of weights in a register: its number among those of the vector and the channels in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Weight {
    pub(crate) vector: usize,
    pub(crate) index: usize,
}

/// Where an input is read.
#[derive(Clone, Debug)]
pub(crate) enum InputAt {
    /// In the buffer, so many channels on, at the distances of loads and so many loads beyond them, by axis, number and
    /// beyond; 0 where a test, by axis and number of the load, says that it lies outside.
    Buffer { channel: usize, distances: Vec<(usize, usize, i64)>, tests: Vec<(usize, usize)> },
    /// In the workgroup's memory.
    Memory { channel: usize, unit: usize, element: usize },
}

/// Where a vec4 of weights is read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum WeightAt {
    Buffer {
        unit: usize,
        vec4: usize,
    },
    /// In the workgroup's memory, which has so many vectors for an invocation.
    Memory {
        vectors: usize,
        index: usize,
    },
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [z, y, x] = self.at;
        write!(f, "i{z}_{y}_{x}")?;
        if self.channel == 0 { Ok(()) } else { write!(f, "_{}", self.channel) }
    }
}

/// The register that holds it until the workgroup's memory is free.
impl fmt::Display for Brought {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input { number, channel } => write!(f, "next{number}_{channel}"),
            Self::Weight { number } => write!(f, "next_taps{number}"),
        }
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "w{}_{}", self.vector, self.index)
    }
}

/// Adds lines of text to a list of statements; their indentation does not count.
macro_rules! text {
    ($out:ident; $($lines:tt)*) => {
        $out.push($crate::gpu::kernels::tiles::program::Statement::Text(format!($($lines)*)))
    };
}

pub(crate) use text;

/// The part of a vec4 of weights that belongs to tap number `number` in it, of accumulators of `width` channels.
pub(crate) fn part(width: usize, number: usize) -> &'static str {
    match (width, number) {
        (1, _) => COMPONENTS[number],
        (2, 0) => ".xy",
        (2, _) => ".zw",
        (3, _) => ".xyz",
        _ => "",
    }
}

/// `name * factor`.
pub(crate) fn times(name: &str, factor: usize) -> String {
    if factor == 1 { name.into() } else { format!("{name} * {factor}") }
}

/// `name + offset`.
pub(crate) fn plus(name: &str, offset: i64) -> String {
    if offset < 0 { format!("{name} - {}", -offset) } else { format!("{name} + {offset}") }
}
