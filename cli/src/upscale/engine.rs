//! One picture: read, cut into pieces that fit into the memory, enlarged band by band, and written as the bands come.
//!
//! The input and the output are checked before a device is opened.

use super::args::Args;
use super::find::Task;
use super::model::{Model, Precision};
use super::progress::progress;
use super::wanted::{Size, Wanted};
use crate::device::Backend;
use crate::input::{is_standard, shown};
use crate::output::message;
use crate::picture::{Format, Picture, PngEffort, Rows, Samples, Shape, Source, Target, TargetOptions, Writer};
use crate::threads;
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use indicatif::ProgressBar;
use std::fs;
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Instant;
use upconv::upscale::Method;
use upconv::upscale::picture::{self, Options, Pixels, Plan, Sample, Upscaler, whole_factor};

/// What enlarges the pictures.
pub(super) enum How {
    Filter(Method),
    Trained(Box<Model>),
}

impl How {
    fn name(&self) -> String {
        match self {
            How::Filter(method) => method.to_string(),
            How::Trained(model) => model.name.clone(),
        }
    }
}

/// The filter, or the network with its weights, on the device.
struct Opened {
    /// It saves its pipelines when it goes.
    _backend: Backend,
    upscaler: Upscaler,
}

/// What all pictures share.
pub(super) struct Engine<'a> {
    args: &'a Args,
    how: How,
    wanted: Wanted,
    /// For each of the pictures that are worked on at a time.
    memory: u64,
    opened: OnceLock<Opened>,
    opening: Mutex<()>,
}

impl<'a> Engine<'a> {
    /// `memory` is for each of the pictures that are worked on at a time.
    pub(super) fn new(args: &'a Args, how: How, wanted: Wanted, memory: u64) -> Self {
        Self { args, how, wanted, memory, opened: OnceLock::new(), opening: Mutex::new(()) }
    }

    /// Opens the device when it is first needed.
    fn opened(&self) -> Result<&Opened> {
        let _one = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        let backend = self.args.device.open()?;
        let place = match &backend {
            Backend::Gpu(context) => picture::Backend::Gpu((**context).clone()),
            Backend::Cpu => picture::Backend::Cpu,
            Backend::Reference => picture::Backend::Reference,
        };
        let upscaler = match &self.how {
            How::Filter(method) => Upscaler::filter(*method, place),
            How::Trained(model) => {
                let is_exact = matches!(backend, Backend::Reference);
                ensure!(
                    !is_exact || self.args.precision == Precision::F32,
                    "--precision f16 is not for --device reference"
                );
                Upscaler::network(model.network.clone(), place)?
            }
        };
        Ok(self.opened.get_or_init(|| Opened { _backend: backend, upscaler }))
    }

    /// What computes what no device has to.
    fn on_cpu(&self) -> Result<Upscaler> {
        match &self.how {
            How::Filter(method) => Ok(Upscaler::filter(*method, picture::Backend::Cpu)),
            How::Trained(_) => bail!("a network is computed on a device"),
        }
    }

    /// Enlarges one picture; `whole` is the progress bar for all pictures, if there are several.
    pub(super) fn one(&self, task: &Task, whole: Option<&ProgressBar>) -> Result<()> {
        let started = Instant::now();
        let to_standard = is_standard(&task.output);
        let (args, out) = (self.args, if to_standard { "standard output".into() } else { shown(&task.output) });
        let say = |line: String| match whole {
            Some(bar) => bar.suspend(|| message(&(line + "\n"))),
            None => message(&(line + "\n")),
        };
        if args.skip_existing && !to_standard && fs::symlink_metadata(&task.output).is_ok() {
            say(format!("{out}: exists"));
            return Ok(());
        }
        let open = if args.keep_metadata { Source::open_with_metadata } else { Source::open };
        let source = open(&task.input, self.memory)?;
        let shape = source.shape();
        let enlarged = self.enlarged(task, shape)?;
        let mut target = Target::plan(
            &task.output,
            &task.input,
            enlarged,
            source.tags(),
            &TargetOptions {
                flatten: args.flatten,
                depth_8: args.depth.is_some(),
                quality: args.quality,
                png_effort: args.png_effort.map(PngEffort::from),
                no_clobber: args.no_clobber,
                format: to_standard.then(|| args.format.map_or(Format::Png, Format::from)),
            },
        )?;
        let plan = self.fit(task, shape, enlarged, &target)?;
        let written = target.written();
        let warn = |line: &str| say(format!("warning: {}: {line}", shown(&task.input)));
        source.warnings().iter().chain(target.losses()).map(String::as_str).for_each(warn);
        let Picture { samples, repairs, .. } = source.decode()?;
        repairs.iter().map(String::as_str).for_each(warn);
        // No other filter gives the pixels of the picture and no others.
        if matches!(self.how, How::Filter(Method::Nearest)) {
            target.keep_colours(&samples);
        }
        let mut writer = target.start()?;

        // A GPU that was named has to be there, even if it has nothing to do.
        let is_opened = plan.is_on_backend() || args.device.names_a_gpu();
        let on_cpu;
        let upscaler = if is_opened {
            &self.opened()?.upscaler
        } else {
            on_cpu = self.on_cpu()?;
            &on_cpu
        };
        let bar = match whole {
            Some(_) => ProgressBar::hidden(),
            None => progress(plan.pixels(), "{wide_bar} {percent:>3} %, {eta} left")?,
        };
        match &samples {
            Samples::Eight(samples) => stream(upscaler, &plan, samples, shape, &bar, &mut writer)?,
            Samples::Sixteen(samples) => stream(upscaler, &plan, samples, shape, &bar, &mut writer)?,
        }
        writer.finish()?;
        let (name, seconds) = (self.how.name(), started.elapsed().as_secs_f64());
        let factor = self.factor(shape, enlarged);
        let place = if plan.is_on_backend() { "" } else { " on the CPU" };
        say(format!("{out}: {written}, {name} {factor}{place}, {seconds:.2} s"));
        Ok(())
    }

