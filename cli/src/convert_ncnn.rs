//! `upconv convert-ncnn`: a network in the format of the ncnn library, converted to a file for `upscale --model`.

use crate::atomic::AtomicFile;
use crate::output::note;
use crate::{input, originals};
use anyhow::{Context as _, Result};
use std::io::Write;
use std::path::PathBuf;
use upconv::graph::ncnn;
use upconv::upscale::Network;

/// The options of `convert-ncnn`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The layers: ncnn's file, as text or in binary. Convolutions of stride 1 and transposed convolutions, one after
    /// another, with their activations; RGB in and out, from 0 to 1.
    #[arg(value_name = "NET.param")]
    param: PathBuf,
    /// Their weights; f32 and f16 stay what they are.
    #[arg(value_name = "NET.bin")]
    bin: PathBuf,
    /// Where to write the network; `-` is standard output. An existing file is replaced when the new one is complete.
    #[arg(value_name = "OUT.safetensors")]
    output: PathBuf,
    /// Refuse to replace an existing file.
    #[arg(long)]
    no_clobber: bool,
    /// Add this to the file's metadata, such as a licence or a source; may be given several times.
    #[arg(long, value_name = "KEY=TEXT", value_parser = parse_note)]
    note: Vec<(String, String)>,
}

fn parse_note(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
        _ => Err("a note is KEY=TEXT".into()),
    }
}

/// The largest files that are read, in bytes.
const MAX_PARAM: u64 = 16 << 20;
const MAX_BIN: u64 = 1 << 30;

pub(crate) fn run(args: &Args) -> Result<()> {
    originals::protect(&args.param);
    originals::protect(&args.bin);
    let param = input::read(&args.param, MAX_PARAM)?;
    let bin = input::read(&args.bin, MAX_BIN)?;
    let network = parse(&param, &bin).with_context(|| format!("{}, {}", args.param.display(), args.bin.display()))?;

    let notes: Vec<(&str, &str)> = args.note.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let mut file = AtomicFile::create_or_standard_output(&args.output, args.no_clobber)?;
    file.write_all(&network.to_safetensors(&notes)?)?;
    file.commit()?;
    let (count, scale, border) = (network.layers().len(), network.scale(), network.border());
    note!("{}: {count} layers, {scale}x, a border of {border} pixels", args.output.display());
    Ok(())
}

/// The network of a .param and a .bin file.
fn parse(param: &[u8], bin: &[u8]) -> Result<Network> {
    Ok(Network::from_graph(&ncnn::read(param, bin)?)?)
}
