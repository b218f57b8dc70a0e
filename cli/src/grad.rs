//! `upconv grad`: the gradients of the operation on .npy files, one case at a time or many in one process.

use crate::atomic::AtomicFile;
use crate::case::{Case, CaseArgs, Files, IN_FOLDER, List, same_type, with_suffix};
use crate::device::{Backend, DeviceArgs};
use crate::output::note;
use crate::{input, npy, originals};
use anyhow::{Result, bail, ensure};
use std::path::{Path, PathBuf};
use upconv::convention::flip_kernel;
use upconv::gpu::{self, Context};
use upconv::{Activation, ConvTranspose, DType, Gradients, OutputGradient, Tensor, cpu, reference};

/// The gradient of the output in a folder.
const GRADIENT: &str = "dy.npy";

/// The options of `grad`.
#[derive(clap::Args)]
#[command(after_help = crate::op_json::KEYS_ARE_IN)]
pub(crate) struct Args {
    /// The operation: a JSON file, or a folder with `case.json`, `x.npy`, `w.npy`, `dy.npy` and perhaps `b.npy`. `-` is
    /// standard input, here or for one of the files below.
    #[arg(value_name = "OP.json", required_unless_present = "batch", conflicts_with = "batch")]
    op: Option<PathBuf>,
    /// The input.
    #[arg(short, long, value_name = "X.npy", conflicts_with = "batch")]
    input: Option<PathBuf>,
    /// The weight.
    #[arg(short, long, value_name = "W.npy", conflicts_with = "batch")]
    weight: Option<PathBuf>,
    /// The bias; only an operation with an activation needs it.
    #[arg(short, long, value_name = "B.npy", conflicts_with = "batch")]
    bias: Option<PathBuf>,
    /// The gradient of the output.
    #[arg(short, long, value_name = "DY.npy", conflicts_with = "batch")]
    gradient: Option<PathBuf>,
    /// Where the gradient of the input goes; `-` is standard output, here or for one of the others.
    #[arg(long, value_name = "DX.npy", required_unless_present_any = ["dw", "db", "batch"], conflicts_with = "batch")]
    dx: Option<PathBuf>,
    /// Where the gradient of the weight goes.
    #[arg(long, value_name = "DW.npy", conflicts_with = "batch")]
    dw: Option<PathBuf>,
    /// Where the gradient of the bias goes.
    #[arg(long, value_name = "DB.npy", conflicts_with = "batch")]
    db: Option<PathBuf>,
    /// Many cases on one device: lines `FOLDER<TAB>OUT`, for which OUT.dx.npy, OUT.dw.npy and OUT.db.npy are written; what
    /// is refused writes OUT.err and the rest goes on.
    #[arg(long, value_name = "LIST")]
    batch: Option<PathBuf>,
    #[command(flatten)]
    case: CaseArgs,
    #[command(flatten)]
    device: DeviceArgs,
}

/// A case with what its gradients are computed from.
struct Backward {
    case: Case,
    /// The gradient of the output.
    gradient: Tensor,
    /// The sums before the activation, where there is one.
    sum: Option<Tensor>,
}

/// Something for each gradient: of the input, of the weight, of the bias.
type Each<T> = [T; 3];

pub(crate) fn run(args: &Args) -> Result<()> {
    match (&args.batch, &args.op) {
        (Some(list), _) => batch(list, args),
        (None, Some(op)) => single(op, args),
        (None, None) => bail!("an operation is needed, or --batch"),
    }
}

/// One case, of which the gradients that are named are computed.
fn single(op: &Path, args: &Args) -> Result<()> {
    let outputs = [&args.dx, &args.dw, &args.db].map(Option::as_deref);
    let mut named: Vec<(usize, &Path)> =
        outputs.into_iter().enumerate().filter_map(|(at, path)| Some((at, path?))).collect();
    // Standard output first: where its reader went away, nothing is written.
    named.sort_by_key(|(_, path)| !input::is_standard(path));
    if let Some(pair) = named.iter().find(|(at, path)| named.iter().any(|(other, same)| other < at && same == path)) {
        bail!("{} is named for two gradients, each of which needs a file of its own", pair.1.display());
    }
    // Nor may two names lead to one file.
    originals::protect_results();
    let backward = read(op, args)?;
    let files = named.iter().map(|(at, path)| Ok((*at, AtomicFile::create_or_standard_output(path, false)?)));
    let files = files.collect::<Result<_>>()?;
    write(files, &gradients(&args.device.open()?, &backward, outputs.map(|path| path.is_some()))?)
}

/// Computes all gradients of every case of a list on one device.
fn batch(list: &Path, args: &Args) -> Result<()> {
    let list = List::read(list, &[&IN_FOLDER[..], &[GRADIENT]].concat())?;
    let backend = args.device.open()?;
    let refused = list.run(
        |output| files_of(output).into(),
        |folder, output| {
            let gradients = gradients(&backend, &read_folder(folder, args)?, [true; 3])?;
            let files = files_of(output).into_iter().enumerate();
            let files = files.map(|(at, path)| Ok((at, AtomicFile::create(&path, false)?))).collect::<Result<_>>()?;
            write(files, &gradients)
        },
    );
    note!("{} cases, {refused} refused", list.len());
    list.outcome(refused)
}

/// Where the gradients of a case in a list go.
fn files_of(output: &Path) -> Each<PathBuf> {
    [".dx.npy", ".dw.npy", ".db.npy"].map(|suffix| with_suffix(output, suffix))
}

