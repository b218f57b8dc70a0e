//! Nodes of a graph as those of a file.

use super::{Activation, Kind, NodeKeys, Wrong, told};
use crate::describe::Described;
use crate::describe::json::{OneOrMany, Strict};
use crate::error::Result;
use crate::graph::{self, Graph, Operation};
use crate::layout::WeightLayout;
use crate::tensor::Tensor;
use crate::upscale::network::check::problem;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The tensors of a file that is written, by name.
#[derive(Default)]
pub(in crate::upscale::network) struct Tensors(pub(in crate::upscale::network) Vec<(String, Arc<Tensor>)>);

impl Tensors {
    /// The name of a tensor: the one it has if it is there already, or else this.
    fn name(&mut self, tensor: &Arc<Tensor>, name: String) -> String {
        if let Some((known, _)) = self.0.iter().find(|(_, known)| Arc::ptr_eq(known, tensor)) {
            return known.clone();
        }
        self.0.push((name.clone(), tensor.clone()));
        name
    }

    /// An activation, its parameters of each channel as a tensor of this name.
    fn activation(&mut self, activation: &crate::Activation, name: &str) -> Result<Activation> {
        if let Some((_, values)) = activation.by_channel() {
            self.0.push((name.to_owned(), Arc::new(Tensor::f32([values.len()], values)?)));
        }
        Ok(Described::new(activation, |_| name.to_owned()))
    }
}

/// The nodes of a graph as a file has them, and the number of the output.
pub(in crate::upscale::network) fn write(graph: &Graph, tensors: &mut Tensors) -> Result<(Vec<Strict<NodeKeys>>, i64)> {
    // Of each value its number in the file, where two nodes here may be one.
    let mut numbers: Vec<i64> = Vec::with_capacity(graph.nodes().len());
    let mut written: Vec<Strict<NodeKeys>> = Vec::new();
    // Convolutions share weights where they did before they were turned.
    let mut turned: BTreeMap<*const Tensor, Arc<Tensor>> = BTreeMap::new();
    for (index, node) in graph.nodes().iter().enumerate() {
        let of: Vec<i64> = node.inputs().iter().map(|value| numbers[value.index()]).collect();
        let one = || OneOrMany::One(of.first().copied().unwrap_or_default());
        let many = || OneOrMany::Many(of.clone());
        let borders = |given: &[[usize; 2]]| Some(given.iter().map(|pair| pair.map(|side| side as i64)).collect());
        let new = NodeKeys::new;
        let keys = match node.operation() {
            Operation::Input => {
                numbers.push(0);
                continue;
            }
            Operation::Mean => {
                // The node of the block sums stands for both.
                numbers.push(of[0]);
                continue;
            }
            Operation::BlockSums => new(Kind::Mean, one()),
            Operation::Layer(layer) => {
                let name = written.len() + 1;
                layer_keys(layer, one(), &format!("{name}"), tensors, &mut turned)
                    .map_err(|error| problem(format!("node {index}: {error}")))?
            }
            Operation::Activation(activation) => {
                let name = format!("{}.activation", written.len() + 1);
                NodeKeys { activation: Some(tensors.activation(activation, &name)?), ..new(Kind::Activation, one()) }
            }
            Operation::Add => new(Kind::Add, many()),
            Operation::Multiply => new(Kind::Multiply, many()),
            Operation::Concatenate => new(Kind::Concatenate, many()),
            Operation::Affine { scale, offset } => {
                NodeKeys { scale: Some(*scale), offset: Some(*offset), ..new(Kind::Affine, one()) }
            }
            Operation::Channels(range) => {
                let (first, count) = (Some(range.start as i64), Some(range.len() as i64));
                NodeKeys { first, count, ..new(Kind::Channels, one()) }
            }
            Operation::Crop(given) => NodeKeys { borders: borders(given), ..new(Kind::Crop, one()) },
            Operation::Pad(given, beyond) => {
                NodeKeys { borders: borders(given), beyond: Some((*beyond).into()), ..new(Kind::Pad, one()) }
            }
            Operation::Nearest(factors) => {
                let factors = Some(factors.iter().map(|&factor| factor as i64).collect());
                NodeKeys { factors, ..new(Kind::Nearest, one()) }
            }
            Operation::PixelShuffle(factor) => {
                NodeKeys { factor: Some(*factor as i64), ..new(Kind::PixelShuffle, one()) }
            }
        };
        written.push(Strict(keys));
        numbers.push(written.len() as i64);
    }
    let output = graph.outputs().first().map(|output| numbers[output.index()]).unwrap_or_default();
    Ok((written, output))
}

fn layer_keys(
    layer: &graph::Layer,
    of: OneOrMany<i64>,
    name: &str,
    tensors: &mut Tensors,
    turned: &mut BTreeMap<*const Tensor, Arc<Tensor>>,
) -> Wrong<NodeKeys> {
    let natural = |values: Vec<usize>| Some(OneOrMany::Many(values.into_iter().map(|value| value as i64).collect()));
    let (kind, weight, stride, padding, dilation, output_padding, order) = match &layer.convolution {
        Some(convolution) => {
            let weight = match turned.get(&Arc::as_ptr(&layer.weight)) {
                Some(weight) => weight.clone(),
                None => {
                    let weight = Arc::new(convolution.turned_back(&*layer.weight).map_err(told)?);
                    turned.insert(Arc::as_ptr(&layer.weight), weight.clone());
                    weight
                }
            };
            let (stride, dilation) = (convolution.stride(), convolution.dilation());
            (Kind::Conv, weight, stride, convolution.padding(), dilation, None, convolution.weight_layout())
        }
        None => {
            let axes = layer.op.axes();
            if layer.op.is_decimated() {
                return Err("leaves out outputs, and is no convolution".into());
            }
            let pads = axes.iter().map(|axis| (axis.pad_begin, axis.pad_end)).collect();
            let each = |of: fn(&crate::Axis) -> usize| axes.iter().map(of).collect::<Vec<_>>();
            let more = each(|axis| axis.output_padding);
            let output_padding = if more.iter().any(|&more| more > 0) { natural(more) } else { None };
            let (stride, dilation) = (each(|axis| axis.stride), each(|axis| axis.dilation));
            (Kind::Deconv, layer.weight.clone(), stride, pads, dilation, output_padding, layer.op.weight_layout())
        }
    };
    let expected = if kind == Kind::Conv { WeightLayout::Oihw } else { WeightLayout::Iohw };
    if order != expected {
        return Err(format!("its weight lies as {order:?}, expected {expected:?}"));
    }
    let mut activation = |activation: &crate::Activation, what: &str| match activation {
        crate::Activation::None => Ok(None),
        other => tensors.activation(other, &format!("{name}.{what}")).map(Some).map_err(told),
    };
    let (before, after) =
        (activation(layer.op.pre_activation(), "pre_activation")?, activation(layer.op.activation(), "activation")?);
    Ok(NodeKeys {
        weight: Some(tensors.name(&weight, format!("{name}.weight"))),
        bias: layer.bias.as_ref().map(|bias| tensors.name(bias, format!("{name}.bias"))),
        stride: natural(stride),
        padding: Some(OneOrMany::Many(
            padding.into_iter().map(|(begin, end)| OneOrMany::Many(vec![begin, end])).collect(),
        )),
        dilation: natural(dilation),
        output_padding,
        groups: Some(layer.op.groups() as i64),
        activation: after,
        pre_activation: before,
        ..NodeKeys::new(kind, of)
    })
}
