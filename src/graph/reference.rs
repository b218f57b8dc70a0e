//! A graph computed node by node on the reference.

use super::Graph;
use super::operation::{Beyond, Node, Operation};
use super::part::BLOCK;
use super::shapes::strides_of;
use crate::error::Result;
use crate::reference;
use crate::tensor::{DType, Tensor};

impl Graph {
    /// All nodes on the reference, one after another, each in f64; between them, values are rounded to the first input's
    /// type.
    ///
    /// # Errors
    /// As [`shapes`](Self::shapes).
    pub fn on_reference(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let shapes = self.shapes(&inputs.iter().map(Tensor::shape).collect::<Vec<_>>())?;
        let dtype = inputs.first().map_or(DType::F64, Tensor::dtype);
        let mut given = inputs.iter();
        let mut values: Vec<Tensor> = Vec::with_capacity(self.nodes.len());
        for (node, shape) in self.nodes.iter().zip(&shapes) {
            let read: Vec<&Tensor> = node.inputs.iter().map(|value| &values[value.0]).collect();
            let value = match (&node.operation, given.as_slice().first()) {
                (Operation::Input, Some(input)) => {
                    given.next();
                    input.cast(dtype)
                }
                (Operation::Layer(layer), _) => {
                    reference::run(&layer.op, read[0], &*layer.weight, layer.bias.as_deref())?
                }
                (Operation::Mean, _) => {
                    let of = self.nodes[node.inputs[0].0].inputs[0].0;
                    let count: usize = shapes[of][2..].iter().product();
                    Tensor::f64(shape.clone(), means(read[0], count))?.cast(dtype)
                }
                _ => Tensor::f64(shape.clone(), elements(node, &read, shape))?.cast(dtype),
            };
            values.push(value);
        }
        Ok(self.outputs.iter().map(|value| values[value.0].clone()).collect())
    }
}

/// The elements of what a node gives that is neither an input nor a layer.
fn elements(node: &Node, read: &[&Tensor], shape: &[usize]) -> Vec<f64> {
    let from: Vec<Vec<f64>> = read.iter().map(|tensor| tensor.to_f64()).collect();
    let (strides, sources) =
        (strides_of(shape), read.iter().map(|tensor| strides_of(tensor.shape())).collect::<Vec<_>>());
    // The element of an operand at `[batch, channel, …]`; where its extent is 1, its only one.
    let at = |operand: usize, place: &[usize]| {
        let axes = place.iter().zip(read[operand].shape()).zip(&sources[operand]);
        from[operand][axes.map(|((&at, &extent), stride)| if extent == 1 { 0 } else { at * stride }).sum::<usize>()]
    };
    let element = |index: usize| {
        let place: Vec<usize> = strides.iter().zip(shape).map(|(stride, extent)| index / stride % extent).collect();
        let moved = |to: &dyn Fn(usize, usize) -> usize| -> Vec<usize> {
            place.iter().enumerate().map(|(axis, &at)| if axis < 2 { at } else { to(axis - 2, at) }).collect()
        };
        match &node.operation {
            Operation::Add => at(0, &place) + at(1, &place),
            Operation::Multiply => at(0, &place) * at(1, &place),
            Operation::Affine { scale, offset } => f64::from(*scale) * at(0, &place) + f64::from(*offset),
            Operation::Activation(activation) => activation.apply(place[1], at(0, &place)),
            Operation::Concatenate => {
                let mut channel = place[1];
                let mut operand = 0;
                while channel >= read[operand].shape()[1] {
                    channel -= read[operand].shape()[1];
                    operand += 1;
                }
                let place: Vec<usize> = [place[0], channel].into_iter().chain(place[2..].iter().copied()).collect();
                at(operand, &place)
            }
            Operation::Channels(range) => {
                let place: Vec<usize> =
                    [place[0], place[1] + range.start].into_iter().chain(place[2..].iter().copied()).collect();
                at(0, &place)
            }
            Operation::Crop(borders) => at(0, &moved(&|axis, at| at + borders[axis][0])),
            Operation::Nearest(factors) => at(0, &moved(&|axis, at| at / factors[axis])),
            Operation::Pad(borders, beyond) => {
                padded(borders, *beyond, &place, read[0].shape()).map_or(0.0, |place| at(0, &place))
            }
            Operation::PixelShuffle(factor) => {
                let mut place = place.clone();
                for axis in 2..place.len() {
                    place[1] = place[1] * factor + place[axis] % factor;
                    place[axis] /= factor;
                }
                at(0, &place)
            }
            Operation::BlockSums => {
                // The places of a block, along the last two axes.
                let within = |axis: usize| {
                    let first = place.len().saturating_sub(2).max(2);
                    let side = if axis < first { 1 } else { BLOCK };
                    place[axis] * side..((place[axis] + 1) * side).min(read[0].shape()[axis])
                };
                let mut places = vec![place[..2].to_vec()];
                for axis in 2..place.len() {
                    let longer = |place: Vec<usize>| within(axis).map(move |at| [&place[..], &[at]].concat());
                    places = places.into_iter().flat_map(longer).collect();
                }
                places.iter().map(|place| at(0, place)).sum::<f64>() / (BLOCK * BLOCK) as f64
            }
            Operation::Input | Operation::Layer(_) | Operation::Mean => at(0, &place),
        }
    };
    (0..shape.iter().product()).map(element).collect()
}

/// The means of values of so many elements, from the sums of their blocks.
fn means(sums: &Tensor, count: usize) -> Vec<f64> {
    let blocks: usize = sums.shape()[2..].iter().product();
    let scale = (BLOCK * BLOCK) as f64 / count as f64;
    sums.to_f64().chunks_exact(blocks).map(|sums| sums.iter().sum::<f64>() * scale).collect()
}

/// The place in what is padded; `None` for a zero.
fn padded(borders: &[[usize; 2]], beyond: Beyond, place: &[usize], source: &[usize]) -> Option<Vec<usize>> {
    let mut inside = place[..2].to_vec();
    for (axis, border) in borders.iter().enumerate() {
        inside.push(beyond.at(place[axis + 2] as i64 - border[0] as i64, source[axis + 2])?);
    }
    Some(inside)
}
