//! `upconv`: upscales pictures, runs transposed convolutions on .npy files, and checks and explains what it does, on
//! the GPU, the CPU or the reference.

#![deny(clippy::print_stderr, clippy::print_stdout)] // `output` writes, where a stream that is closed or full is no panic.

mod apply;
mod atomic;
mod bench;
mod cache;
mod case;
mod device;
mod explain;
#[cfg(fuzzing)]
pub mod fuzzing;
mod grad;
mod info;
mod input;
mod interrupt;
mod leftovers;
mod network;
mod npy;
mod op_json;
mod originals;
mod output;
mod picture;
mod pipelines;
mod regular;
mod shader;
mod size;
mod threads;
mod tune;
mod tuning;
mod upscale;
mod verify;

use anyhow::Result;
use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use output::{note, one_line};
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use upconv::upscale::Network;

/// Transposed convolution on the GPU: upscale pictures, run the operation on .npy files, check every adapter.
#[derive(Parser)]
#[command(
    version,
    propagate_version = true,
    after_help = "Exit status: 0 done, 1 refused or failed, 2 wrong usage, 129, 130 or 143 stopped by a hangup, an \
                  interruption or a termination, 141 standard output was closed."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Upscale a picture, or every picture in a folder, by a factor or to a size.
    Upscale(upscale::Args),
    /// List the networks that are built in.
    Models(network::ModelsArgs),
    /// Show what a network computes, and what it takes.
    Network(network::NetworkArgs),
    /// Convert a network from another format to a file for `upscale --model`.
    Convert(network::ConvertArgs),
    /// Run the operation on .npy files.
    Apply(apply::Args),
    /// Compute the operation's gradients on .npy files: of the input, the weight and the bias.
    Grad(grad::Args),
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

/// Runs the program with the arguments of its process.
#[must_use]
pub fn main() -> ExitCode {
    run(std::env::args_os()).into()
}

/// Runs the program with these arguments, of which the first is its name, and returns its exit status: for Python's
/// package, whose process has further ones. From here on an interruption ends the process.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let result = match Cli::try_parse_from(arguments) {
        Ok(cli) => interrupt::handle().and_then(|()| command(cli.command)),
        Err(error) if error.use_stderr() => return refuse_usage(&error),
        // --help and --version.
        Err(error) => error.print().and_then(|()| io::stdout().flush()).map_err(|error| output::unwritable(&error)),
    };
    match result {
        Ok(()) => 0,
        Err(error) if error.is::<output::Closed>() => output::CLOSED,
        Err(error) => {
            note!("upconv: {}", one_line(&error));
            1
        }
    }
}

/// Checks the adapters that this names, or all of them and the CPU, as `upconv verify` does. Returns JSON: the `rows` that
/// `verify --json` prints, and the devices that are `broken`.
///
/// # Errors
/// A device that is not there.
pub fn verify(adapter: Option<String>) -> Result<String> {
    verify::as_json(adapter)
}

/// The network that is built in by this name, or the one in a file, as `upconv upscale --model` takes it.
///
/// # Errors
/// A file that is unsound, or whose network gives no picture.
pub fn network(name: &Path) -> Result<Network> {
    network::load(name, &network::Undescribed::default())
}

fn command(command: Command) -> Result<()> {
    match command {
        Command::Upscale(args) => upscale::run(&args),
        Command::Models(args) => network::models(&args),
        Command::Network(args) => network::show(&args),
        Command::Convert(args) => threads::start().and_then(|()| network::convert(&args)),
        Command::Apply(args) => threads::start().and_then(|()| apply::run(&args)),
        Command::Grad(args) => threads::start().and_then(|()| grad::run(&args)),
        Command::Verify(args) => threads::start().and_then(|()| verify::run(&args)),
        Command::Explain(args) => explain::run(&args),
        Command::Bench(args) => threads::start().and_then(|()| bench::run(&args)),
        Command::Tune(args) => threads::start().and_then(|()| tune::run(&args)),
        Command::Info(args) => info::run(&args),
    }
}

/// Reports wrong usage as clap would; a refused value is reported in one line, without the advice that follows.
fn refuse_usage(error: &clap::Error) -> u8 {
    let text = error.to_string();
    match (error.kind(), text.lines().next().and_then(|line| line.strip_prefix("error: "))) {
        (ErrorKind::ValueValidation, Some(line)) => note!("upconv: {line}"),
        // There is nowhere left to say that it failed.
        _ => drop(error.print()),
    }
    2
}
