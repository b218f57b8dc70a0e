//! Conversions of samples before they are encoded.

use std::borrow::Cow;

use super::rgb::Rgb;
use super::samples::Rows;
use super::shape::{Colour, Depth, Shape};

/// An integer sample from 0 to [`MAX`](Sample::MAX).
pub(super) trait Sample: Copy + Into<u32> {
    /// The largest value.
    const MAX: u32;

    /// The nearest sample to `value / MAX`, which is at most `MAX`.
    fn quotient(value: u32) -> Self;
}

impl Sample for u8 {
    const MAX: u32 = 255;

    fn quotient(value: u32) -> Self {
        ((value + 127) / 255) as Self
    }
}

impl Sample for u16 {
    const MAX: u32 = 65_535;

    fn quotient(value: u32) -> Self {
        ((value + 32_767) / 65_535) as Self
    }
}

/// Puts pixels with straight alpha over an opaque background and drops the alpha.
///
/// `into` is [`Colour::Grey`] or [`Colour::Rgb`]; grey pixels spread to the three channels of the
/// latter. The blend is of the stored values, as is usual, not of linear light.
pub(super) fn flatten<T: Sample>(band: &[T], from: Colour, background: Rgb, into: Colour) -> Vec<T> {
    let background = background.0.map(|v| u32::from(v) * (T::MAX / 255));
    let mut out = Vec::with_capacity(band.len() / from.channels() * into.channels());
    for pixel in band.chunks_exact(from.channels()) {
        let Some((&alpha, values)) = pixel.split_last() else {
            continue;
        };
        let alpha = alpha.into();
        for (k, under) in background.into_iter().take(into.channels()).enumerate() {
            let over: u32 = values[k.min(values.len() - 1)].into();
            // At most MAX * MAX, which leaves room for the rounding even in the 16-bit case.
            out.push(T::quotient(over * alpha + under * (T::MAX - alpha)));
        }
    }
    out
}

/// Rows as they are written: put over a colour if one is given, rounded to 8 bits where these are written, 16 bits with their
/// high byte first.
pub(super) fn written<'a>(band: Rows<'a>, given: Colour, over: Option<Rgb>, written: Shape) -> Cow<'a, [u8]> {
    fn flattened<'a, T: Sample>(band: &'a [T], given: Colour, over: Option<Rgb>, written: Shape) -> Cow<'a, [T]> {
        match over {
            Some(over) => flatten(band, given, over, written.colour).into(),
            None => band.into(),
        }
    }
    match band {
        Rows::Eight(samples) => flattened(samples, given, over, written),
        Rows::Sixteen(samples) => {
            let samples = flattened(samples, given, over, written);
            let samples = samples.iter().copied();
            match written.depth {
                Depth::Eight => samples.map(narrow).collect(),
                Depth::Sixteen => samples.flat_map(u16::to_be_bytes).collect(),
            }
        }
    }
}

/// A 16-bit sample as the nearest of 8 bits: `v * 255 / 65535`, rounded.
pub(super) fn narrow(v: u16) -> u8 {
    // 65535 = 255 * 257, an odd divisor: there are no ties.
    ((u32::from(v) + 128) / 257) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flatten_is_exact() {
        // 200*100/255 + 50*155/255 = 108.82; 0*.. + 100*155/255 = 60.78; 255*100/255 + 0 = 100
        let rgba = [200u8, 0, 255, 100, 1, 2, 3, 255, 9, 9, 9, 0];
        assert_eq!(flatten(&rgba, Colour::Rgba, Rgb([50, 100, 0]), Colour::Rgb), [109, 61, 100, 1, 2, 3, 50, 100, 0]);
        // 128 half transparent on white: 128*128/255 + 255*127/255 = 191.25
        let grey = [128u8, 128, 7, 0];
        assert_eq!(flatten(&grey, Colour::GreyAlpha, Rgb([255; 3]), Colour::Grey), [191, 255]);
        assert_eq!(flatten(&grey, Colour::GreyAlpha, Rgb([255, 0, 0]), Colour::Rgb), [191, 64, 64, 255, 0, 0]);
    }

    #[test]
    fn flatten_of_16_bits_is_exact() {
        // The background 0x80 is 0x8080 = 32896: 40000*16384/65535 + 32896*49151/65535 = 34672.05
        let band = [40_000u16, 16_384, 65_535, 65_535, 5, 0];
        assert_eq!(flatten(&band, Colour::GreyAlpha, Rgb([128; 3]), Colour::Grey), [34_672, 65_535, 32_896]);
        let white = [65_535u16, 65_535, 65_535, 32_768];
        assert_eq!(flatten(&white, Colour::Rgba, Rgb([255; 3]), Colour::Rgb), [65_535; 3]);
    }

    #[test]
    fn narrow_rounds_to_nearest() {
        for v in 0..=u16::MAX {
            let exact = f64::from(v) * 255.0 / 65_535.0;
            assert_eq!(f64::from(narrow(v)), exact.round(), "{v}");
        }
    }
}
