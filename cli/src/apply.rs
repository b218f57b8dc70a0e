//! `upconv apply`: the operation on .npy files, one at a time or many in one process.

use crate::atomic::AtomicFile;
use crate::device::{Backend, DeviceArgs, Layer};
use crate::output::{note, one_line};
use crate::tuning::TuningArgs;
use crate::{input, npy, op_json, originals, size};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use upconv::convention::flip_kernel;
use upconv::{ConvTranspose, Error, Kernel, OutputPaddingPolicy, Tensor};

/// The longest list of cases that is read, in bytes.
const MAX_LIST: u64 = 64 << 20;

/// The options of `apply`.
#[derive(clap::Args)]
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
    /// How large the output padding may be: below max(stride, dilation), or anything.
    #[arg(long, value_enum, default_value_t, value_name = "POLICY")]
    output_padding: Policy,
    /// The memory that an output may take, and an input, a weight or a bias.
    #[arg(long, value_name = "SIZE", default_value = "4GiB", value_parser = size::parse)]
    memory: u64,
    /// On a GPU, compute with this kernel wherever it can; where it cannot, the plan's choice does, which is told.
    #[arg(long, value_name = "KERNEL", value_parser = kernel)]
    kernel: Option<Kernel>,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    tuning: TuningArgs,
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Policy {
    #[default]
    Strict,
    Lenient,
}

impl From<Policy> for OutputPaddingPolicy {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Strict => OutputPaddingPolicy::Strict,
            Policy::Lenient => OutputPaddingPolicy::Lenient,
        }
    }
}

/// A kernel by its name, of those that need no feature of the device.
fn kernel(name: &str) -> Result<Kernel, String> {
    let kernels = || Kernel::ALL.iter().copied().filter(|&kernel| kernel != Kernel::Matrix);
    kernels().find(|kernel| kernel.name() == name).ok_or_else(|| {
        let names: Vec<&str> = kernels().map(Kernel::name).collect();
        format!("there is no kernel {name:?}, there are {}", names.join(", "))
    })
}

/// An operation with its data, read and checked before any device is touched.
struct Case {
    op: ConvTranspose,
    input: Tensor,
    weight: Tensor,
    bias: Option<Tensor>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match (&args.batch, &args.op, &args.output) {
        (Some(list), _, _) => batch(list, args),
        (None, Some(op), Some(output)) => {
            let case = single(op, args)?;
            let file = AtomicFile::create_or_standard_output(output, false)?;
            let backend = open(args)?;
            let (output, elsewhere) = case.run(&backend, args.kernel)?;
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
        return folder(op, args);
    }
    let (Some(input), Some(weight)) = (&args.input, &args.weight) else {
        bail!("{} needs --input and --weight", op.display());
    };
    Case::read(op, input, weight, args.bias.as_deref(), args)
}

fn folder(folder: &Path, args: &Args) -> Result<Case> {
    let [op, input, weight, bias] = files(folder);
    Case::read(&op, &input, &weight, bias.exists().then_some(&*bias), args)
}

/// The files of a case: the operation, the input, the weight and perhaps the bias.
fn files(folder: &Path) -> [PathBuf; 4] {
    ["case.json", "x.npy", "w.npy", "b.npy"].map(|name| folder.join(name))
}

/// Runs every case of a list on one device. Pipelines are shared by all of them.
fn batch(list: &Path, args: &Args) -> Result<()> {
    let text = input::read_text(list, MAX_LIST)?;
    let mut cases = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
        let Some((case, output)) = line.split_once('\t') else {
            bail!("{} line {}: expected FOLDER<TAB>Y.npy, got {line:?}", list.display(), number + 1);
        };
        cases.push((Path::new(case), Path::new(output)));
    }
    // None of them is written to, whichever case comes first.
    originals::protect(list);
    for (case, _) in &cases {
        files(case).iter().for_each(|file| originals::protect(file));
    }
    let backend = open(args)?;
    let (mut refused, mut elsewhere) = (0, 0);
    for (case, output) in &cases {
        let mut report = output.as_os_str().to_owned();
        report.push(".err");
        let report = PathBuf::from(report);
        // What an earlier run left must not be taken for this one's.
        let result = remove(&report).and_then(|()| remove(output)).and_then(|()| {
            let case = folder(case, args)?;
            let (tensor, reason) = case.run(&backend, args.kernel)?;
            elsewhere += usize::from(reason.is_some());
            npy::write(AtomicFile::create(output, false)?, &tensor)
        });
        if let Err(error) = result {
            refused += 1;
            if let Err(failure) = write_report(&report, &error) {
                note!("upconv: {}: {} (and {})", case.display(), one_line(&error), one_line(&failure));
            }
        }
    }
    let pipelines = match &backend {
        Backend::Gpu(context) => format!(", {} pipelines compiled", context.pipeline_count()),
        Backend::Cpu | Backend::Reference => String::new(),
    };
    let elsewhere = match args.kernel {
        Some(kernel) => format!(", {elsewhere} that {kernel} cannot compute by the plan's choice"),
        None => String::new(),
    };
    note!("{} cases, {refused} refused{elsewhere}{pipelines}", cases.len());
    ensure!(refused == 0, "{refused} of {} cases were refused; the .err files say why", cases.len());
    Ok(())
}

