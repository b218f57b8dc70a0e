//! Graphs in parts: every value that is wanted, computed piece by piece.

#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use fastrand::Rng;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use upconv::graph::{Graph, Operation, Region, Value};
use upconv::{Accuracy, Activation, ConvTranspose, Convolution, Tensor};

/// What computes a part: of the values that are given and wanted, and of what gives the elements of a region.
pub(crate) type Compute<'a> =
    dyn FnMut(&[Value], &[(Value, Vec<Range<usize>>)], &dyn Fn(&Region) -> Tensor) -> Vec<(Region, Tensor)> + 'a;

/// Computes all outputs in pieces, and before them what the means in them need, also in pieces.
pub(crate) fn in_parts(rng: &mut Rng, graph: &Graph, inputs: &[Tensor], compute: &mut Compute<'_>) -> Vec<Tensor> {
    let shapes = graph.shapes(&inputs.iter().map(Tensor::shape).collect::<Vec<_>>()).unwrap();
    let mut known: BTreeMap<usize, (Vec<usize>, Vec<f32>)> = BTreeMap::new();
    for (input, value) in inputs.iter().zip(graph.inputs()) {
        known.insert(value.index(), (input.shape().to_vec(), input.to_f32()));
    }
    let sums = |live: &[bool]| -> Vec<Value> {
        let nodes = graph.nodes().iter().filter(|node| *node.operation() == Operation::Mean);
        nodes.map(|node| node.inputs()[0]).filter(|value| live[value.index()]).collect()
    };
    let mut live = vec![false; graph.nodes().len()];
    graph.outputs().iter().for_each(|output| live[output.index()] = true);
    for index in (0..live.len()).rev() {
        if live[index] {
            graph.nodes()[index].inputs().iter().for_each(|input| live[input.index()] = true);
        }
    }
    let sums = sums(&live);
    let mut given = Vec::new();
    for &value in sums.iter().chain(graph.outputs()) {
        let shape = &shapes[value.index()];
        let mut all = vec![f32::NAN; shape.iter().product()];
        for ranges in pieces(rng, &shape[2..]) {
            let supply = |region: &Region| cut(&known[&region.value.index()], &region.begin, &region.shape);
            for (region, tensor) in compute(&given, &[(value, ranges.clone())], &supply) {
                assert_eq!((region.value, tensor.shape()), (value, &region.shape[..]));
                let inside = region.begin.iter().zip(&region.shape[2..]).zip(&ranges);
                assert!(inside.into_iter().all(|((&b, &n), range)| b <= range.start && range.end <= b + n));
                paste(&mut all, shape, &region.begin, &tensor);
            }
        }
        assert!(all.iter().all(|value| !value.is_nan()), "all is written, and nothing is NaN");
        known.insert(value.index(), (shape.clone(), all));
        if sums.contains(&value) && !given.contains(&value) {
            given.push(value);
        }
    }
    let tensor = |output: &Value| {
        let (shape, elements) = known[&output.index()].clone();
        Tensor::f32(shape, elements).unwrap()
    };
    graph.outputs().iter().map(tensor).collect()
}

/// Pieces that cover extents, one to three along each axis.
fn pieces(rng: &mut Rng, extents: &[usize]) -> Vec<Vec<Range<usize>>> {
    let mut all = vec![Vec::new()];
    for &extent in extents {
        let mut cuts: Vec<usize> = (0..rng.usize(0..=2)).map(|_| rng.usize(0..=extent)).collect();
        cuts.extend([0, extent]);
        cuts.sort_unstable();
        cuts.dedup();
        let ranges: Vec<Range<usize>> = cuts.windows(2).map(|pair| pair[0]..pair[1]).collect();
        let longer = |before: Vec<Range<usize>>| {
            ranges.iter().map(move |range| before.iter().cloned().chain([range.clone()]).collect()).collect::<Vec<_>>()
        };
        all = all.into_iter().flat_map(longer).collect();
    }
    all
}

/// The index of each element of a region in the whole.
fn places(whole: &[usize], begin: &[usize], shape: &[usize]) -> Vec<usize> {
    let mut places = vec![0];
    for (axis, (&extent, &count)) in whole.iter().zip(shape).enumerate() {
        let first = if axis < 2 { 0 } else { begin[axis - 2] };
        places = places.into_iter().flat_map(|at| (0..count).map(move |i| at * extent + first + i)).collect();
    }
    places
}

