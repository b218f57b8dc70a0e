//! The backends, and how each of them is timed.

use super::ceiling::Ceilings;
use super::check::Check;
use super::timing::{Budget, Samples, timed};
use super::weight_check::WeightCheck;
use super::workloads::Case;
use anyhow::{Result, bail};
use std::time::Duration;
use upconv::gpu::{AdapterRequest, Bound, Context, Layer, Prepared, Request, Tuning};
use upconv::reference::Comparison;
use upconv::wgpu::PollType;
use upconv::{DType, Error, Kernel, Storage, Tensor, cpu};

/// A backend.
pub(crate) enum Subject {
    Gpu { request: AdapterRequest, tuning: Tuning, adapter: String },
    Cpu,
    Reference,
}

/// The measurements of a case on a backend.
pub(crate) struct Measured {
    pub(crate) kernel: String,
    /// The check against the reference; the reference itself has none.
    pub(crate) comparison: Option<Comparison>,
    /// The times, if the output was right.
    pub(crate) times: Option<Times>,
}

/// The times of a case on a backend.
pub(crate) struct Times {
    pub(crate) first_call: Duration,
    pub(crate) call: Samples,
    pub(crate) end_to_end: Samples,
    /// By timestamps on the device, where it has them.
    pub(crate) kernel: Option<Samples>,
}

impl Subject {
    /// The GPU that answers a request, planned for with the measured choices.
    pub(crate) fn gpu(request: AdapterRequest, tuning: &Tuning) -> Result<Self> {
        let adapter = Context::request(&request)?.adapter_name();
        Ok(Subject::Gpu { request, tuning: tuning.clone(), adapter })
    }

    /// The backend in a word.
    pub(crate) fn device(&self) -> &'static str {
        match self {
            Subject::Gpu { .. } => "gpu",
            Subject::Cpu => "cpu",
            Subject::Reference => "reference",
        }
    }

    /// What the backend runs on.
    pub(crate) fn adapter(&self) -> String {
        let threads = rayon::current_num_threads();
        match self {
            Subject::Gpu { adapter, .. } => adapter.clone(),
            Subject::Cpu => format!("{}, {threads} thread{}", processor(), if threads == 1 { "" } else { "s" }),
            Subject::Reference => format!("{}, 1 thread", processor()),
        }
    }

    /// How fast a GPU copies and multiplies; `None` for the others.
    pub(crate) fn ceilings(&self, budget: Budget) -> Result<Option<Ceilings>> {
        match self {
            Subject::Gpu { request, .. } => Ceilings::measure(request, budget).map(Some),
            Subject::Cpu | Subject::Reference => Ok(None),
        }
    }

    /// Checks a kernel, or the CPU backend, on an f32 case, and times the prepared call.
    pub(crate) fn time_call(
        &self,
        case: &Case,
        check: &Check,
        kernel: Option<Kernel>,
        budget: Budget,
    ) -> Result<(Comparison, Samples)> {
        match (self, kernel) {
            (Subject::Gpu { request, .. }, Some(kernel)) => {
                let context = Context::request(request)?;
                let layer = Layer::new(&context, &case.op, &case.weight, Some(&case.bias))?;
                let (bound, output) = bind(
                    &context,
                    &layer.prepare(case.input.shape(), Request::new(Storage::F32).kernel(kernel))?,
                    case,
                )?;
                let samples = budget.sample(|| Ok(timed(|| call(&context, &bound))?.1))?;
                Ok((check.compare(&output)?, samples))
            }
            (Subject::Cpu, None) => {
                let layer = cpu::Layer::new(&case.op, &case.weight, Some(&case.bias))?;
                let comparison = check.compare(&layer.run(&case.input)?)?;
                Ok((comparison, budget.sample(|| Ok(timed(|| Ok(layer.run(&case.input)?))?.1))?))
            }
            _ => bail!("{} has no kernel {kernel:?} to time", self.adapter()),
        }
    }

    /// Checks the gradient of a case's weight, then times it. `None` where the backend does not compute it: f16 on a GPU
    /// without `SHADER_F16`, and on the reference.
    pub(crate) fn measure_weight_gradient(
        &self,
        case: &Case,
        gradient: &Tensor,
        check: &WeightCheck,
        budget: Budget,
    ) -> Result<Option<Measured>> {
        match self {
            Subject::Gpu { request, .. } => weight_gradient(&Context::request(request)?, case, gradient, check, budget),
            Subject::Cpu => weight_gradient_on_cpu(case, gradient, check, budget).map(Some),
            Subject::Reference => Ok(None),
        }
    }

    /// Checks a case, then times it. `None` where it is f16, on a GPU without `SHADER_F16`.
    pub(crate) fn measure(&self, case: &Case, check: &Check, budget: Budget) -> Result<Option<Measured>> {
        match self {
            Subject::Gpu { request, tuning, .. } => {
                gpu(&Context::request(request)?.tuned(tuning.clone()), case, check, budget)
            }
            Subject::Cpu => on_cpu(case, check, budget).map(Some),
            Subject::Reference => {
                let whole = check.reference.div_f64(check.share());
                let (call, end_to_end) = (whole.into(), whole.into());
                let times = Some(Times { first_call: whole, call, end_to_end, kernel: None });
                Ok(Some(Measured { kernel: "scatter f64".into(), comparison: None, times }))
            }
        }
    }
}

