//! The directories of a TIFF file, which are those of EXIF data too.
//!
//! Nothing is believed: a place is read only where it is inside the file, and no more than was asked for.

use std::io::{Read, Seek, SeekFrom};

use anyhow::{Result, anyhow, bail, ensure};

/// The most entries of a directory: what 16 bits count. Only the wide kind of TIFF could have more.
const MAX_ENTRIES: u64 = 0xffff;

/// A file that begins like TIFF.
pub(super) struct Directories<R> {
    file: R,
    /// The bytes of the file.
    length: u64,
    pub(super) big_endian: bool,
    /// Whether it is the kind of TIFF whose offsets have 64 bits.
    pub(super) wide: bool,
    /// The place of the first directory.
    pub(super) first: u64,
}

/// A directory.
#[derive(Debug)]
pub(super) struct Directory {
    /// Where it begins and ends.
    pub(super) place: Place,
    pub(super) entries: Vec<Entry>,
    /// The place of the next one; 0 after the last.
    pub(super) next: u64,
}

/// An entry of a directory: some values of a type.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) tag: u16,
    kind: u16,
    pub(super) count: u64,
    /// Where the entry itself begins.
    pub(super) slot: u64,
    /// Where its values lie, whether or not that is inside the file.
    pub(super) values: Place,
    /// Whether they lie in the entry itself.
    pub(super) is_inside: bool,
}

/// A piece of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) start: u64,
    pub(super) bytes: u64,
}

impl Place {
    /// Where it ends.
    pub(super) fn end(self) -> u64 {
        self.start.saturating_add(self.bytes)
    }

    /// Whether two of them have a byte in common.
    pub(super) fn meets(self, other: Self) -> bool {
        self.start.max(other.start) < self.end().min(other.end())
    }
}

impl Directory {
    pub(super) fn get(&self, tag: u16) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.tag == tag)
    }
}

impl<R: Read + Seek> Directories<R> {
    /// Reads the header of a file of this length.
    pub(super) fn open(mut file: R, length: u64) -> Result<Self> {
        let mut start = [0; 16];
        file.seek(SeekFrom::Start(0))?;
        let header = &mut start[..usize::try_from(length.min(16)).unwrap_or(16)];
        file.read_exact(header)?;
        let (big_endian, wide) = match *header {
            [b'I', b'I', 42, 0, ..] => (false, false),
            [b'M', b'M', 0, 42, ..] => (true, false),
            [b'I', b'I', 43, 0, 8, 0, 0, 0, ..] => (false, true),
            [b'M', b'M', 0, 43, 0, 8, 0, 0, ..] => (true, true),
            _ => bail!("its header is none of TIFF"),
        };
        let mut directories = Self { file, length, big_endian, wide, first: 0 };
        let (at, bytes) = if wide { (8, 8) } else { (4, 4) };
        directories.first = directories.number(Place { start: at, bytes })?;
        Ok(directories)
    }

    /// The file itself.
    pub(super) fn file(&mut self) -> &mut R {
        &mut self.file
    }

    /// The bytes of the file.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Reads a directory.
    pub(super) fn read(&mut self, start: u64) -> Result<Directory> {
        let (count_bytes, entry_bytes, word) = if self.wide { (8, 20, 8) } else { (2, 12, 4) };
        let count = self.number(Place { start, bytes: count_bytes })?;
        ensure!(count <= MAX_ENTRIES, "the directory at byte {start} has {count} entries");
        let first = start.saturating_add(count_bytes);
        let bytes = self.bytes(Place { start: first, bytes: count * entry_bytes + word })?;
        let (rows, next) = bytes.split_at((count * entry_bytes) as usize);
        let mut entries = Vec::with_capacity(count as usize);
        for (row, slot) in rows.chunks_exact(entry_bytes as usize).zip((first..).step_by(entry_bytes as usize)) {
            let (tag, kind) = (self.unsigned(&row[..2]) as u16, self.unsigned(&row[2..4]) as u16);
            let (count, value) = row[4..].split_at(word as usize);
            let count = self.unsigned(count);
            let bytes = count.saturating_mul(size_of_kind(kind));
            let is_inside = bytes <= word;
            let start = if is_inside { slot + 4 + word } else { self.unsigned(value) };
            entries.push(Entry { tag, kind, count, slot, values: Place { start, bytes }, is_inside });
        }
        let place = Place { start, bytes: count_bytes + bytes.len() as u64 };
        Ok(Directory { place, entries, next: self.unsigned(next) })
    }

    /// The bytes of a piece, which is in memory as a whole: the caller bounds it.
    pub(super) fn bytes(&mut self, place: Place) -> Result<Vec<u8>> {
        self.check(place)?;
        let bytes = usize::try_from(place.bytes)?;
        let mut read = Vec::new();
        read.try_reserve_exact(bytes).map_err(|_| anyhow!("no memory for {bytes} bytes"))?;
        read.resize(bytes, 0);
        self.file.seek(SeekFrom::Start(place.start))?;
        self.file.read_exact(&mut read)?;
        Ok(read)
    }

    /// Refuses a piece that is not inside the file.
    pub(super) fn check(&self, place: Place) -> Result<()> {
        ensure!(
            place.end() <= self.length,
            "{} bytes at {} lie outside its {} bytes",
            place.bytes,
            place.start,
            self.length
        );
        Ok(())
    }

    /// The first whole number of an entry.
    pub(super) fn one(&mut self, entry: &Entry) -> Result<u64> {
        self.numbers(entry, 1)?.first().copied().ok_or_else(|| anyhow!("its tag {} has no value", entry.tag))
    }

    /// The first so many whole numbers of an entry, or all if it has fewer.
    pub(super) fn numbers(&mut self, entry: &Entry, most: u64) -> Result<Vec<u64>> {
        let size = size_of_kind(entry.kind);
        ensure!(
            matches!(entry.kind, 1 | 3 | 4 | 7 | 13 | 16 | 18),
            "its tag {} has the type {}, which holds no whole numbers",
            entry.tag,
            entry.kind
        );
        let place = Place { start: entry.values.start, bytes: entry.count.min(most).saturating_mul(size) };
        let bytes = self.bytes(place)?;
        Ok(bytes.chunks_exact(size as usize).map(|value| self.unsigned(value)).collect())
    }

    /// The first fraction of an entry, if it is one.
    pub(super) fn fraction(&mut self, entry: &Entry) -> Result<Option<(u32, u32)>> {
        if entry.kind != 5 || entry.count == 0 {
            return Ok(None);
        }
        let bytes = self.bytes(Place { start: entry.values.start, bytes: 8 })?;
        let (a, b) = bytes.split_at(4);
        Ok(Some((self.unsigned(a) as u32, self.unsigned(b) as u32)))
    }

    fn number(&mut self, place: Place) -> Result<u64> {
        let bytes = self.bytes(place)?;
        Ok(self.unsigned(&bytes))
    }

    /// A whole number of up to 8 bytes.
    fn unsigned(&self, bytes: &[u8]) -> u64 {
        let add = |number: u64, &byte: &u8| (number << 8) | u64::from(byte);
        match self.big_endian {
            true => bytes.iter().fold(0, add),
            false => bytes.iter().rev().fold(0, add),
        }
    }
}

/// The bytes of a value of a type; 0 of one that is not known, whose values are then none.
fn size_of_kind(kind: u16) -> u64 {
    match kind {
        1 | 2 | 6 | 7 => 1,
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16 | 17 | 18 => 8,
        _ => 0,
    }
}
