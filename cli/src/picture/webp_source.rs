//! WebP, read.

use std::io::{self, BufRead, Seek};

use anyhow::{Error, Result, anyhow, ensure};
use image_webp::{DecodingError, WebPDecoder};

use super::format::Readable;
use super::header::{Header, allocate, check_budget, orientation, truncated};
use super::samples::Samples;
use super::shape::{Colour, Depth, Shape};
use super::tags::MAX_METADATA;

/// A decoder that has read the header.
pub(super) struct WebPSource<R: BufRead + Seek>(WebPDecoder<R>);

impl<R: BufRead + Seek> WebPSource<R> {
    /// Reads the header, with `metadata` EXIF and XMP too; `length` is that of the file.
    pub(super) fn open(mut file: R, length: u64, memory_budget: u64, metadata: bool) -> Result<(Header, Self)> {
        check_length(&mut file, length)?;
        let mut decoder = WebPDecoder::new(file).map_err(explain)?;
        ensure!(!decoder.is_animated(), "is an animation (animated WebP); only still pictures are supported");
        decoder.set_memory_limit(MAX_METADATA);
        let (width, height) = decoder.dimensions();
        let colour = if decoder.has_alpha() { Colour::Rgba } else { Colour::Rgb };
        let mut header = Header::plain(Shape { width, height, colour, depth: Depth::Eight });
        check_budget(&header, 0, memory_budget)?;
        match decoder.exif_metadata() {
            Err(DecodingError::MemoryLimitExceeded) => header.warnings.push(too_long("EXIF segment")),
            exif => {
                let exif = exif.map_err(explain)?;
                header.orientation = orientation(exif.as_deref());
                header.tags.metadata.exif = exif.filter(|_| metadata);
            }
        }
        // Turning takes a second copy.
        check_budget(&header, 0, memory_budget)?;
        match decoder.icc_profile() {
            Err(DecodingError::MemoryLimitExceeded) => header.warnings.push(too_long("ICC profile")),
            icc => header.tags.icc = icc.map_err(explain)?,
        }
        if metadata {
            match decoder.xmp_metadata() {
                Err(DecodingError::MemoryLimitExceeded) => header.warnings.push(too_long("XMP")),
                xmp => header.tags.metadata.xmp = xmp.map_err(explain)?,
            }
        }
        Ok((header, Self(decoder)))
    }

    pub(super) fn decode(mut self, stored: Shape) -> Result<Samples> {
        let mut bytes = allocate::<u8>(stored)?;
        let needed = self.0.output_buffer_size();
        ensure!(needed == Some(bytes.len()), "the decoder asks for {needed:?} bytes for {stored}");
        self.0.read_image(&mut bytes).map_err(explain)?;
        Ok(Samples::Eight(bytes))
    }
}

fn too_long(what: &str) -> String {
    format!("its {what} takes more than {} MiB and is left out", MAX_METADATA >> 20)
}

/// Compares the length that the RIFF header gives with that of the file.
fn check_length(file: &mut (impl BufRead + Seek), actual: u64) -> Result<()> {
    let mut header = [0; 8];
    file.read_exact(&mut header)?;
    file.rewind()?;
    let [.., a, b, c, d] = header;
    let announced = u64::from(u32::from_le_bytes([a, b, c, d])) + 8;
    ensure!(
        announced <= actual,
        "{}: its header gives {announced} bytes, the file has {actual}",
        truncated(Readable::WebP)
    );
    Ok(())
}

/// One line on what the decoder found wrong.
fn explain(error: DecodingError) -> Error {
    match error {
        DecodingError::IoError(e) if e.kind() == io::ErrorKind::UnexpectedEof => anyhow!(truncated(Readable::WebP)),
        DecodingError::IoError(e) => anyhow!("{e}"),
        other => anyhow!("cannot be decoded as WebP: {other}"),
    }
}
