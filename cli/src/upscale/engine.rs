//! One picture: read, cut into pieces that fit into the memory, enlarged band by band, and written as the bands come.
//!
//! The input and the output are checked before a device is opened.

use super::args::Args;
use super::filter::Filter;
use super::find::Task;
use super::model::Model;
use super::on_device::OnDevice;
use super::planes::Sample;
use super::progress::progress;
use super::trained::{Cut, Request, Run};
use super::wanted::{Size, Wanted, whole_factor};
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

/// The device, and a network's weights on it.
struct Opened {
    backend: Backend,
    trained: Option<OnDevice>,
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

/// How the work on a picture is cut.
enum Pieces {
    Filter(Filter),
    Trained(Cut),
}

impl Pieces {
    /// Whether a device computes them.
    fn are_on_device(&self) -> bool {
        match self {
            Pieces::Filter(filter) => filter.is_on_device(),
            Pieces::Trained(_) => true,
        }
    }
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
        let trained = match &self.how {
            How::Filter(_) => None,
            How::Trained(model) => Some(OnDevice::new(&model.network, &backend)?),
        };
        Ok(self.opened.get_or_init(|| Opened { backend, trained }))
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
        let pieces = self.fit(task, shape, enlarged, &target)?;
        let written = target.written();
        let warn = |line: &str| say(format!("warning: {}: {line}", shown(&task.input)));
        source.warnings().iter().chain(target.losses()).map(String::as_str).for_each(warn);
        let Picture { mut samples, repairs, .. } = source.decode()?;
        repairs.iter().map(String::as_str).for_each(warn);
        // No other filter gives the pixels of the picture and no others.
        if matches!(self.how, How::Filter(Method::Nearest)) {
            target.keep_colours(&samples);
        }
        let mut writer = target.start()?;

        // A GPU that was named has to be there, even if it has nothing to do.
        let is_opened = pieces.are_on_device() || args.device.names_a_gpu();
        let opened = if is_opened { Some(self.opened()?) } else { None };
        let pixels = match &pieces {
            Pieces::Filter(_) => u64::from(shape.width) * u64::from(shape.height),
            Pieces::Trained(cut) => cut.pixels(),
        };
        let bar = match whole {
            Some(_) => ProgressBar::hidden(),
            None => progress(pixels, "{wide_bar} {percent:>3} %, {eta} left")?,
        };
        match &mut samples {
            Samples::Eight(samples) => self.stream(opened, &pieces, samples, shape, &bar, &mut writer)?,
            Samples::Sixteen(samples) => self.stream(opened, &pieces, samples, shape, &bar, &mut writer)?,
        }
        writer.finish()?;
        let (name, seconds) = (self.how.name(), started.elapsed().as_secs_f64());
        let factor = self.factor(shape, enlarged);
        let place = if pieces.are_on_device() { "" } else { " on the CPU" };
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
        let sides = |shape: Shape| (shape.width as usize, shape.height as usize);
        match (whole_factor(sides(from), sides(to)), self.wanted) {
            (Some(factor), _) => format!("{factor}x"),
            (None, Wanted::Factor(factor)) => format!("{factor}x"),
            _ => format!("from {}", Size::of(from)),
        }
    }

    /// Cuts the picture so that all fits into the memory that is allowed.
    fn fit(&self, task: &Task, from: Shape, to: Shape, target: &Target) -> Result<Pieces> {
        let (decoded, gathered) = (from.bytes(), target.gathered_bytes());
        let rest = self.memory.saturating_sub(decoded).saturating_sub(gathered);
        let (pieces, bytes) = match &self.how {
            How::Filter(method) => {
                let (filter, bytes) = Filter::new(*method, from, to, rest);
                (Pieces::Filter(filter), bytes)
            }
            How::Trained(model) => {
                let request = Request {
                    passes: model
                        .passes(self.wanted, Size::of(from), Size::of(to))
                        .with_context(|| task.output.display().to_string())?,
                    tile: self.args.tile.map(usize::from),
                    precision: self.args.precision,
                    alpha: self.args.alpha,
                    mean: self.args.mean,
                };
                let (cut, bytes) = Cut::new(model, request, from, to, rest)?;
                (Pieces::Trained(cut), bytes)
            }
        };
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
        Ok(pieces)
    }

    /// Computes the bands on their own thread, while earlier ones are encoded.
    fn stream<T>(
        &self,
        opened: Option<&Opened>,
        pieces: &Pieces,
        samples: &mut [T],
        shape: Shape,
        bar: &ProgressBar,
        writer: &mut Writer,
    ) -> Result<()>
    where
        T: Sample,
        for<'b> Rows<'b>: From<&'b [T]>,
    {
        let (sender, bands) = sync_channel::<Vec<T>>(1);
        let advance = |pixels| bar.inc(pixels);
        thread::scope(|scope| {
            let computing = threads::spawn(scope, "compute", move || {
                // Sending fails only after the writer has failed, and that error is the one reported.
                let emit = |band| sender.send(band).map_err(|_| anyhow!("the writer has failed"));
                self.compute(opened, pieces, samples, shape, &advance, emit)
            })?;
            for band in bands {
                writer.rows(Rows::from(&band[..]))?;
            }
            computing.join().map_err(|_| anyhow!("the thread that computes failed"))?
        })
    }

    fn compute<T: Sample>(
        &self,
        opened: Option<&Opened>,
        pieces: &Pieces,
        samples: &mut [T],
        shape: Shape,
        advance: &(dyn Fn(u64) + Sync),
        emit: impl FnMut(Vec<T>) -> Result<()>,
    ) -> Result<()> {
        match (&self.how, pieces, opened) {
            (How::Trained(model), Pieces::Trained(cut), Some(Opened { backend, trained: Some(trained) })) => {
                let run = Run { model, trained, backend, precision: self.args.precision };
                run.run(cut, samples, shape, advance, emit)
            }
            (How::Filter(_), Pieces::Filter(filter), opened) => {
                filter.run(samples, opened.map(|opened| &opened.backend), advance, emit)
            }
            _ => bail!("the picture was cut for another method"),
        }
    }
}
