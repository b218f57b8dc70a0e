//! TIFF: what its fields say, how its samples are stored and written.
//!
//! The crate `tiff` is not used: it refuses palettes, and takes apart samples with extra channels in a way that garbles
//! them where they are stored as differences.

mod fields;
mod samples;
mod source;
mod stream;

pub(super) use source::TiffSource;
pub(super) use stream::TiffStream;
