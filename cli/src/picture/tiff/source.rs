//! TIFF, read.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Seek};

use anyhow::{Error, Result, anyhow, ensure};
use image::metadata::Orientation;

use super::fields::{self, Compression, Fields, number};
use super::samples::{Pieces, decode};
use crate::picture::format::Readable;
use crate::picture::header::{Header, allocate, check_budget, truncated};
use crate::picture::ifd::{Directories, Directory, Place};
use crate::picture::samples::Samples;
use crate::picture::shape::{Depth, Shape};
use crate::picture::tags::{Density, MAX_METADATA};

/// The most directories that are looked through, and the most entries of all of them, which may lie over each other.
const MAX_DIRECTORIES: usize = 1 << 12;
const MAX_ENTRIES: usize = 1 << 20;

/// A decoder that has read everything but the samples.
pub(crate) struct TiffSource<R> {
    file: Directories<R>,
    fields: Fields,
    pieces: Pieces,
}

impl<R: BufRead + Seek> TiffSource<R> {
    /// Reads the fields, with `metadata` XMP too; `length` is that of the file.
    pub(crate) fn open(file: R, length: u64, memory_budget: u64, metadata: bool) -> Result<(Header, Self)> {
        let mut file = Directories::open(file, length).map_err(explain)?;
        let directory = only_picture(&mut file)?;
        let mut warnings = Vec::new();
        let fields = Fields::read(&mut file, &directory, &mut warnings).map_err(explain_field)?;
        let mut header = Header::plain(fields.shape());
        header.orientation = number(&mut file, &directory, fields::ORIENTATION, 1)
            .ok()
            .and_then(|number| Orientation::from_exif(u8::try_from(number).ok()?))
            .unwrap_or(Orientation::NoTransforms);
        header.tags.density = density(&mut file, &directory);
        header.tags.icc = blob(&mut file, &directory, fields::ICC, "ICC profile", &mut warnings);
        if metadata {
            header.tags.metadata.xmp = blob(&mut file, &directory, fields::XMP, "XMP", &mut warnings);
            if [fields::EXIF, fields::GPS].iter().any(|&tag| directory.get(tag).is_some()) {
                warnings.push("EXIF is not taken out of TIFF; it is left out".to_owned());
            }
        }
        header.warnings = warnings;
        let layout = Layout::read(&mut file, &directory, &fields).map_err(explain_field)?;
        check_budget(&header, layout.besides(&fields), memory_budget)?;
        let pieces = layout.pieces(&mut file, &directory, &fields)?;
        Ok((header, Self { file, fields, pieces }))
    }

    pub(crate) fn decode(self, stored: Shape) -> Result<Samples> {
        let Self { mut file, fields, pieces } = self;
        Ok(match stored.depth {
            Depth::Eight => {
                let mut samples = allocate::<u8>(stored)?;
                decode(&mut file, &fields, &pieces, &mut samples).map_err(explain)?;
                Samples::Eight(samples)
            }
            Depth::Sixteen => {
                let mut samples = allocate::<u16>(stored)?;
                decode(&mut file, &fields, &pieces, &mut samples).map_err(explain)?;
                Samples::Sixteen(samples)
            }
        })
    }
}

/// The directory of the one picture. Smaller versions of it and masks beside it are passed over.
fn only_picture<R: BufRead + Seek>(file: &mut Directories<R>) -> Result<Directory> {
    let mut seen = BTreeSet::new();
    let (mut pictures, mut entries) = (0_usize, 0);
    let mut found = None;
    let mut next = file.first;
    while next != 0 {
        ensure!(seen.insert(next), "cannot be decoded as TIFF: its directories go round in a circle");
        ensure!(seen.len() <= MAX_DIRECTORIES, "cannot be decoded as TIFF: it has more than {MAX_DIRECTORIES} pages");
        let directory = match file.read(next) {
            Ok(directory) => directory,
            Err(_) if next >= file.length() => {
                return Err(anyhow!(
                    "{}: it has {} bytes, a page is at {next}",
                    truncated(Readable::Tiff),
                    file.length()
                ));
            }
            Err(error) => return Err(explain_field(error)),
        };
        entries += directory.entries.len();
        ensure!(entries <= MAX_ENTRIES, "cannot be decoded as TIFF: its pages have more than {MAX_ENTRIES} fields");
        next = directory.next;
        let kind = number(file, &directory, fields::NEW_SUBFILE_TYPE, 0).map_err(explain_field)?;
        let old_kind = number(file, &directory, fields::SUBFILE_TYPE, 1).map_err(explain_field)?;
        if kind & 0b101 == 0 && old_kind != 2 {
            pictures += 1;
            if pictures == 1 {
                found = Some(directory);
            }
        } else if found.is_none() && pictures == 0 {
            found = Some(directory);
        }
    }
    ensure!(pictures <= 1, "has {pictures} pages (TIFF); only files of one picture are supported");
    found.ok_or_else(|| anyhow!("cannot be decoded as TIFF: it has no picture"))
}

/// How a picture is cut.
struct Layout {
    width: u32,
    height: u32,
    tiled: bool,
}

