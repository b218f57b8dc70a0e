//! TIFF, written strip by strip.

use std::io::{Seek, SeekFrom, Write};

use anyhow::{Result, anyhow};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use rayon::prelude::*;

use super::fields;
use crate::atomic::AtomicFile;
use crate::picture::encoding::Encoding;
use crate::picture::shape::{Colour, Shape};
use crate::picture::tags::{Density, Tags};

/// A strip has about so many bytes before it is deflated.
const STRIP: usize = 1 << 18;

/// The level of deflate: on photographs a few hundredths larger than the usual 6, in a third of the time.
const LEVEL: u32 = 3;

/// A file of which all may have this many bytes is written as TIFF; a longer one as `BigTIFF`, whose offsets have 64 bits.
const MOST: u64 = 0xf000_0000;

/// An encoder that holds less than a strip, and where the strips are.
///
/// The samples have their high bytes first, as they come. Each row is stored as differences, each strip deflated by itself,
/// several at a time.
pub(crate) struct TiffStream {
    file: AtomicFile,
    shape: Shape,
    tags: Tags,
    /// Whether it is `BigTIFF`.
    wide: bool,
    rows_per_strip: usize,
    /// Rows that do not fill a strip yet.
    pending: Vec<u8>,
    starts: Vec<u64>,
    lengths: Vec<u64>,
    at: u64,
}

impl TiffStream {
    pub(crate) fn start(file: AtomicFile, encoding: Encoding) -> Result<Self> {
        let tags = &encoding.tags;
        let metadata = [&tags.icc, &tags.metadata.xmp].into_iter().flatten().map(|data| data.len() as u64).sum::<u64>();
        let wide = encoding.written.bytes().saturating_add(metadata) > MOST;
        Self::start_as(file, encoding, wide)
    }

    /// Starts a file of either kind.
    pub(crate) fn start_as(mut file: AtomicFile, encoding: Encoding, wide: bool) -> Result<Self> {
        let (shape, tags) = (encoding.written, encoding.tags);
        // The place of the directory comes last.
        let header: &[u8] = match wide {
            true => &[b'M', b'M', 0, 43, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            false => &[b'M', b'M', 0, 42, 0, 0, 0, 0],
        };
        file.write_all(header)?;
        Ok(Self {
            rows_per_strip: (STRIP / row_bytes(shape)).clamp(1, shape.height as usize),
            pending: Vec::new(),
            starts: Vec::new(),
            lengths: Vec::new(),
            at: header.len() as u64,
            file,
            shape,
            tags,
            wide,
        })
    }

    /// Takes rows; 16-bit samples with their high byte first.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        let strip = self.rows_per_strip * row_bytes(self.shape);
        let mut rest = bytes;
        if !self.pending.is_empty() {
            let (first, after) = rest.split_at(rest.len().min(strip - self.pending.len()));
            self.pending.extend_from_slice(first);
            rest = after;
            if self.pending.len() == strip {
                let full = std::mem::take(&mut self.pending);
                self.strips(&full)?;
            }
        }
        let (whole, after) = rest.split_at(rest.len() / strip * strip);
        self.strips(whole)?;
        self.pending.extend_from_slice(after);
        Ok(())
    }

    /// Deflates strips and writes them.
    fn strips(&mut self, bytes: &[u8]) -> Result<()> {
        let shape = self.shape;
        let strip = self.rows_per_strip * row_bytes(shape);
        // A few at a time, so that little is in memory.
        for group in bytes.chunks(strip * 16) {
            let deflated: Vec<Result<Vec<u8>>> = group.par_chunks(strip).map(|strip| deflate(strip, shape)).collect();
            for data in deflated {
                let data = data?;
                self.file.write_all(&data)?;
                self.starts.push(self.at);
                self.lengths.push(data.len() as u64);
                self.at += data.len() as u64;
            }
        }
        Ok(())
    }

    /// Ends the picture and gives the file back.
    pub(crate) fn finish(mut self) -> Result<AtomicFile> {
        let rest = std::mem::take(&mut self.pending);
        self.strips(&rest)?;
        let word = if self.wide { 8 } else { 4 };
        let entries = self.entries();
        let mut rows = Vec::new();
        for Entry { tag, kind, count, bytes } in &entries {
            rows.extend_from_slice(&tag.to_be_bytes());
            rows.extend_from_slice(&kind.to_be_bytes());
            self.word(&mut rows, *count)?;
            if bytes.len() <= word {
                rows.extend_from_slice(bytes);
                rows.resize(rows.len() + word - bytes.len(), 0);
            } else {
                let at = self.put(bytes)?;
                self.word(&mut rows, at)?;
            }
        }
        let mut directory = Vec::new();
        match self.wide {
            true => directory.extend_from_slice(&(entries.len() as u64).to_be_bytes()),
            false => directory.extend_from_slice(&(entries.len() as u16).to_be_bytes()),
        }
        directory.extend_from_slice(&rows);
        // No directory follows.
        directory.resize(directory.len() + word, 0);
        let at = self.put(&directory)?;
        let mut place = Vec::new();
        self.word(&mut place, at)?;
        self.file.seek(SeekFrom::Start(word as u64))?;
        self.file.write_all(&place)?;
        self.file.seek(SeekFrom::End(0))?;
        Ok(self.file)
    }

