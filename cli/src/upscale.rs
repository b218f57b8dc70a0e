//! `upconv upscale`: reads a picture, enlarges it band by band, and writes the bands as they come; or every picture in a
//! folder.
//!
//! Whatever can be said about the input and the output is said before a device is opened.

mod filter;
mod folder;
mod model;
mod pass;
mod planes;
mod shrink;
mod tiling;
mod trained;

use crate::device::{Backend, DeviceArgs};
use crate::picture::{Format, Rgb, Rows, Samples, Shape, Source, Target, TargetOptions, Writer};
use crate::size;
use anyhow::{Result, anyhow, bail, ensure};
use clap::ValueEnum;
use folder::Task;
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use model::{Model, Precision, Steps, Trained};
use planes::{Sample, View};
use std::fs;
use std::path::PathBuf;
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Instant;
use tiling::{Job, Tiling};
use trained::{Cut, Run};
use upconv::upscale::{MAX_SCALE, Method};

/// The options of `upscale`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The picture: PNG, JPEG or WebP, told by its content. Or a folder of pictures, told by their names.
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// Where to write it: the name ends in .png, .jpg, .jpeg or .webp. An existing file is replaced, once the new one
    /// is whole. Or a folder, made if it is not there, in which the pictures keep their names.
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// The factor, a whole number from 1 to 64. With --model its own one if it is not given, or up to that squared.
    #[arg(
        long,
        value_name = "N",
        value_parser = parse_scale,
        allow_negative_numbers = true,
        required_unless_present = "model"
    )]
    scale: Option<u8>,
    /// The resampling filter.
    #[arg(long, value_enum, default_value_t)]
    method: MethodName,
    /// A trained network instead of a filter: waifu2x-photo, which doubles photographs, or a file of your own. For the
    /// square of its factor it runs twice; a factor between the two is made from that, by the bicubic filter.
    #[arg(long, value_name = "waifu2x-photo|FILE.safetensors", conflicts_with = "method")]
    model: Option<String>,
    /// The largest side of the tiles that a network works on; the largest that fits into the memory if it is not given.
    /// The result is the same.
    #[arg(long, value_name = "PIXELS", requires = "model", value_parser = clap::value_parser!(u16).range(8..=8192))]
    tile: Option<u16>,
    /// How a network's numbers are stored between its layers; f16 takes half the memory, where the device has it.
    #[arg(long, value_enum, default_value_t, requires = "model")]
    precision: Precision,
    /// Put a picture with transparency over this colour (#rgb, #rrggbb, white, black) and write it without.
    #[arg(long, value_name = "COLOUR")]
    flatten: Option<Rgb>,
    /// Write 8 bits a sample where the input has 16.
    #[arg(long, value_enum, value_name = "BITS")]
    depth: Option<OutputDepth>,
    /// The quality of a JPEG file, 1 to 100; 90 if it is not given.
    #[arg(long, value_name = "QUALITY", value_parser = clap::value_parser!(u8).range(1..=100))]
    quality: Option<u8>,
    /// Refuse to replace an existing file.
    #[arg(long)]
    no_clobber: bool,
    /// Leave out what has been made already: pictures whose output exists.
    #[arg(long, conflicts_with = "no_clobber")]
    skip_existing: bool,
    /// With a folder: write all pictures in this format.
    #[arg(long, value_enum)]
    format: Option<FormatName>,
    /// With a folder: how many pictures are worked on at a time, so that some are decoded and encoded while others are
    /// computed. They share the memory.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
    jobs: u8,
    /// The memory that may be used, more or less: the decoded picture, what is computed at a time, and for JPEG and WebP the
    /// whole result.
    #[arg(long, value_name = "SIZE", default_value = "4GiB", value_parser = size::parse)]
    memory: u64,
    #[command(flatten)]
    device: DeviceArgs,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum MethodName {
    /// Every pixel a square: for pixel art and masks.
    Nearest,
    /// Two pixels along each axis: soft, and never beyond the values around.
    Bilinear,
    /// Four pixels along each axis (Catmull-Rom): for photographs.
    #[default]
    Bicubic,
    /// Six pixels along each axis: the sharpest, rings at hard edges.
    Lanczos3,
}