fn gpu(context: &Context, case: &Case, check: &Check, budget: Budget) -> Result<Option<Measured>> {
    let storage = match case.input.dtype() {
        DType::F16 if !context.profile().f16 => return Ok(None),
        DType::F16 => Storage::F16,
        _ => Storage::F32,
    };
    let ((layer, first), first_call) = timed(|| {
        let layer = Layer::new(context, &case.op, &case.weight, Some(&case.bias))?;
        let output = layer.run(&case.input)?;
        Ok((layer, output))
    })?;
    let prepared = layer.prepare(case.input.shape(), storage)?;
    let (bound, output) = bind(context, &prepared, case)?;
    let kernel = prepared.plan().kernel().to_string();
    let comparison = worse(check.compare(&first)?, check.compare(&output)?);
    if !comparison.passed() {
        return Ok(Some(Measured { kernel, comparison: Some(comparison), times: None }));
    }
    let times = Times {
        first_call,
        call: budget.sample(|| Ok(timed(|| call(context, &bound))?.1))?,
        end_to_end: budget.sample(|| Ok(timed(|| Ok(layer.run(&case.input)?))?.1))?,
        kernel: match on_device(&bound) {
            Ok(_) => Some(budget.sample(|| Ok(on_device(&bound)?))?),
            Err(Error::Feature { .. }) => None,
            Err(error) => return Err(error.into()),
        },
    };
    Ok(Some(Measured { kernel, comparison: Some(comparison), times: Some(times) }))
}

fn weight_gradient(
    context: &Context,
    case: &Case,
    gradient: &Tensor,
    check: &WeightCheck,
    budget: Budget,
) -> Result<Option<Measured>> {
    let storage = match case.input.dtype() {
        DType::F16 if !context.profile().f16 => return Ok(None),
        DType::F16 => Storage::F16,
        _ => Storage::F32,
    };
    let run = |layer: &Layer| Ok(layer.weight_gradient(&case.input, gradient)?);
    let ((layer, first), first_call) = timed(|| {
        let layer = Layer::new(context, &case.op, &case.weight, Some(&case.bias))?;
        let gradient = run(&layer)?;
        Ok((layer, gradient))
    })?;
    let prepared = layer.prepare_weight_gradient(case.input.shape(), storage)?;
    let poison = Tensor::f32(case.weight.shape(), vec![f32::NAN; case.weight.to_f32().len()])?;
    let (x, dy) = (context.upload(&case.input, storage)?, context.upload(gradient, storage)?);
    let dw = context.upload(&poison, Storage::F32)?;
    let bound = prepared.bind(x.slice(..), dy.slice(..), dw.slice(..), None)?;
    call(context, &bound)?;
    let output = context.download(&dw, case.weight.shape(), Storage::F32)?;
    let kernel = prepared.plan().kernel().to_string();
    let comparison = worse(check.compare(&first)?, check.compare(&output)?);
    if !comparison.passed() {
        return Ok(Some(Measured { kernel, comparison: Some(comparison), times: None }));
    }
    let times = Times {
        first_call,
        call: budget.sample(|| Ok(timed(|| call(context, &bound))?.1))?,
        end_to_end: budget.sample(|| Ok(timed(|| run(&layer))?.1))?,
        kernel: match on_device(&bound) {
            Ok(_) => Some(budget.sample(|| Ok(on_device(&bound)?))?),
            Err(Error::Feature { .. }) => None,
            Err(error) => return Err(error.into()),
        },
    };
    Ok(Some(Measured { kernel, comparison: Some(comparison), times: Some(times) }))
}

