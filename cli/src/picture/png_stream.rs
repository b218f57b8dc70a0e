//! PNG, row by row.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use png::{
    BitDepth, ColorType, Compression, DeflateCompression, Encoder, Filter, Info, MasteringDisplayColorVolume,
    SourceChromaticities, StreamWriter, chunk,
};

use super::encoding::{Encoding, PngEffort};
use super::palette::Indexed;
use super::shape::{Colour, Depth};
use super::tags::Density;
use crate::atomic::AtomicFile;

/// The size of an IDAT chunk.
const CHUNK: usize = 1 << 16;

/// An encoder that holds a few rows and a chunk.
pub(super) struct PngStream {
    stream: StreamWriter<'static, Shared>,
    file: Shared,
    indexed: Option<Indexed>,
    width: usize,
}

impl PngStream {
    pub(super) fn start(file: AtomicFile, encoding: Encoding) -> Result<Self> {
        let file = Shared(Arc::new(Mutex::new(file)));
        let shape = encoding.written;
        let mut info = Info::with_size(shape.width, shape.height);
        info.color_type = match shape.colour {
            Colour::Grey => ColorType::Grayscale,
            Colour::GreyAlpha => ColorType::GrayscaleAlpha,
            Colour::Rgb => ColorType::Rgb,
            Colour::Rgba => ColorType::Rgba,
        };
        info.bit_depth = match shape.depth {
            Depth::Eight => BitDepth::Eight,
            Depth::Sixteen => BitDepth::Sixteen,
        };
        if let Some(indexed) = &encoding.indexed {
            info.bit_depth = match indexed.bits {
                1 => BitDepth::One,
                2 => BitDepth::Two,
                4 => BitDepth::Four,
                _ => BitDepth::Eight,
            };
            if let Some(palette) = &indexed.palette {
                info.color_type = ColorType::Indexed;
                info.palette = Some(palette.iter().flat_map(|&[r, g, b, _]| [r, g, b]).collect::<Vec<u8>>().into());
                // One at least, so that a picture with alpha has it, though all of it may be opaque.
                let alphas: Vec<u8> = palette.iter().map(|colour| colour[3]).collect();
                let most = alphas.iter().filter(|&&alpha| alpha < 255).count().max(1);
                info.trns = indexed.has_alpha().then(|| alphas[..most].to_vec().into());
            }
        }
        let tags = encoding.tags;
        info.exif_metadata = tags.metadata.exif.map(Into::into);
        info.pixel_dims = tags.density.map(Density::to_png);
        info.source_gamma = tags.gamma;
        info.source_chromaticities = tags.chromaticities;
        // Only one of the two may be there; the profile goes first.
        info.srgb = tags.srgb.filter(|_| tags.icc.is_none());
        info.icc_profile = tags.icc.map(Into::into);
        let mut encoder = Encoder::with_info(file.clone(), info)?;
        encoder.set_compression(match encoding.effort {
            PngEffort::Fast => Compression::Fast,
            PngEffort::Normal => Compression::Balanced,
            PngEffort::Best => Compression::High,
        });
        if encoding.indexed.is_some() {
            // What is fast for other pictures does little here, and the work is little.
            if encoding.effort == PngEffort::Fast {
                encoder.set_deflate_compression(DeflateCompression::Level(6));
            }
            // Rows are repeated, and each may be longer than deflate looks back.
            encoder.set_filter(Filter::Up);
        }
        let mut writer = encoder.write_header()?;
        // The encoder knows these, and does not write them.
        if let Some(cicp) = tags.cicp {
            let full_range = u8::from(cicp.is_video_full_range_image);
            let data = [cicp.color_primaries, cicp.transfer_function, cicp.matrix_coefficients, full_range];
            writer.write_chunk(chunk::cICP, &data)?;
        }
        if let Some(mastering) = tags.mastering {
            writer.write_chunk(chunk::mDCV, &mastering_data(&mastering))?;
        }
        if let Some(level) = tags.light_level {
            let data = [level.max_content_light_level, level.max_frame_average_light_level].map(u32::to_be_bytes);
            writer.write_chunk(chunk::cLLI, data.as_flattened())?;
        }
        if let Some(xmp) = tags.metadata.xmp {
            // Not deflated, as XMP's standard wants it; no language, no translation of the keyword.
            writer.write_chunk(chunk::iTXt, &[&b"XML:com.adobe.xmp\0\0\0\0\0"[..], &xmp].concat())?;
        }
        let stream = writer.into_stream_writer_with_size(CHUNK)?;
        Ok(Self { stream, file, indexed: encoding.indexed, width: shape.width as usize })
    }

    /// Takes rows; 16-bit samples with their high byte first.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        match &self.indexed {
            Some(indexed) => {
                let packed = indexed.pack(bytes, self.width).context("a colour came that the picture did not have")?;
                Ok(self.stream.write_all(&packed)?)
            }
            None => Ok(self.stream.write_all(bytes)?),
        }
    }

    /// Ends the picture and gives the file back.
    ///
    /// The stream writes its last chunks as it is dropped and ignores failures there; the file
    /// remembers them.
    pub(super) fn finish(self) -> Result<AtomicFile> {
        self.stream.finish()?;
        let file = Arc::into_inner(self.file.0).context("the PNG encoder kept the file")?;
        Ok(file.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The chunk mDCV: the chromaticities of red, green, blue and white in units of 0.00002, then the luminances.
fn mastering_data(mastering: &MasteringDisplayColorVolume) -> Vec<u8> {
    let SourceChromaticities { white, red, green, blue } = mastering.chromaticities;
    let mut data = Vec::with_capacity(24);
    for (x, y) in [red, green, blue, white] {
        for value in [x, y] {
            // Read from 16 bits in units of 0.00002 to those of 0.00001.
            data.extend_from_slice(&((value.into_scaled() / 2) as u16).to_be_bytes());
        }
    }
    data.extend_from_slice(&mastering.max_luminance.to_be_bytes());
    data.extend_from_slice(&mastering.min_luminance.to_be_bytes());
    data
}

/// The file, shared with the stream, which would otherwise not give it back.
#[derive(Clone)]
struct Shared(Arc<Mutex<AtomicFile>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.flush()
    }
}
