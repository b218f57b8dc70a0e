//! Reading.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};

use super::bmp_source::BmpSource;
use super::format::Readable;
use super::gif_source::GifSource;
use super::guard::guarded;
use super::header::Header;
use super::jpeg::JpegSource;
use super::png_source::PngSource;
use super::qoi_source::QoiSource;
use super::samples::Picture;
use super::shape::Shape;
use super::tags::Tags;
use super::tiff::TiffSource;
use super::turn::turned;
use super::webp_source::WebPSource;
use crate::input;

/// A picture that was opened and whose header was read.
pub(crate) struct Source {
    path: PathBuf,
    format: Readable,
    header: Header,
    decoder: Decoder,
}

enum Decoder {
    Png(Box<PngSource<BufReader<File>>>),
    Jpeg(JpegSource),
    WebP(Box<WebPSource<BufReader<File>>>),
    Tiff(Box<TiffSource<BufReader<File>>>),
    Bmp(Box<BmpSource<BufReader<File>>>),
    Gif(Box<GifSource<BufReader<File>>>),
    Qoi(Box<QoiSource<BufReader<File>>>),
}

impl Source {
    /// Opens a picture and reads its header. The content decides the format, not the name.
    ///
    /// Refuses files that are not still pictures in a supported format, a WebP, TIFF or BMP file that is cut short (others
    /// show it when they are decoded), and a picture that would take more than `memory_budget` bytes to decode.
    /// That counts the samples, twice where the orientation turns the picture on its side, and the coefficients of a
    /// JPEG picture in several scans; a JPEG file may itself be as long.
    pub(crate) fn open(path: &Path, memory_budget: u64) -> Result<Self> {
        open(path, memory_budget, false).map_err(|e| anyhow!("{}: {e:#}", input::shown(path)))
    }

    /// As [`open`](Self::open); the tags have EXIF and XMP too.
    pub(crate) fn open_with_metadata(path: &Path, memory_budget: u64) -> Result<Self> {
        open(path, memory_budget, true).map_err(|e| anyhow!("{}: {e:#}", input::shown(path)))
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

fn open(path: &Path, memory_budget: u64, metadata: bool) -> Result<Source> {
    let file = input::seekable(path, memory_budget, |start| readable(start).is_ok())?;
    let found = file.metadata()?;
    let mut file = BufReader::new(file);
    let format = recognise(&mut file)?;
    let (header, decoder) = guarded(format, || {
        Ok(match format {
            Readable::Png => {
                let (header, decoder) = PngSource::open(file, found.len(), memory_budget, metadata)?;
                (header, Decoder::Png(Box::new(decoder)))
            }
            Readable::Jpeg => {
                let (header, decoder) = JpegSource::open(&mut file, memory_budget, metadata)?;
                (header, Decoder::Jpeg(decoder))
            }
            Readable::WebP => {
                let (header, decoder) = WebPSource::open(file, found.len(), memory_budget, metadata)?;
                (header, Decoder::WebP(Box::new(decoder)))
            }
            Readable::Tiff => {
                let (header, decoder) = TiffSource::open(file, found.len(), memory_budget, metadata)?;
                (header, Decoder::Tiff(Box::new(decoder)))
            }
            Readable::Bmp => {
                let (header, decoder) = BmpSource::open(file, found.len(), memory_budget)?;
                (header, Decoder::Bmp(Box::new(decoder)))
            }
            Readable::Gif => {
                let (header, decoder) = GifSource::open(file, memory_budget, metadata)?;
                (header, Decoder::Gif(Box::new(decoder)))
            }
            Readable::Qoi => {
                let (header, decoder) = QoiSource::open(file, found.len(), memory_budget)?;
                (header, Decoder::Qoi(Box::new(decoder)))
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
        Decoder::Tiff(decoder) => Ok((decoder.decode(stored)?, Vec::new())),
        Decoder::Bmp(decoder) => Ok((decoder.decode(stored)?, Vec::new())),
        Decoder::Gif(decoder) => Ok((decoder.decode(stored)?, Vec::new())),
        Decoder::Qoi(decoder) => Ok((decoder.decode(stored)?, Vec::new())),
    })?;
    let samples = turned(samples, stored, source.header.orientation)?;
    Ok(Picture { width: shape.width, height: shape.height, colour: shape.colour, samples, tags, repairs })
}

/// Tells the format by the first bytes and goes back to them.
fn recognise(file: &mut (impl Read + Seek)) -> Result<Readable> {
    let mut start = Vec::new();
    file.take(16).read_to_end(&mut start)?;
    file.rewind()?;
    readable(&start)
}

/// The format that begins so.
fn readable(start: &[u8]) -> Result<Readable> {
    let supported = Readable::NAMES;
    Ok(match start {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Readable::Png,
        [0xff, 0xd8, 0xff, ..] => Readable::Jpeg,
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Readable::WebP,
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Readable::Tiff,
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Readable::Gif,
        [b'q', b'o', b'i', b'f', ..] => Readable::Qoi,
        [b'B', b'M', ..] => Readable::Bmp,
        [] => bail!("is empty"),
        start => match image::guess_format(start) {
            Ok(other) => {
                let other = format!("{other:?}").to_uppercase();
                bail!("looks like {other}, which is not supported; {supported} are supported")
            }
            Err(_) => bail!("is not a picture in a known format; {supported} are supported"),
        },
    })
}