/// A layer with its own buffers, and its output, in which an element that is not written is NaN.
fn bind(context: &Context, prepared: &Prepared, case: &Case) -> Result<(Bound, Tensor)> {
    let (storage, shape) = (prepared.plan().storage(), prepared.geometry().output_shape());
    let poison = Tensor::f32(shape.clone(), vec![f32::NAN; prepared.geometry().output_len()])?;
    let (x, y) = (context.upload(&case.input, storage)?, context.upload(&poison, storage)?);
    let bound = prepared.bind(x.slice(..), y.slice(..))?;
    call(context, &bound)?;
    let output = context.download(&y, &shape, storage)?;
    Ok((bound, output))
}

fn on_cpu(case: &Case, check: &Check, budget: Budget) -> Result<Measured> {
    let ((layer, first), first_call) = timed(|| {
        let layer = cpu::Layer::new(&case.op, &case.weight, Some(&case.bias))?;
        let output = layer.run(&case.input)?;
        Ok((layer, output))
    })?;
    let kernel = format!("{:?}", layer.level()).to_lowercase();
    let comparison = check.compare(&first)?;
    let mut times = None;
    if comparison.passed() {
        let call = budget.sample(|| Ok(timed(|| Ok(layer.run(&case.input)?))?.1))?;
        times = Some(Times { first_call, end_to_end: call.clone(), call, kernel: None });
    }
    Ok(Measured { kernel, comparison: Some(comparison), times })
}

fn weight_gradient_on_cpu(case: &Case, gradient: &Tensor, check: &WeightCheck, budget: Budget) -> Result<Measured> {
    let run = |layer: &cpu::Layer| Ok(layer.weight_gradient(&case.input, gradient)?);
    let ((layer, first), first_call) = timed(|| {
        let layer = cpu::Layer::new(&case.op, &case.weight, Some(&case.bias))?;
        let gradient = run(&layer)?;
        Ok((layer, gradient))
    })?;
    let kernel = format!("{:?}", layer.level()).to_lowercase();
    let comparison = check.compare(&first)?;
    let mut times = None;
    if comparison.passed() {
        let call = budget.sample(|| Ok(timed(|| run(&layer))?.1))?;
        times = Some(Times { first_call, end_to_end: call.clone(), call, kernel: None });
    }
    Ok(Measured { kernel, comparison: Some(comparison), times })
}

fn worse(a: Comparison, b: Comparison) -> Comparison {
    if a.worst_share > b.worst_share { a } else { b }
}

/// Records the layer, submits it and waits until it is done.
fn call(context: &Context, bound: &Bound) -> Result<()> {
    let mut encoder = context.device().create_command_encoder(&Default::default());
    bound.encode(&mut encoder.begin_compute_pass(&Default::default()));
    context.queue().submit([encoder.finish()]);
    context.device().poll(PollType::wait_indefinitely())?;
    Ok(())
}

/// The time the device needed for the layer's dispatches.
fn on_device(bound: &Bound) -> upconv::Result<Duration> {
    Ok(bound.time()?.iter().map(|dispatch| dispatch.duration).sum())
}

/// The processor's name where the system tells it.
fn processor() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map_or_else(|| format!("{} CPU", std::env::consts::ARCH), |(_, name)| name.to_string())
}
