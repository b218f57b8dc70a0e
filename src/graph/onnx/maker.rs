//! The graph under construction, and the values of the file by their names.

use super::constant::{Constant, Read, decoded};
use super::file::File;
use super::node::{Node, short};
use super::operators;
use super::pattern::Part;
use super::proto;
use super::whole::Whole;
use crate::graph::{Graph, Operation, Value};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Blob {
    pub(super) value: Value,
    /// The axes behind the channels: as many as the graph's tensors have, or, where each has the extent 1, also fewer.
    pub(super) axes: usize,
    /// Whether all extents behind the channels are known to be 1.
    pub(super) unit: bool,
    /// Whether the file has expanded such extents. They have not been here: sums and products do it anyway.
    pub(super) expanded: bool,
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub(super) enum Item {
    Constant(Arc<Constant>),
    Blob(Blob),
    /// Of a function, recognised when the rest of it follows.
    Part(Arc<Part>),
}

pub(super) struct Maker {
    pub(super) graph: Graph,
    pub(super) opset: i64,
    items: BTreeMap<String, Item>,
    /// Constants that nothing has read yet.
    tensors: BTreeMap<String, proto::Tensor>,
    /// The inputs' shapes, where all extents behind the channels are fixed.
    fixed: Option<Vec<Vec<usize>>>,
    /// The values' shapes for these.
    shapes: Vec<Vec<usize>>,
    /// The size of the batch, where it is fixed.
    pub(super) batch: Option<i64>,
    /// The values that are others times a number for each channel.
    pub(super) multiples: BTreeMap<Value, (Blob, Vec<f64>)>,
    /// The bytes that constants may still take: so many for each of the file.
    room: usize,
}

/// The bytes of constants and weights for each byte of the file, and in any case.
const ROOM: usize = 32;
const LEAST_ROOM: usize = 1 << 22;

pub(super) fn told(error: impl Display) -> String {
    error.to_string()
}

pub(super) fn graph(file: File) -> Read<Graph> {
    let rank = file.rank()?;
    let mut graph = Graph::new(rank).map_err(told)?;
    let mut items = BTreeMap::new();
    let mut fixed = Some(Vec::new());
    for input in &file.inputs {
        let (named, channels) =
            (|what: String| format!("input {:?} {what}", short(&input.name)), file.channels(input)?);
        if let Some(shape) = input.shape.as_ref().filter(|shape| shape.len() != rank + 2) {
            return Err(named(format!("has {} axes, expected {}", shape.len(), rank + 2)));
        }
        let value = graph.input(channels).map_err(|error| named(told(error)))?;
        let blob = Blob { value, axes: rank, unit: false, expanded: false };
        if items.insert(input.name.clone(), Item::Blob(blob)).is_some() {
            return Err(named("is there twice".into()));
        }
        let extents = input.shape.as_ref().and_then(|shape| shape[2..].iter().copied().collect::<Option<Vec<_>>>());
        fixed = fixed.zip(extents).map(|(mut shapes, extents)| {
            shapes.push([&[1, channels], &extents[..]].concat());
            shapes
        });
    }
    let batch = file.inputs.first().and_then(|input| *input.shape.as_ref()?.first()?);
    let mut maker = Maker {
        graph,
        opset: file.opset,
        items,
        tensors: file.tensors,
        fixed,
        shapes: Vec::new(),
        batch: batch.and_then(|batch| batch.try_into().ok()),
        multiples: BTreeMap::new(),
        room: file.bytes.saturating_mul(ROOM).saturating_add(LEAST_ROOM),
    };
    for node in &file.nodes {
        maker.node(node).map_err(|error| node.wrong(&error))?;
    }
    for name in &file.outputs {
        maker.output(name).map_err(|error| format!("output {:?} {error}", short(name)))?;
    }
    if maker.graph.outputs().is_empty() {
        return Err("the file has no outputs".into());
    }
    Ok(maker.graph)
}

impl Maker {
    fn node(&mut self, node: &Node) -> Read<()> {
        let made = operators::made(self, node)?;
        if node.outputs.len() > made.len() && !operators::LEAVES_OUTPUTS.contains(&&*node.kind) {
            return Err(format!("writes {} values, expected {}", node.outputs.len(), made.len()));
        }
        for (name, item) in node.outputs.iter().zip(made) {
            let there = self.tensors.contains_key(name) || self.items.contains_key(name);
            if there {
                return Err(format!("writes {:?}, which there is already", short(name)));
            }
            if !name.is_empty() {
                self.items.insert(name.clone(), item);
            }
        }
        Ok(())
    }

    fn output(&mut self, name: &str) -> Read<()> {
        let blob = match self.named(name)? {
            Some(Item::Blob(blob)) => blob,
            Some(Item::Constant(_)) => return Err("depends on no input".into()),
            Some(Item::Part(part)) => return Err(part.alone()),
            None => return Err("is written by no node".into()),
        };
        if blob.expanded {
            return Err("is a value that is only expanded to a shape".into());
        }
        let mut value = blob.value;
        if self.graph.outputs().contains(&value) {
            value = self.graph.affine(value, 1.0, 0.0).map_err(told)?;
        }
        self.graph.output(value).map_err(told)
    }

    fn named(&mut self, name: &str) -> Read<Option<Item>> {
        if let Some(tensor) = self.tensors.remove(name) {
            let constant =
                decoded(&tensor).map_err(|error| format!("reads the tensor {:?}, which {error}", short(name)))?;
            self.items.insert(name.to_owned(), Item::Constant(Arc::new(constant)));
        }
        Ok(self.items.get(name).cloned())
    }

    /// What an input is; `None` where it is not given.
    pub(super) fn item(&mut self, node: &Node, number: usize) -> Read<Option<Item>> {
        let Some(name) = node.input(number) else { return Ok(None) };
        let item = self.named(name)?;
        item.map(Some).ok_or_else(|| format!("reads {:?}, which no node before it writes", short(name)))
    }

    /// An input that is computed.
    pub(super) fn blob(&mut self, node: &Node, number: usize) -> Read<Blob> {
        match self.item(node, number)? {
            Some(Item::Blob(blob)) if blob.expanded => {
                Err("reads a value that is expanded to a shape, which only sums and products may".into())
            }
            Some(Item::Blob(blob)) => Ok(blob),
            Some(Item::Constant(_)) => Err(format!("has a constant as input {number}, expected what is computed")),
            Some(Item::Part(part)) => Err(part.alone()),
            None => Err(format!("has {} inputs, expected more", node.inputs.len())),
        }
    }

    /// An input that is computed and has all axes.
    pub(super) fn full(&mut self, node: &Node, number: usize) -> Read<Blob> {
        let blob = self.blob(node, number)?;
        match blob.axes {
            axes if axes == self.graph.rank() => Ok(blob),
            axes => Err(format!("reads a tensor of {} axes, expected {}", axes + 2, self.graph.rank() + 2)),
        }
    }

    /// An input that is known; `None` where it is not given.
    pub(super) fn constant(&mut self, node: &Node, number: usize) -> Read<Option<Arc<Constant>>> {
        match self.item(node, number)? {
            Some(Item::Constant(constant)) => Ok(Some(constant)),
            None => Ok(None),
            Some(_) => Err(format!("has input {number} computed, expected a constant")),
        }
    }

    pub(super) fn needed(&mut self, node: &Node, number: usize) -> Read<Arc<Constant>> {
        self.constant(node, number)?.ok_or_else(|| format!("has {} inputs, expected more", node.inputs.len()))
    }

    /// Whole numbers that are an attribute in some opsets and an input in others.
    pub(super) fn integers(&mut self, node: &Node, attribute: &str, number: usize) -> Read<Option<Vec<i64>>> {
        if let Some(integers) = node.integers(attribute)? {
            return Ok(Some(integers.to_vec()));
        }
        self.constant(node, number)?.map(|constant| constant.integers()).transpose()
    }

    pub(super) fn channels(&self, blob: Blob) -> usize {
        self.graph.node(blob.value).channels()
    }

    /// Takes from what constants may occupy.
    pub(super) fn spend(&mut self, elements: impl IntoIterator<Item = usize>, size: usize) -> Read<usize> {
        let count = elements.into_iter().try_fold(1_usize, usize::checked_mul);
        let left = count.and_then(|count| self.room.checked_sub(count.checked_mul(size)?));
        self.room = left.ok_or("needs more memory for constants than fits to the size of the file")?;
        Ok(count.unwrap_or(0))
    }

    /// The extents of a value where those of all inputs are fixed.
    pub(super) fn extents(&mut self, value: Value) -> Option<&[usize]> {
        let fixed = self.fixed.as_ref()?;
        if self.shapes.len() <= value.index() {
            let mut graph = self.graph.clone();
            if graph.outputs().is_empty() {
                graph.output(value).ok()?;
            }
            self.shapes = graph.shapes(fixed).ok()?;
        }
        self.shapes.get(value.index()).map(|shape| &shape[2..])
    }

    /// Whether all extents behind the channels are known to be 1.
    pub(super) fn is_unit(&mut self, blob: Blob) -> bool {
        blob.unit || self.extents(blob.value).is_some_and(|extents| extents.iter().all(|&extent| extent == 1))
    }

    /// The shape of a value, as far as it is known.
    pub(super) fn shape(&mut self, blob: Blob) -> Vec<Whole> {
        let batch = self.batch.map_or(Whole::Batch, Whole::Known);
        let channels = self.channels(blob) as i64;
        let unit = self.is_unit(blob);
        let fixed = self.extents(blob.value).map(<[usize]>::to_vec);
        let extent = |axis: usize| match &fixed {
            _ if unit => Whole::Known(1),
            Some(extents) => Whole::Known(extents[axis] as i64),
            None => Whole::Extent { of: blob.value, axis, times: 1 },
        };
        [batch, Whole::Known(channels)].into_iter().chain((0..blob.axes).map(extent)).collect()
    }

    /// Times a number, and another added. What undoes the affine function before it leads back to what that read.
    pub(super) fn affine(&mut self, blob: Blob, scale: f64, offset: f64) -> Read<Blob> {
        let node = self.graph.node(blob.value);
        let undone = match (node.operation(), node.inputs()) {
            (&Operation::Affine { scale: first, offset: then }, &[inner]) => {
                let (first, then) = (f64::from(first) * scale, f64::from(then) * scale + offset);
                ((first as f32, then as f32) == (1.0, 0.0)).then_some(inner)
            }
            _ => None,
        };
        let value = match (undone, (scale as f32, offset as f32)) {
            (Some(inner), _) => inner,
            (None, (1.0, 0.0)) => blob.value,
            (None, (scale, offset)) => self.graph.affine(blob.value, scale, offset).map_err(told)?,
        };
        Ok(Blob { value, ..blob })
    }
}
