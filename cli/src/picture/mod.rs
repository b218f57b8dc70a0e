//! Pictures: PNG, JPEG, WebP and TIFF, read and written, and BMP, GIF and QOI, read.
//!
//! [`Source`] opens a picture, knows its shape from the header and decodes it. [`Target`] settles
//! where and how a result is written, refusing what cannot be before any work is done, and starts
//! a [`Writer`], which takes the rows.
//!
//! Besides the samples, what says how they look is carried over, where the format can hold it and it stays true
//! ([`tags::Tags`]). EXIF and XMP are carried on request ([`metadata::Metadata`]), with what would describe another picture
//! (orientation, sizes, thumbnail) put right or taken out. Text, times, backgrounds are not carried, nor sBIT: between samples
//! of 5 bits come others.

mod bmp_source;
mod convert;
mod encoding;
mod exif;
mod format;
mod gif_source;
mod guard;
mod header;
mod ifd;
mod jpeg;
mod metadata;
mod palette;
mod png_source;
mod png_stream;
mod qoi_source;
mod rgb;
mod samples;
mod shape;
mod source;
mod tags;
mod target;
#[cfg(test)]
mod tests;
mod tiff;
mod turn;
mod webp_source;
mod whole;
mod writer;
mod xmp;

pub(crate) use encoding::PngEffort;
pub(crate) use format::{Format, Readable};
#[cfg(fuzzing)]
pub(crate) use metadata::correct_metadata;
pub(crate) use rgb::Rgb;
pub(crate) use samples::{Picture, Rows, Samples};
pub(crate) use shape::Shape;
pub(crate) use source::Source;
pub(crate) use target::{Target, TargetOptions};
pub(crate) use writer::Writer;
