//! What the fields of a directory say of the samples, and what of it is not supported.

use std::io::{Read, Seek};

use anyhow::{Result, anyhow, bail, ensure};

use crate::picture::ifd::{Directories, Directory};
use crate::picture::shape::{Colour, Depth, Shape};

pub(super) const NEW_SUBFILE_TYPE: u16 = 254;
pub(super) const SUBFILE_TYPE: u16 = 255;
pub(super) const WIDTH: u16 = 256;
pub(super) const HEIGHT: u16 = 257;
pub(super) const BITS: u16 = 258;
pub(super) const COMPRESSION: u16 = 259;
pub(super) const PHOTOMETRIC: u16 = 262;
pub(super) const FILL_ORDER: u16 = 266;
pub(super) const STRIPS: u16 = 273;
pub(super) const ORIENTATION: u16 = 274;
pub(super) const SAMPLES: u16 = 277;
pub(super) const ROWS_PER_STRIP: u16 = 278;
pub(super) const STRIP_BYTES: u16 = 279;
pub(super) const X_RESOLUTION: u16 = 282;
pub(super) const Y_RESOLUTION: u16 = 283;
pub(super) const PLANAR: u16 = 284;
pub(super) const RESOLUTION_UNIT: u16 = 296;
pub(super) const PREDICTOR: u16 = 317;
pub(super) const COLOUR_MAP: u16 = 320;
pub(super) const TILE_WIDTH: u16 = 322;
pub(super) const TILE_HEIGHT: u16 = 323;
pub(super) const TILES: u16 = 324;
pub(super) const TILE_BYTES: u16 = 325;
pub(super) const EXTRA_SAMPLES: u16 = 338;
pub(super) const SAMPLE_FORMAT: u16 = 339;
pub(super) const XMP: u16 = 700;
pub(super) const EXIF: u16 = 34_665;
pub(super) const ICC: u16 = 34_675;
pub(super) const GPS: u16 = 34_853;

/// The most samples of a pixel.
const MAX_SAMPLES: u64 = 64;

/// How the data are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Lzw,
    Deflate,
    PackBits,
}

impl Compression {
    fn of(number: u64) -> Result<Self> {
        let name = match number {
            1 => return Ok(Self::None),
            5 => return Ok(Self::Lzw),
            8 | 32_946 => return Ok(Self::Deflate),
            32_773 => return Ok(Self::PackBits),
            2..=4 => "fax (CCITT)".to_owned(),
            6 | 7 => "JPEG".to_owned(),
            50_000 => "Zstandard".to_owned(),
            50_001 => "WebP".to_owned(),
            other => format!("method {other}"),
        };
        bail!("is TIFF compressed by {name}, which is not supported; LZW, Deflate, PackBits and none are")
    }

    /// The most that a byte grows to.
    pub(super) fn growth(self) -> u64 {
        match self {
            Self::None => 1,
            // A code of 9 to 12 bits stands for fewer than 4096 bytes.
            Self::Lzw => 3641,
            Self::Deflate => 1032,
            Self::PackBits => 64,
        }
    }
}

/// What the values of a pixel mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Grey {
        white_is_zero: bool,
    },
    Rgb,
    /// Red, green and blue of each index.
    Palette(Vec<[u8; 3]>),
}

/// What becomes of the first sample after the colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alpha {
    None,
    Straight,
    /// The colour is multiplied by it.
    Premultiplied,
}

/// How the samples of a picture are stored.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Bits of a sample.
    pub(super) bits: u32,
    /// Samples of a pixel, extra ones with them.
    pub(super) samples: u64,
    pub(super) compression: Compression,
    pub(super) meaning: Meaning,
    pub(super) alpha: Alpha,
    /// Whether each row is stored as differences.
    pub(super) differences: bool,
    /// Whether each sample of a pixel is stored in a plane of its own.
    pub(super) planar: bool,
}

