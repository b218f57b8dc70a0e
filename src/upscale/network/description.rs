//! A network's description in JSON, as the module's documentation has it.

use super::safetensors::{self, File};
use super::{Kind, Layer, Network, problem};
use crate::activation::Activation;
use crate::error::Result;
use crate::tensor::Tensor;
use serde_json::{Map, Value, json};

/// The key of `__metadata__` under which the description stands.
const KEY: &str = "upconv";

/// The one version there is.
const VERSION: u64 = 1;

/// The one colour there is.
const COLOUR: &str = "rgb";

impl Network {
    /// Reads a network from the bytes of a safetensors file in the [format](super#the-file) described above.
    ///
    /// # Errors
    /// [`Error::Safetensors`](crate::Error::Safetensors) for a file that is unsound or lacks a tensor,
    /// [`Error::Network`](crate::Error::Network) for a description that is wrong, and what [`Network::new`] refuses.
    pub fn from_safetensors(bytes: &[u8]) -> Result<Self> {
        let file = File::parse(bytes)?;
        let Some(text) = file.metadata.get(KEY).and_then(Value::as_str) else {
            let keys: Vec<&str> = file.metadata.keys().take(20).map(String::as_str).collect();
            return Err(problem(format!(
                "the file's __metadata__ has no description under {KEY:?}, only: {}",
                if keys.is_empty() { "nothing".to_owned() } else { keys.join(", ") }
            )));
        };
        let description: Value = serde_json::from_str(text)
            .map_err(|error| problem(format!("the description under {KEY:?} is no JSON: {error}")))?;
        let object = Object::new("the description", &description)?;
        object.only(&["version", "scale", "border", "colour", "layers"])?;
        if object.number("version")? != Some(VERSION as usize) {
            return Err(object.refused("version", "1"));
        }
        if object.0.get("colour").and_then(Value::as_str) != Some(COLOUR) {
            return Err(object.refused("colour", "\"rgb\""));
        }
        let required = |key: &str| object.number(key)?.ok_or_else(|| object.refused(key, "a whole number"));
        let (scale, border) = (required("scale")?, required("border")?);
        let Some(list) = object.0.get("layers").and_then(Value::as_array) else {
            return Err(object.refused("layers", "a list"));
        };
        if list.len() > super::MAX_LAYERS {
            return Err(problem(format!("{} layers, expected 1 to {}", list.len(), super::MAX_LAYERS)));
        }
        let layers = list.iter().enumerate().map(|(index, value)| layer(&file, index, value));
        Network::new(layers.collect::<Result<_>>()?, scale, border)
    }

    /// The network as the bytes of a safetensors file, its tensors as they are. `notes` are further keys of
    /// `__metadata__`: a licence, say; a note under `upconv` is left out.
    pub fn to_safetensors(&self, notes: &[(&str, &str)]) -> Vec<u8> {
        let mut metadata: Map<String, Value> =
            notes.iter().map(|&(key, value)| (key.to_owned(), value.into())).collect();
        let mut slopes = Vec::new();
        let mut layers = Vec::new();
        for (index, layer) in self.layers.iter().enumerate() {
            let mut object = json!({
                "kind": match layer.kind {
                    Kind::Convolution => "conv",
                    Kind::Transposed => "deconv",
                },
                "weight": format!("{index}.weight"),
                "stride": layer.stride,
                "padding": layer.padding,
                "dilation": layer.dilation,
                "groups": layer.groups,
                "activation": activation_json(&layer.activation, &format!("{index}.slopes")),
            });
            if layer.bias.is_some() {
                object["bias"] = format!("{index}.bias").into();
            }
            if let Activation::Prelu { slopes: values } = &layer.activation {
                // As many as there are channels, so that a shape fits.
                slopes
                    .extend(Tensor::f32([values.len()], &values[..]).map(|tensor| (format!("{index}.slopes"), tensor)));
            }
            layers.push(object);
        }
        let description = json!({
            "version": VERSION, "scale": self.scale, "border": self.border(), "colour": COLOUR, "layers": layers,
        });
        metadata.insert(KEY.to_owned(), description.to_string().into());
        let mut tensors: Vec<(String, &Tensor)> = Vec::new();
        for (index, layer) in self.layers.iter().enumerate() {
            tensors.push((format!("{index}.weight"), &layer.weight));
            tensors.extend(layer.bias.as_ref().map(|bias| (format!("{index}.bias"), bias)));
        }
        tensors.extend(slopes.iter().map(|(name, tensor)| (name.clone(), tensor)));
        safetensors::write(&metadata, &tensors)
    }
}

/// A JSON object that knows where it stands.
struct Object<'a>(&'a Map<String, Value>, String);

impl<'a> Object<'a> {
    fn new(place: impl Into<String>, value: &'a Value) -> Result<Self> {
        let place = place.into();
        match value {
            Value::Object(map) => Ok(Self(map, place)),
            other => Err(problem(format!("{place} is {}, expected a JSON object", short(other)))),
        }
    }

