//! QOI, read.

use std::io::{self, BufRead};

use anyhow::{Error, Result, anyhow, ensure};
use png::ScaledFloat;
use qoi::{Channels, ColorSpace, Decoder};

use super::format::Readable;
use super::header::{Header, allocate, check_budget, truncated};
use super::samples::Samples;
use super::shape::{Colour, Depth, Shape};

/// A decoder that has read the header.
pub(super) struct QoiSource<R>(Decoder<R>);

impl<R: BufRead> QoiSource<R> {
    /// Reads the header; `length` is that of the file.
    pub(super) fn open(file: R, length: u64, memory_budget: u64) -> Result<(Header, Self)> {
        let decoder = Decoder::from_stream(file).map_err(explain)?;
        let &qoi::Header { width, height, channels, colorspace } = decoder.header();
        let colour = match channels {
            Channels::Rgb => Colour::Rgb,
            Channels::Rgba => Colour::Rgba,
        };
        let mut header = Header::plain(Shape { width, height, colour, depth: Depth::Eight });
        check_budget(&header, 0, memory_budget)?;
        // A byte stands for up to 62 pixels.
        ensure!(
            u64::from(width) * u64::from(height) <= length.saturating_mul(62),
            "{}: its {length} bytes cannot hold {width}x{height} pixels",
            truncated(Readable::Qoi)
        );
        if colorspace == ColorSpace::Linear {
            header.tags.gamma = Some(ScaledFloat::from_scaled(100_000));
        }
        Ok((header, Self(decoder)))
    }

    pub(super) fn decode(mut self, stored: Shape) -> Result<Samples> {
        let mut bytes = allocate::<u8>(stored)?;
        let needed = self.0.required_buf_len();
        ensure!(needed == bytes.len(), "the decoder asks for {needed} bytes for {stored}");
        self.0.decode_to_buf(&mut bytes).map_err(explain)?;
        Ok(Samples::Eight(bytes))
    }
}

/// One line on what the decoder found wrong.
fn explain(error: qoi::Error) -> Error {
    match error {
        qoi::Error::IoError(e) if e.kind() == io::ErrorKind::UnexpectedEof => anyhow!(truncated(Readable::Qoi)),
        qoi::Error::IoError(e) => anyhow!("{e}"),
        other => anyhow!("cannot be decoded as QOI: {other}"),
    }
}
