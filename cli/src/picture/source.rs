//! Reading.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use image::ImageFormat;

use super::format::Format;
use super::guard::guarded;
use super::header::Header;
use super::jpeg::JpegSource;
use super::png_source::PngSource;
use super::samples::Picture;
use super::shape::Shape;
use super::tags::Tags;
use super::turn::turned;
use super::webp_source::WebPSource;
use crate::input;

const SUPPORTED: &str = "PNG, JPEG and WebP are supported";

/// A picture that was opened and whose header was read.
pub(crate) struct Source {
    path: PathBuf,
    format: Format,
    header: Header,
    decoder: Decoder,
}

enum Decoder {
    Png(Box<PngSource<BufReader<File>>>),
    Jpeg(JpegSource),
    WebP(Box<WebPSource<BufReader<File>>>),
}

impl Source {
    /// Opens a picture and reads its header. The content decides the format, not the name.
    ///
    /// Refuses files that are not still pictures in a supported format, a WebP file that is cut short (a PNG or JPEG
    /// file shows it when it is decoded), and a picture that would take more than `memory_budget` bytes to decode.
    /// That counts the samples, twice where the orientation turns the picture on its side, and the coefficients of a
    /// JPEG picture in several scans; a JPEG file may itself be as long.
    pub(crate) fn open(path: &Path, memory_budget: u64) -> Result<Self> {
        open(path, memory_budget).map_err(|e| anyhow!("{}: {e:#}", input::shown(path)))
    }

    /// The shape of the decoded picture: the size is that after the orientation was applied.
    pub(crate) fn shape(&self) -> Shape {
        self.header.upright()
    }

    /// What the file says of its colours and its density, after the orientation was applied.
    pub(crate) fn tags(&self) -> Tags {
        let tags = self.header.tags.clone();
        Tags { density: tags.density.map(|density| density.turned(self.header.orientation)), ..tags }
    }

    /// What was left out of the header, a line each.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.header.warnings
    }

    /// Decodes the picture and applies its orientation.
    ///
    /// Palettes and samples of 1, 2 and 4 bits come as 8 bits, a transparent colour as alpha, CMYK as RGB.
    pub(crate) fn decode(self) -> Result<Picture> {
        let path = self.path.clone();
        decode(self).map_err(|e| anyhow!("{}: {e}", input::shown(&path)))
    }
}

fn open(path: &Path, memory_budget: u64) -> Result<Source> {
    let file = input::seekable(path, memory_budget, |start| image::guess_format(start).is_ok())?;
    let found = file.metadata()?;
    let mut file = BufReader::new(file);
    let format = recognise(&mut file)?;
    let (header, decoder) = guarded(format, || {
        Ok(match format {
            Format::Png => {
                let (header, decoder) = PngSource::open(file, found.len(), memory_budget)?;
                (header, Decoder::Png(Box::new(decoder)))
            }
            Format::Jpeg => {
                let (header, decoder) = JpegSource::open(&mut file, memory_budget)?;
                (header, Decoder::Jpeg(decoder))
            }
            Format::WebP => {
                let (header, decoder) = WebPSource::open(file, found.len(), memory_budget)?;
                (header, Decoder::WebP(Box::new(decoder)))
            }
        })
    })?;
    Ok(Source { path: path.to_owned(), format, header, decoder })
}

fn decode(source: Source) -> Result<Picture> {
    let (shape, tags) = (source.shape(), source.tags());
    let stored = source.header.stored;
    let decoder = source.decoder;
    let (samples, repairs) = guarded(source.format, || match decoder {
        Decoder::Png(decoder) => Ok((decoder.decode(stored)?, Vec::new())),
        Decoder::Jpeg(decoder) => decoder.decode(stored),
        Decoder::WebP(decoder) => Ok((decoder.decode(stored)?, Vec::new())),
    })?;
    let samples = turned(samples, stored, source.header.orientation)?;
    Ok(Picture { width: shape.width, height: shape.height, colour: shape.colour, samples, tags, repairs })
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
