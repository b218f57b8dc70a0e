//! A number of bytes on the command line.

/// Reads `4GiB`, `512MiB`, `1.5GB` or plain bytes: `Ki`, `Mi` … are powers of 1024, `K`, `M` … of 1000.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    match parse_size::parse_size(text) {
        // Beyond 2^63 no machine has memory, and the sums of sizes would overflow.
        Ok(bytes) if (1..1 << 63).contains(&bytes) => Ok(bytes),
        _ => Err("not a number of bytes: give 4GiB, 512MiB or 1.5GB, say".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn sizes_parse() {
        for (text, bytes) in [
            ("4GiB", 4 << 30),
            ("512M", 512_000_000),
            ("512 mib", 512 << 20),
            ("1.5GB", 1_500_000_000),
            ("1k", 1000),
            ("2Ti", 2 << 40),
            ("4096", 4096),
            ("7B", 7),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn other_words_are_refused() {
        for text in ["", "GiB", "4X", "4GiBs", "1..5G", "-1", "0", "0.1", "99999999Ti", "4é", "inf", "nan"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
