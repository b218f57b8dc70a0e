//! How a picture is stored.

use super::format::Format;
use super::palette::Indexed;
use super::shape::Shape;
use super::tags::Tags;

/// The format and its parameters.
#[derive(Debug)]
pub(super) struct Encoding {
    pub(super) format: Format,
    pub(super) written: Shape,
    pub(super) tags: Tags,
    pub(super) quality: u8,
    pub(super) effort: PngEffort,
    /// How the pixels of a PNG file are written by few bits, where that is known to lose nothing.
    pub(super) indexed: Option<Indexed>,
}

/// How hard a PNG file is deflated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum PngEffort {
    /// Ten times the speed of zlib's level 6, and on photographs enlarged by up to 2 as small.
    #[default]
    Fast,
    /// zlib's level 6.
    Normal,
    /// zlib's level 9.
    Best,
}