/// Removes what is no input of this run.
fn remove(path: &Path) -> Result<()> {
    originals::known().check(path)?;
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn write_report(path: &Path, error: &anyhow::Error) -> Result<()> {
    let mut file = AtomicFile::create(path, false)?;
    writeln!(file, "{error:#}")?;
    file.commit()
}

impl Case {
    fn read(op: &Path, x: &Path, w: &Path, b: Option<&Path>, args: &Args) -> Result<Self> {
        [Some(x), Some(w), b].into_iter().flatten().for_each(originals::protect);
        if [op, x, w].into_iter().chain(b).any(input::is_standard) {
            originals::protect_standard_input();
        }
        let described = op_json::read(op)?;
        let read = |path| npy::read(path, args.memory);
        let (input, mut weight, bias) = (read(x)?, read(w)?, b.map(read).transpose()?);
        if let Some(said) = described.bias().filter(|&said| said != bias.is_some()) {
            let (says, given) = if said { ("a bias", "none is") } else { ("no bias", "one is") };
            bail!("{} says that there is {says}, but {given} given", op.display());
        }
        for (what, tensor) in [("weight", Some(&weight)), ("bias", bias.as_ref())] {
            if let Some(tensor) = tensor.filter(|tensor| tensor.dtype() != input.dtype()) {
                bail!("{what} is {}, expected {} as the input is", tensor.dtype(), input.dtype());
            }
        }
        let op = described.resolve(input.shape(), weight.shape(), args.output_padding.into())?;
        op.check_parameters(weight.shape(), bias.as_ref().map(Tensor::shape))?;
        let (shape, size) = (op.at(input.shape())?.output_shape(), input.dtype().size() as u128);
        let bytes = shape.iter().map(|&extent| extent as u128).product::<u128>() * size;
        ensure!(
            bytes <= args.memory.into(),
            "the output {shape:?} takes {bytes} bytes, more than the {} allowed; --memory raises them",
            args.memory
        );
        if described.flips_kernel() {
            weight = flip_kernel(&op, &weight)?;
        }
        Ok(Self { op, input, weight, bias })
    }

    /// The output, by this kernel where it is one for the case; otherwise with the reason why it is not.
    fn run(&self, backend: &Backend, kernel: Option<Kernel>) -> Result<(Tensor, Option<Error>)> {
        let layer = backend.layer(&self.op, &self.weight, self.bias.as_ref())?;
        let reason = match (&layer, kernel) {
            (Layer::Gpu(layer), Some(kernel)) => match layer.run_with(&self.input, kernel) {
                Err(reason @ (Error::Kernel { .. } | Error::Limit { .. })) => Some(reason),
                output => return Ok((output?, None)),
            },
            _ => None,
        };
        Ok((layer.run(&self.input)?, reason))
    }
}
