//! The kernels `direct` and `tiled` as a tree of statements: what is read, tested, multiplied and stored, and in which
//! order. Only index arithmetic is text. `wgsl.rs` prints it.

/// A kernel.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    /// Invocations of a workgroup.
    pub(crate) workgroup: usize,
    /// The vector width: output channels of an accumulator.
    pub(crate) width: usize,
    /// Whether inputs are read, and outputs written, four at a time along w.
    pub(crate) input_vectors: bool,
    pub(crate) output_vectors: bool,
    /// vec4s of weights that are read at once.
    pub(crate) unit: usize,
    /// Whether it leaves the accumulators of a share of the input channels for `sum.wgsl` to finish.
    pub(crate) split_k: bool,
    /// Whether several dispatches share the input channels of an output.
    pub(crate) in_parts: bool,
    pub(crate) memory: Option<Memory>,
    pub(crate) statements: Vec<Statement>,
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

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Statement {
    /// Index arithmetic, or a comment: no memory is read or written.
    Line(String),
    If(Condition, Vec<Statement>),
    Block(Vec<Statement>),
    /// The loop over input channels, by so many; its bounds are the dispatch's, or the split's.
    Loop(usize, Vec<Statement>),
    Return,
    Barrier,
    /// Whether load `number` along an axis, `offset` from the first input, is inside.
    Test(AxisLoad),
    /// Its distance in the input, of the nearest input inside where it is `clamped`.
    Distance {
        load: AxisLoad,
        clamped: bool,
    },
    /// A vector of biases or slopes, `name`, at an index of the weights.
    LoadRecord {
        name: &'static str,
        vector: usize,
        at: String,
    },
    /// An accumulator begins with its vector's biases.
    Begin {
        accumulator: usize,
        vector: usize,
    },
    /// An accumulator is what an earlier dispatch left of it.
    Restore {
        accumulator: usize,
    },
    /// An accumulator is left to a later dispatch.
    Save {
        accumulator: usize,
    },
    LoadInput(Input, InputAt),
    LoadWeight(Weight, WeightAt),
    /// Adds the product of an input, a component of it where it is a vector, and a part of a vec4 of weights.
    Fma {
        accumulator: usize,
        input: Input,
        component: Option<usize>,
        weight: Weight,
        part: usize,
    },
    /// On to the input so many channels further.
    AdvanceInputs {
        channels: usize,
    },
    /// On by so many units of weights, with one of the indices into them.
    AdvanceWeights {
        number: usize,
        units: usize,
    },
    /// Brings input `number` of this invocation into the workgroup's memory, for one channel of the K-chunk; 0 where it
    /// lies outside.
    FillInput {
        number: usize,
        channel: usize,
    },
    /// Brings vec4 `number` of its weights there.
    FillWeight {
        number: usize,
    },
    /// Stores a channel of one accumulator, or of four that are neighbours along w.
    Store {
        accumulators: Vec<usize>,
        vector: usize,
        lane: usize,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Condition {
    /// A comparison of indices.
    Index(String),
    /// Whether outputs, by axis, cell and output of the cell, are inside the dispatch's part.
    Inside(Vec<(usize, (usize, usize))>),
    /// Whether a lane of a vector is a channel of the group.
    IsChannel {
        vector: usize,
        lane: usize,
    },
    /// Whether input or weight `number` of those that this invocation brings is one of so many.
    IsInput {
        number: usize,
        total: usize,
    },
    IsWeight {
        number: usize,
        total: usize,
    },
}

/// A load of a buffer, on one axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct AxisLoad {
    pub(crate) axis: usize,
    pub(crate) number: usize,
    pub(crate) offset: i64,
}

/// An input, or a vector of four, in a register: by its channel and its numbers along the axes.
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
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum InputAt {
    /// In the buffer, so many channels on, at distances along the axes; 0 where a test, by axis and number of the load,
    /// says that it lies outside.
    Buffer { channel: usize, distances: Vec<DistanceOf>, tests: Vec<(usize, usize)> },
    /// In the workgroup's memory.
    Memory { channel: usize, unit: usize, element: usize },
}

/// The distance along an axis: that of load `base`, and so many loads `beyond` it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct DistanceOf {
    pub(crate) axis: usize,
    pub(crate) base: usize,
    pub(crate) beyond: i64,
}

/// Where a vec4 of weights is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum WeightAt {
    Buffer {
        unit: usize,
        vec4: usize,
    },
    /// In the workgroup's memory: of the invocation's `vectors`.
    Memory {
        vectors: usize,
        index: usize,
    },
}

/// A line of index arithmetic.
pub(crate) fn line(text: impl Into<String>) -> Statement {
    Statement::Line(text.into())
}

/// `name + offset`.
pub(crate) fn plus(name: &str, offset: i64) -> String {
    if offset < 0 { format!("{name} - {}", -offset) } else { format!("{name} + {offset}") }
}
