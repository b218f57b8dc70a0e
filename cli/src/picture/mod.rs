//! Pictures: PNG, JPEG and WebP, read and written.
//!
//! [`Source`] opens a picture, knows its shape from the header and decodes it. [`Target`] settles
//! where and how a result is written, refusing what cannot be before any work is done, and starts
//! a [`Writer`], which takes the rows.
//!
//! Besides the samples an ICC profile is carried over, where it describes the colour that is
//! stored: a CMYK picture is decoded to RGB, and grey is stored as RGB in WebP, so the profiles of
//! those are left behind. EXIF is not carried: the orientation it holds was applied, and the rest
//! (thumbnail, sizes) would describe another picture. Nor are XMP, text, pixel density, and PNG's
//! gAMA, cHRM, sRGB and cICP chunks.

mod convert;
mod encoding;
mod format;
mod jpeg;
mod png_stream;
mod rgb;
mod samples;
mod shape;
mod source;
mod target;
#[cfg(test)]
mod tests;
mod whole;
mod writer;

pub(crate) use format::Format;
pub(crate) use rgb::Rgb;
pub(crate) use samples::{Rows, Samples};
pub(crate) use shape::{Colour, Depth, Shape};
pub(crate) use source::Source;
pub(crate) use target::{Target, TargetOptions};
pub(crate) use writer::Writer;
