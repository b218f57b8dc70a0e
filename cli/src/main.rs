//! `upconv`: upscales pictures, runs transposed convolutions on .npy files, and checks and explains what it does, on
//! the GPU, the CPU or the reference.

mod apply;
mod atomic;
mod bench;
mod cache;
mod convert_ncnn;
mod device;
mod explain;
mod info;
mod interrupt;
mod npy;
mod op_json;
mod picture;
mod pipelines;
mod shader;
mod size;
mod tune;
mod tuning;
mod upscale;
mod verify;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Transposed convolution on the GPU: upscale pictures, run the operation on .npy files, check every adapter.
#[derive(Parser)]
#[command(
    version,
    propagate_version = true,
    after_help = "Exit status: 0 done, 1 refused or failed, 2 wrong usage, 130 interrupted."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Upscale a picture, or every picture in a folder, by a whole factor.
    Upscale(upscale::Args),
    /// Convert a network from ncnn's format to a file for `upscale --model`.
    ConvertNcnn(convert_ncnn::Args),
    /// Run the operation on .npy files.
    Apply(apply::Args),
    /// Check every kernel against the reference, on every adapter of this machine and on the CPU.
    Verify(verify::Args),
    /// Explain how an operation would be computed: kernel, phases, multiply-adds, dispatches.
    Explain(explain::Args),
    /// Time layers of well-known networks on the GPU, the CPU and the reference; each result is checked first.
    Bench(bench::Args),
    /// Measure which kernel computes a layer fastest on this machine, and remember it.
    Tune(tune::Args),
    /// List the adapters of this machine.
    Info(info::Args),
}

fn main() -> ExitCode {
    interrupt::handle();
    let result = match Cli::try_parse().unwrap_or_else(|error| refuse_usage(&error)).command {
        Command::Upscale(args) => upscale::run(&args),
        Command::ConvertNcnn(args) => convert_ncnn::run(&args),
        Command::Apply(args) => apply::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Tune(args) => tune::run(&args),
        Command::Info(args) => info::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line, even where a cause has line breaks.
            let line = format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ");
            eprintln!("upconv: {line}");
            ExitCode::FAILURE
        }
    }
}

/// Ends the program as clap would; a refused value is reported in one line, without the advice that follows.
fn refuse_usage(error: &clap::Error) -> ! {
    let text = error.to_string();
    match (error.kind(), text.lines().next().and_then(|line| line.strip_prefix("error: "))) {
        (ErrorKind::ValueValidation, Some(line)) => {
            eprintln!("upconv: {line}");
            std::process::exit(2)
        }
        _ => error.exit(),
    }
}
