//! Cases: an operation with its arrays in .npy files, alone or in a list; what `apply` and `grad` share.

use crate::atomic::AtomicFile;
use crate::output::{note, one_line};
use crate::{input, npy, op_json, originals, size};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use upconv::convention::flip_kernel;
use upconv::{ConvTranspose, OutputPaddingPolicy, Tensor};

/// The longest list of cases that is read, in bytes.
const MAX_LIST: u64 = 64 << 20;

/// The options that say which cases are taken.
#[derive(clap::Args)]
pub(crate) struct CaseArgs {
    /// How large the output padding may be: below max(stride, dilation), or anything.
    #[arg(long, value_enum, default_value_t, value_name = "POLICY")]
    output_padding: Policy,
    /// The memory that an output may take, and an input, a weight, a bias or a gradient.
    #[arg(long, value_name = "SIZE", default_value = "4GiB", value_parser = size::parse)]
    memory: u64,
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

/// The files that a case is read from.
pub(crate) struct Files<'a> {
    pub(crate) op: &'a Path,
    pub(crate) input: &'a Path,
    pub(crate) weight: &'a Path,
    pub(crate) bias: Option<&'a Path>,
}

/// The names of a case's files in a folder; there may be no bias.
pub(crate) const IN_FOLDER: [&str; 4] = ["case.json", "x.npy", "w.npy", "b.npy"];

/// An operation with its data, read and checked before any device is touched.
pub(crate) struct Case {
    pub(crate) op: ConvTranspose,
    pub(crate) input: Tensor,
    /// As the operation takes it.
    pub(crate) weight: Tensor,
    pub(crate) bias: Option<Tensor>,
    /// Whether the weight in the file is its mirror image, by the convention of the description.
    pub(crate) flipped: bool,
}

impl CaseArgs {
    /// Reads the case in a folder. A bias that the description announces may be missing where none is needed.
    pub(crate) fn read_folder(&self, folder: &Path, needs_bias: fn(&ConvTranspose) -> bool) -> Result<Case> {
        let [op, input, weight, bias] = IN_FOLDER.map(|name| folder.join(name));
        let bias = bias.exists().then_some(&*bias);
        self.read(&Files { op: &op, input: &input, weight: &weight, bias }, needs_bias)
    }

    /// Reads a case. A bias that the description announces may be missing where none is needed.
    pub(crate) fn read(&self, files: &Files<'_>, needs_bias: fn(&ConvTranspose) -> bool) -> Result<Case> {
        let path = files.op;
        if input::is_standard(path) {
            originals::protect_standard_input();
        }
        let described = op_json::read(path)?;
        let (input, mut weight) = (self.read_array(files.input)?, self.read_array(files.weight)?);
        let bias = files.bias.map(|path| self.read_array(path)).transpose()?;
        for (what, tensor) in [("weight", Some(&weight)), ("bias", bias.as_ref())] {
            tensor.map_or(Ok(()), |tensor| same_type(what, tensor, &input))?;
        }
        let op = described.resolve(input.shape(), weight.shape(), self.output_padding.into())?;
        match (described.bias(), &bias) {
            (Some(true), None) if needs_bias(&op) => {
                bail!("{} says that there is a bias, but none is given", path.display())
            }
            (Some(false), Some(_)) => bail!("{} says that there is no bias, but one is given", path.display()),
            _ => {}
        }
        op.check_parameters(weight.shape(), bias.as_ref().map(Tensor::shape))?;
        let (shape, size) = (op.at(input.shape())?.output_shape(), input.dtype().size() as u128);
        let bytes = shape.iter().map(|&extent| extent as u128).product::<u128>() * size;
        ensure!(
            bytes <= self.memory.into(),
            "the output {shape:?} takes {bytes} bytes, more than the {} allowed; --memory raises them",
            self.memory
        );
        let flipped = described.flips_kernel();
        if flipped {
            weight = flip_kernel(&op, &weight)?;
        }
        Ok(Case { op, input, weight, bias, flipped })
    }

    /// Reads an array, to which nothing is written from now on.
    pub(crate) fn read_array(&self, path: &Path) -> Result<Tensor> {
        originals::protect(path);
        if input::is_standard(path) {
            originals::protect_standard_input();
        }
        npy::read(path, self.memory)
    }
}

/// Checks that an array has the input's element type.
pub(crate) fn same_type(what: &str, tensor: &Tensor, input: &Tensor) -> Result<()> {
    let (given, expected) = (tensor.dtype(), input.dtype());
    ensure!(given == expected, "{what} is {given}, expected {expected} as the input is");
    Ok(())
}

/// A list of cases: lines of a folder, a tabulator and where the results go.
pub(crate) struct List {
    cases: Vec<(PathBuf, PathBuf)>,
}

impl List {
    /// Reads a list of folders with these files, none of which is written to, whichever case comes first.
    pub(crate) fn read(path: &Path, files: &[&str]) -> Result<Self> {
        let text = input::read_text(path, MAX_LIST)?;
        let mut cases = Vec::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
            let Some((folder, output)) = line.split_once('\t') else {
                bail!("{} line {}: expected FOLDER<TAB>OUTPUT, got {line:?}", path.display(), number + 1);
            };
            cases.push((PathBuf::from(folder), PathBuf::from(output)));
        }
        originals::protect(path);
        for (folder, _) in &cases {
            files.iter().for_each(|file| originals::protect(&folder.join(file)));
        }
        Ok(Self { cases })
    }

    pub(crate) fn len(&self) -> usize {
        self.cases.len()
    }

    /// Calls `each` with every folder and its output, for which it writes `files_of(output)`. What it refuses writes
    /// `OUTPUT.err` instead, and the rest goes on. Returns how many were refused.
    pub(crate) fn run(
        &self,
        files_of: impl Fn(&Path) -> Vec<PathBuf>,
        mut each: impl FnMut(&Path, &Path) -> Result<()>,
    ) -> usize {
        let mut refused = 0;
        for (folder, output) in &self.cases {
            let (files, report) = (files_of(output), with_suffix(output, ".err"));
            let clear = || files.iter().try_for_each(|file| remove(file));
            // What an earlier run left must not be taken for this one's.
            let result = remove(&report).and_then(|()| clear()).and_then(|()| {
                // Nor may a part of the results be taken for all.
                each(folder, output).or_else(|error| clear().and(Err(error)))
            });
            let Err(error) = result else { continue };
            refused += 1;
            if let Err(failure) = write_report(&report, &error) {
                note!("upconv: {}: {} (and {})", folder.display(), one_line(&error), one_line(&failure));
            }
        }
        refused
    }

    /// The failure where some were refused.
    pub(crate) fn outcome(&self, refused: usize) -> Result<()> {
        ensure!(refused == 0, "{refused} of {} cases were refused; the .err files say why", self.len());
        Ok(())
    }
}

/// A path with something appended to its last name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
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
