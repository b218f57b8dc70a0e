//! Times burn's transposed convolution and upconv's on one wgpu device, in turn, and prints JSON.
//!
//! Both get the same numbers, both outputs are checked against upconv's reference, and both are timed warm: burn after
//! its autotuning has settled, upconv prepared and bound. A call of either ends when the device has finished it, with
//! the tensors on the device. The calls alternate, so that whatever else the machine does disturbs both alike.
//!
//! Arguments: the names of workloads, and `--seconds S` for each of them; without names, all that both can run.

#[path = "../../../cli/src/bench/check.rs"]
#[allow(dead_code, reason = "the program uses what is not used here")]
mod check;
#[path = "../../../cli/src/bench/timing.rs"]
#[allow(dead_code, reason = "the program uses what is not used here")]
mod timing;
#[path = "../../../cli/src/bench/workloads.rs"]
#[allow(dead_code, reason = "the program uses what is not used here")]
mod workloads;

use anyhow::{Context as _, Result, anyhow, bail};
use burn::tensor::module::{conv_transpose1d, conv_transpose2d, conv_transpose3d};
use burn::tensor::ops::ConvTransposeOptions;
use burn::tensor::{Device, DeviceKind, Tensor, TensorData};
use check::Check;
use serde::Serialize;
use std::time::{Duration, Instant};
use timing::{Budget, Samples, timed};
use upconv::gpu::{AdapterRequest, Bound, Context, Layer};
use upconv::phase::effective_multiply_adds;
use upconv::reference::Comparison;
use upconv::wgpu::{DeviceType, PollType};
use upconv::{Axis, DType, Layout, Storage};
use workloads::{Case, Workload};

/// As an object of `upconv bench --json`, with the engine's name.
#[derive(Serialize)]
struct Row {
    workload: String,
    engine: &'static str,
    device: &'static str,
    adapter: String,
    kernel: Option<String>,
    verified_share: f64,
    error: Option<String>,
    runs: usize,
    first_call_ms: f64,
    median_ms: f64,
    min_ms: f64,
    gflops: f64,
}

fn main() -> Result<()> {
    let (mut names, mut seconds) = (Vec::new(), 2.0);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seconds" => seconds = arguments.next().context("--seconds needs a number")?.parse()?,
            option if option.starts_with('-') => bail!("unknown option {option}"),
            name => names.push(name.to_string()),
        }
    }
    let (burn, context) = open()?;
    let mut rows = Vec::new();
    for workload in workloads::select(&names)? {
        let case = workload.case()?;
        if case.op.layout() != Layout::ChannelsFirst || case.input.dtype() != DType::F32 {
            eprintln!("{}: burn has neither channels last nor f16 storage of its own here", workload.name);
            continue;
        }
        rows.extend(compare(&workload, &case, &burn, &context, Duration::from_secs_f64(seconds))?);
    }
    println!("{}", serde_json::to_string_pretty(&rows)?);
    Ok(())
}

/// burn's device on the adapter that upconv would take, and upconv on that same device.
fn open() -> Result<(Device, Context)> {
    let best = Context::request(&AdapterRequest::default())?;
    let kind = match best.device().adapter_info().device_type {
        DeviceType::DiscreteGpu => DeviceKind::DiscreteGpu(0),
        DeviceType::IntegratedGpu => DeviceKind::IntegratedGpu(0),
        DeviceType::VirtualGpu => DeviceKind::VirtualGpu(0),
        DeviceType::Cpu => DeviceKind::Cpu,
        DeviceType::Other => DeviceKind::DefaultDevice,
    };
    let (burn, setup) = Device::wgpu_options().device_kind(kind).init_with_setup()?;
    Ok((burn, Context::new(setup.device, setup.queue)))
}

