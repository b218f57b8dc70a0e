//! EXIF data, corrected for the picture that was made.
//!
//! They are changed where they lie, so that what points into them, as makers' notes do, stays right.

use std::io::Cursor;

use anyhow::{Result, ensure};

use super::ifd::{Directories, Directory, Entry, Place};

const WIDTH: u16 = 0x0100;
const HEIGHT: u16 = 0x0101;
const STRIPS: u16 = 0x0111;
const ORIENTATION: u16 = 0x0112;
const STRIP_BYTES: u16 = 0x0117;
const SUB_DIRECTORIES: u16 = 0x014a;
const THUMBNAIL: u16 = 0x0201;
const THUMBNAIL_BYTES: u16 = 0x0202;
const EXIF: u16 = 0x8769;
const GPS: u16 = 0x8825;
const PIXEL_WIDTH: u16 = 0xa002;
const PIXEL_HEIGHT: u16 = 0xa003;
const INTEROPERABILITY: u16 = 0xa005;
const RELATED_WIDTH: u16 = 0x1001;
const RELATED_HEIGHT: u16 = 0x1002;

/// The most entries of a directory, and the most strips of a thumbnail: cameras write a tenth.
const MAX_ENTRIES: usize = 1 << 10;

/// The data without the six bytes that some files put before them.
pub(super) fn bare(exif: &[u8]) -> &[u8] {
    exif.strip_prefix(b"Exif\0\0").unwrap_or(exif)
}

/// The data for an upright picture of this size: the orientation is 1, the sizes in pixels are these, the thumbnail and
/// what else would describe stored samples is gone. An error says what is wrong with the data.
pub(super) fn corrected(exif: &[u8], width: u32, height: u32) -> Result<Vec<u8>> {
    let exif = bare(exif);
    let mut reader = Directories::open(Cursor::new(exif), exif.len() as u64)?;
    ensure!(!reader.wide, "they are BigTIFF");
    let mut walk = Walk { kept: vec![Place { start: 0, bytes: 8 }], patches: Vec::new(), size: (width, height) };

    let first = reader.first;
    let main = walk.visit(&mut reader, first)?;
    let inner = match main.get(EXIF).copied() {
        Some(pointer) => Some(walk.follow(&mut reader, &pointer)?),
        None => None,
    };
    if let Some(pointer) = main.get(GPS).copied() {
        walk.follow(&mut reader, &pointer)?;
    }
    if let Some(pointer) = inner.as_ref().and_then(|inner| inner.get(INTEROPERABILITY)).copied() {
        walk.follow(&mut reader, &pointer)?;
    }
    let dropped = match main.next {
        0 => Vec::new(),
        next => thumbnail(&mut reader, next)?,
    };
    for place in &dropped {
        ensure!(walk.kept.iter().all(|kept| !kept.meets(*place)), "the thumbnail and the rest lie over each other");
    }

    let mut made = exif.to_vec();
    // Inside, as everything was checked to be.
    let within = |place: Place| place.start as usize..place.end() as usize;
    for place in dropped {
        made[within(place)].fill(0);
    }
    for (place, bytes) in walk.patches {
        made[within(place)].copy_from_slice(&bytes);
    }
    let end = walk.kept.iter().map(|place| place.end()).max().unwrap_or(0);
    made.truncate(end as usize);
    Ok(made)
}

/// What was found so far.
struct Walk {
    /// What stays: the header, directories, and values that lie outside of their entries.
    kept: Vec<Place>,
    /// What is written over directories.
    patches: Vec<(Place, Vec<u8>)>,
    size: (u32, u32),
}

impl Walk {
    /// Reads a directory and says what becomes of it.
    fn visit(&mut self, reader: &mut Directories<Cursor<&[u8]>>, start: u64) -> Result<Directory> {
        let directory = read(reader, start)?;
        ensure!(
            self.patches.iter().all(|(place, _)| !place.meets(directory.place)),
            "the directories lie over each other"
        );
        let mut slots: Vec<u8> = Vec::new();
        let mut count = 0_u16;
        for entry in &directory.entries {
            reader.check(entry.values)?;
            let row = match entry.tag {
                STRIPS | STRIP_BYTES | SUB_DIRECTORIES | THUMBNAIL | THUMBNAIL_BYTES => continue,
                ORIENTATION => slot(reader.big_endian, entry.tag, 3, 1),
                WIDTH | PIXEL_WIDTH | RELATED_WIDTH => slot(reader.big_endian, entry.tag, 4, self.size.0),
                HEIGHT | PIXEL_HEIGHT | RELATED_HEIGHT => slot(reader.big_endian, entry.tag, 4, self.size.1),
                _ => {
                    if !entry.is_inside {
                        self.kept.push(entry.values);
                    }
                    reader.bytes(Place { start: entry.slot, bytes: 12 })?
                }
            };
            slots.extend_from_slice(&row);
            count += 1;
        }
        let count = if reader.big_endian { count.to_be_bytes() } else { count.to_le_bytes() };
        // No directory follows.
        let mut bytes = [&count[..], &slots, &[0; 4]].concat();
        self.kept.push(Place { start, bytes: bytes.len() as u64 });
        // What is left of the old one is empty.
        bytes.resize(directory.place.bytes as usize, 0);
        self.patches.push((directory.place, bytes));
        Ok(directory)
    }

    /// Visits the directory that an entry points to.
    fn follow(&mut self, reader: &mut Directories<Cursor<&[u8]>>, pointer: &Entry) -> Result<Directory> {
        let start = reader.one(pointer)?;
        self.visit(reader, start)
    }
}

/// Reads a directory of a sensible length.
fn read(reader: &mut Directories<Cursor<&[u8]>>, start: u64) -> Result<Directory> {
    let directory = reader.read(start)?;
    let count = directory.entries.len();
    ensure!(count <= MAX_ENTRIES, "the directory at byte {start} has {count} entries");
    Ok(directory)
}

/// An entry with one number.
fn slot(big_endian: bool, tag: u16, kind: u16, value: u32) -> Vec<u8> {
    // A number of 16 bits comes first in the four bytes.
    let word = |value: u32| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let half = |value: u16| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let value = match (kind, big_endian) {
        (3, true) => word(value << 16),
        _ => word(value),
    };
    [&half(tag)[..], &half(kind), &word(1), &value].concat()
}

/// Where a thumbnail with its directory lies.
fn thumbnail(reader: &mut Directories<Cursor<&[u8]>>, start: u64) -> Result<Vec<Place>> {
    let directory = read(reader, start)?;
    let mut places = vec![directory.place];
    places.extend(directory.entries.iter().filter(|entry| !entry.is_inside).map(|entry| entry.values));
    for (data, bytes) in [(THUMBNAIL, THUMBNAIL_BYTES), (STRIPS, STRIP_BYTES)] {
        if let (Some(data), Some(bytes)) = (directory.get(data), directory.get(bytes)) {
            let (data, bytes) = (reader.numbers(data, MAX_ENTRIES as u64)?, reader.numbers(bytes, MAX_ENTRIES as u64)?);
            places.extend(data.into_iter().zip(bytes).map(|(start, bytes)| Place { start, bytes }));
        }
    }
    for place in &places {
        reader.check(*place)?;
    }
    Ok(places)
}
