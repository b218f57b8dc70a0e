//! Any network of ncnn by upconv, on the CPU or on any GPU, from planes of f32 to planes of f32.

use crate::Row;
use crate::timing::{Budget, timed};
use anyhow::{Context as _, Result, bail};
use std::path::Path;
use std::time::Duration;
use upconv::gpu::{AdapterRequest, Context};
use upconv::graph::ncnn;
use upconv::upscale::Network;
use upconv::{Storage, Tensor, cpu, gpu};

/// Runs NET.param with the .bin beside it on the f32 planes of `[1, 3, side, side]` in `input`, times it for so long, and
/// leaves the planes that it makes in `output`; on `cpu` or `gpu`. All is warm but the first call.
pub(crate) fn time(device: &str, net: &str, [input, output]: [&str; 2], side: usize, span: Duration) -> Result<Row> {
    let read = |path: &Path| std::fs::read(path).with_context(|| path.display().to_string());
    let graph = ncnn::read(&read(Path::new(net))?, &read(&Path::new(net).with_extension("bin"))?)?;
    // Which transforms its layers are allowed is the network's affair.
    let network = Network::from_graph(graph)?;
    let graph = network.graph();
    let planes = read(Path::new(input))?;
    let planes: Vec<f32> = planes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    let input = Tensor::f32([1, 3, side, side], planes)?;
    let context = match device {
        "cpu" => None,
        "gpu" => Some(Context::request(&AdapterRequest::default())?),
        other => bail!("unknown device {other:?}, expected cpu or gpu"),
    };
    let run: Box<dyn Fn() -> Result<Tensor>> = match &context {
        None => {
            let (graph, input) = (cpu::Graph::new(graph)?, input);
            Box::new(move || Ok(graph.run(std::slice::from_ref(&input))?.swap_remove(0)))
        }
        Some(context) => {
            let shapes = graph.shapes(&[input.shape()])?;
            let whole =
                |value: &upconv::graph::Value| shapes[value.index()][2..].iter().map(|&extent| 0..extent).collect();
            let wanted: Vec<_> = graph.outputs().iter().map(|value| (*value, whole(value))).collect();
            let prepared =
                gpu::Graph::new(context, graph)?.prepare_part(&[input.shape()], &[], &wanted, Storage::F32)?;
            Box::new(move || Ok(prepared.run(std::slice::from_ref(&input))?.swap_remove(0)))
        }
    };
    let (made, first) = timed(&run)?;
    let bytes: Vec<u8> = made.to_f32().into_iter().flat_map(f32::to_le_bytes).collect();
    std::fs::write(output, bytes).with_context(|| output.to_string())?;
    let times = Budget::Seconds(span.as_secs_f64()).sample(|| Ok(timed(&run)?.1))?;
    Ok(Row {
        workload: net.into(),
        engine: "upconv".into(),
        device: if context.is_some() { "gpu" } else { "cpu" },
        adapter: context.as_ref().map(Context::adapter_name),
        runs: times.runs(),
        first_call_ms: Some(first.as_secs_f64() * 1e3),
        median_ms: Some(times.median() * 1e3),
        min_ms: Some(times.min() * 1e3),
        ..Row::default()
    })
}
