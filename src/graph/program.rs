//! A graph as the backends compute it: fewer and larger steps, which depend on no shape.
//!
//! - A layer takes over what follows it where nothing else reads what is between: a factor (into its weights), a residual
//!   (where the backend can add one), an activation; and an activation before it that is cheap enough to be computed again
//!   at each read. A layer that Winograd's transforms may compute takes neither residuals nor activations before it.
//! - Sums, products and functions of elements become one [`Map`] where each has a single reader.
//! - Crops, pads, enlargements and shuffles are [views](View): a map reads through them. They are computed by a map of
//!   their own only where something else reads them.
//!
//! Nodes that no output depends on are left out.

use super::Graph;
use super::operation::{Beyond, Layer, Operation};
use crate::accuracy::Accuracy;
use crate::activation::Activation;
use crate::error::Result;
use crate::op::ConvTranspose;
use crate::tensor::{DType, Tensor};
use crate::winograd;
use std::sync::Arc;

/// The most operands of a map: with what it writes and its parameters, fewer buffers than every device binds.
const MOST_OPERANDS: usize = 4;

/// The steps of a graph. Values are the indices of its nodes.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) steps: Vec<Step>,
}

/// One of them; it writes a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    pub(crate) work: Work,
    pub(crate) output: usize,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Work {
    Layer {
        layer: Arc<Layer>,
        input: usize,
        /// What is added to the sums before the activation.
        residual: Option<usize>,
    },
    Map(Map),
    BlockSums(usize),
    /// From the sums of blocks, of a value that need not be at hand.
    Mean {
        sums: usize,
        of: usize,
    },
    /// What is not in its place already is copied there.
    Concatenate(Vec<usize>),
}

/// What is computed element by element: an operand, and then one term after another.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Map {
    pub(crate) first: Operand,
    pub(crate) terms: Vec<Term>,
}

/// A value that is read through views, which lead from the place of an output to that in the value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Operand {
    /// The value that the graph's node reads: where its extents are 1, all places lead to its only one.
    pub(crate) of: usize,
    pub(crate) value: usize,
    pub(crate) views: Vec<View>,
    /// Whether all places lead to its only one, which depends on the shapes.
    pub(crate) single: bool,
}

/// What happens to the element so far.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Term {
    Add(Operand),
    Multiply(Operand),
    Affine(f32, f32),
    Activation(Activation),
}

/// How a place in one value leads to that in another.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum View {
    /// So many elements further along each axis.
    Crop(Vec<i64>),
    /// So many elements before, and what is beyond the value with this index.
    Pad(Vec<usize>, Beyond, usize),
    /// Divided by a factor.
    Nearest(Vec<usize>),
    /// By this factor along each of so many axes: see [`Operation::PixelShuffle`].
    Shuffle(usize, usize),
}

impl Map {
    /// All operands, in their order.
    pub(crate) fn operands(&self) -> impl Iterator<Item = &Operand> {
        let others = self.terms.iter().filter_map(|term| match term {
            Term::Add(operand) | Term::Multiply(operand) => Some(operand),
            Term::Affine(..) | Term::Activation(_) => None,
        });
        std::iter::once(&self.first).chain(others)
    }

    pub(crate) fn operands_mut(&mut self) -> impl Iterator<Item = &mut Operand> {
        let others = self.terms.iter_mut().filter_map(|term| match term {
            Term::Add(operand) | Term::Multiply(operand) => Some(operand),
            Term::Affine(..) | Term::Activation(_) => None,
        });
        std::iter::once(&mut self.first).chain(others)
    }
}

impl Step {
    /// The values that it reads.
    pub(crate) fn reads(&self) -> Vec<usize> {
        match &self.work {
            Work::Layer { input, residual, .. } => std::iter::once(*input).chain(*residual).collect(),
            Work::Map(map) => map.operands().map(|operand| operand.value).collect(),
            Work::BlockSums(input) | Work::Mean { sums: input, .. } => vec![*input],
            Work::Concatenate(inputs) => inputs.clone(),
        }
    }
}

impl Program {
    /// The program of a graph, for a backend that adds residuals to the sums of a layer or does not.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) for weights whose scaling fails.
    pub(crate) fn new(graph: &Graph, residuals: bool) -> Result<Self> {
        let readers = readers(graph);
        let mut maker = Maker {
            graph,
            residuals,
            taken: vec![false; graph.nodes.len()],
            inlined: vec![false; graph.nodes.len()],
            operands: vec![1; graph.nodes.len()],
            readers,
        };
        let mut layers = vec![None; graph.nodes.len()];
        for index in 0..graph.nodes.len() {
            if let (Operation::Layer(layer), true) = (&graph.nodes[index].operation, maker.is_read(index)) {
                let (end, work) = maker.layer(index, layer)?;
                layers[end] = Some(work);
            }
        }
        (0..graph.nodes.len()).for_each(|index| maker.inline(index));
        let mut steps = Vec::new();
        for (index, layer) in layers.into_iter().enumerate() {
            if let Some(work) = layer.or_else(|| maker.other(index)) {
                steps.push(Step { work, output: index });
            }
        }
        Ok(Self { steps })
    }
}

