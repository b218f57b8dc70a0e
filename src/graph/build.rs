//! Adding nodes to a graph: each is checked where it is added.

use super::operation::{Beyond, Layer, Node, Operation, Value};
use super::{Graph, MAX_NODES, problem};
use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::op::{ConvTranspose, Convolution};
use crate::tensor::Tensor;
use std::ops::Range;
use std::sync::Arc;

/// The largest factor of an enlargement, and the largest border of a pad or crop.
const MAX_FACTOR: usize = 64;
const MAX_BORDER: usize = 1 << 20;

impl Graph {
    /// Layers one after another, each an operation, its weight and its bias; with one input and one output.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for no layer, [`Error::Graph`] where a layer's channels are not those that the one before
    /// gives, and what [`layer`](Self::layer) refuses.
    pub fn of_layers(layers: &[(ConvTranspose, Tensor, Option<Tensor>)]) -> Result<Self> {
        let Some((first, ..)) = layers.first() else {
            return Err(Error::OutOfRange { what: "layers".into(), given: 0, expected: "at least 1".into() });
        };
        let mut graph = Self::new(first.rank())?;
        let mut value = graph.input(first.in_channels())?;
        for (op, weight, bias) in layers {
            value = graph.layer(value, op, weight.clone(), bias.clone().map(Arc::new))?;
        }
        graph.output(value)?;
        Ok(graph)
    }

    /// An input of so many channels.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for no channels; [`Error::Graph`] for more than [`MAX_NODES`] nodes, here and below.
    pub fn input(&mut self, channels: usize) -> Result<Value> {
        if channels == 0 {
            return Err(Error::OutOfRange {
                what: "channels of an input".into(),
                given: 0,
                expected: "at least 1".into(),
            });
        }
        let value = self.push(Operation::Input, &[], channels)?;
        self.inputs.push(value);
        Ok(value)
    }

    /// A transposed convolution. `weight` has [`ConvTranspose::weight_shape`], `bias` `[out_channels]`; any type.
    ///
    /// # Errors
    /// [`Error::Graph`] where it has another rank or takes another number of channels, or channels last; [`Error::Shape`]
    /// for parameters that do not fit.
    pub fn layer(
        &mut self,
        input: Value,
        op: &ConvTranspose,
        weight: impl Into<Arc<Tensor>>,
        bias: Option<Arc<Tensor>>,
    ) -> Result<Value> {
        self.layer_of(input, Layer { op: op.clone(), weight: weight.into(), bias, convolution: None })
    }

    fn layer_of(&mut self, input: Value, layer: Layer) -> Result<Value> {
        let (Layer { op, weight, bias, .. }, given) = (&layer, self.channels_of(input)?);
        op.check_parameters(weight.shape(), bias.as_ref().map(|bias| bias.shape()))?;
        if op.rank() != self.rank || op.layout() != Layout::ChannelsFirst {
            let (rank, layout) = (op.rank(), op.layout());
            return Err(
                self.wrong(&format!("a layer on {rank} axes, {layout:?}, expected {} axes, ChannelsFirst", self.rank))
            );
        }
        if op.in_channels() != given {
            let takes = op.in_channels();
            return Err(self.wrong(&format!("a layer takes {takes} channels, but {given} are given")));
        }
        let channels = op.out_channels();
        self.push(Operation::Layer(Arc::new(layer)), &[input], channels)
    }

    /// An ordinary convolution. `weight` has [`Convolution::weight_shape`], `bias` `[out_channels]`; any type.
    ///
    /// # Errors
    /// As [`layer`](Self::layer).
    pub fn convolution(
        &mut self,
        input: Value,
        convolution: &Convolution,
        weight: &Tensor,
        bias: Option<Arc<Tensor>>,
    ) -> Result<Value> {
        self.turned_convolution(input, convolution, convolution.turned(weight)?, bias)
    }

