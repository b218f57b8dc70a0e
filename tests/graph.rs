//! Graphs on the device: random ones against the reference.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
#[path = "common/device.rs"]
mod device;

use common::graphs::{GraphCase, difference, random_graph, told};
use common::parts::{branching, cut, in_parts};
use common::{Values, tensor};
use device::context;
use fastrand::Rng;
use std::process::ExitCode;
use upconv::gpu::{Context, Graph};
use upconv::wgpu::{self, BufferUsages};
use upconv::{Accuracy, DeviceClass, DeviceProfile, Error, Storage, Tensor, graph};

fn main() -> ExitCode {
    device::run(&[
        ("integers_are_exact_in_random_graphs", integers_are_exact_in_random_graphs),
        ("reals_are_close_in_random_graphs", reals_are_close_in_random_graphs),
        ("every_element_of_a_callers_outputs_is_written", every_element_of_a_callers_outputs_is_written),
        ("parts_have_the_bits_of_the_whole_in_random_graphs", parts_have_the_bits_of_the_whole_in_random_graphs),
        ("parts_have_the_bits_of_the_whole_in_a_network", parts_have_the_bits_of_the_whole_in_a_network),
        ("what_does_not_fit_is_refused", what_does_not_fit_is_refused),
    ])
}

/// Compilers take long for large tiles: these get the small ones of an unknown device.
fn small_tiles() -> Context {
    context().limited(DeviceProfile { class: DeviceClass::Unknown, ..context().profile().clone() })
}

fn shapes(inputs: &[Tensor]) -> Vec<&[usize]> {
    inputs.iter().map(Tensor::shape).collect()
}

fn integers_are_exact_in_random_graphs() {
    let (mut rng, context) = (Rng::with_seed(311), small_tiles());
    for number in 0..150 {
        let GraphCase { graph, inputs, expected } = random_graph(&mut rng, Values::Integers);
        let on_gpu = Graph::new(&context, &graph).unwrap();
        let prepared = on_gpu.prepare(&shapes(&inputs), Storage::F32);
        let prepared = prepared.unwrap_or_else(|error| panic!("case {number}: {error}: {}", told(&graph)));
        // Twice: the second run has the first one's buffers.
        for _ in 0..2 {
            let got = prepared.run(&inputs).unwrap();
            for (got, expected) in got.iter().zip(&expected) {
                assert_eq!(got.to_f64(), expected.to_f64(), "case {number}: {}", told(&graph));
            }
        }
    }
}

fn reals_are_close_in_random_graphs() {
    let (mut rng, context) = (Rng::with_seed(312), small_tiles());
    for number in 0..100 {
        let GraphCase { graph, inputs, expected } = random_graph(&mut rng, Values::Reals);
        let on_gpu = Graph::new(&context, &graph).unwrap();
        for (storage, most) in [(Storage::F32, 1e-4), (Storage::F16, 0.1)] {
            if storage == Storage::F16 && !context.profile().f16 {
                continue;
            }
            let got = on_gpu.prepare(&shapes(&inputs), storage).unwrap().run(&inputs).unwrap();
            let difference = difference(&got, &expected);
            assert!(difference < most, "case {number}, {storage:?}: {difference}, {}", told(&graph));
        }
    }
}

fn every_element_of_a_callers_outputs_is_written() {
    let (mut rng, context) = (Rng::with_seed(313), small_tiles());
    for number in 0..40 {
        let GraphCase { graph, inputs, expected } = random_graph(&mut rng, Values::Integers);
        let prepared = Graph::new(&context, &graph).unwrap().prepare(&shapes(&inputs), Storage::F32).unwrap();
        let x: Vec<_> = inputs.iter().map(|input| context.upload(input, Storage::F32).unwrap()).collect();
        let poisoned = |expected: &Tensor| {
            let poison = vec![f32::NAN; expected.to_f64().len()];
            context.upload(&Tensor::f32(expected.shape(), poison).unwrap(), Storage::F32).unwrap()
        };
        let y: Vec<_> = expected.iter().map(poisoned).collect();
        let [from, to] = [&x, &y].map(|buffers| buffers.iter().map(|buffer| buffer.slice(..)).collect::<Vec<_>>());
        let bound = prepared.bind(&from, &to).unwrap();
        let mut encoder = context.device().create_command_encoder(&Default::default());
        bound.encode(&mut encoder.begin_compute_pass(&Default::default()));
        context.queue().submit([encoder.finish()]);
        for (buffer, expected) in y.iter().zip(&expected) {
            let got = context.download(buffer, expected.shape(), Storage::F32).unwrap();
            assert_eq!(got.to_f64(), expected.to_f64(), "case {number}: {}", told(&graph));
        }
    }
}