/// The readers of each value that an output depends on, and none of the others.
fn readers(graph: &Graph) -> Vec<Vec<usize>> {
    let mut readers = vec![Vec::new(); graph.nodes.len()];
    let mut live = vec![false; graph.nodes.len()];
    graph.outputs.iter().for_each(|output| live[output.0] = true);
    for (index, node) in graph.nodes.iter().enumerate().rev() {
        if live[index] {
            for input in &node.inputs {
                live[input.0] = true;
                readers[input.0].push(index);
            }
        }
    }
    readers
}

struct Maker<'a> {
    graph: &'a Graph,
    residuals: bool,
    readers: Vec<Vec<usize>>,
    /// Whether a layer does what a node is.
    taken: Vec<bool>,
    /// Whether the map that reads a map does its work.
    inlined: Vec<bool>,
    /// The operands of the map that a node is.
    operands: Vec<usize>,
}

impl Maker<'_> {
    fn operation(&self, index: usize) -> &Operation {
        &self.graph.nodes[index].operation
    }

    fn inputs(&self, index: usize) -> impl Iterator<Item = usize> {
        self.graph.nodes[index].inputs.iter().map(|value| value.0)
    }

    fn is_output(&self, index: usize) -> bool {
        self.graph.outputs.iter().any(|output| output.0 == index)
    }

    /// Whether anything needs the value.
    fn is_read(&self, index: usize) -> bool {
        self.is_output(index) || !self.readers[index].is_empty()
    }

    /// The only reader of a value that is no output.
    fn only_reader(&self, index: usize) -> Option<usize> {
        match self.readers[index][..] {
            [reader] if !self.is_output(index) => Some(reader),
            _ => None,
        }
    }

    /// The layer with what it takes over, and the node whose value it then gives.
    fn layer(&mut self, index: usize, layer: &Layer) -> Result<(usize, Work)> {
        let mut layer = Layer::clone(layer);
        let mut input = self.graph.nodes[index].inputs[0].0;
        // Winograd's transforms do nothing else, and their layers are the ones that take most of the time.
        let alone = may_transform(&layer.op);
        if let (Operation::Activation(activation), Some(_), Activation::None, false) =
            (self.operation(input), self.only_reader(input), layer.op.pre_activation(), self.taken[input])
            && is_cheap(activation)
            && !alone
        {
            layer.op = layer.op.to_builder().pre_activation(activation.clone()).build()?;
            self.taken[input] = true;
            input = self.graph.nodes[input].inputs[0].0;
        }
        self.taken[index] = true;
        let (mut end, mut residual) = (index, None);
        while let Some(reader) = self.only_reader(end).filter(|&reader| !self.taken[reader]) {
            let bare = *layer.op.activation() == Activation::None;
            match self.operation(reader) {
                Operation::Affine { scale, offset } if bare && residual.is_none() && *offset == 0.0 => {
                    layer = scaled(&layer, *scale)?;
                }
                Operation::Add if bare && residual.is_none() && self.residuals && !alone => {
                    let Some(other) = self.inputs(reader).find(|&input| input != end) else { break };
                    if is_view(self.operation(other)) {
                        break;
                    }
                    residual = Some(other);
                }
                Operation::Activation(activation) if bare => {
                    layer.op = layer.op.to_builder().activation(activation.clone()).build()?;
                }
                _ => break,
            }
            self.taken[reader] = true;
            end = reader;
        }
        Ok((end, Work::Layer { layer: Arc::new(layer), input, residual }))
    }

    /// Decides whether the map that a node is does the work of one that it reads.
    fn inline(&mut self, index: usize) {
        if self.taken[index] || !is_map(self.operation(index)) || !self.is_read(index) {
            return;
        }
        let others = self.inputs(index).count() - 1;
        let first = self.first(index);
        // A product may be of values of two shapes: what is computed of the smaller one is computed once.
        let alike = *self.operation(index) != Operation::Multiply;
        if alike && self.may_be_inlined(first) && self.operands[first] + others <= MOST_OPERANDS {
            self.inlined[first] = true;
            self.operands[index] = self.operands[first] + others;
        } else {
            self.operands[index] = 1 + others;
        }
    }

    fn may_be_inlined(&self, index: usize) -> bool {
        is_map(self.operation(index)) && !self.taken[index] && self.only_reader(index).is_some()
    }

    /// Which of the values that a map reads it begins with.
    fn first(&self, index: usize) -> usize {
        let mut inputs = self.inputs(index);
        inputs.find(|&input| self.may_be_inlined(input)).unwrap_or(self.graph.nodes[index].inputs[0].0)
    }

    /// Whether a view is computed: something reads it that is no map.
    fn is_computed(&self, view: usize) -> bool {
        let through = |&reader: &usize| {
            !self.taken[reader] && (is_map(self.operation(reader)) || is_view(self.operation(reader)))
        };
        self.is_output(view) || !self.readers[view].iter().all(through)
    }

    /// The work of a node that no layer does.
    fn other(&self, index: usize) -> Option<Work> {
        if self.taken[index] || self.inlined[index] || !self.is_read(index) {
            return None;
        }
        match self.operation(index) {
            Operation::BlockSums => self.inputs(index).next().map(Work::BlockSums),
            Operation::Mean => {
                self.inputs(index).next().and_then(|sums| self.inputs(sums).next().map(|of| Work::Mean { sums, of }))
            }
            Operation::Concatenate => Some(Work::Concatenate(self.inputs(index).collect())),
            operation if is_map(operation) => Some(Work::Map(self.map(index))),
            operation if is_view(operation) && self.is_computed(index) => {
                let (value, views) = self.through(index);
                Some(Work::Map(Map { first: Operand { of: index, value, views, single: false }, terms: Vec::new() }))
            }
            _ => None,
        }
    }

    fn map(&self, index: usize) -> Map {
        let first = self.first(index);
        let mut map = match self.inlined[first] {
            true => self.map(first),
            false => Map { first: self.operand(first), terms: Vec::new() },
        };
        let mut inputs: Vec<usize> = self.inputs(index).collect();
        if let Some(at) = inputs.iter().position(|&input| input == first) {
            inputs.remove(at);
        }
        let other = inputs.first().map(|&other| self.operand(other));
        map.terms.extend(match (self.operation(index), other) {
            (Operation::Add, Some(other)) => Some(Term::Add(other)),
            (Operation::Multiply, Some(other)) => Some(Term::Multiply(other)),
            (Operation::Affine { scale, offset }, _) => Some(Term::Affine(*scale, *offset)),
            (Operation::Activation(activation), _) => Some(Term::Activation(activation.clone())),
            _ => None,
        });
        map
    }

    /// A value as an operand: read through the views that are not computed.
    fn operand(&self, index: usize) -> Operand {
        let (value, views) = match is_view(self.operation(index)) && !self.is_computed(index) {
            true => self.through(index),
            false => (index, Vec::new()),
        };
        Operand { of: index, value, views, single: false }
    }

    /// What a view reads, and the views that lead there.
    fn through(&self, view: usize) -> (usize, Vec<View>) {
        let read = self.graph.nodes[view].inputs[0].0;
        let begins = |borders: &[[usize; 2]]| borders.iter().map(|border| border[0]).collect();
        let this = match self.operation(view) {
            Operation::Crop(borders) => Some(View::Crop(borders.iter().map(|border| border[0] as i64).collect())),
            Operation::Pad(borders, beyond) => Some(View::Pad(begins(borders), *beyond, read)),
            Operation::Nearest(factors) => Some(View::Nearest(factors.clone())),
            Operation::PixelShuffle(factor) => Some(View::Shuffle(*factor, self.graph.rank)),
            _ => None,
        };
        let Operand { value, views, .. } = self.operand(read);
        (value, this.into_iter().chain(views).collect())
    }
}

