//! A network in ncnn's files is read as a graph that has shapes, or refused.

#![no_main]

use upconv::graph::{Graph, ncnn};

libfuzzer_sys::fuzz_target!(|files: (&[u8], &[u8])| {
    if let Ok(graph) = ncnn::read(files.0, files.1) {
        shapes(&graph, 64);
        shapes(&graph, 1 << 40);
    }
});

fn shapes(graph: &Graph, side: usize) {
    let inputs = graph.inputs().iter().map(|&input| [1, graph.node(input).channels(), side, side]);
    let _ = graph.shapes(&inputs.collect::<Vec<_>>());
}
