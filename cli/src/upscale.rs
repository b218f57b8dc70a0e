//! `upconv upscale`.

use anyhow::Result;

/// The options of `upscale`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    device: crate::device::DeviceArgs,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    args.device.open().map(|_| ())
}
