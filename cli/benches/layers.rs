//! The prepared call of well-known layers, timed by criterion, to compare one version with another: `cargo bench`.
//!
//! The layers are those of `upconv bench`, which also reports what surrounds the call. Without `UPCONV_WORKLOADS`
//! (names as in `W1,W3`) a few quick ones are run; `cargo bench -- --test` only checks that they are right. Each output
//! is checked against the reference before it is timed. `elem/s` is floating-point operations a second, two for each
//! multiply-add of the definition.

#[path = "../src/bench/check.rs"]
#[allow(dead_code, unused_imports, reason = "the program and its tests use what is not used here")]
mod check;
#[path = "../src/bench/workloads.rs"]
#[allow(dead_code, unused_imports, reason = "the program and its tests use what is not used here")]
mod workloads;

use anyhow::{Result, ensure};
use check::Check;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};
use std::time::Duration;
use upconv::gpu::{self, AdapterRequest, Context};
use upconv::wgpu::PollType;
use upconv::{DType, Error, Storage, Tensor, cpu};
use workloads::Case;

/// The layers of a run that asks for none: few input channels, depthwise, 3-D, stride 1.
const QUICK: &str = "W6,W8,W9,W10";

fn main() -> Result<()> {
    let names = std::env::var("UPCONV_WORKLOADS").unwrap_or_else(|_| QUICK.into());
    let names: Vec<String> = names.split(',').map(|name| name.trim().to_string()).collect();
    let context = match Context::request(&AdapterRequest::default()) {
        Ok(context) => Some(context),
        Err(error @ Error::NoAdapter { .. }) => {
            eprintln!("only the CPU backend is timed: {error}");
            None
        }
        Err(error) => return Err(error.into()),
    };
    if let Some(context) = &context {
        eprintln!("gpu: {}", context.adapter_name());
    }
    let mut criterion = Criterion::default().configure_from_args();
    for workload in workloads::select(&names)? {
        let case = workload.case()?;
        let geometry = case.op.at(case.input.shape())?;
        let multiply_adds = geometry.effective_multiply_adds();
        let check = Check::new(&case, multiply_adds)?;
        let mut group = criterion.benchmark_group(&workload.name);
        group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
        group.throughput(Throughput::Elements(2 * multiply_adds as u64));
        if let Some(context) = &context {
            on_gpu(&mut group, context, &case, &check)?;
        }
        if case.input.dtype() == DType::F32 {
            on_cpu(&mut group, &case, &check)?;
        }
        group.finish();
    }
    criterion.final_summary();
    Ok(())
}

/// Records, submits and waits; the tensors are on the device.
fn on_gpu(group: &mut BenchmarkGroup<'_, WallTime>, context: &Context, case: &Case, check: &Check) -> Result<()> {
    let storage = match case.input.dtype() {
        DType::F16 if !context.profile().f16 => return Ok(()),
        DType::F16 => Storage::F16,
        _ => Storage::F32,
    };
    let layer = gpu::Layer::new(context, &case.op, &case.weight, Some(&case.bias))?;
    let prepared = layer.prepare(case.input.shape(), storage)?;
    let shape = prepared.geometry().output_shape();
    let poison = Tensor::f32(shape.clone(), vec![f32::NAN; prepared.geometry().output_len()])?;
    let (x, y) = (context.upload(&case.input, storage)?, context.upload(&poison, storage)?);
    let bound = prepared.bind(x.slice(..), y.slice(..))?;
    let call = || {
        let mut encoder = context.device().create_command_encoder(&Default::default());
        bound.encode(&mut encoder.begin_compute_pass(&Default::default()));
        context.queue().submit([encoder.finish()]);
        context.device().poll(PollType::wait_indefinitely())
    };
    call()?;
    right(check, &context.download(&y, &shape, storage)?)?;
    group.bench_function("gpu", |bencher| bencher.iter(call));
    Ok(())
}

/// The weights are packed; each call makes its output tensor.
fn on_cpu(group: &mut BenchmarkGroup<'_, WallTime>, case: &Case, check: &Check) -> Result<()> {
    let layer = cpu::Layer::new(&case.op, &case.weight, Some(&case.bias))?;
    right(check, &layer.run(&case.input)?)?;
    group.bench_function("cpu", |bencher| bencher.iter(|| layer.run(&case.input)));
    Ok(())
}

fn right(check: &Check, output: &Tensor) -> Result<()> {
    let comparison = check.compare(output)?;
    ensure!(comparison.passed(), "{} elements are beyond their bound: {comparison:?}", comparison.beyond);
    Ok(())
}
