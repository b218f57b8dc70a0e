//! How a picture is stored.

use super::format::Format;
use super::shape::Shape;

/// The format and its parameters.
#[derive(Debug)]
pub(super) struct Encoding {
    pub(super) format: Format,
    pub(super) written: Shape,
    pub(super) icc: Option<Vec<u8>>,
    pub(super) quality: u8,
}
