//! The shapes of a graph's values.

use super::operation::{Beyond, Node, Operation};
use super::part::BLOCK;
use super::{Graph, problem};
use crate::error::{Error, Result};

impl Graph {
    /// The shapes `[batch, channels, …]` of all values, for these of the inputs.
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of inputs, axes or channels or for batches that differ; [`Error::Graph`] naming
    /// the node for extents that do not fit together or leave nothing, and what
    /// [`ConvTranspose::at`](crate::ConvTranspose::at) refuses.
    pub fn shapes<S: AsRef<[usize]>>(&self, inputs: &[S]) -> Result<Vec<Vec<usize>>> {
        if inputs.len() != self.inputs.len() || self.outputs.is_empty() {
            let (given, takes, gives) = (inputs.len(), self.inputs.len(), self.outputs.len());
            return Err(problem(format!("{given} inputs given, but it has {takes}, and {gives} outputs")));
        }
        let mut given = inputs.iter().map(AsRef::as_ref);
        let batch = inputs.first().and_then(|shape| shape.as_ref().first()).copied();
        let mut shapes: Vec<Vec<usize>> = Vec::with_capacity(self.nodes.len());
        for (index, node) in self.nodes.iter().enumerate() {
            let shape = match &node.operation {
                Operation::Input => self.input_shape(node.channels, batch, given.next().unwrap_or_default())?,
                Operation::Layer(layer) => {
                    let named = |error: Error| problem(format!("node {index}: {error}"));
                    layer.op.at(&shapes[node.inputs[0].0]).map_err(named)?.output_shape()
                }
                _ => {
                    let read: Vec<&[usize]> = node.inputs.iter().map(|value| &shapes[value.0][..]).collect();
                    shape(node, &read)
                        .map_err(|wrong| problem(format!("node {index}, {}: {wrong}", node.operation.name())))?
                }
            };
            shapes.push(shape);
        }
        Ok(shapes)
    }

    fn input_shape(&self, channels: usize, batch: Option<usize>, shape: &[usize]) -> Result<Vec<usize>> {
        let fits = shape.len() == self.rank + 2 && shape[1] == channels && !shape[2..].contains(&0);
        if fits && shape.first().copied() == batch {
            return Ok(shape.to_vec());
        }
        let batch = batch.map_or("batch".into(), |batch| batch.to_string());
        let expected = format!("[{batch}, {channels}] and {} axes behind them, each at least 1", self.rank);
        Err(Error::Shape { what: "input", given: shape.to_vec(), expected })
    }
}

/// The shape of what a node gives that is neither an input nor a layer.
fn shape(node: &Node, read: &[&[usize]]) -> std::result::Result<Vec<usize>, String> {
    let first = read[0];
    let axes = |extent: &dyn Fn(usize, usize) -> Option<usize>| {
        let mut shape = vec![first[0], node.channels];
        for (axis, &given) in first[2..].iter().enumerate() {
            let made = extent(axis, given).filter(|&made| made > 0);
            shape.push(made.ok_or_else(|| format!("the extent {given} on axis {axis} leaves nothing, or too much"))?);
        }
        Ok(shape)
    };
    match &node.operation {
        Operation::Add | Operation::Multiply => {
            let scales = |shape: &[usize]| shape[2..].iter().all(|&extent| extent == 1);
            let multiplies = node.operation == Operation::Multiply;
            match [first, read[1]] {
                [a, b] if a == b => Ok(a.to_vec()),
                [a, b] if multiplies && a[0] == b[0] && scales(b) => Ok(a.to_vec()),
                [a, b] if multiplies && a[0] == b[0] && scales(a) => Ok(b.to_vec()),
                [a, b] => Err(format!("of {a:?} and {b:?}")),
            }
        }
        Operation::Concatenate => match read.iter().find(|shape| shape[0] != first[0] || shape[2..] != first[2..]) {
            Some(other) => Err(format!("of {first:?} and {other:?}")),
            None => axes(&|_, extent| Some(extent)),
        },
        Operation::Crop(borders) => axes(&|axis, extent| extent.checked_sub(borders[axis][0] + borders[axis][1])),
        Operation::Pad(borders, beyond) => axes(&|axis, extent| {
            let [begin, end] = borders[axis];
            // A mirror has no more than what is inside.
            let there = *beyond != Beyond::Reflect || begin.max(end) < extent;
            there.then(|| extent.checked_add(begin + end)).flatten()
        }),
        Operation::Nearest(factors) => axes(&|axis, extent| extent.checked_mul(factors[axis])),
        Operation::PixelShuffle(factor) => axes(&|_, extent| extent.checked_mul(*factor)),
        Operation::BlockSums => {
            let first = first.len().saturating_sub(4);
            axes(&|axis, extent| Some(if axis < first { extent } else { extent.div_ceil(BLOCK) }))
        }
        Operation::Mean => axes(&|_, _| Some(1)),
        Operation::Input
        | Operation::Layer(_)
        | Operation::Activation(_)
        | Operation::Affine { .. }
        | Operation::Channels(_) => axes(&|_, extent| Some(extent)),
    }
}

/// The distances between neighbours along each axis of a contiguous tensor.
pub(super) fn strides_of(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}