    /// As [`convolution`](Self::convolution), with the weight that its transposed form takes.
    pub(crate) fn turned_convolution(
        &mut self,
        input: Value,
        convolution: &Convolution,
        weight: impl Into<Arc<Tensor>>,
        bias: Option<Arc<Tensor>>,
    ) -> Result<Value> {
        let (op, weight) = (convolution.transposed().clone(), weight.into());
        let convolution = Some(Arc::new(convolution.clone()));
        self.layer_of(input, Layer { op, weight, bias, convolution })
    }

    /// A function of each element.
    ///
    /// # Errors
    /// [`Error::Shape`] where it has not a parameter for each channel, [`Error::Clip`] for bounds in the wrong order.
    pub fn activation(&mut self, input: Value, activation: Activation) -> Result<Value> {
        let channels = self.channels_of(input)?;
        activation.validate(channels, "of the value's")?;
        self.push(Operation::Activation(activation), &[input], channels)
    }

    /// The sum of two values of one shape.
    ///
    /// # Errors
    /// [`Error::Graph`] where they have not the same channels; where their extents differ, that shows with the
    /// [shapes](Self::shapes).
    pub fn add(&mut self, a: Value, b: Value) -> Result<Value> {
        let channels = self.same_channels("add", a, b)?;
        self.push(Operation::Add, &[a, b], channels)
    }