/// One case: a folder, or a description with the files named.
fn read(op: &Path, args: &Args) -> Result<Backward> {
    if op.is_dir() {
        ensure!(
            args.input.is_none() && args.weight.is_none() && args.bias.is_none() && args.gradient.is_none(),
            "{} is a folder that holds its input, weight, bias and gradient; none can be given beside it",
            op.display()
        );
        return read_folder(op, args);
    }
    let (Some(input), Some(weight), Some(gradient)) = (&args.input, &args.weight, &args.gradient) else {
        bail!("{} needs --input, --weight and --gradient", op.display());
    };
    let case = args.case.read(&Files { op, input, weight, bias: args.bias.as_deref() }, has_activation)?;
    Backward::new(case, args.case.read_array(gradient)?)
}

fn read_folder(folder: &Path, args: &Args) -> Result<Backward> {
    let case = args.case.read_folder(folder, has_activation)?;
    Backward::new(case, args.case.read_array(&folder.join(GRADIENT))?)
}

/// The bias changes the gradients only through the activation.
fn has_activation(op: &ConvTranspose) -> bool {
    *op.activation() != Activation::None
}

impl Backward {
    fn new(case: Case, gradient: Tensor) -> Result<Self> {
        same_type("gradient", &gradient, &case.input)?;
        let sum = if has_activation(&case.op) {
            let op = case.op.to_builder().activation(Activation::None).build()?;
            let sum = reference::conv_transpose(&op, &case.input, &case.weight, case.bias.as_ref())?;
            Some(sum.into_tensor(DType::F64)?)
        } else {
            None
        };
        Ok(Self { case, gradient, sum })
    }

    /// What the library takes.
    fn gradient(&self) -> OutputGradient<'_> {
        match &self.sum {
            Some(sum) => OutputGradient::with_sum(&self.gradient, sum),
            None => (&self.gradient).into(),
        }
    }
}

/// The gradients that are wanted, in the input's element type; that of the weight as it is in its file.
fn gradients(backend: &Backend, backward: &Backward, wanted: Each<bool>) -> Result<Each<Option<Tensor>>> {
    let [dx, mut dw, db] = match backend {
        Backend::Gpu(context) => by_gpu(context, backward, wanted)?,
        Backend::Cpu => by_cpu(backward, wanted)?,
        Backend::Reference => by_reference(backward, wanted)?,
    };
    if backward.case.flipped {
        dw = dw.map(|dw| flip_kernel(&backward.case.op, &dw)).transpose()?;
    }
    Ok([dx, dw, db])
}

/// Those that are wanted, together.
fn by_gpu(context: &Context, backward: &Backward, wanted: Each<bool>) -> upconv::Result<Each<Option<Tensor>>> {
    let Case { op, input, weight, .. } = &backward.case;
    let gradient = backward.gradient();
    let layer = gpu::Layer::new(context, op, weight, None)?;
    let dtype = if input.dtype() == DType::Bf16 { DType::F32 } else { input.dtype() };
    let all = match wanted {
        [true, false, false] => [Some(layer.input_gradient(input.shape(), gradient)?), None, None],
        [false, true, false] => [None, Some(layer.weight_gradient(input, gradient)?), None],
        [false, false, true] => [None, None, Some(layer.bias_gradient(input.shape(), gradient)?)],
        _ => {
            let Gradients { input, weight, bias, .. } = layer.backward(input, gradient)?;
            let [dx, dw, db] = wanted;
            [dx.then_some(input), dw.then_some(weight), db.then_some(bias)]
        }
    };
    Ok(all.map(|gradient| gradient.map(|gradient| gradient.into_dtype(dtype))))
}

fn by_cpu(backward: &Backward, wanted: Each<bool>) -> upconv::Result<Each<Option<Tensor>>> {
    let Case { op, input, weight, .. } = &backward.case;
    let gradient = backward.gradient();
    let layer = cpu::Layer::new(op, weight, None)?;
    let dtype = if input.dtype() == DType::Bf16 { DType::F32 } else { input.dtype() };
    let [dx, dw, db] = wanted;
    let all = [
        dx.then(|| layer.input_gradient(input.shape(), gradient)).transpose()?,
        dw.then(|| layer.weight_gradient(input, gradient)).transpose()?,
        db.then(|| layer.bias_gradient(input.shape(), gradient)).transpose()?,
    ];
    Ok(all.map(|gradient| gradient.map(|gradient| gradient.into_dtype(dtype))))
}

/// The gradients that are wanted, of the operation and its weight as they are in the case.
fn by_reference(backward: &Backward, wanted: Each<bool>) -> upconv::Result<Each<Option<Tensor>>> {
    let Case { op, input, weight, .. } = &backward.case;
    let (gradient, dtype) = (backward.gradient(), input.dtype());
    let [dx, dw, db] = wanted;
    let dx = dx.then(|| reference::input_gradient(op, input.shape(), gradient, weight)?.into_tensor(dtype));
    let dw = dw.then(|| reference::weight_gradient(op, input, gradient)?.into_tensor(dtype));
    let db = db.then(|| reference::bias_gradient(op, input.shape(), gradient)?.into_tensor(dtype));
    Ok([dx.transpose()?, dw.transpose()?, db.transpose()?])
}

/// Writes the gradients with these numbers, and puts the files in their places when all are written.
fn write(mut files: Vec<(usize, AtomicFile)>, gradients: &Each<Option<Tensor>>) -> Result<()> {
    for (at, file) in &mut files {
        if let Some(gradient) = &gradients[*at] {
            npy::fill(file, gradient)?;
        }
    }
    files.into_iter().try_for_each(|(_, file)| file.commit())
}
