//! JPEG, read: libjpeg decodes, and what it had to repair is judged.

mod damage;
mod libjpeg;
mod segments;

use std::io::Read;

use anyhow::{Result, ensure};

use super::header::{Header, allocate, check_budget, orientation};
use super::metadata::Metadata;
use super::samples::Samples;
use super::shape::{Colour, Depth, Shape};
use super::tags::Tags;
use damage::Damage;
use libjpeg::Space;
use segments::Segments;

/// A file in memory, its segments found to be well-formed.
pub(super) struct JpegSource(Vec<u8>);

impl JpegSource {
    /// Reads the file, which must not be longer than `memory_budget`, and its segments, with `metadata` EXIF and XMP too.
    pub(super) fn open(file: &mut impl Read, memory_budget: u64, metadata: bool) -> Result<(Header, Self)> {
        let mut bytes = Vec::new();
        file.take(memory_budget.saturating_add(1)).read_to_end(&mut bytes)?;
        ensure!(
            bytes.len() as u64 <= memory_budget,
            "is a file of more than the {} MiB allowed; --memory raises the limit",
            memory_budget >> 20
        );
        let segments = Segments::read(&bytes)?;
        Damage::new(&segments)?;
        let frame = &segments.frame;
        let colour = match frame.components.len() {
            1 => Colour::Grey,
            _ => Colour::Rgb,
        };
        let mut header = Header::plain(Shape { width: frame.width, height: frame.height, colour, depth: Depth::Eight });
        header.orientation = orientation(segments.exif);
        check_budget(&header, coefficient_bytes(&segments), memory_budget)?;
        let icc = segments.icc();
        if matches!(icc, Some(Err(()))) {
            header.warnings.push("pieces of its ICC profile are missing, it is left out".to_owned());
        }
        header.tags = Tags { icc: icc.and_then(Result::ok), density: segments.density, ..Tags::default() };
        if metadata {
            header.tags.metadata =
                Metadata { exif: segments.exif.map(<[u8]>::to_vec), xmp: segments.xmp.map(<[u8]>::to_vec) };
            if segments.more_xmp {
                header.warnings.push("the extended part of its XMP is left out".to_owned());
            }
        }
        if frame.components.len() == 4 {
            // It describes the inks, not the RGB that they become.
            header.warnings.extend(header.tags.icc.take().map(|_| {
                "its CMYK is converted to RGB without its ICC profile: colours may look different".to_owned()
            }));
        }
        Ok((header, Self(bytes)))
    }

    /// Decodes the picture; the lines say what was repaired.
    pub(super) fn decode(self, stored: Shape) -> Result<(Samples, Vec<String>)> {
        let segments = Segments::read(&self.0)?;
        let mut damage = Damage::new(&segments)?;
        let mut samples = allocate::<u8>(stored)?;
        let space = match segments.frame.components.len() {
            1 => Space::Grey,
            3 => Space::Rgb,
            _ => Space::Cmyk { inverted: segments.adobe },
        };
        libjpeg::decode(&self.0, (stored.width, stored.height), space, &mut samples, |scan, row, report| {
            damage.note(scan, row, report)
        })?;
        Ok((Samples::Eight(samples), damage.judge()?))
    }
}

/// What libjpeg keeps of a picture in several scans: all coefficients, 16 bits each.
fn coefficient_bytes(segments: &Segments<'_>) -> u64 {
    let frame = &segments.frame;
    let whole = segments.scans.first().is_some_and(|scan| scan.components.len() == frame.components.len());
    if whole && !frame.progressive {
        return 0;
    }
    (0..frame.components.len()).map(|component| frame.blocks(component)).map(|(w, h)| w * h * 128).sum()
}
