//! Which channels of RGBA a filter computes, and how they become pixels again.

use crate::array::nearest;

/// The largest value of a sample.
const FULL: f32 = 255.0;

/// What a filter mixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colours {
    /// Red, green and blue of an opaque picture.
    Opaque,
    /// Colours multiplied by their alpha, so that transparent pixels contribute none, and alpha.
    Premultiplied,
    /// Four channels as they are, for a filter that mixes no pixels.
    Straight,
    /// Alpha alone.
    Alpha,
}

impl Colours {
    pub(crate) fn channels(self) -> usize {
        match self {
            Self::Opaque => 3,
            Self::Premultiplied | Self::Straight => 4,
            Self::Alpha => 1,
        }
    }

    /// A channel of a pixel.
    pub(crate) fn of(self, pixel: &[f32], channel: usize) -> f32 {
        match self {
            Self::Alpha => pixel[3],
            Self::Premultiplied if channel < 3 => pixel[channel] * pixel[3] / FULL,
            Self::Opaque | Self::Premultiplied | Self::Straight => pixel[channel],
        }
    }

    /// The pixel that some channels mean. Colour is divided by alpha before alpha is rounded; where the rounded alpha is 0
    /// there is no colour.
    pub(crate) fn pixel(self, at: impl Fn(usize) -> f32) -> [f32; 4] {
        match self {
            Self::Opaque => [at(0), at(1), at(2), FULL],
            Self::Straight => [at(0), at(1), at(2), at(3)],
            Self::Alpha => [0.0, 0.0, 0.0, at(0)],
            Self::Premultiplied => {
                let alpha = at(3);
                match nearest(alpha, FULL) {
                    0.0 => [0.0; 4],
                    rounded => [at(0) * FULL / alpha, at(1) * FULL / alpha, at(2) * FULL / alpha, rounded],
                }
            }
        }
    }
}