/// A region of a value.
pub(crate) fn cut((shape, elements): &(Vec<usize>, Vec<f32>), begin: &[usize], part: &[usize]) -> Tensor {
    let elements: Vec<f32> = places(shape, begin, part).into_iter().map(|at| elements[at]).collect();
    Tensor::f32(part, elements).unwrap()
}

fn paste(all: &mut [f32], shape: &[usize], begin: &[usize], part: &Tensor) {
    for (at, value) in places(shape, begin, part.shape()).into_iter().zip(part.to_f32()) {
        all[at] = value;
    }
}

/// A network with all that makes tiles hard: wide layers that transforms compute, strides of both kinds, a skip, a dense
/// block, squeeze-and-excitation, a residual, a border that mirrors, and an enlargement. Of pictures with even sides.
pub(crate) fn branching(rng: &mut Rng, accuracy: Accuracy) -> Graph {
    let mut weights = |shape: &[usize], inputs: usize| {
        let scale = 1.7 / (inputs as f32).sqrt();
        let count = shape.iter().product();
        Tensor::f32(shape, (0..count).map(|_| (rng.f32() - 0.5) * scale).collect::<Vec<_>>()).unwrap()
    };
    let mut graph = Graph::new(2).unwrap();
    let x = graph.input(3).unwrap();
    let mut conv = |graph: &mut Graph, x: Value, [outputs, kernel, stride, padding]: [usize; 4]| {
        let inputs = graph.node(x).channels();
        let conv = Convolution::builder().in_channels(inputs).out_channels(outputs).kernel([kernel; 2]);
        let conv = conv.stride([stride; 2]).padding([padding as i64; 2]).accuracy(accuracy).build().unwrap();
        let weight = weights(&conv.weight_shape(), inputs * kernel * kernel);
        let bias = weights(&[outputs], 1);
        graph.convolution(x, &conv, &weight, Some(Arc::new(bias))).unwrap()
    };
    let x0 = graph.pad(x, &[[3, 5], [3, 4]], upconv::graph::Beyond::Reflect).unwrap();
    let first = conv(&mut graph, x0, [32, 3, 1, 1]);
    let first = graph.activation(first, Activation::LeakyRelu { alpha: 0.1 }).unwrap();
    let down = conv(&mut graph, first, [32, 2, 2, 0]);
    let wide = conv(&mut graph, down, [48, 3, 1, 1]);
    let wide = graph.activation(wide, Activation::Relu).unwrap();
    let wide = conv(&mut graph, wide, [32, 3, 1, 1]);
    let mean = graph.mean(wide).unwrap();
    let squeezed = conv(&mut graph, mean, [8, 1, 1, 0]);
    let squeezed = graph.activation(squeezed, Activation::Relu).unwrap();
    let excited = conv(&mut graph, squeezed, [32, 1, 1, 0]);
    let excited = graph.activation(excited, Activation::Sigmoid).unwrap();
    let scaled = graph.multiply(wide, excited).unwrap();
    let block = graph.add(scaled, down).unwrap();
    let dense = conv(&mut graph, block, [16, 3, 1, 1]);
    let both = graph.concatenate(&[block, dense]).unwrap();
    let dense = conv(&mut graph, both, [32, 3, 1, 1]);
    let dense = graph.affine(dense, 0.2, 0.0).unwrap();
    let block = graph.add(dense, block).unwrap();
    let up = ConvTranspose::builder().in_channels(32).out_channels(32).kernel([4, 4]).stride([2, 2]).padding([1, 1]);
    let up = up.accuracy(accuracy).build().unwrap();
    let numbers: Vec<f32> = (0..32 * 32 * 16).map(|i| ((i * 37 % 101) as f32 - 50.0) / 900.0).collect();
    let up = graph.layer(block, &up, Tensor::f32(up.weight_shape(), numbers).unwrap(), None).unwrap();
    let skip = graph.crop(first, &[[0, 0], [0, 1]]).unwrap();
    let joined = graph.add(up, skip).unwrap();
    let mut last = conv(&mut graph, joined, [12, 3, 1, 0]);
    last = graph.pixel_shuffle(last, 2).unwrap();
    let near = graph.nearest(x, &[2, 2]).unwrap();
    let last = graph.crop(last, &[[4, 8], [4, 4]]).unwrap();
    let sum = graph.add(last, near).unwrap();
    graph.output(sum).unwrap();
    graph
}
