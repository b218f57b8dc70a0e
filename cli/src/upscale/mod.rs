//! `upconv upscale`: a picture, or every picture in a folder, enlarged by a filter or a trained network.

mod alpha;
mod args;
mod engine;
mod filter;
mod folder;
mod model;
mod on_device;
mod pass;
mod planes;
mod progress;
mod shrink;
mod tiles;
mod tiling;
mod trained;

use crate::picture::Format;
use anyhow::{Result, anyhow, bail};
pub(crate) use args::Args;
use engine::{Engine, How};
use folder::Task;
use model::Model;
use progress::progress;
use std::fs;

pub(crate) fn run(args: &Args) -> Result<()> {
    let how = match &args.model {
        None => How::Filter(args.method.into(), args.scale.map_or(1, usize::from)),
        Some(name) => {
            let model = Model::load(name)?;
            let steps = model.steps(args.scale)?;
            How::Trained(Box::new(model), steps)
        }
    };
    if !args.input.is_dir() {
        if let Some(format) = args.format {
            bail!(
                "--format {} is for folders; the extension of OUT chooses the format of a single picture",
                Format::from(format)
            );
        }
        let task = Task { input: args.input.clone(), output: args.output.clone() };
        return Engine::new(args, how, args.memory).one(&task, None);
    }

    let tasks = folder::tasks(&args.input, &args.output, args.format.map(Format::from))?;
    let made = &args.output;
    if !made.is_dir() {
        fs::create_dir_all(made).map_err(|error| anyhow!("cannot create the folder {}: {error}", made.display()))?;
    }
    let jobs = usize::from(args.jobs).min(tasks.len());
    let engine = Engine::new(args, how, args.memory / jobs as u64);
    let bar = progress(tasks.len() as u64, "{wide_bar} {pos} of {len} pictures, {eta} left")?;
    folder::run(&tasks, jobs, |task| {
        let result = engine.one(task, Some(&bar));
        bar.inc(1);
        result
    })
}
