//! A colour on the command line.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, anyhow};

/// An opaque colour of 8 bits a channel: `#rgb`, `#rrggbb`, `white` or `black`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rgb(pub(crate) [u8; 3]);

impl Rgb {
    /// Whether the three channels are equal.
    pub(super) fn is_grey(self) -> bool {
        let Self([r, g, b]) = self;
        r == g && g == b
    }
}

impl FromStr for Rgb {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        parse(text).ok_or_else(|| anyhow!("{text:?} is not a colour: give #rgb, #rrggbb, white or black"))
    }
}

fn parse(text: &str) -> Option<Rgb> {
    match text {
        "white" => return Some(Rgb([255; 3])),
        "black" => return Some(Rgb([0; 3])),
        _ => {}
    }
    let digits = text
        .strip_prefix('#')?
        .chars()
        .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()))
        .collect::<Option<Vec<u8>>>()?;
    match digits[..] {
        [r, g, b] => Some(Rgb([r * 17, g * 17, b * 17])),
        [r1, r0, g1, g0, b1, b0] => Some(Rgb([r1 * 16 + r0, g1 * 16 + g0, b1 * 16 + b0])),
        _ => None,
    }
}

impl fmt::Display for Rgb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([r, g, b]) = self;
        write!(f, "#{r:02x}{g:02x}{b:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_parse() {
        let rgb = |text: &str| text.parse::<Rgb>().unwrap().0;
        assert_eq!(rgb("#18f"), [0x11, 0x88, 0xff]);
        assert_eq!(rgb("#1080Fe"), [0x10, 0x80, 0xfe]);
        assert_eq!(rgb("white"), [255, 255, 255]);
        assert_eq!(rgb("black"), [0, 0, 0]);
        assert_eq!(Rgb([1, 2, 255]).to_string(), "#0102ff");
    }

    #[test]
    fn other_words_are_refused() {
        for text in ["", "#", "#12", "#1234", "#12345g", "18f", "pink", "#é1", "#+1+1+1"] {
            assert_eq!(
                text.parse::<Rgb>().unwrap_err().to_string(),
                format!("{text:?} is not a colour: give #rgb, #rrggbb, white or black")
            );
        }
    }
}
