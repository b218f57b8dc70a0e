//! The size of a picture and how its pixels are stored.

use std::fmt;

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
    pub(super) fn fits_icc(self, profile: &[u8]) -> bool {
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
