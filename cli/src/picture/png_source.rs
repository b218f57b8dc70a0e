//! PNG, read.

use std::io::{BufRead, Read, Seek, SeekFrom};

use anyhow::{Error, Result, anyhow, bail, ensure};
use flate2::bufread::ZlibDecoder;
use png::{BitDepth, ColorType, Decoder, DecodingError, Info, Limits, Reader, Transformations};

use super::format::Readable;
use super::header::{Header, allocate, check_budget, orientation, truncated};
use super::metadata::Metadata;
use super::samples::Samples;
use super::shape::{Colour, Depth, Shape};
use super::tags::{Density, MAX_METADATA, Tags};

/// The keyword of international text that is XMP.
const XMP_KEYWORD: &[u8] = b"XML:com.adobe.xmp\0";

/// A decoder that has read everything before the samples.
pub(super) struct PngSource<R: BufRead + Seek>(Reader<R>);

impl<R: BufRead + Seek> PngSource<R> {
    /// Reads the chunks before the samples, EXIF and, with `metadata`, XMP; `length` is that of the file. Other text is not
    /// read, and no chunk is inflated beyond [`MAX_METADATA`].
    pub(super) fn open(mut file: R, length: u64, memory_budget: u64, metadata: bool) -> Result<(Header, Self)> {
        let Beside { has_profile, exif: exif_anywhere, xmp, mut warnings } = Beside::read(&mut file, metadata)?;
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
        if has_profile && info.icc_profile.is_none() {
            let most = MAX_METADATA >> 20;
            warnings.push(format!("its ICC profile is damaged or larger than {most} MiB and is left out"));
        }
        let exif = info.exif_metadata.as_deref().map(<[u8]>::to_vec).or(exif_anywhere);
        let header = Header {
            stored: Shape { width: info.width, height: info.height, colour, depth: depth_of(depth) },
            orientation: orientation(exif.as_deref()),
            tags: Tags {
                icc: info.icc_profile.as_deref().map(<[u8]>::to_vec),
                cicp: info.coding_independent_code_points,
                mastering: info.mastering_display_color_volume,
                light_level: info.content_light_level,
                srgb: info.srgb,
                gamma: info.gama_chunk,
                chromaticities: info.chrm_chunk,
                density: info.pixel_dims.map(Density::of_png),
                metadata: Metadata { exif: exif.filter(|_| metadata), xmp },
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
        truncated(Readable::Png),
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

/// What the decoder does not tell: it drops an ICC profile that it cannot read without a word, does not look at what follows
/// the samples before they are decoded, and would inflate all text.
#[derive(Default)]
struct Beside {
    has_profile: bool,
    /// EXIF data, before the samples or behind them, where the standard allows them too.
    exif: Option<Vec<u8>>,
    xmp: Option<Vec<u8>>,
    warnings: Vec<String>,
}

impl Beside {
    /// Walks over the chunks. The file is left at its start.
    fn read(file: &mut (impl Read + Seek), metadata: bool) -> Result<Self> {
        file.seek(SeekFrom::Start(8))?;
        let mut found = Self::default();
        let (mut before_samples, mut seen_exif, mut seen_xmp) = (true, false, false);
        let mut start = [0; 8];
        while file.read_exact(&mut start).is_ok() {
            let [a, b, c, d, kind @ ..] = start;
            let length = u32::from_be_bytes([a, b, c, d]);
            let mut rest = i64::from(length);
            match &kind {
                b"IEND" => break,
                b"IDAT" => before_samples = false,
                b"iCCP" => found.has_profile |= before_samples,
                b"eXIf" if !seen_exif => {
                    seen_exif = true;
                    found.exif = part(file, &mut rest, length)?;
                    if metadata && found.exif.is_none() {
                        found.warnings.push(too_long("EXIF"));
                    }
                }
                b"iTXt" if metadata && !seen_xmp => {
                    let keyword = part(file, &mut rest, XMP_KEYWORD.len() as u32)?;
                    seen_xmp = keyword.as_deref() == Some(XMP_KEYWORD);
                    if seen_xmp {
                        found.xmp(part(file, &mut rest, length - XMP_KEYWORD.len() as u32)?.as_deref());
                    }
                }
                _ => {}
            }
            // What is left of the chunk's data, and its checksum.
            file.seek_relative(rest + 4)?;
        }
        file.rewind()?;
        Ok(found)
    }

    /// Takes the text after the keyword: whether it is deflated and how, a language, a translated keyword, the packet.
    fn xmp(&mut self, data: Option<&[u8]>) {
        self.xmp = data.and_then(|data| {
            let [deflated, _method, rest @ ..] = data else { return None };
            let text = rest.splitn(3, |&byte| byte == 0).nth(2)?;
            let (mut xmp, most) = (Vec::new(), MAX_METADATA as u64 + 1);
            let read = match deflated {
                0 => text.take(most).read_to_end(&mut xmp),
                _ => ZlibDecoder::new(text).take(most).read_to_end(&mut xmp),
            };
            (read.is_ok() && xmp.len() <= MAX_METADATA).then_some(xmp)
        });
        if self.xmp.is_none() {
            self.warnings.push(too_long("XMP"));
        }
    }
}

/// The next bytes of a chunk, if they are there and not too many; `rest` is what is left of the chunk.
fn part(file: &mut impl Read, rest: &mut i64, bytes: u32) -> Result<Option<Vec<u8>>> {
    if i64::from(bytes) > *rest || bytes as usize > MAX_METADATA {
        return Ok(None);
    }
    let mut data = Vec::new();
    let read = file.take(bytes.into()).read_to_end(&mut data)?;
    *rest -= read as i64;
    Ok((read == bytes as usize).then_some(data))
}

fn too_long(what: &str) -> String {
    format!("its {what} is damaged or takes more than {} MiB and is left out", MAX_METADATA >> 20)
}

/// One line on what the decoder found wrong.
fn explain(error: DecodingError) -> Error {
    match error {
        DecodingError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => anyhow!(truncated(Readable::Png)),
        DecodingError::IoError(e) => anyhow!("{e}"),
        DecodingError::LimitsExceeded => {
            anyhow!("cannot be decoded as PNG: its metadata take more than {} MiB", MAX_METADATA >> 20)
        }
        other => anyhow!("cannot be decoded as PNG: {other}"),
    }
}
