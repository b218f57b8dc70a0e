//! Networks that branch: layers, additions, concatenations and what stands between them, as a graph.
//!
//! A [`Graph`] is a description, with its weights and without a device: each method adds a node and returns its
//! [`Value`], which later nodes may use as often as they like. What does not fit is refused where it is added. Tensors are
//! `[batch, channels, …]`, channels first, with one to three axes behind the channels.
//!
//! ```
//! use upconv::graph::Graph;
//! use upconv::{Activation, ConvTranspose, Tensor};
//! # fn main() -> Result<(), upconv::Error> {
//! // A layer, and what enters it added to what leaves it.
//! let op = ConvTranspose::builder().in_channels(2).out_channels(2).kernel([3]).padding([1]).build()?;
//! let mut graph = Graph::new(1)?;
//! let x = graph.input(2)?;
//! let y = graph.layer(x, &op, Tensor::f32(op.weight_shape(), [0.5; 12])?, None)?;
//! let y = graph.activation(y, Activation::Relu)?;
//! let sum = graph.add(x, y)?;
//! graph.output(sum)?;
//! let made = graph.on_reference(&[Tensor::f32([1, 2, 3], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])?])?;
//! assert_eq!(made[0].to_f32(), [7.0, 12.5, 11.0, 10.0, 15.5, 14.0]);
//! # Ok(())
//! # }
//! ```
//!
//! [`ncnn`] and `onnx` (with the feature of that name) read graphs from files.
//!
//! `gpu::Graph` computes it on a device and `cpu::Graph` on the CPU. Both first make a *program* of it, which depends on
//! no shape: what follows a layer becomes part of it where nothing else reads what is between (its activation, a residual),
//! and what is computed element by element becomes one pass over its operands, through which crops, pads and enlargements
//! only change where it reads. A *schedule* then says, for the shapes of its inputs, in which buffer each value lies: those
//! of values that nothing reads any more are used again, and what is concatenated is written into its place.

mod build;
mod by_channel;
pub mod ncnn;
#[cfg(feature = "onnx")]
pub mod onnx;
mod operation;
#[cfg_attr(not(any(feature = "gpu", feature = "cpu")), allow(dead_code, reason = "for the backends"))]
pub(crate) mod program;
mod reference;
mod resample;
#[cfg_attr(not(any(feature = "gpu", feature = "cpu")), allow(dead_code, reason = "for the backends"))]
pub(crate) mod schedule;
mod shapes;

pub use operation::{Beyond, Layer, Node, Operation, Value};

use crate::error::{Error, Result};

/// The most nodes of a graph.
pub const MAX_NODES: usize = 1 << 16;

/// A network: nodes, each of which reads what some before it give. See the [module](self).
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    rank: usize,
    nodes: Vec<Node>,
    inputs: Vec<Value>,
    outputs: Vec<Value>,
}

pub(crate) fn problem(problem: String) -> Error {
    Error::Graph { problem }
}

impl Graph {
    /// A graph without nodes, whose tensors have so many axes behind the channels.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for other than 1, 2 or 3.
    pub fn new(rank: usize) -> Result<Self> {
        if !(1..=3).contains(&rank) {
            let (what, expected) = ("axes behind the channels".into(), "1 to 3".into());
            return Err(Error::OutOfRange { what, given: rank as i128, expected });
        }
        Ok(Self { rank, nodes: Vec::new(), inputs: Vec::new(), outputs: Vec::new() })
    }

    /// The axes behind the channels.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// The nodes, each behind those that it reads.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node that gives a value.
    ///
    /// # Panics
    /// Where the value is of another, larger graph.
    pub fn node(&self, value: Value) -> &Node {
        &self.nodes[value.0]
    }

    /// The inputs, in the order in which they were added.
    pub fn inputs(&self) -> &[Value] {
        &self.inputs
    }

    /// The outputs, in the order in which they were named.
    pub fn outputs(&self) -> &[Value] {
        &self.outputs
    }
}