/// The graph in pieces has the bits of the graph that is planned as one piece.
fn check_parts(rng: &mut Rng, context: &Context, graph: &graph::Graph, inputs: &[Tensor], name: &str) {
    let on_gpu = Graph::new(context, graph).unwrap();
    let shapes = shapes(inputs);
    let extents = graph.shapes(&shapes).unwrap();
    let all = |value: &graph::Value| (*value, extents[value.index()][2..].iter().map(|&extent| 0..extent).collect());
    let wanted: Vec<_> = graph.outputs().iter().map(all).collect();
    let whole = on_gpu.prepare_part(&shapes, &[], &wanted, Storage::F32).unwrap();
    let needed = whole.inputs().map(|region| {
        let number = graph.inputs().iter().position(|input| *input == region.value).unwrap();
        cut(&(inputs[number].shape().to_vec(), inputs[number].to_f32()), &region.begin, &region.shape)
    });
    let whole = whole.run(&needed.collect::<Vec<_>>()).unwrap();
    let got = in_parts(rng, graph, inputs, &mut |given, wanted, supply| {
        let part = on_gpu.prepare_part(&shapes, given, wanted, Storage::F32);
        let part = part.unwrap_or_else(|error| panic!("{name}: {error}: {}", told(graph)));
        let made = part.run(&part.inputs().map(supply).collect::<Vec<_>>()).unwrap();
        part.outputs().cloned().zip(made).collect()
    });
    for (got, whole) in got.iter().zip(&whole) {
        let differ = got.to_f32().iter().zip(whole.to_f32()).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
        assert_eq!(differ, 0, "{name}: of {:?}: {}", whole.shape(), told(graph));
    }
}

fn parts_have_the_bits_of_the_whole_in_random_graphs() {
    let (mut rng, context) = (Rng::with_seed(314), small_tiles());
    for number in 0..60 {
        let GraphCase { graph, inputs, .. } = random_graph(&mut rng, Values::Reals);
        check_parts(&mut rng, &context, &graph, &inputs, &format!("case {number}"));
    }
}

fn parts_have_the_bits_of_the_whole_in_a_network() {
    let mut rng = Rng::with_seed(315);
    let graph = branching(&mut rng, Accuracy::Normwise);
    for context in [small_tiles(), context().clone()] {
        for (height, width) in [(10, 24), (70, 96)] {
            let x = tensor(&mut rng, &[1, 3, height, width], Values::Reals);
            for number in 0..2 {
                check_parts(
                    &mut rng,
                    &context,
                    &graph,
                    std::slice::from_ref(&x),
                    &format!("{height}x{width} {number}"),
                );
            }
        }
    }
}

fn what_does_not_fit_is_refused() {
    let mut rng = Rng::with_seed(314);
    let mut graph = graph::Graph::new(2).unwrap();
    let x = graph.input(3).unwrap();
    let y = graph.affine(x, 2.0, 0.0).unwrap();
    graph.output(y).unwrap();
    let on_gpu = Graph::new(context(), &graph).unwrap();
    let refused = on_gpu.prepare(&[[1, 4, 5, 6]], Storage::F32).unwrap_err().to_string();
    assert!(refused.contains("[1, 4, 5, 6]") && refused.contains("[1, 3]"), "{refused}");
    let prepared = on_gpu.prepare(&[[1, 3, 5, 6]], Storage::F32).unwrap();
    let other = tensor(&mut rng, &[1, 3, 6, 5], Values::Integers);
    let refused = prepared.run(&[other]).unwrap_err().to_string();
    assert!(refused.contains("[1, 3, 6, 5]") && refused.contains("[1, 3, 5, 6]"), "{refused}");
    let small = context().limited(DeviceProfile { max_binding: 256, ..context().profile().clone() });
    let refused = Graph::new(&small, &graph).unwrap().prepare(&[[1, 3, 5, 6]], Storage::F32);
    assert!(matches!(refused, Err(Error::Limit { needed: 360, limit: 256, .. })), "{refused:?}");
    let descriptor =
        wgpu::BufferDescriptor { label: None, size: 360, usage: BufferUsages::STORAGE, mapped_at_creation: false };
    let buffer = context().device().create_buffer(&descriptor);
    let refused = prepared.bind(&[], &[buffer.slice(..)]).unwrap_err().to_string();
    assert!(refused.contains("inputs") && refused.contains("are 0, expected 1"), "{refused}");
}
