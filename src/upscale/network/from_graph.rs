//! A graph that is a straight line, as the layers of a network.

use super::Network;
use super::check::problem;
use super::layer::{Kind, Layer};
use crate::activation::Activation;
use crate::error::Result;
use crate::graph::{self, Graph, Operation};
use std::sync::Arc;

impl Network {
    /// The network that a graph is whose layers follow one another, each with at most an activation behind it; with the
    /// product of the strides as scale and the least border that suffices.
    ///
    /// # Errors
    /// [`Error::Network`](crate::Error::Network) naming the node for any other graph, and what
    /// [`with_least_border`](Self::with_least_border) refuses.
    pub fn from_graph(graph: &Graph) -> Result<Self> {
        let mut layers: Vec<Layer> = Vec::new();
        for (index, node) in graph.nodes().iter().enumerate() {
            let wrong = |what: &str| problem(format!("node {index} ({}) {what}", node.operation().name()));
            let follows = match node.inputs() {
                [] => index == 0,
                [before] => before.index() + 1 == index,
                _ => false,
            };
            if !follows || graph.outputs().iter().any(|output| output.index() + 1 != graph.nodes().len()) {
                return Err(wrong("branches, expected layers that follow one another"));
            }
            match node.operation() {
                Operation::Input => {}
                Operation::Layer(layer) => layers.push(line(layer).map_err(|what| wrong(&what))?),
                Operation::Activation(activation) => match layers.last_mut() {
                    Some(layer) if layer.activation == Activation::None => layer.activation = activation.clone(),
                    Some(layer) => {
                        let before = layer.activation.name();
                        return Err(wrong(&format!("follows the activation {before}, expected a layer before it")));
                    }
                    None => return Err(wrong("is the first, expected a layer before it")),
                },
                _ => return Err(wrong("is neither a layer nor an activation")),
            }
        }
        Self::with_least_border(layers)
    }
}

fn line(layer: &graph::Layer) -> std::result::Result<Layer, String> {
    let pair = |values: &[usize]| <[usize; 2]>::try_from(values).map_err(|_| format!("has {} axes", values.len()));
    let same = |pads: Vec<(i64, i64)>| {
        let even = pads.iter().map(|&(begin, end)| usize::try_from(begin).ok().filter(|_| begin == end));
        let padding = even.collect::<Option<Vec<_>>>();
        padding.ok_or_else(|| format!("has the pads {pads:?}, expected the same from 0 on at both ends"))
    };
    let (bias, groups, activation) = (layer.bias.clone(), layer.op.groups(), layer.op.activation().clone());
    let (kind, weight, stride, padding, dilation) = match &layer.convolution {
        Some(convolution) => {
            let weight = convolution.turned_back(&*layer.weight).map_err(|error| error.to_string())?;
            let (stride, dilation) = (convolution.stride(), convolution.dilation());
            (Kind::Convolution, Arc::new(weight), stride, same(convolution.padding())?, dilation)
        }
        None => {
            let axes = layer.op.axes();
            if let Some(more) = axes.iter().map(|axis| axis.output_padding).find(|&more| more > 0) {
                return Err(format!("has an output padding of {more}"));
            }
            let pads = same(axes.iter().map(|axis| (axis.pad_begin, axis.pad_end)).collect())?;
            let each = |of: fn(&crate::Axis) -> usize| axes.iter().map(of).collect::<Vec<_>>();
            let (stride, dilation) = (each(|axis| axis.stride), each(|axis| axis.dilation));
            (Kind::Transposed, layer.weight.clone(), stride, pads, dilation)
        }
    };
    let (stride, padding, dilation) = (pair(&stride)?, pair(&padding)?, pair(&dilation)?);
    Ok(Layer { kind, weight, bias, stride, padding, dilation, groups, activation })
}
