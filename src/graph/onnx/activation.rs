//! Functions of each element.

use super::arithmetic::{ByChannel, numbers};
use super::constant::Read;
use super::maker::{Item, Maker, told};
use super::node::Node;
use super::pattern::Part;
use crate::activation::Activation;
use std::sync::Arc;

fn activate(maker: &mut Maker, node: &Node, activation: Activation) -> Read<Vec<Item>> {
    let mut blob = maker.blob(node, 0)?;
    blob.value = maker.graph.activation(blob.value, activation).map_err(told)?;
    Ok(blob.into())
}

pub(super) fn relu(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    activate(maker, node, Activation::Relu)
}

pub(super) fn sigmoid(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    activate(maker, node, Activation::Sigmoid)
}

pub(super) fn mish(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    activate(maker, node, Activation::Mish)
}

pub(super) fn hard_swish(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    activate(maker, node, Activation::HardSwish { alpha: 1.0 / 6.0, beta: 0.5 })
}

pub(super) fn leaky_relu(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    activate(maker, node, Activation::LeakyRelu { alpha: node.real("alpha", 0.01)? })
}

pub(super) fn elu(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    activate(maker, node, Activation::Elu { alpha: node.real("alpha", 1.0)? })
}

pub(super) fn gelu(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    match node.text("approximate", "none")?.as_str() {
        "none" => activate(maker, node, Activation::Gelu),
        other => Err(format!("is approximated by {other:?}, expected \"none\"")),
    }
}

pub(super) fn clip(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    let mut bound = |name: &str, number: usize, missing: f32| match maker.constant(node, number)? {
        Some(bound) => Ok(bound.only_real()? as f32),
        None => node.real(name, missing),
    };
    let (min, max) = (bound("min", 1, f32::MIN)?, bound("max", 2, f32::MAX)?);
    activate(maker, node, Activation::Clip { min, max })
}

/// `clip(alpha·x + beta, 0, 1)`
pub(super) fn hard_sigmoid(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    let (alpha, beta) = (node.real("alpha", 0.2)?, node.real("beta", 0.5)?);
    let blob = maker.blob(node, 0)?;
    let mut blob = maker.affine(blob, alpha.into(), beta.into())?;
    let clip = Activation::Clip { min: 0.0, max: 1.0 };
    blob.value = maker.graph.activation(blob.value, clip).map_err(told)?;
    Ok(blob.into())
}

/// `x` where it is positive, else `alpha·(exp(x/alpha) − 1)`.
pub(super) fn celu(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    let alpha = f64::from(node.real("alpha", 1.0)?);
    let blob = maker.blob(node, 0)?;
    let mut blob = maker.affine(blob, 1.0 / alpha, 0.0)?;
    blob.value = maker.graph.activation(blob.value, Activation::Elu { alpha: 1.0 }).map_err(told)?;
    Ok(maker.affine(blob, alpha, 0.0)?.into())
}

/// `gamma·x` where that is positive, else `gamma·alpha·(exp(x) − 1)`.
pub(super) fn selu(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    let (alpha, gamma) = (node.real("alpha", 1.673_263_2)?, node.real("gamma", 1.050_701)?);
    let mut blob = maker.blob(node, 0)?;
    blob.value = maker.graph.activation(blob.value, Activation::Elu { alpha }).map_err(told)?;
    Ok(maker.affine(blob, gamma.into(), 0.0)?.into())
}

pub(super) fn prelu(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    let (blob, slopes) = (maker.blob(node, 0)?, maker.needed(node, 1)?);
    slopes.weights()?;
    let activation = match numbers(maker, blob, &slopes)? {
        ByChannel::One(alpha) => Activation::LeakyRelu { alpha: alpha as f32 },
        ByChannel::Each(slopes) => {
            maker.spend([slopes.len(), 2], size_of::<f32>())?;
            Activation::Prelu { slopes: slopes.iter().map(|&slope| slope as f32).collect() }
        }
    };
    activate(maker, node, activation)
}

pub(super) fn tanh(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    match maker.item(node, 0)? {
        Some(Item::Part(part)) => match *part {
            Part::Softplus(x) => Ok(vec![Item::Part(Arc::new(Part::TanhOfSoftplus(x)))]),
            _ => Err(part.alone()),
        },
        _ => activate(maker, node, Activation::Tanh),
    }
}

pub(super) fn softplus(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    Ok(vec![Item::Part(Arc::new(Part::Softplus(maker.blob(node, 0)?)))])
}

pub(super) fn erf(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    let blob = maker.blob(node, 0)?;
    Ok(vec![Item::Part(Arc::new(Part::erf(maker, blob)))])
}

pub(super) fn sin(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    let blob = maker.blob(node, 0)?;
    Ok(vec![Item::Part(Arc::new(Part::sine(maker, blob)?))])
}
