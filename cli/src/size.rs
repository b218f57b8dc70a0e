//! A number of bytes on the command line.

/// Reads `4GiB`, `512M`, `1.5GB` or plain bytes. `K`, `M`, `G`, `T` and `KiB` … are powers of 1024, `KB` … of 1000.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let refused = || "not a number of bytes: give 4GiB, 512MiB or 1.5GB, say".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| refused())?;
    let unit = unit.trim().to_ascii_uppercase();
    let power = |letter: char| "KMGT".find(letter).map(|index| index as i32 + 1);
    let letters: Vec<char> = unit.chars().collect();
    let unit = match letters[..] {
        [] | ['B'] => Some(1.0),
        [letter] | [letter, 'I', 'B'] => power(letter).map(|power| 1024_f64.powi(power)),
        [letter, 'B'] => power(letter).map(|power| 1000_f64.powi(power)),
        _ => None,
    };
    let bytes = number * unit.ok_or_else(refused)?;
    // Beyond 2^63 no machine has memory, and the sums of sizes would overflow.
    if (1.0..9.2e18).contains(&bytes) { Ok(bytes as u64) } else { Err(refused()) }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn sizes_parse() {
        for (text, bytes) in [
            ("4GiB", 4 << 30),
            ("512M", 512 << 20),
            ("512 mib", 512 << 20),
            ("1.5GB", 1_500_000_000),
            ("1k", 1024),
            ("2T", 2 << 40),
            ("4096", 4096),
            ("7B", 7),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn other_words_are_refused() {
        for text in ["", "GiB", "4X", "4GiBs", "1..5G", "-1", "0", "0.1", "99999999T", "4é", "inf", "nan"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
