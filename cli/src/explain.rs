//! `upconv explain`: how an operation would be computed, without computing it.

use crate::apply::kernel;
use crate::bench::Pass;
use crate::device::{Backend, DeviceArgs};
use crate::op_json;
use crate::output::{print, say};
use crate::tuning::TuningArgs;
use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;
use serde::Serialize;
use std::path::PathBuf;
use upconv::gpu::{GradientPlan, Reuse};
use upconv::{ConvTranspose, DeviceClass, DeviceProfile, Kernel, Plan, Storage, Tensor, cpu};

/// The options of `explain`.
#[derive(clap::Args)]
#[command(after_help = crate::op_json::KEYS_ARE_IN)]
pub(crate) struct Args {
    /// The operation: a JSON file, or a folder with `case.json`.
    #[arg(value_name = "OP.json")]
    op: PathBuf,
    /// The input's shape, as N,C,H,W in the order of its layout.
    #[arg(long, value_name = "N,C,H,W", value_delimiter = ',')]
    input_shape: Option<Vec<usize>>,
    /// The weight's shape, in the order of its layout.
    #[arg(long, value_name = "I,O,H,W", value_delimiter = ',')]
    weight_shape: Option<Vec<usize>>,
    /// Store input and output as f16.
    #[arg(long)]
    f16: bool,
    /// Print JSON.
    #[arg(long, conflicts_with = "wgsl")]
    json: bool,
    /// Print the kernel's source, and nothing else.
    #[arg(long)]
    wgsl: bool,
    /// Explain this pass: the layer itself, or the gradient of its input or of its weight.
    #[arg(long, value_enum, default_value = "forward")]
    pass: Pass,
    /// Explain this kernel of a GPU, instead of the one that would be chosen.
    #[arg(long, value_name = "KERNEL", value_parser = kernel)]
    kernel: Option<Kernel>,
    /// How often it runs at this shape: what compiling is worth.
    #[arg(long, value_enum, default_value_t)]
    reuse: Runs,
    /// Explain for a class of devices with WebGPU's default limits, instead of the device that would run it here.
    #[arg(long, value_enum, conflicts_with_all = ["device", "adapter"])]
    class: Option<Class>,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    tuning: TuningArgs,
}

/// [`DeviceClass`] as a word.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Class {
    Software,
    Desktop,
    Nvidia,
    Mobile,
    Unknown,
}

impl From<Class> for DeviceClass {
    fn from(class: Class) -> Self {
        match class {
            Class::Software => DeviceClass::Software,
            Class::Desktop => DeviceClass::Desktop,
            Class::Nvidia => DeviceClass::Nvidia,
            Class::Mobile => DeviceClass::Mobile,
            Class::Unknown => DeviceClass::Unknown,
        }
    }
}

/// How often the operation runs at its shape.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Runs {
    /// As `apply` runs it: a small layer is not worth a kernel of its own.
    Once,
    /// As an application prepares it.
    #[default]
    Often,
    /// At sizes that change, without compiling anew.
    AnySize,
}

impl From<Runs> for Reuse {
    fn from(runs: Runs) -> Self {
        match runs {
            Runs::Once => Reuse::Once,
            Runs::Often => Reuse::Often,
            Runs::AnySize => Reuse::AnySize,
        }
    }
}

/// What is said of a GPU's plan.
#[derive(Serialize)]
struct GpuPlan {
    device: String,
    kernel: String,
    /// Why this kernel.
    reason: String,
    /// What one invocation computes.
    invocation: String,
    input_shape: Vec<usize>,
    output_shape: Vec<usize>,
    /// For each axis the phases with taps, and all phases.
    phases: Vec<(usize, usize)>,
    useful_multiply_adds: u128,
    effective_multiply_adds: u128,
    dispatches: usize,
    scratch_bytes: u64,
}

/// What is said of the CPU's.
#[derive(Serialize)]
struct CpuPlan {
    device: &'static str,
    algorithm: &'static str,
    /// What that does.
    reason: &'static str,
    input_shape: Vec<usize>,
    output_shape: Vec<usize>,
    useful_multiply_adds: u128,
    effective_multiply_adds: u128,
    /// Of the products.
    tasks: Option<usize>,
    threads: usize,
    instructions: String,
}

