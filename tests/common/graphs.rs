//! Random graphs.

#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::{Values, tensor};
use fastrand::Rng;
use std::sync::Arc;
use upconv::graph::{Beyond, Graph, Value};
use upconv::{Activation, ConvTranspose, Tensor};

/// The largest number that a graph of integers may come to: below it f32 is exact.
const MOST: f64 = 16_777_216.0;

/// A graph with its inputs and what the reference makes of them.
pub(crate) struct GraphCase {
    pub(crate) graph: Graph,
    pub(crate) inputs: Vec<Tensor>,
    pub(crate) expected: Vec<Tensor>,
}

struct Growing<'a> {
    rng: &'a mut Rng,
    graph: Graph,
    inputs: Vec<Vec<usize>>,
    values: Vec<(Value, Vec<usize>)>,
    kind: Values,
}

/// A graph of some 10 nodes that stays small; of integers, whatever it computes is exact in f32.
pub(crate) fn random_graph(rng: &mut Rng, kind: Values) -> GraphCase {
    loop {
        let rank = rng.usize(1..=3);
        let (batch, most) = (rng.usize(1..=3), [30, 10, 5][rank - 1]);
        let extents: Vec<usize> = (0..rank).map(|_| rng.usize(1..=most)).collect();
        let mut growing =
            Growing { rng, graph: Graph::new(rank).unwrap(), inputs: Vec::new(), values: Vec::new(), kind };
        for _ in 0..growing.rng.usize(1..=2) {
            let channels = growing.rng.usize(1..=5);
            let shape = [&[batch, channels], &extents[..]].concat();
            let value = growing.graph.input(channels).unwrap();
            growing.inputs.push(shape.clone());
            growing.values.push((value, shape));
        }
        for _ in 0..growing.rng.usize(3..=12) {
            growing.grow();
        }
        let Growing { mut graph, inputs, values, .. } = growing;
        for _ in 0..rng.usize(1..=3) {
            // Mostly the last ones, so that much is needed.
            let at = if rng.bool() { values.len() - 1 } else { rng.usize(0..values.len()) };
            let _ = graph.output(values[at].0);
        }
        let inputs: Vec<Tensor> = inputs.iter().map(|shape| tensor(rng, shape, kind)).collect();
        let expected = graph.on_reference(&inputs.iter().map(|x| x.cast(upconv::DType::F64)).collect::<Vec<_>>());
        let expected = expected.unwrap();
        let small = |tensor: &Tensor| tensor.to_f64().iter().all(|value| value.abs() < MOST / 64.0);
        if expected.iter().all(small) {
            return GraphCase { graph, inputs, expected };
        }
    }
}

