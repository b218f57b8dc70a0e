//! `upconv upscale`: reads a picture, enlarges it band by band, and writes the bands as they come.
//!
//! Whatever can be said about the input and the output is said before a device is opened.

mod planes;
mod tiling;

use crate::device::{DeviceArgs, Layer};
use crate::picture::{Format, Rgb, Rows, Samples, Shape, Source, Target, TargetOptions, Writer};
use crate::size;
use anyhow::{Result, anyhow, bail};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use planes::{Sample, View};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Instant;
use tiling::{Job, Tiling};
use upconv::upscale::{MAX_SCALE, Method};
use upconv::{Data, Tensor};

/// The options of `upscale`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The picture: PNG, JPEG or WebP, told by its content.
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// Where to write it: the name ends in .png, .jpg, .jpeg or .webp. An existing file is replaced, once the new one
    /// is whole.
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// The factor, a whole number from 1 to 64.
    #[arg(long, value_name = "N", value_parser = parse_scale, allow_negative_numbers = true)]
    scale: u8,
    /// The resampling filter.
    #[arg(long, value_enum, default_value_t)]
    method: MethodName,
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

fn parse_scale(text: &str) -> Result<u8, String> {
    match text.parse() {
        Ok(scale) if (1..=MAX_SCALE).contains(&usize::from(scale)) => Ok(scale),
        _ => Err(format!("only whole (integer) factors from 1 to {MAX_SCALE} are possible")),
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let started = Instant::now();
    let method = Method::from(args.method);
    let source = Source::open(&args.input, args.memory)?;
    let shape = source.shape();
    let target = Target::plan(
        &args.output,
        &args.input,
        enlarged(args, shape)?,
        source.icc().map(<[u8]>::to_vec),
        &TargetOptions {
            flatten: args.flatten,
            depth_8: args.depth.is_some(),
            quality: args.quality,
            no_clobber: args.no_clobber,
        },
    )?;
    let upsampler = method.upsampler(args.scale.into(), shape.colour.channels())?;
    let job = Job {
        width: shape.width as usize,
        height: shape.height as usize,
        channels: shape.colour.channels(),
        scale: args.scale.into(),
        border: upsampler.border,
    };
    let tiling = fit(args, &job, shape, &target)?;
    let written = target.written();
    let samples = source.decode()?.samples;
    let mut writer = target.start()?;

    let layer = args.device.open()?.layer(&upsampler.op, &upsampler.weight, None)?;
    // `nearest` mixes nothing, so it can keep the colour of what is transparent.
    let premultiply = shape.colour.has_alpha() && method != Method::Nearest;
    match &samples {
        Samples::Eight(samples) => stream(&job, tiling, samples, premultiply, layer, &mut writer)?,
        Samples::Sixteen(samples) => stream(&job, tiling, samples, premultiply, layer, &mut writer)?,
    }
    writer.finish()?;
    let (out, scale, seconds) = (args.output.display(), args.scale, started.elapsed().as_secs_f64());
    eprintln!("{out}: {written}, {method} {scale}x, {seconds:.2} s");
    Ok(())
}

/// The shape of the result, if a shape can be as large.
fn enlarged(args: &Args, shape: Shape) -> Result<Shape> {
    let scale = u32::from(args.scale);
    match (shape.width.checked_mul(scale), shape.height.checked_mul(scale)) {
        (Some(width), Some(height)) => Ok(Shape { width, height, ..shape }),
        _ => {
            let (width, height) =
                (u64::from(shape.width) * u64::from(scale), u64::from(shape.height) * u64::from(scale));
            let most = Format::Png.max_side();
            bail!("{}: {width}x{height} pixels are more than any format holds: {most} a side", args.output.display())
        }
    }
}

/// How many times the tensors of a piece are in memory: on their way to a device and back, and on a device that
/// computes in the same memory.
const COPIES: u64 = 6;

/// How many bands of samples there are: one being computed, one waiting, one being written.
const BANDS: u64 = 3;

/// Cuts the picture so that all fits into the memory that is allowed.
fn fit(args: &Args, job: &Job, shape: Shape, target: &Target) -> Result<Tiling> {
    let (decoded, gathered) = (shape.bytes(), target.gathered_bytes());
    let rest = args.memory.saturating_sub(decoded).saturating_sub(gathered);
    let tiling = Tiling::new(job, rest / (2 * COPIES));
    let band = Shape {
        width: shape.width * u32::from(args.scale),
        height: tiling.rows as u32 * u32::from(args.scale),
        ..shape
    };
    let pieces = COPIES * tiling.tensor_bytes(job) + BANDS * band.bytes();
    if pieces > rest {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        bail!(
            "{}: takes {} MiB ({} decoded, {} gathered for {}, {} to compute), more than the {} MiB allowed; --memory \
             raises them",
            args.output.display(),
            mib(decoded.saturating_add(gathered).saturating_add(pieces)),
            mib(decoded),
            mib(gathered),
            target.format(),
            mib(pieces),
            args.memory >> 20
        );
    }
    Ok(tiling)
}

/// Computes the bands on a thread of their own while the ones before are encoded.
fn stream<T>(
    job: &Job,
    tiling: Tiling,
    samples: &[T],
    premultiply: bool,
    layer: Layer,
    writer: &mut Writer,
) -> Result<()>
where
    T: Sample,
    for<'a> Rows<'a>: From<&'a [T]>,
{
    let view = View { samples, width: job.width, height: job.height, channels: job.channels, premultiply };
    let progress = progress(tiling.bands(job).count() as u64)?;
    let (sender, bands) = sync_channel(1);
    thread::scope(|scope| {
        let computing = scope.spawn(move || -> Result<()> {
            for rows in tiling.bands(job) {
                // Nobody receives once the writer has failed, which is then what is reported.
                if sender.send(enlarge(job, tiling, &view, &rows, &layer)?).is_err() {
                    break;
                }
            }
            Ok(())
        });
        for band in bands {
            writer.rows(Rows::from(&band[..]))?;
            progress.inc(1);
        }
        computing.join().map_err(|_| anyhow!("the thread that computes failed"))?
    })
}

/// Computes one band.
fn enlarge<T: Sample>(
    job: &Job,
    tiling: Tiling,
    view: &View<'_, T>,
    rows: &Range<usize>,
    layer: &Layer,
) -> Result<Vec<T>> {
    let row = job.width * job.scale * job.channels;
    let mut band = vec![T::default(); rows.len() * job.scale * row];
    for columns in tiling.tiles(job) {
        let shape = [1, job.channels, rows.len() + 2 * job.border, columns.len() + 2 * job.border];
        let output = layer.run(&Tensor::f32(shape, view.planes(rows, &columns, job.border))?)?.into_data();
        let Data::F32(planes) = output else { bail!("the output is not float32") };
        view.interleave(&planes, columns.len() * job.scale, &mut band, row, columns.start * job.scale);
    }
    Ok(band)
}

/// A bar on standard error where that is a terminal, nothing elsewhere; it goes away at the end.
fn progress(bands: u64) -> Result<ProgressBar> {
    let style = ProgressStyle::with_template("{wide_bar} {percent:>3} %, {eta} left")?;
    Ok(ProgressBar::new(bands).with_style(style).with_finish(ProgressFinish::AndClear))
}
