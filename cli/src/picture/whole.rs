//! JPEG and WebP, whose encoders want the whole picture.

use anyhow::{Result, anyhow};
use image::codecs::{jpeg::JpegEncoder, webp::WebPEncoder};
use image::{ExtendedColorType, ImageEncoder};

use super::encoding::Encoding;
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
        let mut encoder = JpegEncoder::new_with_quality(&mut self.file, self.encoding.quality);
        if let Some(density) = self.encoding.tags.density.and_then(Density::to_jpeg) {
            encoder.set_pixel_density(density);
        }
        encode(encoder, self.encoding, &self.bytes)?;
        Ok(self.file)
    }

    pub(super) fn finish_webp(mut self) -> Result<AtomicFile> {
        let encoder = WebPEncoder::new_lossless(&mut self.file);
        encode(encoder, self.encoding, &self.bytes)?;
        Ok(self.file)
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

fn encode(mut encoder: impl ImageEncoder, encoding: Encoding, bytes: &[u8]) -> Result<()> {
    let shape = encoding.written;
    if let Some(profile) = encoding.tags.icc {
        encoder.set_icc_profile(profile)?;
    }
    let colour = match shape.colour {
        Colour::Grey => ExtendedColorType::L8,
        Colour::GreyAlpha => ExtendedColorType::La8,
        Colour::Rgb => ExtendedColorType::Rgb8,
        Colour::Rgba => ExtendedColorType::Rgba8,
    };
    Ok(encoder.write_image(bytes, shape.width, shape.height, colour)?)
}