impl Growing<'_> {
    /// Adds a node, unless what was chosen does not fit.
    fn grow(&mut self) {
        let at = if self.rng.bool() { self.values.len() - 1 } else { self.rng.usize(0..self.values.len()) };
        let (x, shape) = self.values[at].clone();
        let (rank, channels) = (shape.len() - 2, shape[1]);
        let integers = self.kind == Values::Integers;
        let mut graph = self.graph.clone();
        let each = |rng: &mut Rng, most: usize| -> Vec<[usize; 2]> {
            (0..rank).map(|_| [rng.usize(0..=most), rng.usize(0..=most)]).collect()
        };
        let partner = |rng: &mut Rng, fits: &dyn Fn(&[usize]) -> bool| {
            let all: Vec<Value> =
                self.values.iter().filter(|(_, other)| fits(other)).map(|(value, _)| *value).collect();
            (!all.is_empty()).then(|| all[rng.usize(0..all.len())])
        };
        let added = match self.rng.u8(0..14) {
            0..=3 => {
                let mut factor = |most: usize| -> Vec<usize> { (0..rank).map(|_| self.rng.usize(1..=most)).collect() };
                let (kernel, stride) = (factor(3), factor(2));
                let groups = if channels % 2 == 0 && self.rng.bool() { 2 } else { 1 };
                let out_channels = if self.rng.bool() { channels } else { groups * self.rng.usize(1..=4) };
                if out_channels % groups != 0 {
                    return;
                }
                let op = ConvTranspose::builder().in_channels(channels).out_channels(out_channels).groups(groups);
                let pads: Vec<i64> = kernel.iter().map(|&k| (k as i64 - 1) / 2).collect();
                let op = op.kernel(kernel).stride(stride).padding(pads);
                let Ok(op) = op.build() else { return };
                let weight: Vec<f32> = (0..op.weight_shape().iter().product())
                    .map(|_| if integers { self.rng.i32(-1..=1) as f32 } else { self.rng.f32() - 0.5 })
                    .collect();
                let weight = Tensor::f32(op.weight_shape(), weight).unwrap();
                let bias = self.rng.bool().then(|| Arc::new(tensor(self.rng, &[out_channels], self.kind)));
                if self.rng.u8(0..3) == 0 {
                    // An ordinary convolution of the same shapes.
                    let convolution = op.adjoint();
                    if convolution.in_channels() != channels {
                        return;
                    }
                    graph.layer(x, convolution.transposed(), weight, bias.filter(|_| false))
                } else {
                    graph.layer(x, &op, weight, bias)
                }
            }
            4 => {
                let activations = if integers {
                    vec![
                        Activation::Relu,
                        Activation::LeakyRelu { alpha: 2.0 },
                        Activation::Clip { min: -9.0, max: 9.0 },
                    ]
                } else {
                    vec![
                        Activation::Silu,
                        Activation::Sigmoid,
                        Activation::Prelu { slopes: vec![0.5; channels] },
                        Activation::Snake { alphas: (1..=channels).map(|a| a as f32).collect() },
                    ]
                };
                let activation = activations[self.rng.usize(0..activations.len())].clone();
                graph.activation(x, activation)
            }
            5 | 6 => {
                let Some(y) = partner(self.rng, &|other| *other == *shape) else { return };
                graph.add(x, y)
            }
            7 => {
                let scales = |other: &[usize]| other[1] == channels && other[2..].iter().all(|&extent| extent == 1);
                let fits = |other: &[usize]| *other == *shape || scales(other);
                let Some(y) = partner(self.rng, &fits) else { return };
                if self.rng.bool() { graph.multiply(x, y) } else { graph.multiply(y, x) }
            }
            8 => graph.affine(x, if integers { 2.0 } else { 0.7 }, [0.0, 1.0][self.rng.usize(0..2)]),
            9 => {
                let Some(y) = partner(self.rng, &|other| other[2..] == shape[2..]) else { return };
                let Some(z) = partner(self.rng, &|other| other[2..] == shape[2..]) else { return };
                if self.rng.bool() { graph.concatenate(&[x, y]) } else { graph.concatenate(&[x, y, z]) }
            }
            10 => {
                let first = self.rng.usize(0..channels);
                graph.channels(x, first..self.rng.usize(first + 1..=channels))
            }
            11 => {
                let borders = each(self.rng, 2);
                if self.rng.bool() {
                    graph.crop(x, &borders)
                } else {
                    let beyond = [Beyond::Zero, Beyond::Replicate, Beyond::Reflect][self.rng.usize(0..3)];
                    graph.pad(x, &borders, beyond)
                }
            }
            12 => {
                let factors: Vec<usize> = (0..rank).map(|_| self.rng.usize(1..=3)).collect();
                graph.nearest(x, &factors)
            }
            _ if channels % (1 << rank) == 0 => graph.pixel_shuffle(x, 2),
            // A mean of integers is none.
            _ if !integers => graph.mean(x),
            _ => return,
        };
        let Ok(value) = added else { return };
        let mut whole = graph.clone();
        let _ = whole.output(value);
        let Ok(shapes) = whole.shapes(&self.inputs) else { return };
        let shape = shapes[value.index()].clone();
        if shape.iter().product::<usize>() <= 20_000 {
            self.graph = graph;
            self.values.push((value, shape));
        }
    }
}

/// The largest difference, as a share of what there is at most.
pub(crate) fn difference(got: &[Tensor], expected: &[Tensor]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let of = |(got, expected): (&Tensor, &Tensor)| {
        assert_eq!(got.shape(), expected.shape());
        let most = expected.to_f64().iter().fold(1e-3_f64, |most, value| most.max(value.abs()));
        let pairs = got.to_f64().into_iter().zip(expected.to_f64());
        pairs.map(|(got, expected)| (got - expected).abs()).fold(0.0, f64::max) / most
    };
    got.iter().zip(expected).map(of).fold(0.0, f64::max)
}

/// A graph's nodes, one a line.
pub(crate) fn told(graph: &Graph) -> String {
    let line = |(index, node): (usize, &upconv::graph::Node)| {
        let operation = match node.operation() {
            upconv::graph::Operation::Layer(layer) => format!("{:?}", layer.op),
            operation => format!("{operation:?}"),
        };
        let inputs: Vec<usize> = node.inputs().iter().map(|value| value.index()).collect();
        format!("{index}: {operation} of {inputs:?}, {} channels\n", node.channels())
    };
    let nodes: String = graph.nodes().iter().enumerate().map(line).collect();
    format!("{nodes}gives {:?}", graph.outputs())
}
