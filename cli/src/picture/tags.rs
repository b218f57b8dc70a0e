//! What a picture says of its samples: in which colour space they are, and how large a pixel is.

use image::metadata::Orientation;
use png::{
    CodingIndependentCodePoints, ContentLightLevelInfo, MasteringDisplayColorVolume, PixelDimensions, ScaledFloat,
    SourceChromaticities, SrgbRenderingIntent, Unit,
};

use super::format::Format;
use super::metadata::Metadata;
use super::shape::Colour;

/// The longest ICC profile, and the longest EXIF and XMP data, that are read: more than any format but PNG and WebP can hold.
/// Deflated data may be a thousandth of what they inflate to.
pub(super) const MAX_METADATA: usize = 32 << 20;

/// Everything but the ICC profile and the metadata can be stored in PNG only; the density also in JPEG and TIFF.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tags {
    pub(super) icc: Option<Vec<u8>>,
    pub(super) cicp: Option<CodingIndependentCodePoints>,
    pub(super) mastering: Option<MasteringDisplayColorVolume>,
    pub(super) light_level: Option<ContentLightLevelInfo>,
    pub(super) srgb: Option<SrgbRenderingIntent>,
    pub(super) gamma: Option<ScaledFloat>,
    pub(super) chromaticities: Option<SourceChromaticities>,
    pub(super) density: Option<Density>,
    pub(super) metadata: Metadata,
}

/// Pixels per length. Enlarging a picture keeps it, as in other programs: what is printed grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Density {
    PerMetre(u32, u32),
    PerInch(u16, u16),
    PerCentimetre(u16, u16),
    /// The ratio of the sides of a pixel alone.
    Ratio(u32, u32),
}

impl Density {
    pub(super) fn of_png(dims: PixelDimensions) -> Self {
        match dims.unit {
            Unit::Meter => Self::PerMetre(dims.xppu, dims.yppu),
            Unit::Unspecified => Self::Ratio(dims.xppu, dims.yppu),
        }
    }

    pub(super) fn to_png(self) -> PixelDimensions {
        let (xppu, yppu, unit) = match self {
            Self::PerMetre(x, y) => (x, y, Unit::Meter),
            Self::PerInch(x, y) => (metre_of_inch(x), metre_of_inch(y), Unit::Meter),
            Self::PerCentimetre(x, y) => (u32::from(x) * 100, u32::from(y) * 100, Unit::Meter),
            Self::Ratio(x, y) => (x, y, Unit::Unspecified),
        };
        PixelDimensions { xppu, yppu, unit }
    }

    /// As JPEG stores it, if its 16 bits hold it.
    pub(super) fn to_jpeg(self) -> Option<image::codecs::jpeg::PixelDensity> {
        use image::codecs::jpeg::{PixelDensity, PixelDensityUnit};
        let (x, y, unit) = match self {
            // Whole dots per inch, as people mean them: 300 of them are 11811 per metre.
            Self::PerMetre(x, y) => (inch_of_metre(x)?, inch_of_metre(y)?, PixelDensityUnit::Inches),
            Self::PerInch(x, y) => (x, y, PixelDensityUnit::Inches),
            Self::PerCentimetre(x, y) => (x, y, PixelDensityUnit::Centimeters),
            Self::Ratio(x, y) => (u16::try_from(x).ok()?, u16::try_from(y).ok()?, PixelDensityUnit::PixelAspectRatio),
        };
        // JFIF forbids 0.
        (x > 0 && y > 0).then_some(PixelDensity { density: (x, y), unit })
    }

    /// That of two fractions of TIFF with their unit, if they mean something.
    pub(super) fn of_tiff(x: (u32, u32), y: (u32, u32), unit: u64) -> Option<Self> {
        let whole = |(above, below): (u32, u32)| {
            let value = above.checked_div(below).filter(|_| above.is_multiple_of(below))?;
            u16::try_from(value).ok()
        };
        let metre = |(above, below): (u32, u32), units: f64| {
            let value = (f64::from(above) / f64::from(below) * units).round();
            // NaN, infinity and 0 are left out.
            (value >= 1.0 && value <= f64::from(u32::MAX)).then_some(value as u32)
        };
        let (units, whole) = match (unit, whole(x), whole(y)) {
            (1, _, _) => {
                let ratio = x.0 != y.0 && x.1 == y.1 && x.0 > 0 && y.0 > 0;
                return ratio.then_some(Self::Ratio(x.0, y.0));
            }
            (2, Some(x), Some(y)) => (1.0 / 0.0254, Some(Self::PerInch(x, y))),
            (3, Some(x), Some(y)) => (100.0, Some(Self::PerCentimetre(x, y))),
            (2, ..) => (1.0 / 0.0254, None),
            (3, ..) => (100.0, None),
            _ => return None,
        };
        let by_metre = Self::PerMetre(metre(x, units)?, metre(y, units)?);
        Some(whole.unwrap_or(by_metre))
    }

