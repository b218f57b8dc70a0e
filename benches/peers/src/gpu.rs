//! burn and upconv on one wgpu device, in turn.
//!
//! burn is timed after its autotuning has settled, upconv prepared and bound. A call of either ends when the device has
//! finished it, with the tensors on the device. The calls alternate, so that whatever else the machine does disturbs both
//! alike.

use crate::check::Check;
use crate::timing::{Budget, Samples, timed};
use crate::workloads::{Case, Workload};
use crate::{Row, burn_layer};
use anyhow::{Context as _, Result};
use burn::tensor::{Device, DeviceKind};
use std::time::{Duration, Instant};
use upconv::Storage;
use upconv::gpu::{AdapterRequest, Bound, Context, Layer};
use upconv::reference::Comparison;
use upconv::wgpu::{DeviceType, PollType};

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
pub(crate) fn compare(workload: &Workload, case: &Case, span: Duration) -> Result<Vec<Row>> {
    let (device, context) = &open()?;
    let geometry = case.op.at(case.input.shape())?;
    let multiply_adds = geometry.effective_multiply_adds();
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

    let theirs = burn_layer::new(case, device)?;
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
        adapter: Some(context.adapter_name()),
        kernel,
        verified_share: Some(check.worst_share),
        error: (!check.passed()).then(|| format!("{} elements are beyond their bound", check.beyond)),
        runs: times.runs(),
        first_call_ms: Some(first.as_secs_f64() * 1e3),
        median_ms: Some(times.median() * 1e3),
        min_ms: Some(times.min() * 1e3),
        gflops: Some(2.0 * multiply_adds as f64 / times.median() / 1e9),
    };
    let kernel = Some(prepared.plan().kernel().to_string());
    Ok(vec![
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
