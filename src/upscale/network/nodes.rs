//! The nodes of a graph in a network's file.

use super::check::problem;
use super::safetensors::File;
use super::turned::Turned;
use crate::describe::Described;
use crate::describe::json::{OneOrMany, Strict, listed, natural};
use crate::error::Result;
use crate::graph::{self, Beyond, Graph, Operation, Value};
use crate::layout::WeightLayout;
use crate::op::{ConvTranspose, Convolution};
use crate::tensor::Tensor;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

type Wrong<T> = std::result::Result<T, String>;
type Activation = Described<String>;

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Conv,
    Deconv,
    Activation,
    Add,
    Multiply,
    Concatenate,
    Affine,
    Channels,
    Crop,
    Pad,
    Nearest,
    PixelShuffle,
    Mean,
}

/// What stands beyond a border.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum BeyondKey {
    Zero,
    Replicate,
    Reflect,
}

impl From<BeyondKey> for Beyond {
    fn from(key: BeyondKey) -> Self {
        match key {
            BeyondKey::Zero => Beyond::Zero,
            BeyondKey::Replicate => Beyond::Replicate,
            BeyondKey::Reflect => Beyond::Reflect,
        }
    }
}

impl From<Beyond> for BeyondKey {
    fn from(beyond: Beyond) -> Self {
        match beyond {
            Beyond::Zero => BeyondKey::Zero,
            Beyond::Replicate => BeyondKey::Replicate,
            Beyond::Reflect => BeyondKey::Reflect,
        }
    }
}

macro_rules! keys {
    ($($key:ident: $type:ty,)*) => {
        /// A node: the keys of all kinds, with the names of tensors and the numbers of the nodes that are read. What a kind has
        /// not is missing.
        #[derive(Serialize, Deserialize)]
        pub(super) struct NodeKeys {
            kind: Kind,
            of: OneOrMany<i64>,
            $(#[serde(skip_serializing_if = "Option::is_none")] $key: Option<$type>,)*
        }

        impl NodeKeys {
            fn new(kind: Kind, of: OneOrMany<i64>) -> Self {
                Self { kind, of, $($key: None,)* }
            }

            /// The names of those that are there.
            fn there(&self) -> Vec<&'static str> {
                let mut there = Vec::new();
                $(if self.$key.is_some() { there.push(stringify!($key)); })*
                there
            }
        }
    };
}

keys! {
    weight: String,
    bias: String,
    stride: OneOrMany<i64>,
    padding: OneOrMany<OneOrMany<i64>>,
    dilation: OneOrMany<i64>,
    output_padding: OneOrMany<i64>,
    groups: i64,
    activation: Activation,
    pre_activation: Activation,
    scale: f32,
    offset: f32,
    first: i64,
    count: i64,
    borders: Vec<[i64; 2]>,
    beyond: BeyondKey,
    factors: Vec<i64>,
    factor: i64,
}

impl NodeKeys {
    /// The tensors that it names, once for each time.
    pub(super) fn tensors(&self) -> impl Iterator<Item = &String> {
        self.weight.iter().chain(&self.bias)
    }
}

/// Reads the nodes of a graph; the number of its output.
pub(super) fn read(file: &mut File<'_>, nodes: Vec<Strict<NodeKeys>>, output: i64) -> Result<Graph> {
    let mut graph = Graph::new(2)?;
    let (mut values, mut turned) = (vec![graph.input(super::CHANNELS)?], Turned::default());
    for (index, Strict(keys)) in nodes.into_iter().enumerate() {
        let number = index + 1;
        let wrong = |error: String| problem(format!("node {number}: {error}"));
        let value = node(file, &mut graph, (&values, &mut turned), keys);
        values.push(value.map_err(wrong)?);
    }
    let output = at(&values, "output", output).map_err(problem)?;
    graph.output(output)?;
    Ok(graph)
}

/// The value with a number.
fn at(values: &[Value], what: &str, number: i64) -> Wrong<Value> {
    let value = usize::try_from(number).ok().and_then(|number| values.get(number));
    value.copied().ok_or_else(|| format!("{what} is {number}, expected 0 to {}", values.len() - 1))
}

