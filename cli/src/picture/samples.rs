//! The samples of a picture, owned and borrowed.

use super::shape::{Colour, Depth};
use super::tags::Tags;

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
    pub(super) fn depth(self) -> Depth {
        match self {
            Self::Eight(_) => Depth::Eight,
            Self::Sixteen(_) => Depth::Sixteen,
        }
    }

    pub(super) fn len(self) -> usize {
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
    pub(crate) tags: Tags,
    /// What was damaged and is filled in, a line each.
    pub(crate) repairs: Vec<String>,
}
