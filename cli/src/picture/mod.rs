//! Pictures: PNG, JPEG and WebP, read and written.
//!
//! [`Source`] opens a picture, knows its shape from the header and decodes it. [`Target`] settles
//! where and how a result is written, refusing what cannot be before any work is done, and starts
//! a [`Writer`], which takes the rows.
//!
//! Besides the samples, what says how they look is carried over, where the format can hold it and it stays true
//! ([`tags::Tags`]). EXIF is not carried: the orientation it holds was applied, and the rest (thumbnail, sizes) would describe
//! another picture. Nor are XMP, text, times, backgrounds, and sBIT: between samples of 5 bits come others.

mod convert;
mod encoding;
mod format;
mod guard;
mod header;
mod jpeg;
mod png_source;
mod png_stream;
mod rgb;
mod samples;
mod shape;
mod source;
mod tags;
mod target;
#[cfg(test)]
mod tests;
mod turn;
mod webp_source;
mod whole;
mod writer;

pub(crate) use format::Format;
pub(crate) use rgb::Rgb;
pub(crate) use samples::{Picture, Rows, Samples};
pub(crate) use shape::{Colour, Depth, Shape};
pub(crate) use source::Source;
pub(crate) use target::{Target, TargetOptions};
pub(crate) use writer::Writer;
