//! Graphs on the CPU: random ones against the reference.

#![cfg(feature = "cpu")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::graphs::{GraphCase, difference, random_graph, told};
use common::parts::{branching, in_parts};
use common::{Values, tensor};
use fastrand::Rng;
use upconv::cpu::{Graph, Level};
use upconv::graph;
use upconv::{Accuracy, Tensor};

#[test]
fn integers_are_exact_in_random_graphs() {
    let mut rng = Rng::with_seed(301);
    for number in 0..600 {
        let GraphCase { graph, inputs, expected } = random_graph(&mut rng, Values::Integers);
        for level in Level::ALL.into_iter().filter(|level| level.is_available()) {
            let on_cpu = Graph::with_level(&graph, level).unwrap();
            // Twice: the second run has the first one's buffers.
            for _ in 0..2 {
                let got = on_cpu.run(&inputs).unwrap();
                for (got, expected) in got.iter().zip(&expected) {
                    assert_eq!(got.to_f64(), expected.to_f64(), "case {number}, {level:?}: {}", told(&graph));
                }
            }
        }
    }
}

#[test]
fn reals_are_close_in_random_graphs() {
    let mut rng = Rng::with_seed(302);
    for number in 0..400 {
        let GraphCase { graph, inputs, expected } = random_graph(&mut rng, Values::Reals);
        let got = Graph::new(&graph).unwrap().run(&inputs).unwrap();
        let difference = difference(&got, &expected);
        assert!(difference < 2e-5, "case {number}: {difference}, {}", told(&graph));
    }
}

/// The graph in pieces has the bits of the graph.
fn check_parts(rng: &mut Rng, graph: &graph::Graph, inputs: &[Tensor], level: Level, name: &str) {
    let on_cpu = Graph::with_level(graph, level).unwrap();
    let shapes: Vec<&[usize]> = inputs.iter().map(Tensor::shape).collect();
    let whole = on_cpu.run(inputs).unwrap();
    let got = in_parts(rng, graph, inputs, &mut |given, wanted, supply| {
        let part = on_cpu.prepare_part(&shapes, given, wanted).unwrap_or_else(|error| panic!("{name}: {error}"));
        let made = part.run(&part.inputs().map(supply).collect::<Vec<_>>()).unwrap();
        part.outputs().cloned().zip(made).collect()
    });
    for (got, whole) in got.iter().zip(&whole) {
        let differ = got.to_f32().iter().zip(whole.to_f32()).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
        assert_eq!(differ, 0, "{name}, {level:?}: of {:?}: {}", whole.shape(), told(graph));
    }
}

#[test]
fn parts_have_the_bits_of_the_whole_in_random_graphs() {
    let mut rng = Rng::with_seed(303);
    for number in 0..600 {
        let GraphCase { graph, inputs, .. } = random_graph(&mut rng, Values::Reals);
        check_parts(&mut rng, &graph, &inputs, Level::best(), &format!("case {number}"));
    }
}

#[test]
fn parts_have_the_bits_of_the_whole_in_a_network() {
    let mut rng = Rng::with_seed(304);
    let graph = branching(&mut rng, Accuracy::Normwise);
    for level in Level::ALL.into_iter().filter(|level| level.is_available()) {
        for (height, width) in [(10, 24), (70, 96), (130, 34)] {
            let x = tensor(&mut rng, &[1, 3, height, width], Values::Reals);
            for number in 0..3 {
                check_parts(&mut rng, &graph, std::slice::from_ref(&x), level, &format!("{height}x{width} {number}"));
            }
        }
    }
}
