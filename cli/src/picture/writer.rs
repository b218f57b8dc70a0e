//! Writing.

use anyhow::{Result, anyhow, ensure};

use super::convert;
use super::encoding::Encoding;
use super::format::Format;
use super::png_stream::PngStream;
use super::rgb::Rgb;
use super::samples::Rows;
use super::shape::Shape;
use super::tiff::TiffStream;
use super::whole::Whole;
use crate::atomic::AtomicFile;

/// Takes the rows of a picture, from the top, and writes them.
///
/// Dropped before [`finish`](Writer::finish), it leaves nothing behind and an existing file
/// untouched.
pub(crate) struct Writer {
    given: Shape,
    flatten: Option<Rgb>,
    written: Shape,
    rows: u32,
    sink: Sink,
}

enum Sink {
    Png(Box<PngStream>),
    Jpeg(Whole),
    WebP(Whole),
    Tiff(Box<TiffStream>),
}

impl Writer {
    pub(super) fn start(file: AtomicFile, given: Shape, flatten: Option<Rgb>, encoding: Encoding) -> Result<Self> {
        let written = encoding.written;
        let sink = match encoding.format {
            Format::Png => Sink::Png(Box::new(PngStream::start(file, encoding)?)),
            Format::Jpeg => Sink::Jpeg(Whole::start(file, encoding)?),
            Format::WebP => Sink::WebP(Whole::start(file, encoding)?),
            Format::Tiff => Sink::Tiff(Box::new(TiffStream::start(file, encoding)?)),
        };
        Ok(Self { given, flatten, written, rows: 0, sink })
    }

    /// Takes the next rows: any number of complete ones, of the colour and the depth that the
    /// target was planned with.
    pub(crate) fn rows(&mut self, band: Rows<'_>) -> Result<()> {
        let row = self.given.row_samples();
        ensure!(
            band.depth() == self.given.depth,
            "the rows have {} bits per sample, the picture {}",
            band.depth().bits(),
            self.given.depth.bits()
        );
        ensure!(band.len().is_multiple_of(row), "{} samples are no whole number of rows of {row}", band.len());
        let rows = u64::from(self.rows) + (band.len() / row) as u64;
        self.rows = u32::try_from(rows)
            .ok()
            .filter(|&rows| rows <= self.given.height)
            .ok_or_else(|| anyhow!("{rows} rows were given of a picture of {}", self.given.height))?;

        let bytes = convert::written(band, self.given.colour, self.flatten, self.written);
        self.sink.push(&bytes)
    }

    /// Ends the picture and puts the file in its place, if all rows came.
    pub(crate) fn finish(self) -> Result<()> {
        ensure!(self.rows == self.given.height, "{} rows were given of a picture of {}", self.rows, self.given.height);
        let file = match self.sink {
            Sink::Png(stream) => stream.finish()?,
            Sink::Jpeg(whole) => whole.finish_jpeg()?,
            Sink::WebP(whole) => whole.finish_webp()?,
            Sink::Tiff(stream) => stream.finish()?,
        };
        file.commit()
    }
}

impl Sink {
    fn push(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Png(stream) => stream.push(bytes),
            Self::Tiff(stream) => stream.push(bytes),
            Self::Jpeg(whole) | Self::WebP(whole) => {
                whole.push(bytes);
                Ok(())
            }
        }
    }
}
