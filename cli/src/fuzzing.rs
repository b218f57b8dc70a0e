//! The readers of files, for the fuzz targets: each takes what is in a file, and reads or refuses it.

use crate::npy;
use crate::picture::{Source, correct_metadata};
use std::path::Path;

/// A picture may take so many bytes.
const MEMORY: u64 = 16 << 20;

/// An .npy file.
pub fn npy(bytes: &[u8]) {
    let _ = npy::parse(bytes, Some(bytes.len() as u64), MEMORY);
}

/// A picture.
pub fn picture(path: &Path) {
    let Ok(source) = Source::open_with_metadata(path, MEMORY) else { return };
    let shape = source.shape();
    let _ = source.tags();
    if let Ok(picture) = source.decode() {
        assert_eq!((picture.width, picture.height), (shape.width, shape.height));
    }
}

/// EXIF data, or an XMP packet.
pub fn metadata(bytes: &[u8]) {
    correct_metadata(bytes);
}
