//! `upconv explain`: how an operation would be computed, without computing it.

use crate::device::{Backend, DeviceArgs};
use crate::op_json;
use crate::output::{print, say};
use crate::tuning::TuningArgs;
use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;
use std::path::PathBuf;
use upconv::{DeviceClass, DeviceProfile, Plan, Storage};

/// The options of `explain`.
#[derive(clap::Args)]
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
    /// Explain for a class of devices with WebGPU's default limits, instead of a device of this machine.
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

#[derive(Serialize)]
struct Explained {
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

pub(crate) fn run(args: &Args) -> Result<()> {
    let (op, input) = op_json::read_at(&args.op, args.input_shape.as_deref(), args.weight_shape.as_deref())?;
    let storage = if args.f16 { Storage::F16 } else { Storage::F32 };
    let geometry = op.at(&input)?;
    let (device, plan) = match args.device.named().then(|| args.device.open_tuned(&args.tuning)).transpose()? {
        Some(Backend::Gpu(context)) => (context.adapter_name(), context.plan(&geometry, storage)?),
        _ => {
            let (device, profile) = by_default_limits(args);
            (device, Plan::new(&geometry, storage, &profile)?)
        }
    };
    if args.wgsl {
        print(&plan.wgsl())
    } else if args.json {
        let explained = Explained {
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
        say!("{}", serde_json::to_string_pretty(&explained)?)
    } else {
        say!("device         {device}\n{}", plan.explain())
    }
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
