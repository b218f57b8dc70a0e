//! A file: its nodes, constants, inputs and outputs.

use super::constant::{Constant, Read};
use super::node::{Node, short};
use super::proto;
use prost::Message;
use prost::bytes::Bytes;
use std::collections::BTreeMap;

/// The most nodes, constants, inputs and outputs that are read.
const MAX_NODES: usize = 1 << 14;

/// The most inputs that are no constants.
const MAX_INPUTS: usize = 256;

/// The most channels of an input or a concatenation.
pub(super) const MAX_CHANNELS: usize = 1 << 31;

/// The versions of ONNX's operators that are read.
const OPSETS: std::ops::RangeInclusive<i64> = 9..=22;

pub(super) struct File {
    pub(super) opset: i64,
    pub(super) nodes: Vec<Node>,
    /// Each decoded where it is first read.
    pub(super) tensors: BTreeMap<String, proto::Tensor>,
    pub(super) inputs: Vec<Input>,
    pub(super) outputs: Vec<String>,
    /// The size of the file.
    pub(super) bytes: usize,
}

/// An input that is no constant.
pub(super) struct Input {
    pub(super) name: String,
    /// The extents of its axes, as far as they are fixed.
    pub(super) shape: Option<Vec<Option<usize>>>,
}

fn message<T: Message + Default>(bytes: Bytes, what: &str) -> Read<T> {
    T::decode(bytes).map_err(|error| format!("{what} is damaged: {error}"))
}

fn most(what: &str, messages: &[Bytes]) -> Read<()> {
    match messages.len() {
        given if given > MAX_NODES => Err(format!("the file has {given} {what}, expected at most {MAX_NODES}")),
        _ => Ok(()),
    }
}

impl File {
    pub(super) fn decode(bytes: &[u8]) -> Read<Self> {
        let model: proto::Model = message(Bytes::copy_from_slice(bytes), "the file")?;
        let graph = model.graph.ok_or("the file has no graph: is it one of ONNX?")?;
        if let Some(function) = model.functions.into_iter().next() {
            let function: proto::Function = message(function, "a function")?;
            return Err(format!("the file has the function {:?}, which is not read", short(&function.name)));
        }
        let mut opset = None;
        for message in model.opsets {
            let given = proto::Opset::decode(message).map_err(|error| format!("an opset is damaged: {error}"))?;
            if ["", "ai.onnx"].contains(&&*given.domain) {
                opset = Some(given.version);
            }
        }
        let opset = opset.ok_or("the file does not say of which opset its operators are")?;
        if !OPSETS.contains(&opset) {
            return Err(format!("the file has opset {opset}, expected {} to {}", OPSETS.start(), OPSETS.end()));
        }
        let graph: proto::Graph = message(graph, "the graph")?;
        if let Some(sparse) = graph.sparse_initializers.into_iter().next() {
            let sparse: proto::Sparse = message(sparse, "a sparse tensor")?;
            let name = sparse.values.unwrap_or_default().name;
            return Err(format!("tensor {:?} is sparse, which is not read", short(&name)));
        }
        for (what, messages) in [
            ("nodes", &graph.nodes),
            ("constants", &graph.initializers),
            ("inputs", &graph.inputs),
            ("outputs", &graph.outputs),
        ] {
            most(what, messages)?;
        }
        let mut tensors = BTreeMap::new();
        for bytes in graph.initializers {
            let tensor: proto::Tensor = message(bytes, "a tensor")?;
            let name = tensor.name.clone();
            if tensors.insert(name.clone(), tensor).is_some() {
                return Err(format!("tensor {:?} is there twice", short(&name)));
            }
        }
        let mut inputs = Vec::new();
        for bytes in graph.inputs {
            let info: proto::ValueInfo = message(bytes, "an input")?;
            if !tensors.contains_key(&info.name) {
                inputs.push(Input::of(info)?);
            }
        }
        if inputs.len() > MAX_INPUTS {
            return Err(format!("the file has {} inputs, expected at most {MAX_INPUTS}", inputs.len()));
        }
        let nodes = graph
            .nodes
            .into_iter()
            .enumerate()
            .map(|(number, bytes)| Node::decode(bytes, number))
            .collect::<Read<_>>()?;
        let outputs = graph.outputs.into_iter().map(|bytes| {
            let info: proto::ValueInfo = message(bytes, "an output")?;
            Ok(info.name)
        });
        let outputs = outputs.collect::<Read<_>>()?;
        Ok(Self { opset, nodes, tensors, inputs, outputs, bytes: bytes.len() })
    }