/// What is said of a GPU's plan of the gradients of weight and bias.
#[derive(Serialize)]
struct GpuGradientPlan {
    device: String,
    kernel: String,
    /// Why this kernel.
    reason: String,
    /// What one invocation computes.
    invocation: String,
    input_shape: Vec<usize>,
    output_shape: Vec<usize>,
    useful_multiply_adds: u128,
    effective_multiply_adds: u128,
    dispatches: usize,
    scratch_bytes: u64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let (mut op, mut input) = op_json::read_at(&args.op, args.input_shape.as_deref(), args.weight_shape.as_deref())?;
    let storage = if args.f16 { Storage::F16 } else { Storage::F32 };
    if args.pass == Pass::WeightGradient {
        ensure!(
            args.kernel.is_none(),
            "--kernel: the gradient of a weight has kernels of its own, which are not chosen by name"
        );
        return weight_gradient(args, &op, &input, storage);
    }
    if args.pass == Pass::InputGradient {
        // The ordinary convolution of the output's gradient.
        (input, op) = (op.at(&input)?.output_shape(), op.adjoint().transposed().clone());
    }
    let geometry = op.at(&input)?;
    if args.class.is_some() {
        let (device, profile) = by_default_limits(args);
        let plan = match args.kernel {
            Some(kernel) => Plan::with_kernel(&geometry, storage, &profile, kernel)?,
            None => Plan::for_reuse(&geometry, storage, &profile, args.reuse.into())?,
        };
        return gpu(args, device, &plan);
    }
    match args.device.open_tuned(&args.tuning)? {
        Backend::Gpu(context) => {
            let plan = match args.kernel {
                Some(kernel) => Plan::with_kernel(&geometry, storage, context.profile(), kernel)?,
                None => context.plan_for(&geometry, storage, args.reuse.into())?,
            };
            gpu(args, context.adapter_name(), &plan)
        }
        Backend::Cpu => {
            ensure!(args.kernel.is_none(), "--kernel names a kernel of GPUs, but the operation would run on the CPU");
            on_cpu(args, &op, &input)
        }
        Backend::Reference => bail!("the reference has no plan: it does what the definition says, product by product"),
    }
}

fn weight_gradient(args: &Args, op: &ConvTranspose, input: &[usize], storage: Storage) -> Result<()> {
    let (device, profile) = if args.class.is_some() {
        by_default_limits(args)
    } else {
        match args.device.open_tuned(&args.tuning)? {
            Backend::Gpu(context) => (context.adapter_name(), context.profile().clone()),
            Backend::Cpu => bail!("the CPU has one way to compute the gradient of a weight; name a GPU or a --class"),
            Backend::Reference => bail!("the reference has no plan: it does what the definition says"),
        }
    };
    let plan = GradientPlan::new(&op.at(input)?, storage.into(), &profile)?;
    if args.wgsl {
        return print(&plan.wgsl());
    }
    if !args.json {
        return say!("device         {device}\n{plan}");
    }
    let geometry = plan.geometry();
    let plan = GpuGradientPlan {
        device,
        kernel: plan.kernel().to_string(),
        reason: plan.reason().to_string(),
        invocation: plan.invocation(),
        input_shape: geometry.input_shape(),
        output_shape: geometry.output_shape(),
        useful_multiply_adds: geometry.useful_multiply_adds(),
        effective_multiply_adds: geometry.effective_multiply_adds(),
        dispatches: plan.dispatch_count(),
        scratch_bytes: plan.scratch_bytes(),
    };
    say!("{}", serde_json::to_string_pretty(&plan)?)
}

fn gpu(args: &Args, device: String, plan: &Plan) -> Result<()> {
    if args.wgsl {
        return print(&plan.wgsl());
    }
    if !args.json {
        return say!("device         {device}\n{}", plan.explain());
    }
    let geometry = plan.geometry();
    let plan = GpuPlan {
        device,
        kernel: plan.kernel().to_string(),
        reason: plan.reason().to_string(),
        invocation: plan.invocation(),
        input_shape: geometry.input_shape(),
        output_shape: geometry.output_shape(),
        phases: plan.phases(),
        useful_multiply_adds: geometry.useful_multiply_adds(),
        effective_multiply_adds: geometry.effective_multiply_adds(),
        dispatches: plan.dispatch_count(),
        scratch_bytes: plan.scratch_bytes(),
    };
    say!("{}", serde_json::to_string_pretty(&plan)?)
}

fn on_cpu(args: &Args, op: &ConvTranspose, input: &[usize]) -> Result<()> {
    ensure!(
        !args.wgsl,
        "--wgsl prints a GPU's kernel, but the operation would run on the CPU; name a GPU or a --class"
    );
    // What is chosen depends on no weight, as long as all are finite.
    let shape = op.weight_shape();
    let len = shape.iter().product();
    let mut zeros = Vec::new();
    zeros.try_reserve_exact(len).with_context(|| format!("weights of shape {shape:?}"))?;
    zeros.resize(len, 0.0);
    let plan = cpu::Layer::new(op, &Tensor::f32(shape, zeros)?, None)?.explain(input)?;
    if !args.json {
        return say!("device         the CPU\n{plan}");
    }
    let geometry = plan.geometry();
    let plan = CpuPlan {
        device: "the CPU",
        algorithm: plan.algorithm(),
        reason: plan.description(),
        input_shape: geometry.input_shape(),
        output_shape: geometry.output_shape(),
        useful_multiply_adds: geometry.useful_multiply_adds(),
        effective_multiply_adds: geometry.effective_multiply_adds(),
        tasks: plan.tasks(),
        threads: plan.threads(),
        instructions: format!("{:?}", plan.level()),
    };
    say!("{}", serde_json::to_string_pretty(&plan)?)
}

/// A device known by its class at most.
fn by_default_limits(args: &Args) -> (String, DeviceProfile) {
    let class = args.class.map_or(DeviceClass::Unknown, DeviceClass::from);
    let name = match class {
        DeviceClass::Unknown => "any".to_string(),
        class => format!("{class:?}").to_lowercase(),
    };
    let profile = DeviceProfile { f16: args.f16, class, ..DeviceProfile::default() };
    (format!("{name}, by WebGPU's default limits"), profile)
}