fn node(
    file: &mut File<'_>,
    graph: &mut Graph,
    (values, turned): (&[Value], &mut Turned),
    mut keys: NodeKeys,
) -> Wrong<Value> {
    let of = match &keys.of {
        OneOrMany::One(number) => vec![*number],
        OneOrMany::Many(numbers) => numbers.clone(),
    };
    let of = of.into_iter().map(|number| at(values, "of", number)).collect::<Wrong<Vec<_>>>()?;
    let kind = keys.kind;
    let expected = match kind {
        Kind::Add | Kind::Multiply => 2..=2,
        Kind::Concatenate => 1..=values.len(),
        _ => 1..=1,
    };
    if !expected.contains(&of.len()) {
        return Err(format!("{kind:?} of {} nodes, expected {} to {}", of.len(), expected.start(), expected.end()));
    }
    let x = of[0];
    let pairs = |borders: Vec<[i64; 2]>| -> Wrong<Vec<[usize; 2]>> {
        let pair = |[a, b]: [i64; 2]| Ok([natural("borders", a, 0)?, natural("borders", b, 0)?]);
        borders.into_iter().map(pair).collect()
    };
    let made = match kind {
        Kind::Conv | Kind::Deconv => layer(file, graph, (x, turned), &mut keys)?,
        Kind::Activation => {
            let given = needed("activation", keys.activation.take())?;
            let activation = activation(file, given, graph.node(x).channels())?;
            graph.activation(x, activation).map_err(told)?
        }
        Kind::Add => graph.add(x, of[1]).map_err(told)?,
        Kind::Multiply => graph.multiply(x, of[1]).map_err(told)?,
        Kind::Concatenate => graph.concatenate(&of).map_err(told)?,
        Kind::Affine => {
            let (scale, offset) = (needed("scale", keys.scale.take())?, needed("offset", keys.offset.take())?);
            graph.affine(x, scale, offset).map_err(told)?
        }
        Kind::Channels => {
            let first = natural("first", needed("first", keys.first.take())?, 0)?;
            let count = natural("count", needed("count", keys.count.take())?, 1)?;
            graph.channels(x, first..first.saturating_add(count)).map_err(told)?
        }
        Kind::Crop => {
            let borders = pairs(needed("borders", keys.borders.take())?)?;
            graph.crop(x, &borders).map_err(told)?
        }
        Kind::Pad => {
            let borders = pairs(needed("borders", keys.borders.take())?)?;
            graph.pad(x, &borders, needed("beyond", keys.beyond.take())?.into()).map_err(told)?
        }
        Kind::Nearest => {
            let factors = needed("factors", keys.factors.take())?;
            let factors = factors.into_iter().map(|factor| natural("factors", factor, 1)).collect::<Wrong<Vec<_>>>()?;
            graph.nearest(x, &factors).map_err(told)?
        }
        Kind::PixelShuffle => {
            let factor = natural("factor", needed("factor", keys.factor.take())?, 1)?;
            graph.pixel_shuffle(x, factor).map_err(told)?
        }
        Kind::Mean => graph.mean(x).map_err(told)?,
    };
    match keys.there()[..] {
        [] => Ok(made),
        ref more => Err(format!("{kind:?} has no {}", listed(more.iter()))),
    }
}

/// As part of another message.
fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn needed<T>(key: &str, given: Option<T>) -> Wrong<T> {
    given.ok_or_else(|| format!("missing field `{key}`"))
}

/// Slopes are copied: there must be as many as channels.
fn activation(file: &mut File<'_>, given: Activation, channels: usize) -> Wrong<crate::Activation> {
    given.resolve(|name: String| match file.elements(&name) {
        Some(given) if given != channels => {
            Err(format!("{name:?} has {given} parameters of the activation, expected {channels}, one for each channel"))
        }
        _ => Ok(file.tensor(&name).map_err(told)?.to_f32()),
    })
}