    /// Writes bytes at an even place, as the standard wants it, and gives the place.
    fn put(&mut self, bytes: &[u8]) -> Result<u64> {
        let pad = self.at % 2;
        self.file.write_all(&[0][..pad as usize])?;
        self.file.write_all(bytes)?;
        let at = self.at + pad;
        self.at = at + bytes.len() as u64;
        Ok(at)
    }

    /// Appends a count or a place.
    fn word(&self, to: &mut Vec<u8>, value: u64) -> Result<()> {
        match self.wide {
            true => to.extend_from_slice(&value.to_be_bytes()),
            false => {
                let value = u32::try_from(value).map_err(|_| anyhow!("more than 4 GiB of TIFF"))?;
                to.extend_from_slice(&value.to_be_bytes());
            }
        }
        Ok(())
    }

    /// The fields, in the order of their numbers.
    fn entries(&self) -> Vec<Entry> {
        let Shape { width, height, colour, depth } = self.shape;
        let channels = colour.channels();
        let photometric = match colour {
            Colour::Grey | Colour::GreyAlpha => 1,
            Colour::Rgb | Colour::Rgba => 2,
        };
        let mut entries = vec![
            Entry::long(fields::WIDTH, width),
            Entry::long(fields::HEIGHT, height),
            Entry::shorts(fields::BITS, &vec![depth.bits() as u16; channels]),
            // Deflate
            Entry::short(fields::COMPRESSION, 8),
            Entry::short(fields::PHOTOMETRIC, photometric),
            self.places(fields::STRIPS, &self.starts),
            Entry::short(fields::ORIENTATION, 1),
            Entry::short(fields::SAMPLES, channels as u16),
            Entry::long(fields::ROWS_PER_STRIP, self.rows_per_strip as u32),
            self.places(fields::STRIP_BYTES, &self.lengths),
            Entry::short(fields::PLANAR, 1),
            // Differences
            Entry::short(fields::PREDICTOR, 2),
        ];
        if let Some((x, y, unit)) = self.tags.density.map(Density::to_tiff) {
            entries.push(Entry::fraction(fields::X_RESOLUTION, x));
            entries.push(Entry::fraction(fields::Y_RESOLUTION, y));
            entries.push(Entry::short(fields::RESOLUTION_UNIT, unit));
        }
        if colour.has_alpha() {
            // Straight alpha
            entries.push(Entry::short(fields::EXTRA_SAMPLES, 2));
        }
        if let Some(xmp) = &self.tags.metadata.xmp {
            entries.push(Entry::bytes(fields::XMP, 1, xmp));
        }
        if let Some(icc) = &self.tags.icc {
            entries.push(Entry::bytes(fields::ICC, 7, icc));
        }
        entries.sort_by_key(|entry| entry.tag);
        entries
    }

    /// Places or lengths in the file.
    fn places(&self, tag: u16, values: &[u64]) -> Entry {
        let count = values.len() as u64;
        match self.wide {
            true => {
                Entry { tag, kind: 16, count, bytes: values.iter().flat_map(|value| value.to_be_bytes()).collect() }
            }
            // All are less than the length of the file, which `word` checks.
            false => {
                let bytes = values.iter().flat_map(|&value| (value as u32).to_be_bytes()).collect();
                Entry { tag, kind: 4, count, bytes }
            }
        }
    }
}

fn row_bytes(shape: Shape) -> usize {
    shape.row_samples() * (shape.depth.bits() / 8) as usize
}

/// The rows as differences, deflated.
fn deflate(rows: &[u8], shape: Shape) -> Result<Vec<u8>> {
    let mut rows = rows.to_vec();
    let channels = shape.colour.channels();
    for row in rows.chunks_exact_mut(row_bytes(shape)) {
        match shape.depth.bits() {
            8 => (channels..row.len()).rev().for_each(|at| row[at] = row[at].wrapping_sub(row[at - channels])),
            _ => {
                let value = |row: &[u8], at: usize| u16::from_be_bytes([row[2 * at], row[2 * at + 1]]);
                for at in (channels..row.len() / 2).rev() {
                    let difference = value(row, at).wrapping_sub(value(row, at - channels));
                    row[2 * at..2 * at + 2].copy_from_slice(&difference.to_be_bytes());
                }
            }
        }
    }
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(LEVEL));
    encoder.write_all(&rows)?;
    Ok(encoder.finish()?)
}

/// A field.
struct Entry {
    tag: u16,
    kind: u16,
    count: u64,
    bytes: Vec<u8>,
}

impl Entry {
    fn short(tag: u16, value: u16) -> Self {
        Self::shorts(tag, &[value])
    }

    fn shorts(tag: u16, values: &[u16]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_be_bytes()).collect();
        Self { tag, kind: 3, count: values.len() as u64, bytes }
    }

    fn long(tag: u16, value: u32) -> Self {
        Self { tag, kind: 4, count: 1, bytes: value.to_be_bytes().to_vec() }
    }

    fn fraction(tag: u16, (above, below): (u32, u32)) -> Self {
        Self { tag, kind: 5, count: 1, bytes: [above.to_be_bytes(), below.to_be_bytes()].concat() }
    }

    fn bytes(tag: u16, kind: u16, bytes: &[u8]) -> Self {
        Self { tag, kind, count: bytes.len() as u64, bytes: bytes.to_vec() }
    }
}
