//! The options of `upconv upscale`.

use super::model::{AlphaBy, MeanOf, Precision};
use super::wanted::{self, Size, Wanted};
use crate::device::DeviceArgs;
use crate::picture::{Format, PngEffort, Rgb};
use crate::size;
use clap::{ArgGroup, ValueEnum};
use std::path::PathBuf;
use upconv::upscale::Method;

/// The options of `upscale`.
#[derive(clap::Args)]
#[command(group(
    ArgGroup::new("how-large").args(["scale", "size", "width", "height", "model"]).required(true).multiple(true)
))]
pub(crate) struct Args {
    /// The picture: PNG, JPEG, WebP, TIFF, BMP, GIF or QOI, recognised by its content; `-` is standard input. Or a folder:
    /// its pictures are recognised by their extensions.
    #[arg(value_name = "IN")]
    pub(super) input: PathBuf,
    /// Where to write it; the extension .png, .jpg, .jpeg, .webp, .tif or .tiff chooses the format. An existing file is
    /// replaced when the new one is complete. `-` is standard output, in the format of --format, by default PNG. If IN is a
    /// folder: a folder, created if it is missing, in which the pictures keep their names; BMP, GIF and QOI become .png.
    #[arg(value_name = "OUT")]
    pub(super) output: PathBuf,
    /// The factor, from 1 to 64: 2, 1.5 or 2.25, say. Sides are rounded to the nearest pixel. With --model: up to the square
    /// of the model's own factor, which is the default.
    #[arg(
        long,
        value_name = "N",
        value_parser = wanted::parse_factor,
        allow_hyphen_values = true,
        conflicts_with_all = ["size", "width", "height"]
    )]
    scale: Option<f64>,
    /// The size in pixels instead of a factor: 1920x1080, say. The sides may be enlarged by different factors. Filters can
    /// also make pictures smaller; networks cannot.
    #[arg(
        long,
        value_name = "WxH",
        value_parser = wanted::parse_size,
        allow_hyphen_values = true,
        conflicts_with_all = ["width", "height"]
    )]
    size: Option<Size>,
    /// The width in pixels; without --height, the height keeps the ratio of the sides.
    #[arg(long, value_name = "PIXELS", value_parser = wanted::parse_side, allow_hyphen_values = true)]
    width: Option<u32>,
    /// The height in pixels; without --width, the width keeps the ratio of the sides.
    #[arg(long, value_name = "PIXELS", value_parser = wanted::parse_side, allow_hyphen_values = true)]
    height: Option<u32>,
    /// The resampling filter.
    #[arg(long, value_enum, default_value_t)]
    pub(super) method: MethodName,
    /// Use a trained network instead of a filter: waifu2x-photo for photographs or waifu2x-art for drawings, which are built
    /// in and double pictures, or a file of your own: .safetensors with a description, .onnx, or .param of ncnn with
    /// its .bin beside it. It runs once, or twice where once is not enough; the bicubic filter reduces what is larger than it should
    /// be.
    #[arg(long, value_name = "NAME|FILE", conflicts_with = "method")]
    pub(super) model: Option<String>,
    /// The largest side of a network's tiles; by default the largest that fits into the memory. It does not change the
    /// result.
    #[arg(long, value_name = "PIXELS", requires = "model", value_parser = clap::value_parser!(u16).range(8..=8192))]
    pub(super) tile: Option<u16>,
    /// How values between a network's layers are stored on a GPU; f16 takes half the memory, on devices that support it.
    #[arg(long, value_enum, default_value_t, requires = "model")]
    pub(super) precision: Precision,
    /// What the means of a network with squeeze-and-excitation are taken over.
    #[arg(long, value_enum, default_value_t, requires = "model")]
    pub(super) mean: MeanOf,
    /// With --model: what enlarges transparency.
    #[arg(long, value_enum, default_value_t, requires = "model")]
    pub(super) alpha: AlphaBy,
    /// Put a transparent picture on a background of this colour (#rgb, #rrggbb, white, black).
    #[arg(long, value_name = "COLOUR")]
    pub(super) flatten: Option<Rgb>,
    /// Write 8 bits per sample where the input has 16.
    #[arg(long, value_enum, value_name = "BITS")]
    pub(super) depth: Option<OutputDepth>,
    /// The quality of a JPEG file, 1 to 100; by default 90.
    #[arg(long, value_name = "QUALITY", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(super) quality: Option<u8>,
    /// How hard PNG files are compressed. normal and best take about ten and forty times as long to compress as fast, the
    /// default; they make files of photographs a tenth smaller at factors above 2, and hardly smaller at others.
    #[arg(long, value_enum, value_name = "EFFORT")]
    pub(super) png_effort: Option<EffortName>,
    /// Keep EXIF and XMP, with orientation and sizes put right and without thumbnails; in PNG, JPEG and WebP, and XMP in
    /// TIFF. What cannot be kept is warned of.
    #[arg(long)]
    pub(super) keep_metadata: bool,
    /// Refuse to replace an existing file.
    #[arg(long)]
    pub(super) no_clobber: bool,
    /// Skip pictures whose output exists.
    #[arg(long, conflicts_with = "no_clobber")]
    pub(super) skip_existing: bool,
    /// With a folder, or to standard output: write pictures in this format.
    #[arg(long, value_enum)]
    pub(super) format: Option<FormatName>,
    /// With a folder: enlarge the pictures in the folders within too, into the same folders within OUT. Links to folders
    /// are not entered.
    #[arg(long, short)]
    pub(super) recursive: bool,
    /// With a folder: how many pictures are processed at a time, so that some are decoded and encoded while others are
    /// computed. They share the memory limit.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(super) jobs: u8,
    /// The approximate limit on memory: for the decoded picture, for what is computed at a time and, for JPEG and WebP,
    /// for the whole result.
    #[arg(long, value_name = "SIZE", default_value = "4GiB", value_parser = size::parse)]
    pub(super) memory: u64,
    #[command(flatten)]
    pub(super) device: DeviceArgs,
}

impl Args {
    /// How large the pictures are to become, if that is said.
    pub(super) fn wanted(&self) -> Option<Wanted> {
        let size = match (self.width, self.height) {
            (Some(width), Some(height)) => Some(Wanted::Size(Size { width, height })),
            (Some(width), None) => Some(Wanted::Width(width)),
            (None, Some(height)) => Some(Wanted::Height(height)),
            (None, None) => self.size.map(Wanted::Size),
        };
        size.or(self.scale.map(Wanted::Factor))
    }
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(super) enum MethodName {
    /// Each pixel becomes a square: for pixel art and masks.
    Nearest,
    /// Two pixels along each axis: soft, without overshoot.
    Bilinear,
    /// Four pixels along each axis (Catmull-Rom): for photographs.
    #[default]
    Bicubic,
    /// Six pixels along each axis: the sharpest, with ringing at hard edges.
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
pub(super) enum OutputDepth {
    /// 8 bits per sample.
    #[value(name = "8")]
    Eight,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum FormatName {
    Png,
    Jpg,
    Webp,
    Tif,
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Png => Format::Png,
            FormatName::Jpg => Format::Jpeg,
            FormatName::Webp => Format::WebP,
            FormatName::Tif => Format::Tiff,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum EffortName {
    Fast,
    Normal,
    Best,
}

impl From<EffortName> for PngEffort {
    fn from(name: EffortName) -> Self {
        match name {
            EffortName::Fast => PngEffort::Fast,
            EffortName::Normal => PngEffort::Normal,
            EffortName::Best => PngEffort::Best,
        }
    }
}