impl From<MethodName> for Method {
    fn from(name: MethodName) -> Self {
        match name {
            MethodName::Nearest => Method::Nearest,
            MethodName::Bilinear => Method::Bilinear,
            MethodName::Bicubic => Method::Bicubic,
            MethodName::Lanczos3 => Method::Lanczos3,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OutputDepth {
    /// 8 bits a sample.
    #[value(name = "8")]
    Eight,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatName {
    Png,
    Jpg,
    Webp,
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Png => Format::Png,
            FormatName::Jpg => Format::Jpeg,
            FormatName::Webp => Format::WebP,
        }
    }
}

fn parse_scale(text: &str) -> Result<u8, String> {
    match text.parse() {
        Ok(scale) if (1..=MAX_SCALE).contains(&usize::from(scale)) => Ok(scale),
        _ => Err(format!("only whole (integer) factors from 1 to {MAX_SCALE} are possible")),
    }
}

/// How many bands of samples there are: one being computed, one waiting, one being written.
const BANDS: u64 = 3;

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
            bail!("--format {} is for a folder; the name of a picture's output says its format", Format::from(format));
        }
        let task = Task { input: args.input.clone(), output: args.output.clone() };
        return Engine { args, how, memory: args.memory, opened: OnceLock::new(), opening: Mutex::new(()) }
            .one(&task, None);
    }

    let tasks = folder::tasks(&args.input, &args.output, args.format.map(Format::from))?;
    let made = &args.output;
    if !made.is_dir() {
        fs::create_dir_all(made).map_err(|error| anyhow!("cannot make the folder {}: {error}", made.display()))?;
    }
    let jobs = usize::from(args.jobs).min(tasks.len());
    let memory = args.memory / jobs as u64;
    let engine = Engine { args, how, memory, opened: OnceLock::new(), opening: Mutex::new(()) };
    let bar = progress(tasks.len() as u64, "{wide_bar} {pos} of {len} pictures, {eta} left")?;
    folder::run(&tasks, jobs, |task| {
        let result = engine.one(task, Some(&bar));
        bar.inc(1);
        result
    })
}

/// By which means pictures are enlarged.
enum How {
    Filter(Method, usize),
    Trained(Box<Model>, Steps),
}

impl How {
    fn scale(&self) -> usize {
        match self {
            How::Filter(_, scale) => *scale,
            How::Trained(_, steps) => steps.scale,
        }
    }

    fn name(&self) -> String {
        match self {
            How::Filter(method, _) => method.to_string(),
            How::Trained(model, _) => model.name.clone(),
        }
    }
}

/// The device, and a network's weights on it.
struct Opened {
    backend: Backend,
    trained: Option<Trained>,
}

/// What all pictures share.
struct Engine<'a> {
    args: &'a Args,
    how: How,
    /// For each of the pictures that are worked on at a time.
    memory: u64,
    opened: OnceLock<Opened>,
    opening: Mutex<()>,
}

/// How the work on a picture is cut.
enum Pieces {
    Filter(Job, Tiling),
    Trained(Cut),
}

