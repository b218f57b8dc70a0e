//! Pictures: PNG, JPEG and WebP, read and written.
//!
//! [`Source`] opens a picture, knows its shape from the header and decodes it. [`Target`] settles
//! where and how a result is written, refusing what cannot be before any work is done, and starts
//! a [`Writer`], which takes the rows.
//!
//! Besides the samples an ICC profile is carried over, where it describes the colour that is
//! stored: a CMYK picture is decoded to RGB, and grey is stored as RGB in WebP, so the profiles of
//! those are left behind. EXIF is not carried: the orientation it holds was applied, and the rest
//! (thumbnail, sizes) would describe another picture. Nor are XMP, text, pixel density, and PNG's
//! gAMA, cHRM, sRGB and cICP chunks.

mod convert;
mod format;
mod jpeg;
mod png_stream;
mod rgb;
mod source;
mod target;
#[cfg(test)]
mod tests;
mod whole;
mod writer;

use std::fmt;

pub(crate) use format::Format;
pub(crate) use rgb::Rgb;
pub(crate) use source::Source;
pub(crate) use target::{Target, TargetOptions};
pub(crate) use writer::Writer;

/// The channels of a pixel, in the order they are stored. Alpha is straight, not premultiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    Grey,
    GreyAlpha,
    Rgb,
    Rgba,
}

impl Colour {
    /// The number of samples in a pixel.
    pub(crate) fn channels(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::GreyAlpha => 2,
            Self::Rgb => 3,
            Self::Rgba => 4,
        }
    }

    /// Whether the last channel is alpha.
    pub(crate) fn has_alpha(self) -> bool {
        matches!(self, Self::GreyAlpha | Self::Rgba)
    }

    /// Whether an ICC profile is one for this colour, by the colour space its header names.
    fn fits_icc(self, profile: &[u8]) -> bool {
        let space: &[u8] = match self {
            Self::Grey | Self::GreyAlpha => b"GRAY",
            Self::Rgb | Self::Rgba => b"RGB ",
        };
        profile.get(16..20) == Some(space)
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Grey => "grey",
            Self::GreyAlpha => "grey+alpha",
            Self::Rgb => "RGB",
            Self::Rgba => "RGBA",
        })
    }
}

/// The size of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    Eight,
    Sixteen,
}

impl Depth {
    /// Bits in a sample.
    pub(crate) fn bits(self) -> u32 {
        match self {
            Self::Eight => 8,
            Self::Sixteen => 16,
        }
    }
}

/// What there is to know of a picture beside its samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) colour: Colour,
    pub(crate) depth: Depth,
}

impl Shape {
    /// The number of samples in a row.
    pub(crate) fn row_samples(self) -> usize {
        self.width as usize * self.colour.channels()
    }

    /// The number of bytes that the samples take.
    pub(crate) fn bytes(self) -> u64 {
        let pixel = self.colour.channels() as u64 * u64::from(self.depth.bits() / 8);
        (u64::from(self.width) * u64::from(self.height)).saturating_mul(pixel)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { width, height, colour, depth } = self;
        write!(f, "{width}x{height} {colour}, {} bits", depth.bits())
    }
}

/// Interleaved samples, row after row, without padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Samples {
    Eight(Vec<u8>),
    Sixteen(Vec<u16>),
}

/// Borrowed samples: some complete rows of a picture.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rows<'a> {
    Eight(&'a [u8]),
    Sixteen(&'a [u16]),
}

impl Rows<'_> {
    fn depth(self) -> Depth {
        match self {
            Self::Eight(_) => Depth::Eight,
            Self::Sixteen(_) => Depth::Sixteen,
        }
    }

    fn len(self) -> usize {
        match self {
            Self::Eight(samples) => samples.len(),
            Self::Sixteen(samples) => samples.len(),
        }
    }
}

impl<'a> From<&'a [u8]> for Rows<'a> {
    fn from(samples: &'a [u8]) -> Self {
        Self::Eight(samples)
    }
}

impl<'a> From<&'a [u16]> for Rows<'a> {
    fn from(samples: &'a [u16]) -> Self {
        Self::Sixteen(samples)
    }
}

/// A decoded picture, the right way up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) colour: Colour,
    pub(crate) samples: Samples,
    pub(crate) icc: Option<Vec<u8>>,
}
