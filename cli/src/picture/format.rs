//! The formats, and what each can hold.

use std::fmt;
use std::path::Path;

use super::shape::{Colour, Depth, Shape};

/// A format that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readable {
    Png,
    Jpeg,
    WebP,
    Tiff,
    Bmp,
    Gif,
    Qoi,
}

impl Readable {
    /// Their names, for messages.
    pub(super) const NAMES: &str = "PNG, JPEG, WebP, TIFF, BMP, GIF and QOI";

    /// The usual extensions, for messages.
    pub(crate) const EXTENSIONS: &str = ".png, .jpg, .jpeg, .webp, .tif, .tiff, .bmp, .gif or .qoi";

    /// The format by a file name's extension, in upper or lower case.
    pub(crate) fn of_extension(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "png" => Some(Self::Png),
            "jpg" | "jpeg" | "jpe" | "jfif" => Some(Self::Jpeg),
            "webp" => Some(Self::WebP),
            "tif" | "tiff" => Some(Self::Tiff),
            "bmp" | "dib" => Some(Self::Bmp),
            "gif" => Some(Self::Gif),
            "qoi" => Some(Self::Qoi),
            _ => None,
        }
    }

    /// The same format to write, if it is written.
    pub(crate) fn written(self) -> Option<Format> {
        match self {
            Self::Png => Some(Format::Png),
            Self::Jpeg => Some(Format::Jpeg),
            Self::WebP => Some(Format::WebP),
            Self::Tiff => Some(Format::Tiff),
            Self::Bmp | Self::Gif | Self::Qoi => None,
        }
    }
}

impl fmt::Display for Readable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::WebP => "WebP",
            Self::Tiff => "TIFF",
            Self::Bmp => "BMP",
            Self::Gif => "GIF",
            Self::Qoi => "QOI",
        })
    }
}

/// A format that is read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Png,
    Jpeg,
    WebP,
    Tiff,
}

impl Format {
    /// All of them, the most capable first.
    pub(crate) const ALL: [Self; 4] = [Self::Png, Self::Tiff, Self::WebP, Self::Jpeg];

    /// The extensions that choose them, for messages.
    pub(super) const EXTENSIONS: &str = ".png, .jpg, .jpeg, .webp, .tif or .tiff";

    /// The extension that a file of it is given.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::WebP => "webp",
            Self::Tiff => "tif",
        }
    }

    /// The most pixels in a width or a height. TIFF's fields hold more, and what reads it does not.
    pub(crate) fn max_side(self) -> u32 {
        match self {
            Self::Png | Self::Tiff => i32::MAX.unsigned_abs(),
            Self::Jpeg => 65_535,
            Self::WebP => 16_383,
        }
    }

    /// Whether it is written row by row, not gathered first.
    pub(super) fn is_streamed(self) -> bool {
        matches!(self, Self::Png | Self::Tiff)
    }

    /// The colour as the format stores it: WebP has no grey and stores it as RGB.
    pub(super) fn stored(self, colour: Colour) -> Colour {
        match (self, colour) {
            (Self::WebP, Colour::Grey) => Colour::Rgb,
            (Self::WebP, Colour::GreyAlpha) => Colour::Rgba,
            _ => colour,
        }
    }

    /// Everything about a picture that the format cannot hold, with the option that would help.
    pub(super) fn obstacles(self, shape: Shape) -> Vec<String> {
        let mut found = Vec::new();
        if self == Self::Jpeg && shape.colour.has_alpha() {
            found.push(format!("{self} holds no transparency (--flatten COLOUR puts the picture on a background)"));
        }
        if matches!(self, Self::Jpeg | Self::WebP) && shape.depth == Depth::Sixteen {
            found.push(format!("{self} holds 8 bits per sample, not 16 (--depth 8 rounds them)"));
        }
        let most = self.max_side();
        if shape.width.max(shape.height) > most {
            found.push(format!("{self} holds at most {most} pixels per side, not {}x{}", shape.width, shape.height));
        }
        found
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::WebP => "WebP",
            Self::Tiff => "TIFF",
        })
    }
}
