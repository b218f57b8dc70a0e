//! The formats, and what each can hold.

use std::fmt;
use std::path::Path;

use super::shape::{Colour, Depth, Shape};

/// A format that is read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Png,
    Jpeg,
    WebP,
}

impl Format {
    /// All of them, the most capable first.
    pub(crate) const ALL: [Self; 3] = [Self::Png, Self::WebP, Self::Jpeg];

    /// The format that a file name's extension asks for, in upper or lower case.
    pub(crate) fn of_extension(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "png" => Some(Self::Png),
            "jpg" | "jpeg" | "jpe" | "jfif" => Some(Self::Jpeg),
            "webp" => Some(Self::WebP),
            _ => None,
        }
    }

    /// The extension that a file of it is given.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::WebP => "webp",
        }
    }

    /// The most pixels in a width or a height.
    pub(crate) fn max_side(self) -> u32 {
        match self {
            Self::Png => i32::MAX.unsigned_abs(),
            Self::Jpeg => 65_535,
            Self::WebP => 16_383,
        }
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
        if self != Self::Png && shape.depth == Depth::Sixteen {
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
        })
    }
}