impl Engine<'_> {
    /// Opens the device when it is first needed.
    fn opened(&self) -> Result<&Opened> {
        let _one = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        let backend = self.args.device.open()?;
        let trained = match &self.how {
            How::Filter(..) => None,
            How::Trained(model, _) => Some(Trained::new(&model.network, &backend)?),
        };
        Ok(self.opened.get_or_init(|| Opened { backend, trained }))
    }

    /// Enlarges one picture; `whole` is the bar of all pictures, if there are several.
    fn one(&self, task: &Task, whole: Option<&ProgressBar>) -> Result<()> {
        let started = Instant::now();
        let (args, out) = (self.args, task.output.display());
        let say = |line: String| match whole {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        };
        if args.skip_existing && fs::symlink_metadata(&task.output).is_ok() {
            say(format!("{out}: exists"));
            return Ok(());
        }
        let source = Source::open(&task.input, self.memory)?;
        let shape = source.shape();
        let target = Target::plan(
            &task.output,
            &task.input,
            self.enlarged(task, shape)?,
            source.icc().map(<[u8]>::to_vec),
            &TargetOptions {
                flatten: args.flatten,
                depth_8: args.depth.is_some(),
                quality: args.quality,
                no_clobber: args.no_clobber,
            },
        )?;
        let pieces = self.fit(task, shape, &target)?;
        let written = target.written();
        let mut samples = source.decode()?.samples;
        let mut writer = target.start()?;

        let opened = self.opened()?;
        let pixels = match &pieces {
            Pieces::Filter(job, _) => (job.width * job.height) as u64,
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
        let (name, scale, seconds) = (self.how.name(), self.how.scale(), started.elapsed().as_secs_f64());
        say(format!("{out}: {written}, {name} {scale}x, {seconds:.2} s"));
        Ok(())
    }

    /// The shape of the result, if a shape can be as large.
    fn enlarged(&self, task: &Task, shape: Shape) -> Result<Shape> {
        let scale = self.how.scale() as u32;
        match (shape.width.checked_mul(scale), shape.height.checked_mul(scale)) {
            (Some(width), Some(height)) => Ok(Shape { width, height, ..shape }),
            _ => {
                let (width, height) =
                    (u64::from(shape.width) * u64::from(scale), u64::from(shape.height) * u64::from(scale));
                let most = Format::Png.max_side();
                bail!(
                    "{}: {width}x{height} pixels are more than any format holds: {most} a side",
                    task.output.display()
                )
            }
        }
    }

    /// Cuts the picture so that all fits into the memory that is allowed.
    fn fit(&self, task: &Task, shape: Shape, target: &Target) -> Result<Pieces> {
        let (decoded, gathered) = (shape.bytes(), target.gathered_bytes());
        let rest = self.memory.saturating_sub(decoded).saturating_sub(gathered);
        let (pieces, bytes) = match &self.how {
            How::Filter(method, scale) => {
                let job = Job {
                    width: shape.width as usize,
                    height: shape.height as usize,
                    channels: shape.colour.channels(),
                    scale: *scale,
                    border: method.border(),
                };
                let (tiling, bytes) = filter::fit(&job, shape, rest);
                (Pieces::Filter(job, tiling), bytes)
            }
            How::Trained(model, steps) => {
                let tile = self.args.tile.map(usize::from);
                let (cut, bytes) = Cut::new(model, *steps, shape, tile, rest, self.args.precision)?;
                (Pieces::Trained(cut), bytes)
            }
        };
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        ensure!(
            bytes <= rest,
            "{}: takes {} MiB ({} decoded, {} gathered for {}, {} to compute), more than the {} MiB allowed; --memory \
             raises them",
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

    /// Computes the bands on a thread of their own while the ones before are encoded.
    fn stream<T>(
        &self,
        opened: &Opened,
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
            let computing = scope.spawn(move || {
                // Nobody receives once the writer has failed, which is then what is reported.
                let emit = |band| sender.send(band).map_err(|_| anyhow!("the writer has failed"));
                self.compute(opened, pieces, samples, shape, &advance, emit)
            });
            for band in bands {
                writer.rows(Rows::from(&band[..]))?;
            }
            computing.join().map_err(|_| anyhow!("the thread that computes failed"))?
        })
    }

    fn compute<T: Sample>(
        &self,
        opened: &Opened,
        pieces: &Pieces,
        samples: &mut [T],
        shape: Shape,
        advance: &(dyn Fn(u64) + Sync),
        emit: impl FnMut(Vec<T>) -> Result<()>,
    ) -> Result<()> {
        let Opened { backend, trained } = opened;
        match (&self.how, pieces, trained) {
            (How::Trained(model, steps), Pieces::Trained(cut), Some(trained)) => {
                let run = Run { model, trained, backend, steps: *steps, precision: self.args.precision };
                run.run(cut, samples, shape, advance, emit)
            }
            (How::Filter(method, _), Pieces::Filter(job, tiling), _) => {
                let upsampler = method.upsampler(job.scale, job.channels)?;
                let layer = backend.layer(&upsampler.op, &upsampler.weight, None)?;
                // `nearest` mixes nothing, so it can keep the colour of what is transparent.
                let premultiply = shape.colour.has_alpha() && *method != Method::Nearest;
                let view = View { samples, width: job.width, height: job.height, channels: job.channels, premultiply };
                filter::run(job, *tiling, &view, &layer, advance, emit)
            }
            _ => bail!("the picture was cut for another method"),
        }
    }
}

/// A bar on standard error where that is a terminal, nothing elsewhere; it goes away at the end.
fn progress(length: u64, template: &str) -> Result<ProgressBar> {
    let style = ProgressStyle::with_template(template)?;
    Ok(ProgressBar::new(length).with_style(style).with_finish(ProgressFinish::AndClear))
}
