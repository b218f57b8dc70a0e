//! Reading.

use std::error::Error as _;
use std::io::{self, BufReader, Cursor, Read, Seek};
use std::path::{Path, PathBuf};

use anyhow::{Error, Result, anyhow, bail, ensure};
use image::codecs::{jpeg::JpegDecoder, png::PngDecoder, webp::WebPDecoder};
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageFormat, Limits};

use super::format::Format;
use super::jpeg;
use super::samples::{Picture, Samples};
use super::shape::{Colour, Depth, Shape};
use crate::input;

const SUPPORTED: &str = "PNG, JPEG and WebP are supported";

/// A picture that was opened and whose header was read.
pub(crate) struct Source {
    path: PathBuf,
    format: Format,
    shape: Shape,
    orientation: Orientation,
    icc: Option<Vec<u8>>,
    memory_budget: u64,
    decoder: Box<dyn ImageDecoder + Send>,
}

impl Source {
    /// Opens a picture and reads its header. The content decides the format, not the name.
    ///
    /// Refuses files that are not still pictures in a supported format, a JPEG or WebP file that is
    /// cut short (a PNG file shows it when it is decoded), and a picture that would take more than
    /// `memory_budget` bytes to decode. That counts the samples, twice where the orientation turns
    /// the picture on its side; what a decoder needs for itself comes on top.
    pub(crate) fn open(path: &Path, memory_budget: u64) -> Result<Self> {
        open(path, memory_budget).map_err(|e| anyhow!("{}: {e:#}", input::shown(path)))
    }

    /// The shape of the decoded picture: the size is that after the orientation was applied.
    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    /// The ICC profile, if there is one for this colour type.
    pub(crate) fn icc(&self) -> Option<&[u8]> {
        self.icc.as_deref()
    }

    /// Decodes the picture and applies its orientation.
    ///
    /// Palettes and samples of 1, 2 and 4 bits come as 8 bits, a transparent colour as alpha.
    pub(crate) fn decode(self) -> Result<Picture> {
        let path = self.path.clone();
        decode(self).map_err(|e| anyhow!("{}: {e}", path.display()))
    }
}

fn open(path: &Path, memory_budget: u64) -> Result<Source> {
    let file = input::seekable(path, memory_budget, |start| image::guess_format(start).is_ok())?;
    let found = file.metadata()?;
    let mut file = BufReader::new(file);
    let format = recognise(&mut file)?;

    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(memory_budget);
    let failed = |e| explain(format, memory_budget, &e);
    let mut decoder: Box<dyn ImageDecoder + Send> = match format {
        Format::Png => {
            let decoder = PngDecoder::with_limits(file, limits.clone()).map_err(failed)?;
            ensure!(!decoder.is_apng().map_err(failed)?, animation("APNG"));
            Box::new(decoder)
        }
        Format::Jpeg => {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            ensure!(jpeg::is_complete(&bytes), truncated(format));
            Box::new(JpegDecoder::new(Cursor::new(bytes)).map_err(failed)?)
        }
        Format::WebP => {
            check_webp_length(&mut file, found.len())?;
            let decoder = WebPDecoder::new(file).map_err(failed)?;
            ensure!(!decoder.has_animation(), animation("animated WebP"));
            Box::new(decoder)
        }
    };
    decoder.set_limits(limits).map_err(failed)?;

    let (colour, depth) = samples_of(decoder.color_type())?;
    let orientation = decoder.orientation().map_err(failed)?;
    let turned = is_on_its_side(orientation);
    let (width, height) = match decoder.dimensions() {
        (width, height) if turned => (height, width),
        upright => upright,
    };
    let shape = Shape { width, height, colour, depth };
    let needed = shape.bytes().saturating_mul(if turned { 2 } else { 1 });
    ensure!(
        needed <= memory_budget,
        "takes {} MiB to decode ({shape}), more than the {} MiB allowed; --memory raises the limit",
        needed.div_ceil(1 << 20),
        memory_budget >> 20
    );
    let icc = decoder.icc_profile().map_err(failed)?;
    Ok(Source {
        path: path.to_owned(),
        format,
        shape,
        orientation,
        icc: icc.filter(|profile| colour.fits_icc(profile)),
        memory_budget,
        decoder,
    })
}