impl Fields {
    /// Reads the fields; `lost` gets a line on what is left out.
    pub(super) fn read<R: Read + Seek>(
        file: &mut Directories<R>,
        directory: &Directory,
        lost: &mut Vec<String>,
    ) -> Result<Self> {
        let side = |file: &mut Directories<R>, tag, name| -> Result<u32> {
            let entry = directory.get(tag).ok_or_else(|| anyhow!("cannot be decoded as TIFF: it has no {name}"))?;
            Ok(u32::try_from(file.one(entry)?)?)
        };
        let (width, height) = (side(file, WIDTH, "width")?, side(file, HEIGHT, "height")?);
        ensure!(width > 0 && height > 0, "cannot be decoded as TIFF: its header gives {width}x{height} pixels");

        let samples = number(file, directory, SAMPLES, 1)?;
        ensure!((1..=MAX_SAMPLES).contains(&samples), "cannot be decoded as TIFF: it has {samples} samples per pixel");
        let photometric = directory
            .get(PHOTOMETRIC)
            .ok_or_else(|| anyhow!("cannot be decoded as TIFF: it does not say what its samples mean"))?;
        let (name, colours) = match file.one(photometric)? {
            0 | 1 => ("grey", 1),
            2 => ("RGB", 3),
            3 => ("palette", 1),
            other => bail!("is {} TIFF, which is not supported; grey, RGB and palettes are", unsupported(other)),
        };
        for format in numbers(file, directory, SAMPLE_FORMAT, samples, 1)? {
            match format {
                1 | 4 => {}
                2 => bail!("has signed samples, which are not supported in TIFF; unsigned ones are"),
                3 => bail!("has floating-point samples, which are not supported in TIFF; whole numbers are"),
                other => bail!("has samples of format {other}, which is not supported in TIFF; whole numbers are"),
            }
        }
        let bits = numbers(file, directory, BITS, samples, 1)?;
        let first = bits.first().copied().unwrap_or(1);
        ensure!(
            bits.iter().all(|&bits| bits == first),
            "has samples of different sizes ({bits:?} bits), which are not supported in TIFF"
        );
        let most = if name == "palette" { 8 } else { 16 };
        ensure!(
            matches!(first, 1 | 2 | 4 | 8 | 16) && first <= most,
            "has {first} bits per sample, which is not supported in {name} TIFF; 1, 2, 4, 8{} are",
            if most == 16 { " and 16" } else { "" }
        );
        ensure!(
            number(file, directory, FILL_ORDER, 1)? == 1,
            "has its bits in reverse order, which is not supported in TIFF"
        );
        let planar = match number(file, directory, PLANAR, 1)? {
            1 => false,
            2 => samples > 1,
            other => bail!("cannot be decoded as TIFF: its samples are ordered by method {other}"),
        };
        let compression = Compression::of(number(file, directory, COMPRESSION, 1)?)?;
        let differences = match number(file, directory, PREDICTOR, 1)? {
            _ if matches!(compression, Compression::None | Compression::PackBits) => false,
            1 => false,
            2 if first >= 8 => true,
            other => bail!("has samples predicted by method {other}, which is not supported in TIFF of {first} bits"),
        };
        ensure!(samples >= colours, "cannot be decoded as TIFF: {samples} samples per pixel are too few for {name}");
        let meaning = match file.one(photometric)? {
            2 => Meaning::Rgb,
            3 => Meaning::Palette(palette(file, directory, 1 << first)?),
            other => Meaning::Grey { white_is_zero: other == 0 },
        };
        let extra = samples - colours;
        let alpha = match numbers(file, directory, EXTRA_SAMPLES, extra, 0)?.first() {
            _ if extra == 0 => Alpha::None,
            _ if name == "palette" => Alpha::None,
            Some(1) => Alpha::Premultiplied,
            Some(2) => Alpha::Straight,
            // Files without the field have alpha there, whoever wrote them.
            None | Some(0) if directory.get(EXTRA_SAMPLES).is_none() => Alpha::Straight,
            _ => Alpha::None,
        };
        let dropped = extra - u64::from(alpha != Alpha::None);
        if dropped > 0 {
            lost.push(format!("{dropped} of its {samples} channels are neither colour nor alpha and are left out"));
        }
        let bits = first as u32;
        Ok(Self { width, height, bits, samples, compression, meaning, alpha, differences, planar })
    }

    /// The picture that they become.
    pub(super) fn shape(&self) -> Shape {
        let has_alpha = self.alpha != Alpha::None;
        let colour = match (&self.meaning, has_alpha) {
            (Meaning::Grey { .. }, false) => Colour::Grey,
            (Meaning::Grey { .. }, true) => Colour::GreyAlpha,
            (Meaning::Rgb | Meaning::Palette(_), false) => Colour::Rgb,
            (Meaning::Rgb | Meaning::Palette(_), true) => Colour::Rgba,
        };
        let depth = if self.bits == 16 { Depth::Sixteen } else { Depth::Eight };
        Shape { width: self.width, height: self.height, colour, depth }
    }
}

/// A photometric interpretation that is not supported.
fn unsupported(number: u64) -> String {
    match number {
        4 => "a mask in".to_owned(),
        5 => "CMYK".to_owned(),
        6 => "YCbCr".to_owned(),
        8..=10 => "Lab".to_owned(),
        32_803 | 34_892 => "a camera's raw picture in".to_owned(),
        other => format!("photometric {other}"),
    }
}

/// The number of a field, or what stands for a missing one.
pub(super) fn number<R: Read + Seek>(
    file: &mut Directories<R>,
    directory: &Directory,
    tag: u16,
    missing: u64,
) -> Result<u64> {
    directory.get(tag).map_or(Ok(missing), |entry| file.one(entry))
}

/// The first so many numbers of a field; the one number for a missing one.
fn numbers<R: Read + Seek>(
    file: &mut Directories<R>,
    directory: &Directory,
    tag: u16,
    most: u64,
    missing: u64,
) -> Result<Vec<u64>> {
    directory.get(tag).map_or_else(|| Ok(vec![missing]), |entry| file.numbers(entry, most))
}

/// The colours of a palette: all reds, all greens, all blues, of 16 bits. Some files have 8 bits there, as other readers
/// know.
fn palette<R: Read + Seek>(file: &mut Directories<R>, directory: &Directory, colours: u64) -> Result<Vec<[u8; 3]>> {
    let entry =
        directory.get(COLOUR_MAP).ok_or_else(|| anyhow!("cannot be decoded as TIFF: its palette is missing"))?;
    let values = file.numbers(entry, 3 * colours)?;
    ensure!(
        values.len() as u64 == 3 * colours,
        "cannot be decoded as TIFF: its palette has {} values, not {}",
        values.len(),
        3 * colours
    );
    let shift = if values.iter().all(|&value| value < 256) { 0 } else { 8 };
    let colours = colours as usize;
    let at = |index: usize| (values[index] >> shift) as u8;
    Ok((0..colours).map(|index| [at(index), at(colours + index), at(2 * colours + index)]).collect())
}
