//! A network in the ONNX format is read as a graph that has shapes, or refused.

#![no_main]

use upconv::graph::{Graph, onnx};

libfuzzer_sys::fuzz_target!(|file: &[u8]| {
    if let Ok(graph) = onnx::read(file) {
        shapes(&graph, 64);
        shapes(&graph, 1 << 40);
    }
});

fn shapes(graph: &Graph, side: usize) {
    let extents = vec![side; graph.rank()];
    let inputs = graph.inputs().iter().map(|&input| [&[1, graph.node(input).channels()], &extents[..]].concat());
    let _ = graph.shapes(&inputs.collect::<Vec<_>>());
}
