//! A network's file: what its description says, as the module's documentation has it, and its tensors.

use super::Network;
use super::check::{MAX_LAYERS, problem};
use super::frame::Frame;
use super::layer::{Kind, Layer};
use super::nodes::{self, BeyondKey, NodeKeys, Tensors, sizes};
use super::safetensors::{self, File};
use crate::describe::Described as DescribedActivation;
use crate::describe::json::{OneOrMany, Strict, Unique, listed, natural, read as read_keys};
use crate::error::Result;
use crate::graph::MAX_NODES;
use crate::upscale::encoding::Encoding;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The key of `__metadata__` under which the description stands.
const KEY: &str = "upconv";

/// The most bytes that weights and biases, as f32 and once for each layer that names them, may have beyond those of
/// the file's tensors. Weights are packed for each layer: this bounds what a small file can make of it.
const MAX_SHARED: u128 = 1 << 30;

/// The description of layers one after another: version 1.
#[derive(Deserialize)]
struct Line {
    #[allow(dead_code, reason = "looked at before")]
    version: u64,
    scale: i64,
    border: i64,
    #[allow(dead_code, reason = "there is one")]
    colour: Colour,
    #[serde(default)]
    encoding: Encoding,
    layers: Vec<Strict<LayerKeys>>,
}

/// The description of a graph: version 2.
#[derive(Serialize, Deserialize)]
struct Nodes {
    version: u64,
    scale: i64,
    border: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    beyond: Option<BeyondKey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    multiple: Option<i64>,
    colour: Colour,
    #[serde(default, skip_serializing_if = "is_default")]
    encoding: Encoding,
    nodes: Vec<Strict<NodeKeys>>,
    output: i64,
}

fn is_default(encoding: &Encoding) -> bool {
    *encoding == Encoding::default()
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Colour {
    Rgb,
}

/// A layer of version 1, with the names of its tensors.
#[derive(Deserialize)]
struct LayerKeys {
    kind: Kind,
    weight: String,
    bias: Option<String>,
    stride: Option<OneOrMany<i64>>,
    padding: Option<OneOrMany<i64>>,
    dilation: Option<OneOrMany<i64>>,
    groups: Option<i64>,
    activation: Option<DescribedActivation<String>>,
}

pub(super) fn read(bytes: &[u8]) -> Result<Network> {
    let mut file = File::parse(bytes)?;
    let Some(text) = file.notes.get(KEY) else {
        let there = listed(file.notes.keys());
        return Err(problem(format!("the file's __metadata__ has no description under {KEY:?}, only: {there}")));
    };
    let wrong = |error: String| problem(format!("the description under {KEY:?}: {error}"));
    let description = Unique::parse(text).map_err(wrong)?;
    let version = description.get("version").ok_or_else(|| wrong("missing field `version`".into()))?;
    match version.as_u64() {
        Some(1) => {
            let Line { scale, border, layers, encoding, .. } = read_keys(description).map_err(wrong)?;
            let (scale, border) =
                (natural("scale", scale, 0).map_err(wrong)?, natural("border", border, 0).map_err(wrong)?);
            if layers.len() > MAX_LAYERS {
                return Err(problem(format!("{} layers, expected 1 to {MAX_LAYERS}", layers.len())));
            }
            check_size(&file, layers.iter().flat_map(|Strict(keys)| std::iter::once(&keys.weight).chain(&keys.bias)))?;
            let layers = layers.into_iter().enumerate().map(|(index, Strict(keys))| layer(&mut file, index, keys));
            Ok(Network::new(&layers.collect::<Result<Vec<_>>>()?, scale, border)?.with_encoding(encoding))
        }
        Some(2) => {
            let Nodes { scale, border, beyond, multiple, encoding, nodes, output, .. } =
                read_keys(description).map_err(wrong)?;
            let frame = Frame {
                scale: natural("scale", scale, 0).map_err(wrong)?,
                border: natural("border", border, 0).map_err(wrong)?,
                beyond: beyond.unwrap_or(BeyondKey::Replicate).into(),
                multiple: natural("multiple", multiple.unwrap_or(1), 1).map_err(wrong)?,
            };
            if nodes.len() >= MAX_NODES {
                return Err(problem(format!("{} nodes, expected fewer than {MAX_NODES}", nodes.len())));
            }
            check_size(&file, nodes.iter().flat_map(|Strict(keys)| keys.tensors()))?;
            let graph = nodes::read(&mut file, nodes, output)?;
            Ok(Network::of_graph(graph, frame)?.with_encoding(encoding))
        }
        _ => Err(wrong(format!("version is {version}, expected 1 or 2"))),
    }
}

/// What is named, each time anew, must not be far more than what there is.
fn check_size<'a>(file: &File<'_>, names: impl Iterator<Item = &'a String>) -> Result<()> {
    let bytes = |elements: usize| 4 * elements as u128;
    let there: u128 = file.all_elements().map(bytes).sum();
    let named: u128 = names.filter_map(|name| file.elements(name)).map(bytes).sum();
    if named > there + MAX_SHARED {
        return Err(problem(format!(
            "the weights and biases of all layers have {named} bytes as f32, expected at most {}: those of the file's \
             tensors, and {MAX_SHARED} more for tensors that layers share",
            there + MAX_SHARED
        )));
    }
    Ok(())
}

fn layer(file: &mut File<'_>, index: usize, keys: LayerKeys) -> Result<Layer> {
    let wrong = |error: String| problem(format!("layer {index}: {error}"));
    let mut layer = Layer {
        bias: keys.bias.map(|name| file.tensor(&name)).transpose()?,
        stride: sizes("stride", keys.stride, 1).map_err(wrong)?,
        padding: sizes("padding", keys.padding, 0).map_err(wrong)?,
        dilation: sizes("dilation", keys.dilation, 1).map_err(wrong)?,
        groups: natural("groups", keys.groups.unwrap_or(1), 0).map_err(wrong)?,
        ..Layer::new(keys.kind, file.tensor(&keys.weight)?)
    };
    if let Some(activation) = keys.activation {
        // Slopes are copied: there must be as many as the weight has output channels.
        let channels = layer.op().map_err(|error| wrong(error.to_string()))?.out_channels();
        layer.activation = activation.resolve(|name: String| match file.elements(&name) {
            Some(given) if given != channels => Err(wrong(format!(
                "{name:?} has {given} parameters of the activation, expected {channels}, one for each output channel"
            ))),
            _ => Ok(file.tensor(&name)?.to_f32()),
        })?;
    }
    Ok(layer)
}

pub(super) fn write(network: &Network, notes: &[(&str, &str)]) -> Result<Vec<u8>> {
    let mut tensors = Tensors::default();
    let (nodes, output) = nodes::write(network.graph(), &mut tensors)?;
    let Frame { scale, border, beyond, multiple } = network.frame();
    let description = Nodes {
        version: 2,
        scale: scale as i64,
        border: border as i64,
        beyond: Some(beyond.into()),
        multiple: Some(multiple as i64),
        colour: Colour::Rgb,
        encoding: network.encoding(),
        nodes,
        output,
    };
    let text = serde_json::to_value(description).map_err(|error| problem(error.to_string()))?.to_string();
    let mut metadata: BTreeMap<String, String> =
        notes.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    metadata.insert(KEY.to_owned(), text);
    safetensors::write(metadata, &tensors.0)
}
