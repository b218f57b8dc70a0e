//! `upconv convert`: a network of another format, as a file for `upscale --model`.

use super::file::{Undescribed, load};
use crate::atomic::AtomicFile;
use crate::output::note;
use anyhow::Result;
use std::io::Write;
use std::path::PathBuf;

/// The options of `convert`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The network: NET.param of ncnn, text or binary, with its NET.bin; .onnx; or .safetensors. RGB in and out, from 0 to 1.
    #[arg(value_name = "NET")]
    network: PathBuf,
    /// Where to write it; `-` is standard output. An existing file is replaced when the new one is complete.
    #[arg(value_name = "OUT.safetensors")]
    output: PathBuf,
    #[command(flatten)]
    more: Undescribed,
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

pub(crate) fn run(args: &Args) -> Result<()> {
    let network = load(&args.network, &args.more)?;
    let notes: Vec<(&str, &str)> = args.note.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let mut file = AtomicFile::create_or_standard_output(&args.output, args.no_clobber)?;
    file.write_all(&network.to_safetensors(&notes)?)?;
    file.commit()?;
    let (nodes, scale, border) = (network.graph().nodes().len(), network.scale(), network.border());
    note!("{}: {nodes} nodes, {scale}x, a border of {border} pixels", args.output.display());
    Ok(())
}
