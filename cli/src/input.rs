//! Inputs: files, pipes and standard input, each read up to a bound.

use anyhow::{Context as _, Result, bail, ensure};
use std::fs::File;
use std::io::{self, Read, Seek, Stdin, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// The longest OP.json, tuning file or description of a network that is read, in bytes.
pub(crate) const MAX_TEXT: u64 = 16 << 20;

/// How many bytes of a picture tell its format.
const START: u64 = 64;

/// Whether standard input was opened in this run: what was read from it is gone.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Whether a path stands for standard input or output: `-`. A file of that name is `./-`.
pub(crate) fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// An opened input.
pub(crate) enum Input {
    File(File),
    Standard(Stdin),
}

impl Input {
    /// Opens a file, a pipe or a device to read, or standard input.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        if !is_standard(path) {
            return Ok(Self::File(File::open(path)?));
        }
        ensure!(!TAKEN.swap(true, Ordering::Relaxed), "standard input can be read only once");
        Ok(Self::Standard(io::stdin()))
    }

    /// The bytes of a regular file.
    pub(crate) fn length(&self) -> Result<Option<u64>> {
        let Self::File(file) = self else { return Ok(None) };
        let found = file.metadata()?;
        ensure!(!found.is_dir(), "is a folder");
        Ok(found.is_file().then_some(found.len()))
    }
}

impl Read for Input {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(bytes),
            Self::Standard(standard) => standard.read(bytes),
        }
    }
}

/// The name of an input for messages.
pub(crate) fn shown(path: &Path) -> String {
    if is_standard(path) { "standard input".into() } else { path.display().to_string() }
}

/// Reads an input of at most so many bytes.
pub(crate) fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let bytes = || {
        let input = Input::open(path)?;
        let length = input.length()?;
        up_to(input, length, most)
    };
    bytes().with_context(|| format!("cannot read {}", shown(path)))
}

/// Reads text of at most so many bytes.
pub(crate) fn read_text(path: &Path, most: u64) -> Result<String> {
    text(read(path, most)?).with_context(|| format!("cannot read {}", shown(path)))
}

/// The bytes as text.
pub(crate) fn text(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        anyhow::anyhow!("is not text: the byte at {at} is no part of UTF-8")
    })
}

/// Reads at most so many bytes of what has this length, if it is known.
pub(crate) fn up_to(reader: impl Read, length: Option<u64>, most: u64) -> Result<Vec<u8>> {
    if let Some(length) = length.filter(|&length| length > most) {
        bail!("has {length} bytes, more than the {most} allowed");
    }
    let mut bytes = Vec::new();
    reader.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    ensure!(bytes.len() as u64 <= most, "has more than the {most} bytes allowed");
    Ok(bytes)
}

/// Opens a picture, for decoders that move about in the file. What comes through a pipe is kept in a temporary file
/// without a name, as far as it begins like a picture and takes at most so many bytes.
pub(crate) fn seekable(path: &Path, most: u64, begins_right: impl Fn(&[u8]) -> bool) -> Result<File> {
    let mut input = Input::open(path)?;
    if let Input::File(file) = input {
        let found = file.metadata()?;
        ensure!(!found.is_dir(), "is a folder, not a picture");
        if found.is_file() {
            return Ok(file);
        }
        input = Input::File(file);
    }
    let mut kept = tempfile::tempfile().context("cannot keep what comes through the pipe in a temporary file")?;
    let mut start = Vec::new();
    (&mut input).take(START).read_to_end(&mut start)?;
    kept.write_all(&start)?;
    if begins_right(&start) {
        let rest = most.saturating_sub(start.len() as u64);
        let copied = io::copy(&mut input.take(rest.saturating_add(1)), &mut kept)
            .context("cannot keep what comes through the pipe in a temporary file")?;
        ensure!(
            copied <= rest,
            "more than {} MiB come through the pipe, which is all that is allowed; --memory raises the limit",
            most >> 20
        );
    }
    kept.rewind()?;
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_longer_than_allowed_is_refused_with_its_numbers() {
        let refusal = |length, most| up_to(&b"12345"[..], length, most).unwrap_err().to_string();
        assert_eq!(refusal(Some(5), 4), "has 5 bytes, more than the 4 allowed");
        assert_eq!(refusal(None, 4), "has more than the 4 bytes allowed");
        assert_eq!(up_to(&b"12345"[..], None, 5).unwrap(), b"12345");
        assert_eq!(text(vec![b'a', 0xff]).unwrap_err().to_string(), "is not text: the byte at 1 is no part of UTF-8");
    }
}
