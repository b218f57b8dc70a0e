//! `upconv apply`: the operation on .npy files, one at a time or many in one process.

use crate::atomic::AtomicFile;
use crate::case::{Case, CaseArgs, Files, IN_FOLDER, List};
use crate::device::{Backend, DeviceArgs, Layer};
use crate::npy;
use crate::output::note;
use crate::tuning::TuningArgs;
use anyhow::{Result, bail, ensure};
use std::path::{Path, PathBuf};
use upconv::{ConvTranspose, Error, Kernel, Tensor};

/// The options of `apply`.
#[derive(clap::Args)]
#[command(after_long_help = crate::op_json::KEYS)]
pub(crate) struct Args {
    /// The operation: a JSON file, or a folder with `case.json`, `x.npy`, `w.npy` and perhaps `b.npy`. `-` is standard
    /// input, here or for one of the files below.
    #[arg(value_name = "OP.json", required_unless_present = "batch", conflicts_with = "batch")]
    op: Option<PathBuf>,
    /// The input.
    #[arg(short, long, value_name = "X.npy", conflicts_with = "batch")]
    input: Option<PathBuf>,
    /// The weight.
    #[arg(short, long, value_name = "W.npy", conflicts_with = "batch")]
    weight: Option<PathBuf>,
    /// The bias.
    #[arg(short, long, value_name = "B.npy", conflicts_with = "batch")]
    bias: Option<PathBuf>,
    /// The result; `-` is standard output.
    #[arg(short, long, value_name = "Y.npy", required_unless_present = "batch", conflicts_with = "batch")]
    output: Option<PathBuf>,
    /// Many cases on one device: lines `FOLDER<TAB>Y.npy`; what is refused writes Y.npy.err and the rest goes on.
    #[arg(long, value_name = "LIST")]
    batch: Option<PathBuf>,
    #[command(flatten)]
    case: CaseArgs,
    /// On a GPU, compute with this kernel wherever it can; where it cannot, the plan's choice does, which is told.
    #[arg(long, value_name = "KERNEL", value_parser = kernel)]
    kernel: Option<Kernel>,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    tuning: TuningArgs,
}

/// A kernel by its name, of those that need no feature of the device.
pub(crate) fn kernel(name: &str) -> Result<Kernel, String> {
    let kernels = || Kernel::ALL.iter().copied().filter(|&kernel| kernel != Kernel::Matrix);
    kernels().find(|kernel| kernel.name() == name).ok_or_else(|| {
        let names: Vec<&str> = kernels().map(Kernel::name).collect();
        format!("there is no kernel {name:?}, there are {}", names.join(", "))
    })
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match (&args.batch, &args.op, &args.output) {
        (Some(list), _, _) => batch(list, args),
        (None, Some(op), Some(output)) => {
            let case = single(op, args)?;
            let file = AtomicFile::create_or_standard_output(output, false)?;
            let backend = open(args)?;
            let (output, elsewhere) = compute(&case, &backend, args.kernel)?;
            if let Some(reason) = elsewhere {
                note!("{reason}; the plan's choice computed it");
            }
            npy::write(file, &output)
        }
        _ => bail!("an operation and an output are needed, or --batch"),
    }
}

/// Opens the device, which has to be a GPU where a kernel is asked for.
fn open(args: &Args) -> Result<Backend> {
    let backend = args.device.open_tuned(&args.tuning)?;
    if let (Some(kernel), Backend::Cpu | Backend::Reference) = (args.kernel, &backend) {
        bail!("--kernel {kernel} is for GPUs; --device gpu takes software devices too");
    }
    Ok(backend)
}

/// One case: a folder, or a description with the files named.
fn single(op: &Path, args: &Args) -> Result<Case> {
    if op.is_dir() {
        ensure!(
            args.input.is_none() && args.weight.is_none() && args.bias.is_none(),
            "{} is a folder that holds its input, weight and bias; none can be given beside it",
            op.display()
        );
        return args.case.read_folder(op, needs_bias);
    }
    let (Some(input), Some(weight)) = (&args.input, &args.weight) else {
        bail!("{} needs --input and --weight", op.display());
    };
    args.case.read(&Files { op, input, weight, bias: args.bias.as_deref() }, needs_bias)
}

/// The output has the bias in it.
fn needs_bias(_: &ConvTranspose) -> bool {
    true
}

/// Runs every case of a list on one device. Pipelines are shared by all of them.
fn batch(list: &Path, args: &Args) -> Result<()> {
    let list = List::read(list, &IN_FOLDER)?;
    let backend = open(args)?;
    let mut elsewhere = 0;
    let refused = list.run(
        |output| vec![output.into()],
        |folder, output| {
            let case = args.case.read_folder(folder, needs_bias)?;
            let (tensor, reason) = compute(&case, &backend, args.kernel)?;
            elsewhere += usize::from(reason.is_some());
            npy::write(AtomicFile::create(output, false)?, &tensor)
        },
    );
    let pipelines = match &backend {
        Backend::Gpu(context) => format!(", {} pipelines compiled", context.pipeline_count()),
        Backend::Cpu | Backend::Reference => String::new(),
    };
    let elsewhere = match args.kernel {
        Some(kernel) => format!(", {elsewhere} that {kernel} cannot compute by the plan's choice"),
        None => String::new(),
    };
    note!("{} cases, {refused} refused{elsewhere}{pipelines}", list.len());
    list.outcome(refused)
}

/// The output, by this kernel where it is one for the case; otherwise with the reason why it is not.
fn compute(case: &Case, backend: &Backend, kernel: Option<Kernel>) -> Result<(Tensor, Option<Error>)> {
    let layer = backend.layer(&case.op, &case.weight, case.bias.as_ref())?;
    let reason = match (&layer, kernel) {
        (Layer::Gpu(layer), Some(kernel)) => match layer.run_with(&case.input, kernel) {
            Err(reason @ (Error::Kernel { .. } | Error::Limit { .. })) => Some(reason),
            output => return Ok((output?, None)),
        },
        _ => None,
    };
    Ok((layer.run(&case.input)?, reason))
}