    /// Refuses keys that are not among these.
    fn only(&self, known: &[&str]) -> Result<()> {
        match self.0.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(problem(format!("{} has a key {key:?}, expected {}", self.1, known.join(", ")))),
            None => Ok(()),
        }
    }

    fn refused(&self, key: &str, expected: &str) -> crate::Error {
        let given = self.0.get(key).map_or_else(|| "missing".to_owned(), short);
        problem(format!("{} of {} is {given}, expected {expected}", key, self.1))
    }

    fn number(&self, key: &str) -> Result<Option<usize>> {
        self.0.get(key).map(|value| whole(value).ok_or_else(|| self.refused(key, "a whole number"))).transpose()
    }

    /// One number for both axes, or two.
    fn pair(&self, key: &str, missing: usize) -> Result<[usize; 2]> {
        let pair = match self.0.get(key) {
            None => Some([missing; 2]),
            Some(Value::Array(list)) => match &list[..] {
                [y, x] => whole(y).zip(whole(x)).map(<[usize; 2]>::from),
                _ => None,
            },
            Some(value) => whole(value).map(|both| [both; 2]),
        };
        pair.ok_or_else(|| self.refused(key, "a whole number, or two for (h, w)"))
    }

    fn text(&self, key: &str) -> Result<&'a str> {
        self.0.get(key).and_then(Value::as_str).ok_or_else(|| self.refused(key, "a name"))
    }

    fn real(&self, key: &str) -> Result<f32> {
        let value = self.0.get(key).and_then(Value::as_f64).map(|value| value as f32);
        value.filter(|value| value.is_finite()).ok_or_else(|| self.refused(key, "a number"))
    }
}

fn whole(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|value| usize::try_from(value).ok())
}

/// What was given, of which a message shows the beginning.
fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn layer(file: &File<'_>, index: usize, value: &Value) -> Result<Layer> {
    let object = Object::new(format!("layer {index}"), value)?;
    object.only(&["kind", "weight", "bias", "stride", "padding", "dilation", "groups", "activation"])?;
    let kind = match object.text("kind")? {
        "conv" => Kind::Convolution,
        "deconv" => Kind::Transposed,
        _ => return Err(object.refused("kind", "\"conv\" or \"deconv\"")),
    };
    let bias = match object.0.get("bias") {
        None => None,
        Some(_) => Some(file.tensor(object.text("bias")?)?),
    };
    Ok(Layer {
        kind,
        weight: file.tensor(object.text("weight")?)?,
        bias,
        stride: object.pair("stride", 1)?,
        padding: object.pair("padding", 0)?,
        dilation: object.pair("dilation", 1)?,
        groups: object.number("groups")?.unwrap_or(1),
        activation: match object.0.get("activation") {
            None => Activation::None,
            Some(value) => activation(file, &format!("the activation of layer {index}"), value)?,
        },
    })
}

fn activation(file: &File<'_>, place: &str, value: &Value) -> Result<Activation> {
    let object = Object::new(place, value)?;
    let only = |known: &[&str]| object.only(&[&["kind"], known].concat());
    let real = |key: &str| object.real(key);
    let (keys, activation): (&[&str], _) = match object.text("kind")? {
        "none" => (&[], Activation::None),
        "relu" => (&[], Activation::Relu),
        "sigmoid" => (&[], Activation::Sigmoid),
        "tanh" => (&[], Activation::Tanh),
        "mish" => (&[], Activation::Mish),
        "gelu" => (&[], Activation::Gelu),
        "leaky_relu" => (&["alpha"], Activation::LeakyRelu { alpha: real("alpha")? }),
        "prelu" => (&["slopes"], Activation::Prelu { slopes: file.tensor(object.text("slopes")?)?.to_f32() }),
        "clip" => (&["min", "max"], Activation::Clip { min: real("min")?, max: real("max")? }),
        "hard_swish" => (&["alpha", "beta"], Activation::HardSwish { alpha: real("alpha")?, beta: real("beta")? }),
        _ => {
            let known = "none, relu, leaky_relu, prelu, clip, sigmoid, tanh, hard_swish, mish or gelu";
            return Err(object.refused("kind", known));
        }
    };
    only(keys)?;
    Ok(activation)
}

fn activation_json(activation: &Activation, slopes: &str) -> Value {
    let mut object = json!({"kind": activation.name()});
    let mut set = |key: &str, value: Value| object[key] = value;
    match activation {
        Activation::LeakyRelu { alpha } => set("alpha", (*alpha).into()),
        Activation::Prelu { .. } => set("slopes", slopes.into()),
        Activation::Clip { min, max } => {
            set("min", (*min).into());
            set("max", (*max).into());
        }
        Activation::HardSwish { alpha, beta } => {
            set("alpha", (*alpha).into());
            set("beta", (*beta).into());
        }
        _ => {}
    }
    object
}
