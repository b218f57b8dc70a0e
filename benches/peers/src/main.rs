//! Times other Rust engines' transposed convolution on the workloads of `upconv bench`, and prints JSON.
//!
//! Every engine gets the same numbers, and its output is checked against upconv's reference before it is timed; all are
//! timed warm. `burn` runs on a wgpu device, in turn with upconv on the same one, and so do
//! `burn-input-gradient` and `burn-weight-gradient`, its backward passes; `burn-flex`, `candle` and `tract` run on
//! the CPU, on as many threads as `RAYON_NUM_THREADS` says.
//!
//! Arguments: `list` names the engines that were built in, one a line; an engine's name, `--seconds S` for each workload,
//! and the names of workloads (all that it can run by default); or `network`, `--seconds S`, `cpu` or `gpu`, two
//! files and a width; or `graph`, `--seconds S`, `cpu` or `gpu`, NET.param, two files and a side: see those modules.

#[cfg(any(feature = "burn", feature = "flex"))]
mod burn_layer;
#[cfg(feature = "candle")]
mod candle;
#[path = "../../../cli/src/bench/check.rs"]
#[allow(dead_code, reason = "the program uses what is not used here")]
mod check;
#[cfg(any(feature = "flex", feature = "candle", feature = "tract"))]
mod cpu;
#[cfg(feature = "burn")]
mod gpu;
mod graph;
mod network;
#[cfg(feature = "burn")]
#[path = "../../../cli/src/bench/pass.rs"]
mod pass;
#[path = "../../../cli/src/bench/timing.rs"]
#[allow(dead_code, reason = "the program uses what is not used here")]
mod timing;
#[cfg(feature = "tract")]
mod tract;
#[cfg(feature = "burn")]
#[path = "../../../cli/src/bench/weight_check.rs"]
mod weight_check;
#[path = "../../../cli/src/bench/workloads.rs"]
#[allow(dead_code, reason = "the program uses what is not used here")]
mod workloads;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use std::time::Duration;
use upconv::{DType, Layout};
use workloads::{Case, Workload};

/// As an object of `upconv bench --json`, with the engine's name. What an engine cannot run has an error and no times.
#[derive(Default, Serialize)]
struct Row {
    workload: String,
    engine: String,
    device: &'static str,
    adapter: Option<String>,
    kernel: Option<String>,
    verified_share: Option<f64>,
    error: Option<String>,
    runs: usize,
    first_call_ms: Option<f64>,
    median_ms: Option<f64>,
    min_ms: Option<f64>,
    gflops: Option<f64>,
}

/// A call of an engine's layer that ends when its output is there; it gives the output where it is asked to.
type Call = Box<dyn Fn(bool) -> Result<Option<Vec<f32>>>>;

/// Times an engine on a workload, for so long.
type Engine = fn(&Workload, &Case, Duration) -> Result<Vec<Row>>;

/// The engines by their names.
const ENGINES: &[(&str, Engine)] = &[
    #[cfg(feature = "burn")]
    ("burn", |workload, case, span| gpu::compare(workload, case, pass::Pass::Forward, span)),
    #[cfg(feature = "burn")]
    ("burn-input-gradient", |workload, case, span| gpu::compare(workload, case, pass::Pass::InputGradient, span)),
    #[cfg(feature = "burn")]
    ("burn-weight-gradient", |workload, case, span| gpu::compare(workload, case, pass::Pass::WeightGradient, span)),
    #[cfg(feature = "flex")]
    ("burn-flex", |workload, case, span| {
        cpu::time("burn-flex", workload, case, span, &|case| burn_layer::new(case, &burn::tensor::Device::flex()))
    }),
    #[cfg(feature = "candle")]
    ("candle", |workload, case, span| cpu::time("candle", workload, case, span, &candle::layer)),
    #[cfg(feature = "tract")]
    ("tract", |workload, case, span| cpu::time("tract", workload, case, span, &tract::layer)),
];

fn main() -> Result<()> {
    let (mut names, mut seconds) = (Vec::new(), 2.0);
    let mut arguments = std::env::args().skip(1);
    let engine = arguments.next().context("expected an engine's name, or list")?;
    if engine == "list" {
        ENGINES.iter().for_each(|(name, _)| println!("{name}"));
        return Ok(());
    }
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seconds" => seconds = arguments.next().context("--seconds needs a number")?.parse()?,
            option if option.starts_with('-') => bail!("unknown option {option}"),
            name => names.push(name.to_string()),
        }
    }
    let span = Duration::from_secs_f64(seconds);
    if engine == "network" {
        let [device, input, output, width] = &names[..] else { bail!("expected a device, two files and a width") };
        println!("{}", serde_json::to_string_pretty(&network::time(device, input, output, width.parse()?, span)?)?);
        return Ok(());
    }
    if engine == "graph" {
        let [device, net, input, output, side] = &names[..] else { bail!("expected a device, three files and a side") };
        println!("{}", serde_json::to_string_pretty(&graph::time(device, net, [input, output], side.parse()?, span)?)?);
        return Ok(());
    }
    let Some((_, time)) = ENGINES.iter().find(|(name, _)| *name == engine) else {
        bail!("the engine {engine:?} is not built in; list names those that are");
    };
    let mut rows = Vec::new();
    for workload in workloads::select(&names)? {
        let case = workload.case()?;
        if case.op.layout() != Layout::ChannelsFirst || case.input.dtype() != DType::F32 {
            eprintln!("{}: no other engine is run with channels last or f16 storage", workload.name);
            continue;
        }
        rows.extend(time(&workload, &case, span)?);
    }
    println!("{}", serde_json::to_string_pretty(&rows)?);
    Ok(())
}
