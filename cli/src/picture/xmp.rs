//! An XMP packet, corrected for the picture that was made.

use anyhow::{Context, Result};

/// The packet for an upright picture of this size: the orientation is 1, the sizes in pixels are these, and thumbnails are
/// gone. It is text, which is changed by the names that everybody gives these properties; all else stays as it is.
pub(super) fn corrected(packet: &[u8], width: u32, height: u32) -> Result<Vec<u8>> {
    let mut text = str::from_utf8(packet).ok().context("it is no text in UTF-8")?.to_owned();
    for name in ["xmp:Thumbnails", "xap:Thumbnails"] {
        text = without(&text, name);
    }
    let (width, height) = (width.to_string(), height.to_string());
    for (name, value) in [
        ("tiff:Orientation", "1"),
        ("tiff:ImageWidth", &width),
        ("tiff:ImageLength", &height),
        ("exif:PixelXDimension", &width),
        ("exif:PixelYDimension", &height),
    ] {
        text = with_value(&text, name, value);
    }
    Ok(text.into_bytes())
}

/// The text without the elements of this name.
fn without(text: &str, name: &str) -> String {
    let (start, end) = (format!("<{name}"), format!("</{name}>"));
    let mut made = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(&start) {
        // Another name may begin alike.
        let is_it = after.starts_with(|c: char| c == '>' || c == '/' || c.is_ascii_whitespace());
        let behind = match is_it {
            true => after.split_once(&end).map(|(_, behind)| behind),
            false => None,
        };
        made += before;
        match behind {
            Some(behind) => rest = behind,
            None => {
                made += &start;
                rest = after;
            }
        }
    }
    made + rest
}

/// The text with another number where this property has one, as an attribute or as an element.
fn with_value(text: &str, name: &str, value: &str) -> String {
    let mut made = String::with_capacity(text.len() + value.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(name) {
        made += before;
        made += name;
        rest = after;
        // `="6"`, `='6'` or `>6<`, with white space where XML allows it.
        let spaces = |text: &str| text.len() - text.trim_ascii_start().len();
        let mut at = spaces(after);
        if after[at..].starts_with('=') {
            at += 1;
            at += spaces(&after[at..]);
        }
        if !after[at..].starts_with(['"', '\'', '>']) {
            continue;
        }
        at += 1;
        at += spaces(&after[at..]);
        let digits = after[at..].len() - after[at..].trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let ends = after[at + digits..].trim_ascii_start().starts_with(['"', '\'', '<']);
        if digits > 0 && ends {
            made += &after[..at];
            made += value;
            rest = &after[at + digits..];
        }
    }
    made + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(text: &str) -> String {
        String::from_utf8(corrected(text.as_bytes(), 640, 480).unwrap()).unwrap()
    }

    #[test]
    fn numbers_are_put_right_wherever_they_stand() {
        for (given, expected) in [
            (
                r#"<a tiff:Orientation="6" exif:PixelXDimension='32'/>"#,
                r#"<a tiff:Orientation="1" exif:PixelXDimension='640'/>"#,
            ),
            ("<tiff:Orientation>8</tiff:Orientation>", "<tiff:Orientation>1</tiff:Orientation>"),
            ("<tiff:ImageLength>\n 7 </tiff:ImageLength>", "<tiff:ImageLength>\n 480 </tiff:ImageLength>"),
            ("tiff:Orientation = \"3\"", "tiff:Orientation = \"1\""),
            // No numbers, or other names.
            ("<tiff:Orientation/><tiff:OrientationX>6<", "<tiff:Orientation/><tiff:OrientationX>6<"),
            ("tiff:Orientation=\"six\" tiff:Orientation", "tiff:Orientation=\"six\" tiff:Orientation"),
            ("tiff:Orientation=\"66", "tiff:Orientation=\"66"),
            ("tiff:Orientation", "tiff:Orientation"),
            ("", ""),
        ] {
            assert_eq!(made(given), expected);
        }
    }

    #[test]
    fn thumbnails_are_taken_out() {
        assert_eq!(made("a<xmp:Thumbnails><b>é</b></xmp:Thumbnails>c<xmp:Thumbnails x='1'>d</xmp:Thumbnails>e"), "ace");
        for open in ["a<xmp:Thumbnails>b", "a<xmp:ThumbnailsNot>b</xmp:Thumbnails>", "<xmp:Thumbnails"] {
            assert_eq!(made(open), open);
        }
        assert!(corrected(&[b'a', 0xff], 1, 1).is_err());
    }
}