fn layer(
    file: &mut File<'_>,
    graph: &mut Graph,
    (x, turned): (Value, &mut Turned),
    keys: &mut NodeKeys,
) -> Wrong<Value> {
    let weight = file.tensor(&needed("weight", keys.weight.take())?).map_err(told)?;
    let bias = keys.bias.take().map(|name| file.tensor(&name)).transpose().map_err(told)?;
    let Ok([first, second, height, width]) = <[usize; 4]>::try_from(weight.shape()) else {
        return Err(format!("weight has shape {:?}, expected four axes", weight.shape()));
    };
    let kernel = [height, width];
    let groups = natural("groups", keys.groups.take().unwrap_or(1), 1)?;
    let stride = sizes("stride", keys.stride.take(), 1)?;
    let dilation = sizes("dilation", keys.dilation.take(), 1)?;
    let padding = pads(keys.padding.take())?;
    let times =
        |count: usize| count.checked_mul(groups).ok_or_else(|| format!("{count} channels in each of {groups} groups"));
    let (pre, post) = (keys.pre_activation.take(), keys.activation.take());
    let inputs = graph.node(x).channels();
    let mut found = |given: Option<Activation>, channels: usize| match given {
        Some(given) => activation(file, given, channels),
        None => Ok(crate::Activation::None),
    };
    if keys.kind == Kind::Conv {
        let op = Convolution::builder().in_channels(times(second)?).out_channels(first).groups(groups).kernel(kernel);
        let op = op.stride(stride).dilation(dilation).padding(padding);
        let op = op.activation(found(post, first)?).pre_activation(found(pre, inputs)?).build().map_err(told)?;
        let weight = turned.of(&op, &weight).map_err(told)?;
        return graph.turned_convolution(x, &op, weight, bias).map_err(told);
    }
    let outputs = times(second)?;
    let op = ConvTranspose::builder().in_channels(first).out_channels(outputs).groups(groups).kernel(kernel);
    let op = op.stride(stride).dilation(dilation).padding(padding);
    let op = op.output_padding(sizes("output_padding", keys.output_padding.take(), 0)?);
    let op = op.activation(found(post, outputs)?).pre_activation(found(pre, inputs)?).build().map_err(told)?;
    graph.layer(x, &op, weight, bias).map_err(told)
}

/// One number for both axes, or two.
fn sizes(what: &str, given: Option<OneOrMany<i64>>, missing: usize) -> Wrong<[usize; 2]> {
    match given {
        None => Ok([missing; 2]),
        Some(OneOrMany::One(both)) => natural(what, both, 0).map(|both| [both; 2]),
        Some(OneOrMany::Many(list)) => match list[..] {
            [y, x] => Ok([natural(what, y, 0)?, natural(what, x, 0)?]),
            _ => Err(format!("{what} has {} values, expected one, or two for (h, w)", list.len())),
        },
    }
}

/// One number for all four ends, one for each axis, or two for each.
fn pads(given: Option<OneOrMany<OneOrMany<i64>>>) -> Wrong<[(i64, i64); 2]> {
    let ends = |given: &OneOrMany<i64>| match given {
        OneOrMany::One(both) => Ok((*both, *both)),
        OneOrMany::Many(list) => match list[..] {
            [begin, end] => Ok((begin, end)),
            _ => Err(format!("padding has {} values for an axis, expected one or two", list.len())),
        },
    };
    match given {
        None => Ok([(0, 0); 2]),
        Some(OneOrMany::One(all)) => Ok([(all, all); 2]),
        Some(OneOrMany::Many(list)) => match &list[..] {
            [y, x] => Ok([ends(y)?, ends(x)?]),
            _ => Err(format!("padding has {} values, expected one, or two for (h, w)", list.len())),
        },
    }
}

/// The tensors of a file that is written, by name.
#[derive(Default)]
pub(super) struct Tensors(pub(super) Vec<(String, Arc<Tensor>)>);

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
pub(super) fn write(graph: &Graph, tensors: &mut Tensors) -> Result<(Vec<Strict<NodeKeys>>, i64)> {
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
