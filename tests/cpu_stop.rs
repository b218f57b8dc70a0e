//! Work on the CPU that is stopped from another thread.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use upconv::graph::Graph;
use upconv::{Accuracy, Activation, ConvTranspose, Error, Result, Stop, Tensor, cpu};

/// One at a time has the threads.
static ALONE: Mutex<()> = Mutex::new(());

/// Work that would go on for ever is stopped long before one turn of it would end, or at once.
fn is_stopped_soon(what: &str, mut work: impl FnMut() -> Result<()>) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let begin = Instant::now();
    work().unwrap();
    let turn = begin.elapsed();
    let stop = Stop::new();
    let other = stop.clone();
    let stopper = thread::spawn(move || {
        thread::sleep(Duration::from_millis(30));
        other.request();
        Instant::now()
    });
    let error = stop.watch(|| {
        loop {
            if let Err(error) = work() {
                break error;
            }
        }
    });
    let ended = Instant::now();
    assert!(matches!(error, Error::Stopped), "{error}");
    // What is not watched goes on.
    work().unwrap();
    let late = ended - stopper.join().unwrap();
    // A part takes milliseconds; other work on the machine slows both.
    assert!(late < Duration::from_millis(200) + turn / 2, "{what}: {late:?} late, a turn takes {turn:?}");
}

/// A layer of 4 billion multiply-adds at this input.
fn layer(weight: f32, accuracy: Accuracy) -> (cpu::Layer, Tensor) {
    let op = ConvTranspose::builder().in_channels(64).out_channels(64).kernel([3, 3]).padding([1, 1]);
    let op = op.accuracy(accuracy).build().unwrap();
    let mut weights = vec![1.0; 64 * 64 * 9];
    weights[0] = weight;
    let layer = cpu::Layer::new(&op, &Tensor::f32(op.weight_shape(), weights).unwrap(), None).unwrap();
    (layer, Tensor::f32([1, 64, 330, 330], vec![1.0; 64 * 330 * 330]).unwrap())
}

#[test]
fn every_way_to_compute_is_stopped_between_its_parts() {
    for (weight, accuracy) in
        [(1.0, Accuracy::Elementwise), (1.0, Accuracy::Normwise), (f32::INFINITY, Accuracy::Elementwise)]
    {
        let (layer, input) = layer(weight, accuracy);
        is_stopped_soon(&format!("weight {weight}, {accuracy}"), || layer.run(&input).map(drop));
    }
    let (layer, input) = layer(1.0, Accuracy::Elementwise);
    is_stopped_soon("weight gradient", || layer.weight_gradient(&input, &input).map(drop));
}

#[test]
fn a_graph_is_stopped() {
    let op = ConvTranspose::builder().in_channels(32).out_channels(32).kernel([3, 3]).padding([1, 1]).build().unwrap();
    let weight = Tensor::f32(op.weight_shape(), vec![0.01; 32 * 32 * 9]).unwrap();
    let mut graph = Graph::new(2).unwrap();
    let mut value = graph.input(32).unwrap();
    for _ in 0..8 {
        value = graph.layer(value, &op, weight.clone(), None).unwrap();
        value = graph.activation(value, Activation::Relu).unwrap();
    }
    graph.output(value).unwrap();
    let graph = cpu::Graph::new(&graph).unwrap();
    let input = [Tensor::f32([1, 32, 150, 150], vec![1.0; 32 * 150 * 150]).unwrap()];
    is_stopped_soon("a graph", || graph.run(&input).map(drop));
}

#[test]
fn a_request_is_heard_where_it_is_watched() {
    let (outer, inner) = (Stop::new(), Stop::new());
    outer.request();
    let op = ConvTranspose::builder().kernel([2]).build().unwrap();
    let layer = cpu::Layer::new(&op, &Tensor::f32([1, 1, 2], [1.0, 2.0]).unwrap(), None).unwrap();
    let input = Tensor::f32([1, 1, 1], [1.0]).unwrap();
    outer.watch(|| {
        assert!(matches!(layer.run(&input), Err(Error::Stopped)));
        // The last request that is watched counts, for as long as it is.
        inner.watch(|| layer.run(&input)).unwrap();
        assert!(std::panic::catch_unwind(|| inner.watch(|| panic!("the work fails"))).is_err());
        assert!(matches!(layer.run(&input), Err(Error::Stopped)));
    });
    layer.run(&input).unwrap();
    assert!(outer.is_requested() && !inner.is_requested());
}
