//! How large a picture is to become.

use crate::picture::Shape;
use std::fmt;
use upconv::upscale::MAX_SCALE;

/// The most pixels in a width or a height: what PNG holds, which holds the most.
const MAX_SIDE: u32 = i32::MAX.unsigned_abs();

/// What is asked for, of every picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Wanted {
    /// So many times as wide and as high.
    Factor(f64),
    /// This width and height.
    Size(Size),
    /// This width, and the height that keeps the ratio of the sides.
    Width(u32),
    /// This height, and the width that keeps the ratio of the sides.
    Height(u32),
}

/// A width and a height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) width: u32,
    pub(super) height: u32,
}

impl Size {
    pub(super) fn of(shape: Shape) -> Self {
        Self { width: shape.width, height: shape.height }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

impl Wanted {
    /// The width and the height for a picture of this size: rounded to the nearest pixel, halves up, at least 1.
    pub(super) fn of(self, width: u32, height: u32) -> (u64, u64) {
        let (own_width, own_height) = (u64::from(width), u64::from(height));
        // 31 bits times 32 bits, doubled: no more than 64.
        let scaled = |side: u64, to: u64, from: u64| ((2 * side * to + from) / (2 * from)).max(1);
        match self {
            Wanted::Factor(factor) => {
                let times = |side: u32| (f64::from(side) * factor).round().max(1.0) as u64;
                (times(width), times(height))
            }
            Wanted::Size(size) => (size.width.into(), size.height.into()),
            Wanted::Width(width) => (width.into(), scaled(own_height, width.into(), own_width)),
            Wanted::Height(height) => (scaled(own_width, height.into(), own_height), height.into()),
        }
    }
}

/// Reads a factor: digits, and a point among them if it is not whole.
pub(super) fn parse_factor(text: &str) -> Result<f64, String> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    match text.parse::<f64>() {
        Ok(factor) if is_plain && (1.0..=MAX_SCALE as f64).contains(&factor) => Ok(factor),
        _ => Err(format!("expected a factor from 1 to {MAX_SCALE}, such as 2 or 1.5")),
    }
}

/// Reads a width and a height, such as `1920x1080`.
pub(super) fn parse_size(text: &str) -> Result<Size, String> {
    let is_number = |side: &&str| !side.is_empty() && side.bytes().all(|byte| byte.is_ascii_digit());
    let sides: Vec<&str> = text.split(['x', 'X']).filter(is_number).collect();
    match sides[..] {
        [width, height] if text.len() == width.len() + height.len() + 1 => {
            Ok(Size { width: parse_side(width)?, height: parse_side(height)? })
        }
        _ => Err("expected a width and a height in pixels, such as 1920x1080".into()),
    }
}

/// Reads a width or a height.
pub(super) fn parse_side(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(side) if text.bytes().all(|byte| byte.is_ascii_digit()) && (1..=MAX_SIDE).contains(&side) => Ok(side),
        _ => Err(format!("expected 1 to {MAX_SIDE} pixels per side")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_keep_the_ratio_of_the_sides() {
        assert_eq!(Wanted::Factor(1.5).of(5, 4), (8, 6));
        assert_eq!(Wanted::Factor(1.7).of(5, 45), (9, 77));
        assert_eq!(Wanted::Factor(64.0).of(u32::MAX, 1), (64 * u64::from(u32::MAX), 64));
        assert_eq!(Wanted::Width(100).of(67, 45), (100, 67));
        assert_eq!(Wanted::Height(45).of(67, 45), (67, 45));
        assert_eq!(Wanted::Width(3).of(2, 3), (3, 5));
        assert_eq!(Wanted::Width(1).of(1000, 3), (1, 1));
        assert_eq!(
            Wanted::Height(MAX_SIDE).of(u32::MAX, 1),
            (u64::from(MAX_SIDE) * u64::from(u32::MAX), MAX_SIDE.into())
        );
        assert_eq!(Wanted::Size(Size { width: 3, height: 9 }).of(100, 1), (3, 9));
    }

    #[test]
    fn numbers_are_plain() {
        assert_eq!(["1", "1.5", "2.0", "64", "02."].map(parse_factor), [1.0, 1.5, 2.0, 64.0, 2.0].map(Ok));
        for text in ["0", "0.99", "64.01", "-2", "+2", "NaN", "inf", "1e1", "", ".", "1.5.2", "2x", "1,5", " 2", "９"]
        {
            assert!(parse_factor(text).is_err(), "{text}");
        }
        assert_eq!(parse_size("1920x1080"), Ok(Size { width: 1920, height: 1080 }));
        assert_eq!(parse_size("1X2147483647"), Ok(Size { width: 1, height: MAX_SIDE }));
        for text in
            ["", "x", "10", "10x", "x10", "axb", "1e3x5", "1x2x3", "1xx2", "1x2x", "-1x5", "+1x5", "1.5x2", "1 x2"]
        {
            assert_eq!(
                parse_size(text),
                Err("expected a width and a height in pixels, such as 1920x1080".into()),
                "{text}"
            );
        }
        for text in ["0x5", "5x0", "2147483648x1", "1x99999999999999999999999"] {
            assert_eq!(parse_size(text), Err("expected 1 to 2147483647 pixels per side".into()), "{text}");
        }
        assert!(["0", "-1", "+1", "1.5", "", "1e3"].iter().all(|text| parse_side(text).is_err()));
    }
}