    /// The shape of the result, unless its sides overflow.
    fn enlarged(&self, task: &Task, shape: Shape) -> Result<Shape> {
        let (width, height) = self.wanted.of(shape.width, shape.height);
        match (u32::try_from(width), u32::try_from(height)) {
            (Ok(width), Ok(height)) => Ok(Shape { width, height, ..shape }),
            _ => {
                let most = Format::Png.max_side();
                bail!(
                    "{}: {width}x{height} pixels are more than any format can hold: {most} per side",
                    task.output.display()
                )
            }
        }
    }

    /// By how much a picture was enlarged, or from what.
    fn factor(&self, from: Shape, to: Shape) -> String {
        let sides = |shape: Shape| [shape.height as usize, shape.width as usize];
        match (whole_factor(sides(from), sides(to)), self.wanted) {
            (Some(factor), _) => format!("{factor}x"),
            (None, Wanted::Factor(factor)) => format!("{factor}x"),
            _ => format!("from {}", Size::of(from)),
        }
    }

    /// Cuts the picture so that all fits into the memory that is allowed.
    fn fit(&self, task: &Task, from: Shape, to: Shape, target: &Target) -> Result<Plan> {
        let (decoded, gathered) = (from.bytes(), target.gathered_bytes());
        let rest = self.memory.saturating_sub(decoded).saturating_sub(gathered);
        let options = Options {
            memory: rest,
            tile: self.args.tile.map(usize::from),
            half: self.args.precision == Precision::F16,
            alpha: self.args.alpha.into(),
            means: self.args.mean.into(),
        };
        let (shape, sides) = (picture::Shape::from(from), [to.height as usize, to.width as usize]);
        let plan = match &self.how {
            How::Filter(method) => Plan::filter(*method, shape, sides, options)?,
            How::Trained(model) => {
                model
                    .check(self.wanted, Size::of(from), Size::of(to))
                    .with_context(|| task.output.display().to_string())?;
                Plan::network(&model.network, shape, sides, options)?
            }
        };
        let bytes = plan.bytes();
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        ensure!(
            bytes <= rest,
            "{}: needs {} MiB ({} decoded, {} buffered for {}, {} to compute), more than the {} MiB allowed; --memory \
             raises the limit",
            task.output.display(),
            mib(decoded.saturating_add(gathered).saturating_add(bytes)),
            mib(decoded),
            mib(gathered),
            target.format(),
            mib(bytes),
            self.memory >> 20
        );
        Ok(plan)
    }
}

/// Computes the bands on their own thread, while earlier ones are encoded.
fn stream<T>(
    upscaler: &Upscaler,
    plan: &Plan,
    samples: &[T],
    shape: Shape,
    bar: &ProgressBar,
    writer: &mut Writer,
) -> Result<()>
where
    T: Sample,
    for<'b> Rows<'b>: From<&'b [T]>,
{
    let (sender, bands) = sync_channel::<Vec<T>>(1);
    let pixels = Pixels::new(samples, shape.width as usize, shape.colour.channels())?;
    thread::scope(|scope| {
        let computing = threads::spawn(scope, "compute", move || {
            // Sending fails only after the writer has failed, and that error is the one reported.
            let emit = |band| sender.send(band).map_err(|_| anyhow!("the writer has failed"));
            let advance = |pixels| {
                bar.inc(pixels);
                Ok(())
            };
            upscaler.run(plan, &pixels, emit, advance).map_err(advised)
        })?;
        for band in bands {
            writer.rows(Rows::from(&band[..]))?;
        }
        computing.join().map_err(|_| anyhow!("the thread that computes failed"))?
    })
}

/// Where a device has too little for a tile, smaller ones may do.
fn advised(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref() {
        Some(upconv::Error::Limit { .. } | upconv::Error::Memory { .. }) => {
            error.context("cannot compute the picture (see --memory, --tile and --precision)")
        }
        _ => error,
    }
}

impl From<Shape> for picture::Shape {
    fn from(Shape { width, height, colour, depth }: Shape) -> Self {
        let (channels, sample_bytes) = (colour.channels(), depth.bits() as usize / 8);
        Self { width: width as usize, height: height as usize, channels, sample_bytes }
    }
}
