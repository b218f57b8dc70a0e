//! burn and upconv on one wgpu device, in turn.
//!
//! burn is timed after its autotuning has settled, upconv prepared and bound. A call of either ends when the device has
//! finished it, with the tensors on the device. The calls alternate, so that whatever else the machine does disturbs both
//! alike. The gradients are those for an output's gradient of ones, from which burn's autodiff starts; burn's time has
//! the filling of that tensor in it, and for a gradient nothing else.

use crate::check::Check;
use crate::pass::Pass;
use crate::timing::{Budget, Samples, timed};
use crate::weight_check::WeightCheck;
use crate::workloads::{Case, Workload};
use crate::{Row, burn_layer};
use anyhow::{Context as _, Result};
use burn::tensor::{Device, DeviceKind};
use std::time::{Duration, Instant};
use upconv::gpu::{AdapterRequest, Bound, Context, Layer};
use upconv::reference::Comparison;
use upconv::wgpu::{Buffer, DeviceType, PollType};
use upconv::{Storage, Tensor};

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

/// How the output of a pass is judged.
enum Judge {
    Layer(Check),
    Weight(WeightCheck),
}

impl Judge {
    fn compare(&self, output: &Tensor) -> Result<Comparison> {
        match self {
            Judge::Layer(check) => check.compare(output),
            Judge::Weight(check) => check.compare(output),
        }
    }
}

/// A pass of upconv, bound to buffers of its own.
struct Ours {
    bound: Bound,
    output: Buffer,
    kernel: String,
}

impl Ours {
    /// Runs the pass of a layer once. `gradient` is that of the output, `shape` the shape of what is computed.
    fn new(context: &Context, case: &Case, pass: Pass, gradient: &Tensor, shape: &[usize]) -> Result<Self> {
        let layer = Layer::new(context, &case.op, &case.weight, Some(&case.bias))?;
        let upload = |tensor: &Tensor| context.upload(tensor, Storage::F32);
        let output = upload(&Tensor::f32(shape, vec![f32::NAN; shape.iter().product()])?)?;
        let (bound, kernel) = match pass {
            Pass::Forward => {
                let prepared = layer.prepare(case.input.shape(), Storage::F32)?;
                (prepared.bind(upload(&case.input)?.slice(..), output.slice(..))?, prepared.plan().kernel())
            }
            Pass::InputGradient => {
                let prepared = layer.prepare_input_gradient(case.input.shape(), Storage::F32)?;
                (prepared.bind(upload(gradient)?.slice(..), output.slice(..))?, prepared.plan().kernel())
            }
            Pass::WeightGradient => {
                let prepared = layer.prepare_weight_gradient(case.input.shape(), Storage::F32)?;
                let (x, dy) = (upload(&case.input)?, upload(gradient)?);
                let bound = prepared.bind(x.slice(..), dy.slice(..), output.slice(..), None)?;
                call(context, &bound)?;
                return Ok(Self { bound, output, kernel: prepared.plan().kernel().to_string() });
            }
        };
        call(context, &bound)?;
        Ok(Self { bound, output, kernel: kernel.to_string() })
    }
}

/// Checks both, lets both settle, then times them in turn for `span`.
pub(crate) fn compare(workload: &Workload, case: &Case, pass: Pass, span: Duration) -> Result<Vec<Row>> {
    let (device, context) = &open()?;
    let geometry = case.op.at(case.input.shape())?;
    let multiply_adds = geometry.effective_multiply_adds();
    let ones = Tensor::f32(geometry.output_shape(), vec![1.0; geometry.output_len()])?;
    let (judge, shape) = match pass {
        Pass::Forward => (Judge::Layer(Check::new(case, multiply_adds)?), geometry.output_shape()),
        Pass::InputGradient => {
            let adjoint = Case { input: ones.clone(), ..case.input_gradient()? };
            (Judge::Layer(Check::new(&adjoint, multiply_adds)?), case.input.shape().to_vec())
        }
        Pass::WeightGradient => {
            (Judge::Weight(WeightCheck::new(case, &ones, multiply_adds)?), case.weight.shape().to_vec())
        }
    };

    let (ours, our_first) = timed(|| Ours::new(context, case, pass, &ones, &shape))?;
    let our_check = judge.compare(&context.download(&ours.output, &shape, Storage::F32)?)?;

    let theirs = burn_layer::pass(case, pass, device)?;
    let (output, their_first) = theirs(true)?;
    let output = output.context("burn gave no output")?;
    let their_check = judge.compare(&Tensor::f32(shape, output)?)?;

    // Autotuning takes its time over the first calls.
    let start = Instant::now();
    for calls in 0.. {
        if calls >= 5 && start.elapsed() >= span / 2 {
            break;
        }
        theirs(false)?;
        call(context, &ours.bound)?;
    }
    let mut our_times = Vec::new();
    let their_times = Budget::Seconds(span.as_secs_f64()).sample(|| {
        our_times.push(timed(|| call(context, &ours.bound))?.1);
        Ok(theirs(false)?.1)
    })?;
    let mut next = our_times.iter();
    let our_times = Budget::Runs(our_times.len()).sample(|| Ok(next.next().copied().unwrap_or_default()))?;

    let row = |engine: &str, kernel, check: Comparison, first: Duration, times: &Samples| Row {
        workload: workload.name.clone(),
        engine: if pass == Pass::Forward { engine.into() } else { format!("{engine}-{}", pass.name()) },
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
    Ok(vec![
        row("upconv-beside-burn", Some(ours.kernel), our_check, our_first, &our_times),
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
