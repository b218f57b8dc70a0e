//! What is known of a picture before its samples are decoded, and whether there is memory for them.

use anyhow::{Result, anyhow, ensure};
use image::metadata::Orientation;

use super::exif::bare;
use super::format::Readable;
use super::shape::Shape;
use super::tags::{Tags, is_on_its_side};

/// What the file says before its samples.
pub(super) struct Header {
    /// The shape as stored, before the orientation is applied.
    pub(super) stored: Shape,
    pub(super) orientation: Orientation,
    /// As stored, too.
    pub(super) tags: Tags,
    /// What was left out or repaired, in lines.
    pub(super) warnings: Vec<String>,
}

impl Header {
    /// Of a picture that is upright and has no tags.
    pub(super) fn plain(stored: Shape) -> Self {
        Self { stored, orientation: Orientation::NoTransforms, tags: Tags::default(), warnings: Vec::new() }
    }

    /// The shape after the orientation is applied.
    pub(super) fn upright(&self) -> Shape {
        let Shape { width, height, .. } = self.stored;
        match is_on_its_side(self.orientation) {
            true => Shape { width: height, height: width, ..self.stored },
            false => self.stored,
        }
    }
}

/// The orientation that EXIF data give; upright where they give none.
pub(super) fn orientation(exif: Option<&[u8]>) -> Orientation {
    exif.map(bare).and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms)
}

/// Refuses a picture whose samples, and what the decoder keeps besides, take more than `budget`. Turning a picture on its
/// side takes a second copy.
pub(super) fn check_budget(header: &Header, besides: u64, budget: u64) -> Result<()> {
    let copies = if is_on_its_side(header.orientation) { 2 } else { 1 };
    let needed = header.stored.bytes().saturating_mul(copies).saturating_add(besides);
    ensure!(
        needed <= budget,
        "takes {} MiB to decode ({}), more than the {} MiB allowed; --memory raises the limit",
        needed.div_ceil(1 << 20),
        header.upright(),
        budget >> 20
    );
    Ok(())
}

/// The samples of a picture, all 0.
pub(super) fn allocate<T: Clone + Default>(shape: Shape) -> Result<Vec<T>> {
    let count = shape.bytes() / u64::from(shape.depth.bits() / 8);
    let mut samples = Vec::new();
    let count = usize::try_from(count).ok().filter(|&count| samples.try_reserve_exact(count).is_ok());
    samples.resize(count.ok_or_else(|| anyhow!("no memory for the {} bytes of {shape}", shape.bytes()))?, T::default());
    Ok(samples)
}

pub(super) fn truncated(format: Readable) -> String {
    format!("the {format} file is truncated")
}