impl Layout {
    fn read<R: BufRead + Seek>(file: &mut Directories<R>, directory: &Directory, fields: &Fields) -> Result<Self> {
        let tiled = directory.get(fields::TILES).is_some();
        let (width, height) = match tiled {
            true => (number(file, directory, fields::TILE_WIDTH, 0)?, number(file, directory, fields::TILE_HEIGHT, 0)?),
            false => (fields.width.into(), number(file, directory, fields::ROWS_PER_STRIP, u32::MAX.into())?),
        };
        ensure!(width > 0 && height > 0 && width <= u32::MAX.into(), "its pieces have {width}x{height} pixels");
        let height = height.min(if tiled { u32::MAX.into() } else { fields.height.into() });
        Ok(Self { width: width as u32, height: u32::try_from(height)?, tiled })
    }

    /// How many pieces there are.
    fn count(&self, fields: &Fields) -> u64 {
        let planes = if fields.planar { fields.samples } else { 1 };
        u64::from(fields.width.div_ceil(self.width)) * u64::from(fields.height.div_ceil(self.height)) * planes
    }

    /// The bytes of a row of a piece.
    fn row_bytes(&self, fields: &Fields) -> u64 {
        let samples = if fields.planar { 1 } else { fields.samples };
        (u64::from(self.width) * samples * u64::from(fields.bits)).div_ceil(8)
    }

    /// What the decoder keeps beside the samples: the places of the pieces, as they are read and afterwards, and a row
    /// as bytes and as values.
    fn besides(&self, fields: &Fields) -> u64 {
        let row = self.row_bytes(fields).saturating_add(u64::from(self.width) * fields.samples * 2);
        self.count(fields).saturating_mul(48).saturating_add(row)
    }

    /// Where the pieces are.
    fn pieces<R: BufRead + Seek>(
        &self,
        file: &mut Directories<R>,
        directory: &Directory,
        fields: &Fields,
    ) -> Result<Pieces> {
        let count = self.count(fields);
        let (starts, lengths) = match self.tiled {
            true => (fields::TILES, fields::TILE_BYTES),
            false => (fields::STRIPS, fields::STRIP_BYTES),
        };
        let missing = || anyhow!("cannot be decoded as TIFF: it does not say where its samples are");
        let starts = file.numbers(directory.get(starts).ok_or_else(missing)?, count).map_err(explain_field)?;
        let whole = self.row_bytes(fields).saturating_mul(self.height.into());
        let lengths = match directory.get(lengths) {
            Some(entry) => file.numbers(entry, count).map_err(explain_field)?,
            // Old files leave them out; the last strip may be shorter.
            None if fields.compression == Compression::None => {
                starts.iter().map(|&start| whole.min(file.length().saturating_sub(start))).collect()
            }
            None => return Err(missing()),
        };
        ensure!(
            starts.len() as u64 == count && lengths.len() as u64 == count,
            "cannot be decoded as TIFF: its samples are in {count} pieces, and it says of {} where they are",
            starts.len().min(lengths.len())
        );
        let places: Vec<Place> = starts.into_iter().zip(lengths).map(|(start, bytes)| Place { start, bytes }).collect();
        let end = places.iter().map(|place| place.end()).max().unwrap_or(0);
        ensure!(
            end <= file.length(),
            "{}: its samples end at byte {end}, the file has {}",
            truncated(Readable::Tiff),
            file.length()
        );
        let stored = places.iter().fold(0_u64, |sum, place| sum.saturating_add(place.bytes));
        let rows = u64::from(fields.height) * if fields.planar { fields.samples } else { 1 };
        let needed = self.row_bytes(fields).saturating_mul(rows);
        ensure!(
            needed <= stored.saturating_mul(fields.compression.growth()),
            "{}: {stored} bytes of data cannot hold {}x{} pixels",
            truncated(Readable::Tiff),
            fields.width,
            fields.height
        );
        Ok(Pieces { width: self.width, height: self.height, places })
    }
}

/// The bytes of a field, unless they are too many or not in the file.
fn blob<R: BufRead + Seek>(
    file: &mut Directories<R>,
    directory: &Directory,
    tag: u16,
    name: &str,
    warnings: &mut Vec<String>,
) -> Option<Vec<u8>> {
    let place = directory.get(tag)?.values;
    let read = if place.bytes <= MAX_METADATA as u64 { file.bytes(place).ok() } else { None };
    if read.is_none() {
        warnings.push(format!("its {name} is damaged or takes more than {} MiB and is left out", MAX_METADATA >> 20));
    }
    read.filter(|bytes| !bytes.is_empty())
}

/// The resolution, as far as it can be made sense of.
fn density<R: BufRead + Seek>(file: &mut Directories<R>, directory: &Directory) -> Option<Density> {
    let unit = number(file, directory, fields::RESOLUTION_UNIT, 2).ok()?;
    let mut fraction = |tag| file.fraction(directory.get(tag)?).ok()?;
    Density::of_tiff(fraction(fields::X_RESOLUTION)?, fraction(fields::Y_RESOLUTION)?, unit)
}

/// One line on what is wrong with the fields.
fn explain_field(error: Error) -> Error {
    let text = error.to_string();
    match ["is ", "has ", "cannot "].iter().any(|start| text.starts_with(start)) {
        true => error,
        false => anyhow!("cannot be decoded as TIFF: {text}"),
    }
}

/// One line on what is wrong with the data.
fn explain(error: Error) -> Error {
    match error.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(io::ErrorKind::UnexpectedEof) => anyhow!(truncated(Readable::Tiff)),
        _ => explain_field(error),
    }
}
