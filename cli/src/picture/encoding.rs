//! How a picture is stored.

use super::format::Format;
use super::shape::Shape;
use super::tags::Tags;

/// The format and its parameters.
#[derive(Debug)]
pub(super) struct Encoding {
    pub(super) format: Format,
    pub(super) written: Shape,
    pub(super) tags: Tags,
    pub(super) quality: u8,
}
