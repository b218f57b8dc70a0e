//! The readers of files, for the fuzz targets: each takes what is in a file, and reads or refuses it.

use crate::npy;
use crate::picture::Source;
use std::path::Path;

/// A picture may take so many bytes.
const MEMORY: u64 = 16 << 20;

/// An .npy file.
pub fn npy(bytes: &[u8]) {
    let _ = npy::parse(bytes, Some(bytes.len() as u64), MEMORY);
}

/// A picture.
pub fn picture(path: &Path) {
    let Ok(source) = Source::open(path, MEMORY) else { return };
    let shape = source.shape();
    if let Ok(picture) = source.decode() {
        assert_eq!((picture.width, picture.height), (shape.width, shape.height));
    }
}
