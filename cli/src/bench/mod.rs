//! `upconv bench`: the same layers on the GPU, the CPU backend and the reference, checked first and then timed.
//!
#![doc = include_str!("note.md")]

mod ceiling;
mod check;
mod cost;
mod figure;
mod growth;
mod growth_plot;
mod layers;
mod pass;
mod plot;
mod report;
mod subject;
mod svg;
mod timing;
mod weight_check;
mod workloads;

use crate::atomic::AtomicFile;
use crate::output::{Lines, note, one_line};
use crate::tuning::TuningArgs;
use anyhow::{Result, bail, ensure};
pub(crate) use check::Check;
use clap::ValueEnum;
pub(crate) use cost::Cost;
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
pub(crate) use layers::LayerArgs;
pub(crate) use pass::Pass;
use report::Row;
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};
use subject::{Measured, Subject};
use timing::Budget;
use upconv::Error;
use upconv::gpu::{AdapterRequest, Tuning};
use weight_check::WeightCheck;
pub(crate) use workloads::Workload;

const NOTE: &str = include_str!("note.md");

/// The options of `bench`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    layers: LayerArgs,
    /// Time these passes: the layer itself, or the gradients of its input and its weight.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "forward", conflicts_with = "growth")]
    pass: Vec<Pass>,
    /// Where to compute; `gpu` accepts software devices too.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "all")]
    device: Vec<Choice>,
    /// Take the GPU adapter with this number in `upconv info`, or whose name, driver or backend contains this; may be
    /// given more than once.
    #[arg(long, value_name = "NUMBER|SUBSTRING")]
    adapter: Vec<String>,
    #[command(flatten)]
    tuning: TuningArgs,
    /// Write the rows, or the curves of --growth, to a file, as a JSON list of objects.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the rows as bars, or the curves of --growth as lines.
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Instead, time one layer with each kernel for outputs from 32x32 to 2048x2048: how does the cost grow?
    #[arg(long, conflicts_with_all = ["workloads", "op"])]
    growth: bool,
    /// First measure how fast the GPU copies memory and multiplies matrices, and report each layer as a share of that.
    #[arg(long, conflicts_with = "growth")]
    ceilings: bool,
    /// Run each measurement this many times.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "seconds")]
    runs: Option<u32>,
    /// Run each measurement for this many seconds, and at least three times.
    #[arg(long, value_name = "S", default_value = "1", value_parser = seconds)]
    seconds: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Choice {
    All,
    Gpu,
    Cpu,
    Reference,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.0..1e6).contains(&seconds) => Ok(seconds),
        _ => Err("expected a number of seconds from 0 to 999999".into()),
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let workloads = args.layers.workloads()?;
    for path in [&args.json, &args.plot].into_iter().flatten() {
        // Refuses a destination that cannot be written before minutes are spent.
        drop(AtomicFile::create(path, false)?);
    }
    let subjects = subjects(args)?;
    let budget = args.runs.map_or(Budget::Seconds(args.seconds), |runs| Budget::Runs(runs as usize));
    // Without files the lines are all that is made, and who no longer reads them needs no more of them.
    let files = args.json.is_some() || args.plot.is_some();
    let mut lines = Lines::default();
    lines.print(&format!("upconv {} bench\n", env!("CARGO_PKG_VERSION")));
    // It has no thread of its own, which might not be there to be had.
    let style = ProgressStyle::with_template("{msg}")?;
    let bar = ProgressBar::no_length().with_style(style).with_finish(ProgressFinish::AndClear);
    let mut ceilings = Vec::new();
    for subject in &subjects {
        bar.suspend(|| lines.print(&format!("    {:<11}{}\n", subject.device(), subject.adapter())));
        bar.set_message(format!("the ceilings of {}", subject.adapter()));
        let of_subject = if args.ceilings { subject.ceilings(budget)? } else { None };
        if let Some(ceilings) = &of_subject {
            bar.suspend(|| lines.print(&format!("    {:<11}{ceilings}\n", "")));
        }
        ceilings.push(of_subject);
    }
    if args.growth {
        let curves = growth::measure(&subjects, budget, |what| bar.set_message(what.to_string()))?;
        bar.finish_and_clear();
        lines.print(&format!("\n{}\n{}\n", growth::LAYER, growth::table(&curves)));
        save(args, &curves, growth_plot::svg)?;
        return lines.end();
    }
    lines.print(&format!("\n{}\n", report::head()));
    let mut rows = Vec::new();
    for (workload, &pass) in workloads.iter().flat_map(|workload| args.pass.iter().map(move |pass| (workload, pass))) {
        if lines.failed() && !files {
            break;
        }
        let mut new = measure(workload, pass, &subjects, budget, &bar)?;
        for (row, ceilings) in new.iter_mut().zip(&ceilings) {
            if let (Some(row), Some(ceilings)) = (row, ceilings) {
                row.compare_with(ceilings);
            }
        }
        bar.suspend(|| lines.print(&text(workload, pass, &new)));
        rows.extend(new.into_iter().flatten());
    }
    bar.finish_and_clear();
    lines.print(&format!("{}\n{NOTE}\n", report::shares(&rows)));
    save(args, &rows, plot::svg)?;
    let failed = rows.iter().filter(|row| row.error.is_some()).count();
    ensure!(failed == 0, "{failed} of {} rows failed", rows.len());
    lines.end()
}

