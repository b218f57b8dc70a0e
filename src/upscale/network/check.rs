//! What makes layers a network: each is sound, and takes the channels that the one before gives.

use super::layer::Layer;
use super::turned::Turned;
use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::graph::{Graph, Operation};
use crate::op::ConvTranspose;
use crate::tensor::Tensor;

/// The most layers of a network.
pub const MAX_LAYERS: usize = 1024;

/// The planes of a picture, and the channels of a network's input and output: red, green, blue.
pub const CHANNELS: usize = 3;

pub(super) fn problem(problem: String) -> Error {
    Error::Network { problem }
}

/// The operations of layers that fit together.
pub(super) fn operations(layers: &[Layer]) -> Result<Vec<ConvTranspose>> {
    if !(1..=MAX_LAYERS).contains(&layers.len()) {
        return Err(problem(format!("{} layers, expected 1 to {MAX_LAYERS}", layers.len())));
    }
    let mut channels = CHANNELS;
    let mut operations = Vec::with_capacity(layers.len());
    for (index, layer) in layers.iter().enumerate() {
        let named = |error: &Error| problem(format!("layer {index}: {error}"));
        let op = layer.op().map_err(|error| named(&error))?;
        if let Some(bias) = &layer.bias {
            let expected = [op.out_channels()];
            if bias.shape() != expected {
                let given = bias.shape();
                return Err(problem(format!("layer {index}: bias has shape {given:?}, expected {expected:?}")));
            }
        }
        if op.in_channels() != channels {
            let (given, from) = (op.in_channels(), if index == 0 { "the picture" } else { "the layer before" });
            return Err(problem(format!("layer {index} takes {given} channels, but {from} has {channels}")));
        }
        channels = op.out_channels();
        if let Some(wrong) = not_finite(&layer.weight, layer.bias.as_deref()) {
            return Err(problem(format!("layer {index}: {wrong}")));
        }
        if let Some(value) = parameters(&layer.activation).into_iter().find(|value| !value.is_finite()) {
            let name = layer.activation.name();
            return Err(problem(format!("layer {index}: a parameter of its {name} is {value}")));
        }
        operations.push(op);
    }
    if channels != CHANNELS {
        return Err(problem(format!("the last layer gives {channels} channels, expected {CHANNELS}")));
    }
    Ok(operations)
}

/// The graph of layers one after another.
pub(super) fn line(layers: &[Layer]) -> Result<Graph> {
    let mut graph = Graph::new(2)?;
    let (mut value, mut turned) = (graph.input(CHANNELS)?, Turned::default());
    for layer in layers {
        value = layer.add_to(&mut graph, value, &mut turned)?;
    }
    graph.output(value)?;
    Ok(graph)
}

/// Whether a graph makes a picture of a picture, with weights that f32 can hold.
pub(super) fn graph(graph: &Graph) -> Result<()> {
    let channels =
        |values: &[crate::graph::Value]| values.iter().map(|&v| graph.node(v).channels()).collect::<Vec<_>>();
    let (inputs, outputs) = (channels(graph.inputs()), channels(graph.outputs()));
    if graph.rank() != 2 || inputs != [CHANNELS] || outputs != [CHANNELS] {
        return Err(problem(format!(
            "{} axes behind the channels, {inputs:?} channels of its inputs and {outputs:?} of its outputs, expected 2 axes \
             and one picture of {CHANNELS} channels each",
            graph.rank()
        )));
    }
    for (index, node) in graph.nodes().iter().enumerate() {
        if let Operation::Layer(layer) = node.operation()
            && let Some(wrong) = not_finite(&layer.weight, layer.bias.as_deref())
        {
            return Err(problem(format!("node {index}: {wrong}")));
        }
    }
    Ok(())
}

/// The first weight or bias that f32 cannot hold: it becomes infinite on its way to a device.
fn not_finite(weight: &Tensor, bias: Option<&Tensor>) -> Option<String> {
    let tensors = [("weight", Some(weight)), ("bias", bias)];
    tensors.into_iter().filter_map(|(what, tensor)| Some((what, tensor?))).find_map(|(what, tensor)| {
        let values = tensor.to_f64();
        let at = values.iter().position(|&value| !(value as f32).is_finite())?;
        Some(format!("{what}[{at}] of {} is {}", values.len(), values[at]))
    })
}

fn parameters(activation: &Activation) -> Vec<f32> {
    match activation {
        Activation::LeakyRelu { alpha } | Activation::Elu { alpha } => vec![*alpha],
        Activation::Clip { min, max } => vec![*min, *max],
        Activation::HardSwish { alpha, beta } => vec![*alpha, *beta],
        _ => activation.by_channel().map(|(_, values)| values.to_vec()).unwrap_or_default(),
    }
}