    /// The product of two values of one shape, or of one with a number for each channel: a value of which all extents are
    /// 1, as [`mean`](Self::mean) gives it.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn multiply(&mut self, a: Value, b: Value) -> Result<Value> {
        let channels = self.same_channels("multiply", a, b)?;
        self.push(Operation::Multiply, &[a, b], channels)
    }

    /// `scale · x + offset`
    ///
    /// # Errors
    /// [`Error::Graph`] for a number that is not finite.
    pub fn affine(&mut self, input: Value, scale: f32, offset: f32) -> Result<Value> {
        if !scale.is_finite() || !offset.is_finite() {
            return Err(self.wrong(&format!("{scale} · x + {offset}, expected finite numbers")));
        }
        let channels = self.channels_of(input)?;
        self.push(Operation::Affine { scale, offset }, &[input], channels)
    }

    /// The channels of values one behind another.
    ///
    /// # Errors
    /// [`Error::Graph`] for no value.
    pub fn concatenate(&mut self, values: &[Value]) -> Result<Value> {
        let mut channels = 0_usize;
        for &value in values {
            channels = channels.saturating_add(self.channels_of(value)?);
        }
        match values {
            [] => Err(self.wrong("a concatenation of nothing")),
            &[one] => Ok(one),
            _ => self.push(Operation::Concatenate, values, channels),
        }
    }

    /// Some neighbouring channels.
    ///
    /// # Errors
    /// [`Error::Graph`] where the value has not all of them, or for none.
    pub fn channels(&mut self, input: Value, channels: Range<usize>) -> Result<Value> {
        let there = self.channels_of(input)?;
        if channels.is_empty() || channels.end > there {
            return Err(self.wrong(&format!("the channels {channels:?}, expected some of {there}")));
        }
        let count = channels.len();
        if count == there { Ok(input) } else { self.push(Operation::Channels(channels), &[input], count) }
    }

    /// The value without so many elements at the beginning and the end of each axis.
    ///
    /// # Errors
    /// [`Error::Graph`] for another number of axes, or borders beyond all bounds.
    pub fn crop(&mut self, input: Value, borders: &[[usize; 2]]) -> Result<Value> {
        let channels = self.bordered("crop", input, borders)?;
        if borders.iter().all(|border| *border == [0, 0]) {
            return Ok(input);
        }
        self.push(Operation::Crop(borders.to_vec()), &[input], channels)
    }

    /// The value with so many elements more at the beginning and the end of each axis.
    ///
    /// # Errors
    /// As [`crop`](Self::crop).
    pub fn pad(&mut self, input: Value, borders: &[[usize; 2]], beyond: Beyond) -> Result<Value> {
        let channels = self.bordered("pad", input, borders)?;
        if borders.iter().all(|border| *border == [0, 0]) {
            return Ok(input);
        }
        self.push(Operation::Pad(borders.to_vec(), beyond), &[input], channels)
    }

    /// Each element so many times along each axis.
    ///
    /// # Errors
    /// [`Error::Graph`] for another number of axes, or a factor that is not 1 to 64.
    pub fn nearest(&mut self, input: Value, factors: &[usize]) -> Result<Value> {
        let channels = self.channels_of(input)?;
        if factors.len() != self.rank || factors.iter().any(|factor| !(1..=MAX_FACTOR).contains(factor)) {
            let rank = self.rank;
            return Err(self.wrong(&format!("factors {factors:?}, expected {rank} of 1 to {MAX_FACTOR}")));
        }
        if factors.iter().all(|&factor| factor == 1) {
            return Ok(input);
        }
        self.push(Operation::Nearest(factors.to_vec()), &[input], channels)
    }

    /// Depth to space: see [`Operation::PixelShuffle`].
    ///
    /// # Errors
    /// [`Error::Graph`] for a factor that is not 1 to 64, or whose power does not divide the channels.
    pub fn pixel_shuffle(&mut self, input: Value, factor: usize) -> Result<Value> {
        let there = self.channels_of(input)?;
        let block = factor.saturating_pow(self.rank as u32);
        if !(1..=MAX_FACTOR).contains(&factor) || there % block != 0 {
            return Err(
                self.wrong(&format!("{factor} times as large of {there} channels, expected a multiple of {block}"))
            );
        }
        if factor == 1 {
            return Ok(input);
        }
        self.push(Operation::PixelShuffle(factor), &[input], there / block)
    }

    /// The mean of each channel of each item: two nodes, [block sums](Operation::BlockSums) and what they come to, so that
    /// the mean of a picture in tiles is that of the picture, bit for bit.
    ///
    /// # Errors
    /// As [`input`](Self::input).
    pub fn mean(&mut self, input: Value) -> Result<Value> {
        let channels = self.channels_of(input)?;
        let sums = self.push(Operation::BlockSums, &[input], channels)?;
        self.push(Operation::Mean, &[sums], channels)
    }

    /// Makes a value an output of the graph.
    ///
    /// # Errors
    /// [`Error::Graph`] for a value that is an output already.
    pub fn output(&mut self, value: Value) -> Result<()> {
        self.channels_of(value)?;
        if self.outputs.contains(&value) {
            return Err(self.wrong("an output for the second time"));
        }
        self.outputs.push(value);
        Ok(())
    }

    fn push(&mut self, operation: Operation, inputs: &[Value], channels: usize) -> Result<Value> {
        if self.nodes.len() >= MAX_NODES {
            return Err(self.wrong(&format!("expected at most {MAX_NODES} nodes")));
        }
        self.nodes.push(Node { operation, inputs: inputs.to_vec(), channels });
        Ok(Value(self.nodes.len() - 1))
    }

    fn channels_of(&self, value: Value) -> Result<usize> {
        let node = self.nodes.get(value.0);
        node.map(|node| node.channels).ok_or_else(|| self.wrong(&format!("reads node {}, of another graph", value.0)))
    }

    fn same_channels(&self, what: &str, a: Value, b: Value) -> Result<usize> {
        match [self.channels_of(a)?, self.channels_of(b)?] {
            [a, b] if a == b => Ok(a),
            [a, b] => Err(self.wrong(&format!("{what} of {a} and {b} channels, expected as many"))),
        }
    }

    fn bordered(&self, what: &str, input: Value, borders: &[[usize; 2]]) -> Result<usize> {
        if borders.len() != self.rank || borders.as_flattened().iter().any(|&border| border > MAX_BORDER) {
            let rank = self.rank;
            return Err(self.wrong(&format!("{what} by {borders:?}, expected {rank} pairs of at most {MAX_BORDER}")));
        }
        self.channels_of(input)
    }

    /// What is wrong with the node that would be next.
    fn wrong(&self, what: &str) -> Error {
        problem(format!("node {}: {what}", self.nodes.len()))
    }
}