/// What is computed element by element.
fn is_map(operation: &Operation) -> bool {
    matches!(operation, Operation::Activation(_) | Operation::Add | Operation::Multiply | Operation::Affine { .. })
}

/// What only moves elements.
fn is_view(operation: &Operation) -> bool {
    matches!(operation, Operation::Crop(_) | Operation::Pad(..) | Operation::Nearest(_) | Operation::PixelShuffle(_))
}

/// Whether an activation costs little enough to be computed at each read of a layer's input.
fn is_cheap(activation: &Activation) -> bool {
    matches!(
        activation,
        Activation::Relu | Activation::LeakyRelu { .. } | Activation::Prelu { .. } | Activation::Clip { .. }
    )
}

/// A layer whose sums are so many times as large.
fn scaled(layer: &Layer, factor: f32) -> Result<Layer> {
    let scaled = |tensor: &Tensor| -> Result<Arc<Tensor>> {
        let values: Vec<f64> = tensor.to_f64().into_iter().map(|value| value * f64::from(factor)).collect();
        let dtype = if tensor.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
        Ok(Arc::new(Tensor::f64(tensor.shape(), values)?.cast(dtype)))
    };
    Ok(Layer {
        op: layer.op.clone(),
        weight: scaled(&layer.weight)?,
        bias: layer.bias.as_deref().map(scaled).transpose()?,
        convolution: layer.convolution.clone(),
    })
}

/// Whether Winograd's transforms may compute an operation.
pub(crate) fn may_transform(op: &ConvTranspose) -> bool {
    op.accuracy() == Accuracy::Normwise && winograd::filters(op).is_some()
}
