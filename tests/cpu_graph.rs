//! Graphs on the CPU: random ones against the reference.

#![cfg(feature = "cpu")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::Values;
use common::graphs::{GraphCase, difference, random_graph, told};
use fastrand::Rng;
use upconv::cpu::{Graph, Level};

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
