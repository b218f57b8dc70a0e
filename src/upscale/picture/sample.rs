//! Samples of a picture, and what is mixed to become one.
//!
//! Samples keep their integer values, 0 to 255 or 65,535, which f32 holds exactly. Colour that is to be mixed with its
//! neighbours is multiplied by its alpha before and divided by it after, so that transparent pixels contribute no
//! colour; alpha itself is mixed like any channel.

use std::fmt::Debug;

/// A sample of a picture: `u8` from 0 to 255, `u16` from 0 to 65,535, `f32` from 0 to 1.
pub trait Sample: Copy + Debug + Default + PartialEq + Send + Sync + Into<f32> + 'static {
    /// The largest value.
    const FULL: f32;

    /// The nearest sample: halves are rounded up, values out of range are clamped, NaN gives 0.
    fn nearest(value: f32) -> Self;
}

impl Sample for u8 {
    const FULL: f32 = u8::MAX as f32;

    fn nearest(value: f32) -> Self {
        (clamped(value, Self::FULL) + 0.5) as Self
    }
}

impl Sample for u16 {
    const FULL: f32 = u16::MAX as f32;

    fn nearest(value: f32) -> Self {
        (clamped(value, Self::FULL) + 0.5) as Self
    }
}

impl Sample for f32 {
    const FULL: f32 = 1.0;

    fn nearest(value: f32) -> Self {
        clamped(value, Self::FULL)
    }
}

/// Comparisons with NaN are false.
fn clamped(value: f32, most: f32) -> f32 {
    if value > 0.0 { if value < most { value } else { most } } else { 0.0 }
}

/// Divides colour by alpha, before alpha is rounded or clamped; where the rounded alpha is 0 there is no colour.
pub(super) fn straight<T: Sample>(pixel: &mut [T], at: impl Fn(usize) -> f32) {
    let Some((last, colour)) = pixel.split_last_mut() else { return };
    let alpha = at(colour.len());
    *last = T::nearest(alpha);
    let transparent = *last == T::default();
    for (channel, sample) in colour.iter_mut().enumerate() {
        *sample = if transparent { T::default() } else { T::nearest(at(channel) * T::FULL / alpha) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_rounded_and_clamped() {
        let given = [f32::NAN, f32::NEG_INFINITY, -0.6, 0.49, 0.5, 254.4, 254.5, 256.0, f32::INFINITY];
        assert_eq!(given.map(u8::nearest), [0, 0, 0, 0, 1, 254, 255, 255, 255]);
        assert_eq!([f32::NAN, 65_534.4, 65_534.5, 1e9].map(u16::nearest), [0, 65_534, 65_535, 65_535]);
        assert!((0..=u16::MAX).all(|v| u16::nearest(v.into()) == v));
        assert_eq!([f32::NAN, -0.5, 0.25, 1.5].map(f32::nearest), [0.0, 0.0, 0.25, 1.0]);
    }
}
