//! `upconv upscale`: a picture, or every picture in a folder, enlarged by a filter or a trained network.

mod args;
mod engine;
mod find;
mod folder;
mod model;
mod progress;
mod wanted;

use crate::input::is_standard;
use crate::output::note;
use crate::picture::Format;
use crate::{originals, threads};
use anyhow::{Context as _, Result, bail, ensure};
pub(crate) use args::Args;
use engine::{Engine, How};
use find::Task;
use model::Model;
use progress::progress;
use std::fs;
use wanted::Wanted;

pub(crate) fn run(args: &Args) -> Result<()> {
    threads::start()?;
    let (how, wanted) = match &args.model {
        None => (How::Filter(args.method.into()), args.wanted().unwrap_or(Wanted::Factor(1.0))),
        Some(name) => {
            let model = Model::load(name)?;
            let wanted = model.wanted(args.wanted())?;
            (How::Trained(Box::new(model)), wanted)
        }
    };
    let engine = |memory| Engine::new(args, how, wanted, memory);
    if is_standard(&args.input) || !args.input.is_dir() { single(args, engine) } else { folder(args, engine) }
}

fn single<'a>(args: &'a Args, engine: impl FnOnce(u64) -> Engine<'a>) -> Result<()> {
    let (input, output) = (&args.input, &args.output);
    if let Some(format) = args.format.filter(|_| !is_standard(output)) {
        bail!(
            "--format {} is for folders and for standard output; the extension of OUT chooses the format of a single \
             picture",
            Format::from(format)
        );
    }
    ensure!(!args.recursive, "--recursive is for folders, which {} is not", input.display());
    if is_standard(input) {
        originals::protect_standard_input();
    } else {
        originals::protect(input);
    }
    let task = Task { input: input.clone(), output: output.clone() };
    engine(args.memory).one(&task, None)
}

fn folder<'a>(args: &'a Args, engine: impl FnOnce(u64) -> Engine<'a>) -> Result<()> {
    let made = &args.output;
    ensure!(!is_standard(made), "{} is a folder, OUT must be one too, not standard output", args.input.display());
    let found = find::find(&args.input, made, args.format.map(Format::from), args.recursive)?;
    // None of them is written to, whichever picture comes first.
    found.tasks.iter().for_each(|task| originals::protect(&task.input));
    originals::protect_results();
    fs::create_dir_all(made).with_context(|| format!("cannot create the folder {}", made.display()))?;
    let jobs = usize::from(args.jobs).min(found.tasks.len()).max(1);
    let engine = engine(args.memory / jobs as u64);
    let bar = progress(found.tasks.len() as u64, "{wide_bar} {pos} of {len} pictures, {eta} left")?;
    let result = folder::run(&found, jobs, |task| {
        let result = engine.one(task, Some(&bar));
        bar.inc(1);
        result
    });
    bar.finish_and_clear();
    if let Some(line) = found.left_out.line(args.recursive) {
        note!("{line}");
    }
    result
}