fn decode(source: Source) -> Result<Picture> {
    let mut decoded =
        DynamicImage::from_decoder(source.decoder).map_err(|e| explain(source.format, source.memory_budget, &e))?;
    decoded.apply_orientation(source.orientation);
    let samples = match decoded {
        DynamicImage::ImageLuma8(p) => Samples::Eight(p.into_raw()),
        DynamicImage::ImageLumaA8(p) => Samples::Eight(p.into_raw()),
        DynamicImage::ImageRgb8(p) => Samples::Eight(p.into_raw()),
        DynamicImage::ImageRgba8(p) => Samples::Eight(p.into_raw()),
        DynamicImage::ImageLuma16(p) => Samples::Sixteen(p.into_raw()),
        DynamicImage::ImageLumaA16(p) => Samples::Sixteen(p.into_raw()),
        DynamicImage::ImageRgb16(p) => Samples::Sixteen(p.into_raw()),
        DynamicImage::ImageRgba16(p) => Samples::Sixteen(p.into_raw()),
        other => bail!("pixels of type {:?} are not supported", other.color()),
    };
    Ok(Picture {
        width: source.shape.width,
        height: source.shape.height,
        colour: source.shape.colour,
        samples,
        icc: source.icc,
    })
}

/// Tells the format by the first bytes and goes back to them.
fn recognise(file: &mut (impl Read + Seek)) -> Result<Format> {
    let mut start = Vec::new();
    file.take(16).read_to_end(&mut start)?;
    file.rewind()?;
    match image::guess_format(&start) {
        Ok(ImageFormat::Png) => Ok(Format::Png),
        Ok(ImageFormat::Jpeg) => Ok(Format::Jpeg),
        Ok(ImageFormat::WebP) => Ok(Format::WebP),
        Ok(other) => {
            let other = format!("{other:?}").to_uppercase();
            bail!("looks like {other}, which is not supported; {SUPPORTED}")
        }
        Err(_) if start.is_empty() => bail!("is empty"),
        Err(_) => bail!("is not a picture in a known format; {SUPPORTED}"),
    }
}

/// Compares the length that the RIFF header gives with that of the file.
fn check_webp_length(file: &mut (impl Read + Seek), actual: u64) -> Result<()> {
    let mut header = [0; 8];
    file.read_exact(&mut header)?;
    file.rewind()?;
    let [.., a, b, c, d] = header;
    let announced = u64::from(u32::from_le_bytes([a, b, c, d])) + 8;
    ensure!(
        announced <= actual,
        "{}: its header gives {announced} bytes, the file has {actual}",
        truncated(Format::WebP)
    );
    Ok(())
}

fn samples_of(kind: ColorType) -> Result<(Colour, Depth)> {
    Ok(match kind {
        ColorType::L8 => (Colour::Grey, Depth::Eight),
        ColorType::La8 => (Colour::GreyAlpha, Depth::Eight),
        ColorType::Rgb8 => (Colour::Rgb, Depth::Eight),
        ColorType::Rgba8 => (Colour::Rgba, Depth::Eight),
        ColorType::L16 => (Colour::Grey, Depth::Sixteen),
        ColorType::La16 => (Colour::GreyAlpha, Depth::Sixteen),
        ColorType::Rgb16 => (Colour::Rgb, Depth::Sixteen),
        ColorType::Rgba16 => (Colour::Rgba, Depth::Sixteen),
        other => bail!("pixels of type {other:?} are not supported"),
    })
}

fn is_on_its_side(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH
    )
}

fn animation(kind: &str) -> String {
    format!("is an animation ({kind}); only still pictures are supported")
}

fn truncated(format: Format) -> String {
    format!("the {format} file is truncated")
}

/// One line on what a decoder found wrong.
fn explain(format: Format, memory_budget: u64, error: &ImageError) -> Error {
    match error {
        ImageError::IoError(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
            anyhow!(truncated(format))
        }
        ImageError::IoError(e) => anyhow!("{e}"),
        ImageError::Limits(_) => {
            anyhow!("takes more than the {} MiB allowed to decode; --memory raises the limit", memory_budget >> 20)
        }
        other => {
            let cause = other.source().map_or_else(|| other.to_string(), ToString::to_string);
            let cause = cause.split_whitespace().collect::<Vec<_>>().join(" ");
            anyhow!("cannot be decoded as {format}: {cause}")
        }
    }
}