/// Checks both, lets both settle, then times them in turn for `span`.
fn compare(workload: &Workload, case: &Case, device: &Device, context: &Context, span: Duration) -> Result<[Row; 2]> {
    let geometry = case.op.at(case.input.shape())?;
    let multiply_adds = effective_multiply_adds(case.op.axes3(), &geometry, case.op.groups());
    let check = Check::new(case, multiply_adds)?;

    let shape = geometry.output_shape();
    let (ours, our_first) = timed(|| {
        let layer = Layer::new(context, &case.op, &case.weight, Some(&case.bias))?;
        let prepared = layer.prepare(case.input.shape(), Storage::F32)?;
        let poison = upconv::Tensor::f32(shape.clone(), vec![f32::NAN; geometry.output_len()])?;
        let (x, y) = (context.upload(&case.input, Storage::F32)?, context.upload(&poison, Storage::F32)?);
        let bound = prepared.bind(x.slice(..), y.slice(..))?;
        call(context, &bound)?;
        Ok((prepared, bound, y))
    })?;
    let (prepared, bound, y) = ours;
    let our_check = check.compare(&context.download(&y, &shape, Storage::F32)?)?;

    let theirs = burn_layer(case, device)?;
    let (output, their_first) = timed(|| theirs(true))?;
    let output = output.context("burn gave no output")?;
    let their_check = check.compare(&upconv::Tensor::f32(shape, output)?)?;

    // Autotuning takes its time over the first calls.
    let start = Instant::now();
    for calls in 0.. {
        if calls >= 5 && start.elapsed() >= span / 2 {
            break;
        }
        theirs(false)?;
        call(context, &bound)?;
    }
    let mut our_times = Vec::new();
    let their_times = Budget::Seconds(span.as_secs_f64()).sample(|| {
        our_times.push(timed(|| call(context, &bound))?.1);
        Ok(timed(|| theirs(false))?.1)
    })?;
    let mut next = our_times.iter();
    let our_times = Budget::Runs(our_times.len()).sample(|| Ok(next.next().copied().unwrap_or_default()))?;

    let row = |engine, kernel, check: Comparison, first: Duration, times: &Samples| Row {
        workload: workload.name.clone(),
        engine,
        device: "gpu",
        adapter: context.adapter_name(),
        kernel,
        verified_share: check.worst_share,
        error: (!check.passed()).then(|| format!("{} elements are beyond their bound", check.beyond)),
        runs: times.runs(),
        first_call_ms: first.as_secs_f64() * 1e3,
        median_ms: times.median() * 1e3,
        min_ms: times.min() * 1e3,
        gflops: 2.0 * multiply_adds as f64 / times.median() / 1e9,
    };
    let kernel = Some(prepared.plan().kernel.to_string());
    Ok([
        row("upconv", kernel, our_check, our_first, &our_times),
        row("burn", None, their_check, their_first, &their_times),
    ])
}

/// Records upconv's layer, submits it and waits until it is done.
fn call(context: &Context, bound: &Bound) -> Result<()> {
    let mut encoder = context.device().create_command_encoder(&Default::default());
    bound.encode(&mut encoder.begin_compute_pass(&Default::default()));
    context.queue().submit([encoder.finish()]);
    context.device().poll(PollType::wait_indefinitely())?;
    Ok(())
}

/// A call of burn's layer that ends when the device has finished it; it gives the output where it is asked to.
type BurnCall = Box<dyn Fn(bool) -> Result<Option<Vec<f32>>>>;

fn burn_layer(case: &Case, device: &Device) -> Result<BurnCall> {
    let (axes, groups) = (case.op.axes(), case.op.groups());
    let data = |tensor: &upconv::Tensor| TensorData::new(tensor.to_f32(), tensor.shape().to_vec());
    macro_rules! layer {
        ($conv:path, $rank:literal) => {{
            let x = Tensor::<{ $rank + 2 }>::from_data(data(&case.input), device);
            let w = Tensor::<{ $rank + 2 }>::from_data(data(&case.weight), device);
            let b = Tensor::<1>::from_data(data(&case.bias), device);
            let options = ConvTransposeOptions::<$rank>::new(
                each(axes, |axis| axis.stride)?,
                each(axes, |axis| axis.pad_begin as usize)?,
                each(axes, |axis| axis.output_padding)?,
                each(axes, |axis| axis.dilation)?,
                groups,
            );
            let device = device.clone();
            Box::new(move |read| {
                let y = $conv(x.clone(), w.clone(), Some(b.clone()), options.clone());
                device.sync()?;
                if !read {
                    return Ok(None);
                }
                Ok(Some(y.into_data().try_to_vec()?))
            })
        }};
    }
    Ok(match axes.len() {
        1 => layer!(conv_transpose1d, 1),
        2 => layer!(conv_transpose2d, 2),
        _ => layer!(conv_transpose3d, 3),
    })
}

/// One number for each axis.
fn each<const N: usize>(axes: &[Axis], of: impl Fn(&Axis) -> usize) -> Result<[usize; N]> {
    let values: Vec<usize> = axes.iter().map(of).collect();
    values.try_into().map_err(|_| anyhow!("expected {N} axes, not {}", axes.len()))
}
