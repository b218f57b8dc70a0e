//! `upconv tune`: measures the candidates for a layer on an adapter, and remembers the fastest.

use crate::bench::{Check, Cost, LayerArgs, Workload};
use crate::output::{Lines, note};
use crate::tuning::Place;
use anyhow::{Context as _, Result, bail, ensure};
use std::path::PathBuf;
use std::time::Duration;
use upconv::gpu::{AdapterRequest, Context, Effort, Layer, Outcome, Trial};
use upconv::{ConvTranspose, DType};

/// The options of `tune`.
#[derive(clap::Args)]
#[command(after_help = crate::op_json::KEYS_ARE_IN)]
pub(crate) struct Args {
    #[command(flatten)]
    layers: LayerArgs,
    /// Take the GPU adapter with this number in `upconv info`, or whose name, driver or backend contains this; by default
    /// the best one, in software too.
    #[arg(long, value_name = "NUMBER|SUBSTRING")]
    adapter: Option<String>,
    /// Measure this many of the candidates with the lowest estimated cost, and of every kernel the first two.
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=1000))]
    candidates: u32,
    /// Time each of them for this many milliseconds, and at least five times.
    #[arg(long, value_name = "MS", default_value_t = 100, value_parser = clap::value_parser!(u32).range(..=600_000))]
    milliseconds: u32,
    /// Remember the fastest in this file; by default in the user's cache folder, where the other commands look for it.
    #[arg(long, value_name = "FILE")]
    tuning: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    ensure!(args.layers.are_given(), "an OP.json or --workloads is needed");
    let workloads = args.layers.workloads()?;
    let named = args.tuning.clone().map(Place::Named);
    let place = named.or_else(Place::cached).context("there is no cache folder: --tuning is needed")?;
    let mut tuning = place.read()?.unwrap_or_default();
    let request = AdapterRequest { name: args.adapter.clone(), hardware_only: false };
    let context = Context::request(&request)?;
    note!("device: {}", context.adapter_name());
    let effort = Effort { candidates: args.candidates as usize, time: Duration::from_millis(args.milliseconds.into()) };
    let mut lines = Lines::default();
    for workload in workloads {
        lines.print(&format!("{} {}: {}\n", workload.name, workload.title, workload.describe()));
        let case = Workload { op: plain(&workload.op)?, ..workload }.case()?;
        ensure!(
            case.input.dtype() != DType::F16 || context.profile().f16,
            "{} does not support f16 (SHADER_F16): it would store the tensors as f32",
            context.adapter_name()
        );
        let check = Check::new(&case, Cost::new(&case.op, &case.input)?.multiply_adds)?;
        let layer = Layer::new(&context, &case.op, &case.weight, Some(&case.bias))?;
        let trials = tuning
            .measure(&layer, &case.input, effort, |output| Ok::<_, anyhow::Error>(check.compare(output)?.passed()))?;
        print(&trials, &mut lines)?;
    }
    place.write(&tuning)?;
    lines.print(&format!("{} choices in {}\n", tuning.len(), place.path().display()));
    lines.end()
}

/// The operation with the default weight layout and no activation, on which no choice depends.
fn plain(op: &ConvTranspose) -> upconv::Result<ConvTranspose> {
    let axes = op.axes();
    ConvTranspose::builder()
        .in_channels(op.in_channels())
        .out_channels(op.out_channels())
        .groups(op.groups())
        .kernel(axes.iter().map(|axis| axis.kernel))
        .stride(axes.iter().map(|axis| axis.stride))
        .dilation(axes.iter().map(|axis| axis.dilation))
        .padding(axes.iter().map(|axis| (axis.pad_begin, axis.pad_end)))
        .output_padding(axes.iter().map(|axis| axis.output_padding))
        .layout(op.layout())
        .build()
}

/// The candidates and their results, the fastest first.
fn print(trials: &[Trial], lines: &mut Lines) -> Result<()> {
    let mut sorted: Vec<&Trial> = trials.iter().collect();
    sorted.sort_by_key(|trial| trial.time().map_or((1, Duration::ZERO), |time| (0, time)));
    for (place, trial) in sorted.iter().enumerate() {
        let outcome = match &trial.outcome {
            Outcome::Time(time) => format!("{:.3} ms", time.as_secs_f64() * 1e3),
            Outcome::Wrong => "WRONG".into(),
            Outcome::Failed(error) => format!("failed: {error}"),
        };
        let sign = if place == 0 { '>' } else { ' ' };
        lines.print(&format!("  {sign} {outcome:>12}   {}\n", trial.candidate));
    }
    match sorted.first() {
        Some(fastest) if fastest.time().is_some() => Ok(()),
        _ => bail!("no candidate agreed with the reference"),
    }
}
