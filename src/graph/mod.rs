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
//!
//! Both also compute a *part*: some regions of some values (`prepare_part`), with the bits that they have in the whole, for
//! pictures in tiles. Means are computed before, in parts too: see [`Graph::means`].

#[cfg_attr(not(any(feature = "gpu", feature = "cpu")), allow(dead_code, reason = "for the backends"))]
pub(crate) mod action;
mod build;
mod by_channel;
pub mod ncnn;
#[cfg(feature = "onnx")]
pub mod onnx;
mod operation;
#[cfg_attr(not(any(feature = "gpu", feature = "cpu")), allow(dead_code, reason = "for the backends"))]
pub(crate) mod part;
#[cfg_attr(not(any(feature = "gpu", feature = "cpu")), allow(dead_code, reason = "for the backends"))]
pub(crate) mod program;
mod reference;
mod resample;
#[cfg_attr(not(any(feature = "gpu", feature = "cpu")), allow(dead_code, reason = "for the backends"))]
pub(crate) mod schedule;
mod shapes;

pub use operation::{Beyond, Layer, Node, Operation, Value};
pub use part::Region;

use crate::error::{Error, Result};

/// The most nodes of a graph.
pub const MAX_NODES: usize = 1 << 16;

/// A network: nodes, each of which reads what some before it give. See the [module](self).
///
/// ```
/// use upconv::graph::Graph;
/// use upconv::{ConvTranspose, Tensor};
/// # fn main() -> upconv::Result<()> {
/// // Two layers in a row, each of which doubles the length.
/// let op = ConvTranspose::builder().kernel([2]).stride([2]).build()?;
/// let weight = Tensor::f32(op.weight_shape(), [1.0, 1.0])?;
/// let graph = Graph::of_layers(&[(op.clone(), weight.clone(), None), (op, weight, None)])?;
/// let y = graph.on_reference(&[Tensor::f32([1, 1, 2], [3.0, 5.0])?])?;
/// assert_eq!(y[0].to_f32(), [3.0, 3.0, 3.0, 3.0, 5.0, 5.0, 5.0, 5.0]);
/// # Ok(())
/// # }
/// ```
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

    /// The block sums that the outputs depend on: those of a list need means of the lists before it. Where they are given, a
    /// part of an output needs no other [region](Region) than what lies around it.
    pub fn means(&self) -> Vec<Vec<Value>> {
        let mut live = vec![false; self.nodes.len()];
        self.outputs.iter().for_each(|output| live[output.0] = true);
        for (index, node) in self.nodes.iter().enumerate().rev() {
            if live[index] {
                node.inputs.iter().for_each(|input| live[input.0] = true);
            }
        }
        // How many means lie on the way to each value.
        let mut depths: Vec<usize> = Vec::with_capacity(self.nodes.len());
        let mut levels: Vec<Vec<Value>> = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let depth = node.inputs.iter().map(|input| depths[input.0]).max().unwrap_or_default();
            let is_sums = node.operation == Operation::BlockSums;
            if is_sums && live[index] {
                levels.resize_with(levels.len().max(depth + 1), Vec::new);
                levels[depth].push(Value(index));
            }
            depths.push(depth + usize::from(is_sums));
        }
        levels
    }

    /// The same with this as its only output.
    #[cfg(feature = "picture")]
    pub(crate) fn giving(self, output: Value) -> Self {
        Self { outputs: vec![output], ..self }
    }

    /// The same with [`Accuracy::Normwise`](crate::Accuracy::Normwise) allowed to wide layers of kernel 3×3.
    #[cfg(feature = "picture")]
    pub(crate) fn allowing_transforms(mut self) -> Result<Self> {
        for node in &mut self.nodes {
            if let Operation::Layer(layer) = &mut node.operation
                && crate::winograd::wide_three_by_three(&layer.op)
            {
                let op = layer.op.to_builder().accuracy(crate::Accuracy::Normwise).build()?;
                *layer = Layer { op, ..Layer::clone(layer) }.into();
            }
        }
        Ok(self)
    }
}
