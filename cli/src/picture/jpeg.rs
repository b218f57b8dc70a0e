//! The end of a JPEG file.

/// Whether a JPEG file reaches its end-of-image marker.
///
/// The decoder fills the missing part of a truncated file with grey and reports no error; this detects
/// such a file. Marker segments are skipped by their length, so that the end of a thumbnail inside
/// one is not taken for the picture's. What follows the marker does not matter.
pub(super) fn is_complete(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(start) = rest.iter().position(|&b| b == 0xff) {
        rest = &rest[start + 1..];
        let after = match rest {
            [0xd9, ..] => return true,
            // Fill before a marker.
            [0xff, ..] => 0,
            // A stuffed 0xff in the data, and the markers that stand alone.
            [0x00 | 0x01 | 0xd0..=0xd8, ..] => 1,
            [_, high, low, ..] => 1 + usize::from(u16::from_be_bytes([*high, *low])),
            _ => return false,
        };
        rest = rest.get(after..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::is_complete;

    #[test]
    fn the_end_is_found_where_it_counts() {
        let whole = [
            0xff, 0xd8, // start
            0xff, 0xff, 0xe1, 0, 6, 0xff, 0xd9, 1, 2, // a segment that holds an end marker
            0xff, 0xda, 0, 3, 9, // scan
            7, 0xff, 0x00, 8, 0xff, 0xd3, 5, // data with a stuffed byte and a restart
            0xff, 0xd9, // end
        ];
        for length in 0..whole.len() {
            assert!(!is_complete(&whole[..length]), "{length}");
        }
        assert!(is_complete(&whole));
        assert!(is_complete(&[&whole[..], b"trailing"].concat()));
    }
}