/// Writes the measurements to the requested files.
fn save<T: Serialize>(args: &Args, measured: &[T], plot: fn(&[T]) -> String) -> Result<()> {
    if let Some(path) = &args.json {
        write(path, &(serde_json::to_string_pretty(measured)? + "\n"))?;
    }
    if let Some(path) = &args.plot {
        write(path, &plot(measured))?;
    }
    Ok(())
}

/// The devices that are asked for, GPUs first.
fn subjects(args: &Args) -> Result<Vec<Subject>> {
    let asked = |choice| args.device.contains(&choice) || args.device.contains(&Choice::All);
    if !asked(Choice::Gpu) && !args.adapter.is_empty() {
        bail!("--adapter {:?} names a GPU, but --device asks for none", args.adapter[0]);
    }
    let mut subjects = Vec::new();
    let tuning = if asked(Choice::Gpu) { args.tuning.load()? } else { Tuning::default() };
    for name in &args.adapter {
        let request = AdapterRequest { name: Some(name.clone()), hardware_only: false };
        subjects.push(Subject::gpu(request, &tuning)?);
    }
    if asked(Choice::Gpu) && subjects.is_empty() {
        match Subject::gpu(AdapterRequest::default(), &tuning) {
            Ok(gpu) => subjects.push(gpu),
            Err(error) if args.device.contains(&Choice::Gpu) => return Err(error),
            Err(error) if matches!(error.downcast_ref(), Some(Error::NoAdapter { .. } | Error::NoDevice { .. })) => {
                note!("no GPU is timed: {}", one_line(&error));
            }
            Err(error) => return Err(error),
        }
    }
    if asked(Choice::Cpu) {
        subjects.push(Subject::Cpu);
    }
    if asked(Choice::Reference) {
        subjects.push(Subject::Reference);
    }
    Ok(subjects)
}

/// A row for each device, or `None` where the device does not run the workload.
fn measure(
    workload: &Workload,
    pass: Pass,
    subjects: &[Subject],
    budget: Budget,
    bar: &ProgressBar,
) -> Result<Vec<Option<Row>>> {
    bar.set_message(format!("{}, {}: computing the reference", workload.name, pass.name()));
    let case = workload.case()?;
    // Each pass multiplies and reads as much as any other.
    let cost = Cost::new(&case.op, &case.input)?;
    let rows = |part: Option<String>, measure: &dyn Fn(&Subject) -> Result<Option<Measured>>| {
        let row = |subject: &Subject| {
            bar.set_message(format!("{}, {}, on {}", workload.name, pass.name(), subject.adapter()));
            let mut row = Row::new(workload, pass, subject);
            match measure(subject) {
                Ok(None) => return None,
                Ok(Some(measured)) => row.fill(measured, cost, part.clone()),
                Err(error) => row.error = Some(format!("{error:#}")),
            }
            Some(row)
        };
        subjects.iter().map(row).collect()
    };
    Ok(match pass {
        Pass::Forward | Pass::InputGradient => {
            let case = if pass == Pass::Forward { case } else { case.input_gradient()? };
            let check = Check::new(&case, cost.multiply_adds)?;
            rows(check.part(), &|subject| subject.measure(&case, &check, budget))
        }
        Pass::WeightGradient => {
            let gradient = case.gradient()?;
            let check = WeightCheck::new(&case, &gradient, cost.multiply_adds)?;
            rows(check.part(), &|subject| subject.measure_weight_gradient(&case, &gradient, &check, budget))
        }
    })
}

/// The lines of a workload.
fn text(workload: &Workload, pass: Pass, rows: &[Option<Row>]) -> String {
    let of = if pass == Pass::Forward { String::new() } else { format!(", {}", pass.name()) };
    let mut text = format!("{:<8}{}: {}{of}\n", workload.name, workload.title, workload.describe());
    let shown = || rows.iter().flatten();
    let best = shown().filter_map(|row| row.median_ms).fold(f64::INFINITY, f64::min);
    for row in shown() {
        text += &(row.line(best) + "\n");
    }
    if let Some(part) = shown().find_map(|row| row.verified_part.as_ref().filter(|part| *part != "all")) {
        text += &format!("    computed by the reference, and checked: {part}\n");
    }
    if rows.iter().any(Option::is_none) {
        text +=
            "    a GPU without SHADER_F16 runs no f16 tensors; the reference is not timed for a weight's gradient\n";
    }
    text
}

fn write(path: &Path, text: &str) -> Result<()> {
    let mut file = AtomicFile::create(path, false)?;
    file.write_all(text.as_bytes())?;
    file.commit()
}
