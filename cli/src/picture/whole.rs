//! JPEG and WebP, whose encoders want the whole picture.

use std::io::{self, Write};

use anyhow::{Result, anyhow, bail};
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};
use image_webp::{ColorType, WebPEncoder};

use super::encoding::Encoding;
use super::metadata::{JPEG_EXIF, JPEG_XMP, Metadata};
use super::shape::{Colour, Shape};
use super::tags::Density;
use crate::atomic::AtomicFile;

/// Gathers the samples, 8 bits each, to encode them at the end.
pub(super) struct Whole {
    file: AtomicFile,
    encoding: Encoding,
    bytes: Vec<u8>,
}

impl Whole {
    /// Allocates the memory for all rows, so that a lack of it shows now.
    pub(super) fn start(file: AtomicFile, encoding: Encoding) -> Result<Self> {
        Ok(Self { file, bytes: allocate(encoding.written)?, encoding })
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn finish_jpeg(mut self) -> Result<AtomicFile> {
        let Encoding { written: shape, tags, quality, .. } = self.encoding;
        let out = Inserting { file: &mut self.file, skip: JFIF, segments: metadata_segments(&tags.metadata)? };
        let mut encoder = JpegEncoder::new_with_quality(out, quality);
        if let Some(density) = tags.density.and_then(Density::to_jpeg) {
            encoder.set_pixel_density(density);
        }
        if let Some(profile) = tags.icc {
            encoder.set_icc_profile(profile)?;
        }
        let colour = match shape.colour {
            Colour::Grey => ExtendedColorType::L8,
            Colour::Rgb => ExtendedColorType::Rgb8,
            colour => bail!("JPEG holds no {colour}"),
        };
        encoder.write_image(&self.bytes, shape.width, shape.height, colour)?;
        Ok(self.file)
    }

    pub(super) fn finish_webp(mut self) -> Result<AtomicFile> {
        let Encoding { written: shape, tags, .. } = self.encoding;
        let mut encoder = WebPEncoder::new(&mut self.file);
        if let Some(profile) = tags.icc {
            encoder.set_icc_profile(profile);
        }
        if let Some(exif) = tags.metadata.exif {
            encoder.set_exif_metadata(exif);
        }
        if let Some(xmp) = tags.metadata.xmp {
            encoder.set_xmp_metadata(xmp);
        }
        let colour = match shape.colour {
            Colour::Grey => ColorType::L8,
            Colour::GreyAlpha => ColorType::La8,
            Colour::Rgb => ColorType::Rgb8,
            Colour::Rgba => ColorType::Rgba8,
        };
        encoder.encode(&self.bytes, shape.width, shape.height, colour)?;
        Ok(self.file)
    }
}

/// The bytes of the start marker and the JFIF segment, with which every JPEG file begins that is written here.
const JFIF: usize = 20;

/// The segments of EXIF and XMP, which follow.
fn metadata_segments(metadata: &Metadata) -> Result<Vec<u8>> {
    let mut segments = Vec::new();
    for (name, data) in [(JPEG_EXIF, &metadata.exif), (JPEG_XMP, &metadata.xmp)] {
        if let Some(data) = data {
            let length = u16::try_from(2 + name.len() + data.len())
                .map_err(|_| anyhow!("{} bytes are too long for a segment of JPEG", data.len()))?;
            segments.extend_from_slice(&[0xff, 0xe1]);
            segments.extend_from_slice(&length.to_be_bytes());
            segments.extend_from_slice(name);
            segments.extend_from_slice(data);
        }
    }
    Ok(segments)
}

/// Writes to a file, and segments of its own after so many bytes.
struct Inserting<'a> {
    file: &'a mut AtomicFile,
    skip: usize,
    segments: Vec<u8>,
}

impl Write for Inserting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.skip == 0 {
            self.file.write_all(&std::mem::take(&mut self.segments))?;
            return self.file.write(bytes);
        }
        let written = self.file.write(&bytes[..bytes.len().min(self.skip)])?;
        self.skip -= written;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn allocate(shape: Shape) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    usize::try_from(shape.bytes())
        .ok()
        .and_then(|size| bytes.try_reserve_exact(size).ok())
        .ok_or_else(|| anyhow!("no memory for the {} bytes of {shape}", shape.bytes()))?;
    Ok(bytes)
}
