//! EXIF and XMP: what was photographed when, by whom and with what. It is kept on request.

use super::exif;
use super::format::Format;
use super::xmp;

/// The longest EXIF data of a JPEG file, which has one segment for them.
const MAX_JPEG_EXIF: usize = 65_533 - JPEG_EXIF.len();

/// The longest XMP packet of a JPEG file, as long as it has one segment only.
const MAX_JPEG_XMP: usize = 65_533 - JPEG_XMP.len();

/// What a segment of EXIF data begins with.
pub(super) const JPEG_EXIF: &[u8] = b"Exif\0\0";

/// What a segment of XMP begins with.
pub(super) const JPEG_XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";

/// The data as they are in the file; none where nobody asked for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Metadata {
    pub(super) exif: Option<Vec<u8>>,
    pub(super) xmp: Option<Vec<u8>>,
}

impl Metadata {
    /// What is written with an upright picture of this size, and a line on each of what is not.
    pub(super) fn storable(self, format: Format, width: u32, height: u32) -> (Self, Vec<String>) {
        let mut lost = Vec::new();
        let mut keep =
            |name: &str, data: Option<Vec<u8>>, corrected: fn(&[u8], u32, u32) -> anyhow::Result<Vec<u8>>, most| {
                let corrected = corrected(&data?, width, height);
                let line = match corrected {
                    Ok(data) if data.len() <= most => return Some(data),
                    Ok(data) => format!("{format} holds at most {most} bytes of {name}, not {}", data.len()),
                    Err(error) => format!("its {name} is malformed ({error})"),
                };
                lost.push(line + "; it is left out");
                None
            };
        let (most_exif, most_xmp) = match format {
            Format::Jpeg => (MAX_JPEG_EXIF, MAX_JPEG_XMP),
            Format::Png | Format::WebP | Format::Tiff => (usize::MAX, usize::MAX),
        };
        let xmp = keep("XMP", self.xmp, xmp::corrected, most_xmp);
        let exif = match format {
            Format::Tiff if self.exif.is_some() => {
                lost.push("EXIF is not written into TIFF; it is left out".to_owned());
                None
            }
            _ => keep("EXIF", self.exif, exif::corrected, most_exif),
        };
        (Self { exif, xmp }, lost)
    }
}

/// Corrects data, as EXIF and as XMP. EXIF that is right stays as it is; XMP that is no XML may not.
#[cfg(fuzzing)]
pub(crate) fn correct_metadata(data: &[u8]) {
    if let Ok(made) = exif::corrected(data, 640, 480) {
        assert!(made.len() <= data.len());
        assert_eq!(exif::corrected(&made, 640, 480).ok().as_ref(), Some(&made));
    }
    let _ = xmp::corrected(data, 640, 480);
}
