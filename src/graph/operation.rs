//! What a node of a graph computes.

use crate::activation::Activation;
use crate::op::{ConvTranspose, Convolution};
use crate::tensor::Tensor;
use std::ops::Range;
use std::sync::Arc;

/// What a node gives: a handle, of the graph that returned it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(pub(crate) usize);

impl Value {
    /// The index of its node.
    pub fn index(self) -> usize {
        self.0
    }
}

/// A node of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub(crate) operation: Operation,
    pub(crate) inputs: Vec<Value>,
    pub(crate) channels: usize,
}

impl Node {
    /// What it computes.
    pub fn operation(&self) -> &Operation {
        &self.operation
    }

    /// What it reads.
    pub fn inputs(&self) -> &[Value] {
        &self.inputs
    }

    /// The channels of what it gives.
    pub fn channels(&self) -> usize {
        self.channels
    }
}

/// What a node computes of what it reads.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Operation {
    /// An input of the graph.
    Input,
    /// A transposed convolution, or an ordinary one as that.
    Layer(Arc<Layer>),
    /// A function of each element.
    Activation(Activation),
    /// The sum of two values of one shape.
    Add,
    /// The product of two values of one shape, or of one with a number for each of its channels: a value whose axes behind
    /// the channels all have the extent 1.
    Multiply,
    /// `scale · x + offset`
    Affine {
        /// The factor.
        scale: f32,
        /// What is added.
        offset: f32,
    },
    /// The channels of several values one behind another.
    Concatenate,
    /// Some neighbouring channels.
    Channels(Range<usize>),
    /// Without so many elements at the beginning and the end of each axis.
    Crop(Vec<[usize; 2]>),
    /// With so many elements more at the beginning and the end of each axis.
    Pad(Vec<[usize; 2]>, Beyond),
    /// Each element so many times along each axis: the nearest neighbour.
    Nearest(Vec<usize>),
    /// Depth to space, as `PixelShuffle` of PyTorch: with rank d, channel `(c·rᵈ + …·r + y)·r + x` becomes the channel c
    /// at the place (…, y, x) of each block of r elements along each axis.
    PixelShuffle(usize),
    /// The sum of each block of 16 elements along each of the last two axes, divided by 256. Blocks begin at multiples of
    /// 16; beyond the end there is nothing to add.
    BlockSums,
    /// The mean of each channel of each item of what the value's block sums are of: the extents of what it gives are 1.
    Mean,
}

impl Operation {
    /// Its name, in lower case.
    pub fn name(&self) -> &'static str {
        match self {
            Operation::Input => "input",
            Operation::Layer(_) => "layer",
            Operation::Activation(_) => "activation",
            Operation::Add => "add",
            Operation::Multiply => "multiply",
            Operation::Affine { .. } => "affine",
            Operation::Concatenate => "concatenate",
            Operation::Channels(_) => "channels",
            Operation::Crop(_) => "crop",
            Operation::Pad(..) => "pad",
            Operation::Nearest(_) => "nearest",
            Operation::PixelShuffle(_) => "pixel shuffle",
            Operation::BlockSums => "block sums",
            Operation::Mean => "mean",
        }
    }
}

/// An operation with its weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// What is computed.
    pub op: ConvTranspose,
    /// [`ConvTranspose::weight_shape`]
    pub weight: Arc<Tensor>,
    /// `[out_channels]`
    pub bias: Option<Arc<Tensor>>,
    /// The ordinary convolution that it was given as.
    pub convolution: Option<Arc<Convolution>>,
}

/// What stands beyond the border of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Beyond {
    /// Zeros.
    Zero,
    /// The outermost elements again.
    Replicate,
    /// The elements inside, mirrored at the outermost, which is not repeated.
    Reflect,
}

impl Beyond {
    /// The element that stands at a coordinate; `None` for a zero.
    pub(crate) fn at(self, coordinate: i64, extent: usize) -> Option<usize> {
        let last = extent as i64 - 1;
        let inside = match self {
            Beyond::Zero => return (0..=last).contains(&coordinate).then_some(coordinate as usize),
            Beyond::Replicate => coordinate.clamp(0, last),
            Beyond::Reflect => last - (last - coordinate.abs()).abs(),
        };
        Some(inside as usize)
    }
}
