//! `upconv models`: the networks that are built in.

use crate::output::print;
use anyhow::Result;
use upconv::upscale::Model;

/// The options of `models`.
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> Result<()> {
    for model in Model::ALL {
        let network = model.network()?;
        print(&format!(
            "{}: {} ({}x, {} parameters)\n    {}\n",
            model.name,
            model.purpose,
            network.scale(),
            network.parameters(),
            model.licence
        ))?;
    }
    Ok(())
}
