//! What makes layers a network: each is sound, and takes the channels that the one before gives.

use super::layer::Layer;
use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::op::ConvTranspose;

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
        let tensors = [("weight", Some(&layer.weight)), ("bias", layer.bias.as_ref())];
        for (what, tensor) in tensors.into_iter().filter_map(|(what, tensor)| Some((what, tensor?))) {
            let values = tensor.to_f64();
            // What f32 cannot hold becomes infinite on its way to a device.
            if let Some(at) = values.iter().position(|&value| !(value as f32).is_finite()) {
                return Err(problem(format!("layer {index}: {what}[{at}] of {} is {}", values.len(), values[at])));
            }
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

fn parameters(activation: &Activation) -> Vec<f32> {
    match activation {
        Activation::LeakyRelu { alpha } | Activation::Elu { alpha } => vec![*alpha],
        Activation::Clip { min, max } => vec![*min, *max],
        Activation::HardSwish { alpha, beta } => vec![*alpha, *beta],
        _ => activation.by_channel().map(|(_, values)| values.to_vec()).unwrap_or_default(),
    }
}
