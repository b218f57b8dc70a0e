//! GIF, read.

use std::io::{self, BufRead, Seek};
use std::num::NonZeroU64;

use anyhow::{Error, Result, anyhow, ensure};
use gif::{DecodeOptions, Decoder, DecodingError, Frame, MemoryLimit};

use super::format::Readable;
use super::header::{Header, allocate, check_budget, truncated};
use super::samples::Samples;
use super::shape::{Colour, Depth, Shape};
use super::tags::MAX_METADATA;

/// A decoder that has read the header of the one frame.
pub(super) struct GifSource<R: io::Read>(Decoder<R>);

impl<R: BufRead + Seek> GifSource<R> {
    /// Counts the frames and reads the header of the only one.
    pub(super) fn open(mut file: R, memory_budget: u64, metadata: bool) -> Result<(Header, Self)> {
        let mut warnings = Vec::new();
        let frames = count(&mut file, &mut warnings)?;
        ensure!(frames == 1, "is an animation (GIF of {frames} frames); only still pictures are supported");
        file.rewind()?;
        let mut decoder = options().read_info(file).map_err(explain)?;
        decoder.next_frame_info().map_err(explain)?.ok_or_else(|| anyhow!(truncated(Readable::Gif)))?;
        let (width, height) = canvas(&decoder);
        let frame = frame(&decoder)?;
        ensure!(
            frame.width > 0 && frame.height > 0,
            "cannot be decoded as GIF: its picture has {}x{} pixels",
            frame.width,
            frame.height
        );
        let covered = (frame.left, frame.top) == (0, 0) && (frame.width, frame.height) == (width, height);
        let colour = if covered && frame.transparent.is_none() { Colour::Rgb } else { Colour::Rgba };
        let indices = u64::from(frame.width) * u64::from(frame.height);
        let mut header =
            Header::plain(Shape { width: width.into(), height: height.into(), colour, depth: Depth::Eight });
        header.warnings = warnings;
        header.tags.icc = decoder.icc_profile().map(<[u8]>::to_vec);
        if metadata {
            header.tags.metadata.xmp = decoder.xmp_metadata().map(<[u8]>::to_vec);
        }
        check_budget(&header, indices, memory_budget)?;
        Ok((header, Self(decoder)))
    }

    /// Decodes the picture. What the frame does not cover is transparent.
    pub(super) fn decode(mut self, stored: Shape) -> Result<Samples> {
        let mut samples = allocate::<u8>(stored)?;
        let Frame { left, top, width, height, transparent, .. } = *frame(&self.0)?;
        let indices = Shape { width: width.into(), height: height.into(), colour: Colour::Grey, depth: Depth::Eight };
        let mut indices = allocate::<u8>(indices)?;
        self.0.read_into_buffer(&mut indices).map_err(explain)?;
        let palette = self.0.palette().map_err(explain)?;
        let channels = stored.colour.channels();
        let rows = samples.chunks_exact_mut(stored.row_samples()).skip(top.into());
        for (out, row) in rows.zip(indices.chunks_exact(width.into())) {
            for (pixel, &index) in out.chunks_exact_mut(channels).skip(left.into()).zip(row) {
                // What is beyond the palette is black.
                let colour = palette.chunks_exact(3).nth(index.into()).unwrap_or(&[0; 3]);
                if transparent == Some(index) {
                    continue;
                }
                for (sample, &value) in pixel.iter_mut().zip(colour.iter().chain(&[255])) {
                    *sample = value;
                }
            }
        }
        Ok(Samples::Eight(samples))
    }
}

/// The screen, made larger where the frame goes beyond it.
fn canvas<R: io::Read>(decoder: &Decoder<R>) -> (u16, u16) {
    let frame = decoder.current_frame_info();
    let right = frame.map_or(0, |frame| frame.left.saturating_add(frame.width));
    let bottom = frame.map_or(0, |frame| frame.top.saturating_add(frame.height));
    (decoder.width().max(right), decoder.height().max(bottom))
}

fn frame<R: io::Read>(decoder: &Decoder<R>) -> Result<&Frame<'static>> {
    decoder.current_frame_info().ok_or_else(|| anyhow!(truncated(Readable::Gif)))
}

/// Profiles and XMP are kept up to a bound; the samples are not counted here.
fn options() -> DecodeOptions {
    let mut options = DecodeOptions::new();
    options.set_memory_limit(NonZeroU64::new(MAX_METADATA as u64).map_or(MemoryLimit::Unlimited, MemoryLimit::Bytes));
    options
}

/// Counts the frames, without decoding them.
fn count(file: &mut (impl BufRead + Seek), warnings: &mut Vec<String>) -> Result<u64> {
    let mut options = options();
    options.skip_frame_decoding(true);
    let mut decoder = options.read_info(file).map_err(explain)?;
    let mut frames = 0;
    loop {
        match decoder.next_frame_info() {
            Ok(Some(_)) => frames += 1,
            Ok(None) => break,
            Err(error) if frames == 0 => return Err(explain(error)),
            // Its data may be whole, which shows in the decoding.
            Err(_) => {
                warnings.push("the GIF file is not whole: its end is damaged or missing".to_owned());
                break;
            }
        }
    }
    Ok(frames)
}

/// One line on what the decoder found wrong.
fn explain(error: DecodingError) -> Error {
    match error {
        DecodingError::Io(e) if e.kind() == io::ErrorKind::UnexpectedEof => anyhow!(truncated(Readable::Gif)),
        DecodingError::Io(e) => anyhow!("{e}"),
        DecodingError::UnexpectedEof => anyhow!(truncated(Readable::Gif)),
        DecodingError::MemoryLimit => {
            anyhow!("cannot be decoded as GIF: its metadata take more than {} MiB", MAX_METADATA >> 20)
        }
        other => anyhow!("cannot be decoded as GIF: {other}"),
    }
}
