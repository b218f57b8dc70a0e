//! A network's file: what its description says, as the module's documentation has it, and its tensors.

use super::check::{MAX_LAYERS, problem};
use super::layer::{Kind, Layer};
use super::safetensors::{self, File};
use crate::describe::Described as DescribedActivation;
use crate::describe::json::{OneOrMany, Strict, Unique, listed, natural, read as read_keys};
use crate::error::Result;
use crate::tensor::Tensor;
use crate::upscale::encoding::Encoding;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The key of `__metadata__` under which the description stands.
const KEY: &str = "upconv";

/// The one version there is.
const VERSION: u64 = 1;

/// The most bytes that weights and biases, as f32 and once for each layer that names them, may have beyond those of
/// the file's tensors. Weights are packed for each layer: this bounds what a small file can make of it.
const MAX_SHARED: u128 = 1 << 30;

/// What a file says.
pub(super) struct Described {
    pub(super) layers: Vec<Layer>,
    pub(super) scale: usize,
    pub(super) border: usize,
    pub(super) encoding: Encoding,
}

/// The description.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    version: u64,
    scale: i64,
    border: i64,
    colour: Colour,
    #[serde(default, skip_serializing_if = "is_default")]
    encoding: Encoding,
    layers: Vec<Strict<LayerKeys>>,
}

fn is_default(encoding: &Encoding) -> bool {
    *encoding == Encoding::default()
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Colour {
    Rgb,
}

/// A layer in the description, with the names of its tensors.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LayerKeys {
    kind: Kind,
    weight: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    bias: Option<String>,
    stride: Option<OneOrMany<i64>>,
    padding: Option<OneOrMany<i64>>,
    dilation: Option<OneOrMany<i64>>,
    groups: Option<i64>,
    activation: Option<DescribedActivation<String>>,
}

pub(super) fn read(bytes: &[u8]) -> Result<Described> {
    let mut file = File::parse(bytes)?;
    let Some(text) = file.notes.get(KEY) else {
        let there = listed(file.notes.keys());
        return Err(problem(format!("the file's __metadata__ has no description under {KEY:?}, only: {there}")));
    };
    let wrong = |error: String| problem(format!("the description under {KEY:?}: {error}"));
    let description: Description = Unique::parse(text).and_then(read_keys).map_err(wrong)?;
    let Description { version, scale, border, layers, encoding, colour: Colour::Rgb } = description;
    if version != VERSION {
        return Err(wrong(format!("version is {version}, expected {VERSION}")));
    }
    let (scale, border) = (natural("scale", scale, 0).map_err(wrong)?, natural("border", border, 0).map_err(wrong)?);
    if layers.len() > MAX_LAYERS {
        return Err(problem(format!("{} layers, expected 1 to {MAX_LAYERS}", layers.len())));
    }
    check_size(&file, &layers)?;
    let layers = layers.into_iter().enumerate().map(|(index, Strict(keys))| layer(&mut file, index, keys));
    Ok(Described { layers: layers.collect::<Result<_>>()?, scale, border, encoding })
}

/// What layers name, each time anew, must not be far more than what there is.
fn check_size(file: &File<'_>, layers: &[Strict<LayerKeys>]) -> Result<()> {
    let bytes = |elements: usize| 4 * elements as u128;
    let there: u128 = file.all_elements().map(bytes).sum();
    let names = layers.iter().flat_map(|Strict(keys)| std::iter::once(&keys.weight).chain(&keys.bias));
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
        stride: pair("stride", keys.stride, 1).map_err(wrong)?,
        padding: pair("padding", keys.padding, 0).map_err(wrong)?,
        dilation: pair("dilation", keys.dilation, 1).map_err(wrong)?,
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

/// One number for both axes, or two.
fn pair(what: &str, given: Option<OneOrMany<i64>>, missing: usize) -> std::result::Result<[usize; 2], String> {
    match given {
        None => Ok([missing; 2]),
        Some(OneOrMany::One(both)) => natural(what, both, 0).map(|both| [both; 2]),
        Some(OneOrMany::Many(list)) => match list[..] {
            [y, x] => Ok([natural(what, y, 0)?, natural(what, x, 0)?]),
            _ => Err(format!("{what} has {} values, expected one, or two for (h, w)", list.len())),
        },
    }
}

pub(super) fn write(
    layers: &[Layer],
    scale: usize,
    border: usize,
    encoding: Encoding,
    notes: &[(&str, &str)],
) -> Result<Vec<u8>> {
    let mut parameters = Vec::new();
    let mut tensors: Vec<(String, Arc<Tensor>)> = Vec::new();
    let mut described = Vec::new();
    for (index, layer) in layers.iter().enumerate() {
        let named = |what: &str| format!("{index}.{what}");
        let both = |values: [usize; 2]| Some(OneOrMany::Many(values.map(|value| value as i64).to_vec()));
        let weight = name_of(&mut tensors, &layer.weight, named("weight"));
        let bias = layer.bias.as_ref().map(|bias| name_of(&mut tensors, bias, named("bias")));
        if let Some((_, values)) = layer.activation.by_channel() {
            parameters.push((named("activation"), Arc::new(Tensor::f32([values.len()], values)?)));
        }
        described.push(Strict(LayerKeys {
            kind: layer.kind,
            weight,
            bias,
            stride: both(layer.stride),
            padding: both(layer.padding),
            dilation: both(layer.dilation),
            groups: Some(layer.groups as i64),
            activation: Some(DescribedActivation::new(&layer.activation, |_| named("activation"))),
        }));
    }
    tensors.append(&mut parameters);
    let (scale, border) = (scale as i64, border as i64);
    let description = Description { version: VERSION, scale, border, colour: Colour::Rgb, encoding, layers: described };
    let text = serde_json::to_value(description).map_err(|error| problem(error.to_string()))?.to_string();
    let mut metadata: BTreeMap<String, String> =
        notes.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    metadata.insert(KEY.to_owned(), text);
    safetensors::write(metadata, &tensors)
}

/// The name of a tensor: the one it has if another layer has the same tensor, or else this.
fn name_of(tensors: &mut Vec<(String, Arc<Tensor>)>, tensor: &Arc<Tensor>, name: String) -> String {
    if let Some((known, _)) = tensors.iter().find(|(_, known)| Arc::ptr_eq(known, tensor)) {
        return known.clone();
    }
    tensors.push((name.clone(), tensor.clone()));
    name
}
