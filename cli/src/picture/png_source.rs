//! PNG, read.

use std::io::{BufRead, Read, Seek, SeekFrom};

use anyhow::{Error, Result, anyhow, bail, ensure};
use png::{BitDepth, ColorType, Decoder, DecodingError, Info, Limits, Reader, Transformations};

use super::format::Format;
use super::header::{Header, allocate, check_budget, orientation, truncated};
use super::samples::Samples;
use super::shape::{Colour, Depth, Shape};
use super::tags::{Density, MAX_METADATA, Tags};

/// A decoder that has read everything before the samples.
pub(super) struct PngSource<R: BufRead + Seek>(Reader<R>);

impl<R: BufRead + Seek> PngSource<R> {
    /// Reads the chunks before the samples; `length` is that of the file. Text is not read, and no chunk is inflated beyond [`MAX_METADATA`].
    pub(super) fn open(mut file: R, length: u64, memory_budget: u64) -> Result<(Header, Self)> {
        let has_profile = has_chunk(&mut file, *b"iCCP")?;
        let mut decoder = Decoder::new_with_limits(file, Limits { bytes: MAX_METADATA });
        decoder.set_ignore_text_chunk(true);
        // Palettes and samples of 1, 2 and 4 bits become 8 bits, a transparent colour alpha.
        decoder.set_transformations(Transformations::EXPAND);
        let first = decoder.read_header_info().map_err(explain)?;
        // At least; before the decoder makes room for a row.
        check_budget(&Header::plain(least_shape(first)), 0, memory_budget)?;
        check_data(first, length)?;
        let reader = decoder.read_info().map_err(explain)?;
        let info = reader.info();
        ensure!(info.animation_control.is_none(), "is an animation (APNG); only still pictures are supported");
        let (colour, depth) = match reader.output_color_type() {
            (ColorType::Grayscale, depth) => (Colour::Grey, depth),
            (ColorType::GrayscaleAlpha, depth) => (Colour::GreyAlpha, depth),
            (ColorType::Rgb, depth) => (Colour::Rgb, depth),
            (ColorType::Rgba, depth) => (Colour::Rgba, depth),
            (ColorType::Indexed, _) => bail!("cannot be decoded as PNG: its palette is missing"),
        };
        let mut warnings = Vec::new();
        if has_profile && info.icc_profile.is_none() {
            let most = MAX_METADATA >> 20;
            warnings.push(format!("its ICC profile is damaged or larger than {most} MiB and is left out"));
        }
        let header = Header {
            stored: Shape { width: info.width, height: info.height, colour, depth: depth_of(depth) },
            orientation: orientation(info.exif_metadata.as_deref()),
            tags: Tags {
                icc: info.icc_profile.as_deref().map(<[u8]>::to_vec),
                cicp: info.coding_independent_code_points,
                mastering: info.mastering_display_color_volume,
                light_level: info.content_light_level,
                srgb: info.srgb,
                gamma: info.gama_chunk,
                chromaticities: info.chrm_chunk,
                density: info.pixel_dims.map(Density::of_png),
            },
            warnings,
        };
        check_budget(&header, 0, memory_budget)?;
        Ok((header, Self(reader)))
    }

    pub(super) fn decode(mut self, stored: Shape) -> Result<Samples> {
        Ok(match stored.depth {
            Depth::Eight => {
                let mut samples = allocate::<u8>(stored)?;
                self.read(&mut samples, stored)?;
                Samples::Eight(samples)
            }
            Depth::Sixteen => {
                let mut samples = allocate::<u16>(stored)?;
                self.read(bytemuck::cast_slice_mut(&mut samples), stored)?;
                samples.iter_mut().for_each(|sample| *sample = u16::from_be(*sample));
                Samples::Sixteen(samples)
            }
        })
    }

    fn read(&mut self, bytes: &mut [u8], stored: Shape) -> Result<()> {
        let needed = self.0.output_buffer_size();
        ensure!(needed == Some(bytes.len()), "the decoder asks for {needed:?} bytes for {stored}");
        self.0.next_frame(bytes).map_err(explain)?;
        Ok(())
    }
}

/// Refuses a size that no file of this length can have the samples for: deflated data grow to 1032 times their length at
/// most.
fn check_data(info: &Info<'_>, length: u64) -> Result<()> {
    let bits = info.color_type.samples() as u64 * u64::from(info.bit_depth as u8);
    let needed = u64::from(info.width).saturating_mul(u64::from(info.height)).saturating_mul(bits) / 8;
    ensure!(
        needed <= length.saturating_mul(1032),
        "{}: its {length} bytes cannot hold {}x{} pixels",
        truncated(Format::Png),
        info.width,
        info.height
    );
    Ok(())
}

/// The shape that the header alone gives; a transparent colour adds alpha to it.
fn least_shape(info: &Info<'_>) -> Shape {
    let (colour, depth) = match (info.color_type, info.bit_depth) {
        (ColorType::Grayscale, depth) => (Colour::Grey, depth),
        (ColorType::GrayscaleAlpha, depth) => (Colour::GreyAlpha, depth),
        (ColorType::Rgb | ColorType::Indexed, depth) => (Colour::Rgb, depth),
        (ColorType::Rgba, depth) => (Colour::Rgba, depth),
    };
    Shape { width: info.width, height: info.height, colour, depth: depth_of(depth) }
}

fn depth_of(depth: BitDepth) -> Depth {
    match depth {
        BitDepth::Sixteen => Depth::Sixteen,
        _ => Depth::Eight,
    }
}

/// Whether there is a chunk of this name before the samples; the file is left at its start. The decoder drops an ICC profile
/// that it cannot read without a word.
fn has_chunk(file: &mut (impl Read + Seek), name: [u8; 4]) -> Result<bool> {
    file.seek(SeekFrom::Start(8))?;
    let mut found = false;
    let mut start = [0; 8];
    while !found && file.read_exact(&mut start).is_ok() {
        let [a, b, c, d, kind @ ..] = start;
        if &kind == b"IDAT" {
            break;
        }
        found = kind == name;
        // The chunk's data and its checksum.
        file.seek_relative(i64::from(u32::from_be_bytes([a, b, c, d])) + 4)?;
    }
    file.rewind()?;
    Ok(found)
}

/// One line on what the decoder found wrong.
fn explain(error: DecodingError) -> Error {
    match error {
        DecodingError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => anyhow!(truncated(Format::Png)),
        DecodingError::IoError(e) => anyhow!("{e}"),
        DecodingError::LimitsExceeded => {
            anyhow!("cannot be decoded as PNG: its metadata take more than {} MiB", MAX_METADATA >> 20)
        }
        other => anyhow!("cannot be decoded as PNG: {other}"),
    }
}