    /// Two fractions and their unit, as TIFF stores them.
    pub(super) fn to_tiff(self) -> ((u32, u32), (u32, u32), u16) {
        match self {
            // Whole dots per inch, if these are some.
            Self::PerMetre(x, y) => match (inch_of_metre(x), inch_of_metre(y)) {
                (Some(a), Some(b)) if metre_of_inch(a) == x && metre_of_inch(b) == y => {
                    ((a.into(), 1), (b.into(), 1), 2)
                }
                _ => ((x, 100), (y, 100), 3),
            },
            Self::PerInch(x, y) => ((x.into(), 1), (y.into(), 1), 2),
            Self::PerCentimetre(x, y) => ((x.into(), 1), (y.into(), 1), 3),
            Self::Ratio(x, y) => ((x, 1), (y, 1), 1),
        }
    }

    /// That of the picture turned.
    pub(super) fn turned(self, orientation: Orientation) -> Self {
        if !is_on_its_side(orientation) {
            return self;
        }
        match self {
            Self::PerMetre(x, y) => Self::PerMetre(y, x),
            Self::PerInch(x, y) => Self::PerInch(y, x),
            Self::PerCentimetre(x, y) => Self::PerCentimetre(y, x),
            Self::Ratio(x, y) => Self::Ratio(y, x),
        }
    }
}

fn metre_of_inch(x: u16) -> u32 {
    (f64::from(x) / 0.0254).round() as u32
}

fn inch_of_metre(x: u32) -> Option<u16> {
    u16::try_from((f64::from(x) * 0.0254).round() as u64).ok()
}

/// Whether an orientation swaps width and height.
pub(super) fn is_on_its_side(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH
    )
}

impl Tags {
    /// What can be stored with samples of this colour in this format, and a line on what is lost of the look.
    ///
    /// Where there are several descriptions of the colour space, PNG ranks them: cICP, iCCP, sRGB, gAMA with cHRM. What
    /// is lost and would be overruled by what is kept is no loss.
    pub(super) fn storable(mut self, format: Format, stored: Colour) -> (Self, Option<String>) {
        let lost_icc = self.icc.take_if(|profile| !stored.fits_icc(profile)).is_some();
        if lost_icc {
            let line = format!("its ICC profile is not for {stored} and is left out: colours may look different");
            return (self.without_other_formats(format), Some(line));
        }
        let lost = match format {
            Format::Png => None,
            Format::Jpeg | Format::WebP | Format::Tiff if self.icc.is_some() => None,
            Format::Jpeg | Format::WebP | Format::Tiff => self.not_srgb(),
        };
        let line = lost.map(|chunks| {
            format!("{format} cannot hold the colour space that {chunks} give: colours will look different; PNG can")
        });
        (self.without_other_formats(format), line)
    }

    /// Drops what only PNG has.
    fn without_other_formats(self, format: Format) -> Self {
        match format {
            Format::Png => self,
            Format::Jpeg | Format::Tiff => {
                Self { icc: self.icc, density: self.density, metadata: self.metadata, ..Self::default() }
            }
            Format::WebP => Self { icc: self.icc, metadata: self.metadata, ..Self::default() },
        }
    }

    /// The chunks that say that the colours are not those of sRGB, by which files without a description are shown.
    fn not_srgb(&self) -> Option<&'static str> {
        if let Some(cicp) = self.cicp {
            // BT.709 primaries, the transfer function of sRGB, full range.
            let is_srgb =
                (cicp.color_primaries, cicp.transfer_function, cicp.is_video_full_range_image) == (1, 13, true);
            return (!is_srgb).then_some("cICP");
        }
        if self.srgb.is_some() {
            return None;
        }
        let gamma = self.gamma.is_some_and(|gamma| gamma.into_scaled().abs_diff(45_455) > 500);
        let chromaticities = self.chromaticities.is_some_and(|given| !near_srgb(given));
        match (gamma, chromaticities) {
            (true, true) => Some("gAMA and cHRM"),
            (true, false) => Some("gAMA"),
            (false, true) => Some("cHRM"),
            (false, false) => None,
        }
    }
}

/// Whether primaries and white are those of sRGB, up to how they are rounded.
fn near_srgb(given: SourceChromaticities) -> bool {
    let pair = |(x, y): (ScaledFloat, ScaledFloat)| [x.into_scaled(), y.into_scaled()];
    let given = [given.white, given.red, given.green, given.blue].map(pair);
    let srgb = [[31_270, 32_900], [64_000, 33_000], [30_000, 60_000], [15_000, 6_000]];
    given.as_flattened().iter().zip(srgb.as_flattened()).all(|(a, b)| a.abs_diff(*b) <= 100)
}