    /// The axes behind the channels: those of the first input, or of the first convolution's kernel.
    pub(super) fn rank(&self) -> Read<usize> {
        let declared = self.inputs.iter().find_map(|input| input.shape.as_ref()).map(Vec::len);
        let weights = || self.weighted().find_map(|node| self.weight_shape(node)).map(|shape| shape.len());
        let axes = declared.or_else(weights).ok_or("the file does not say how many axes its tensors have")?;
        match axes {
            3..=5 => Ok(axes - 2),
            _ => Err(format!("the file's tensors have {axes} axes, expected 3 to 5")),
        }
    }

    /// The channels of an input: as it is declared, or as many as the first convolution behind it takes.
    pub(super) fn channels(&self, input: &Input) -> Read<usize> {
        let declared = input.shape.as_ref().and_then(|shape| shape.get(1).copied().flatten());
        match declared {
            Some(channels) if channels > MAX_CHANNELS => {
                return Err(format!(
                    "input {:?} has {channels} channels, expected at most {MAX_CHANNELS}",
                    short(&input.name)
                ));
            }
            Some(channels) => return Ok(channels),
            None => {}
        }
        let mut names = vec![&*input.name];
        for node in self.nodes.iter().filter(|node| node.kind != "Shape") {
            let reads = node.inputs.first().is_some_and(|name| names.contains(&&**name));
            let weight = || self.weight_shape(node);
            match node.kind.as_str() {
                _ if !reads => {}
                "Conv" => {
                    let groups = usize::try_from(node.integer("group", 1)?).ok();
                    let channels = weight().and_then(|shape| shape.get(1)?.checked_mul(groups?));
                    return channels.ok_or_else(|| node.wrong("has no weights that say how many channels it takes"));
                }
                "ConvTranspose" => {
                    let channels = weight().and_then(|shape| shape.first().copied());
                    return channels.ok_or_else(|| node.wrong("has no weights that say how many channels it takes"));
                }
                kind if KEEPS_CHANNELS.contains(&kind) && names.len() < 64 => {
                    names.extend(node.outputs.iter().map(String::as_str));
                }
                _ => {}
            }
        }
        let name = short(&input.name);
        Err(format!("input {name:?} does not say how many channels it has, and no convolution behind it does"))
    }

    fn weighted(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| ["Conv", "ConvTranspose"].contains(&&*node.kind))
    }

    fn weight_shape(&self, node: &Node) -> Option<Vec<usize>> {
        let name = node.input(1)?;
        if let Some(tensor) = self.tensors.get(name) {
            return tensor.dims.iter().map(|&extent| usize::try_from(extent).ok()).collect();
        }
        let made = self.nodes.iter().find(|node| node.kind == "Constant" && node.outputs.iter().any(|out| out == name));
        made?.tensor("value").ok()?.as_ref().map(Constant::shape).map(<[usize]>::to_vec)
    }
}

/// Operators whose first output has the channels of their first input.
const KEEPS_CHANNELS: [&str; 15] = [
    "Add",
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "Clip",
    "Div",
    "Dropout",
    "Identity",
    "Mul",
    "Pad",
    "PRelu",
    "Relu",
    "Resize",
    "Sub",
    "Upsample",
];

impl Input {
    fn of(info: proto::ValueInfo) -> Read<Self> {
        let name = info.name;
        let tensor = info.kind.and_then(|kind| kind.tensor);
        let tensor = tensor.ok_or_else(|| format!("input {:?} is no tensor", short(&name)))?;
        if ![1, 10, 11, 16].contains(&tensor.kind) {
            let kind = tensor.kind;
            return Err(format!("input {:?} has elements of type {kind}, expected real numbers", short(&name)));
        }
        let extent = |dimension: proto::Dimension| dimension.value.and_then(|value| usize::try_from(value).ok());
        let shape =
            tensor.shape.map(|shape| shape.dims.into_iter().map(|dim| extent(dim).filter(|&e| e > 0)).collect());
        Ok(Self { name, shape })
    }
}
