//! BMP, read by the decoder of the crate `image`, after what it does not say or check.

use std::io::{BufRead, Read, Seek, SeekFrom};

use anyhow::{Error, Result, anyhow, bail, ensure};
use image::codecs::bmp::BmpDecoder;
use image::{ColorType, ImageDecoder, ImageError};

use super::format::Readable;
use super::header::{Header, allocate, check_budget, truncated};
use super::samples::Samples;
use super::shape::{Colour, Depth, Shape};
use super::tags::{Density, MAX_METADATA};

/// The longest header of BMP, that of a file before that of a picture.
const LONGEST_HEADER: u64 = 14 + 124;

/// A decoder that has read the header.
pub(super) struct BmpSource<R: BufRead + Seek>(BmpDecoder<R>);

impl<R: BufRead + Seek> BmpSource<R> {
    /// Reads the header; `length` is that of the file.
    pub(super) fn open(mut file: R, length: u64, memory_budget: u64) -> Result<(Header, Self)> {
        let mut start = Vec::new();
        file.by_ref().take(LONGEST_HEADER).read_to_end(&mut start)?;
        let info = Info(&start);
        let profile = match info.profile() {
            Some((at, bytes)) => read_profile(&mut file, at, bytes)?,
            None => Some(Vec::new()),
        };
        file.rewind()?;
        let decoder = BmpDecoder::new(file).map_err(explain)?;
        let (width, height) = decoder.dimensions();
        ensure!(width > 0 && height > 0, "cannot be decoded as BMP: its header gives {width}x{height} pixels");
        let colour = match decoder.color_type() {
            ColorType::Rgb8 => Colour::Rgb,
            ColorType::Rgba8 => Colour::Rgba,
            other => bail!("pixels of type {other:?} are not supported"),
        };
        let mut header = Header::plain(Shape { width, height, colour, depth: Depth::Eight });
        check_budget(&header, 0, memory_budget)?;
        if let Some(end) = info.end_of_samples(header.stored) {
            ensure!(
                end <= length,
                "{}: its samples end at byte {end}, the file has {length}",
                truncated(Readable::Bmp)
            );
        }
        header.tags.density = info.density();
        match profile {
            Some(profile) => header.tags.icc = Some(profile).filter(|profile| !profile.is_empty()),
            None => header.warnings.push("its ICC profile lies outside the file and is left out".to_owned()),
        }
        Ok((header, Self(decoder)))
    }

    pub(super) fn decode(self, stored: Shape) -> Result<Samples> {
        let mut bytes = allocate::<u8>(stored)?;
        let needed = self.0.total_bytes();
        ensure!(needed == bytes.len() as u64, "the decoder asks for {needed} bytes for {stored}");
        self.0.read_image(&mut bytes).map_err(explain)?;
        Ok(Samples::Eight(bytes))
    }
}

/// The beginning of a BMP file, without what the file may lack.
struct Info<'a>(&'a [u8]);

impl Info<'_> {
    fn word(&self, at: usize) -> Option<u32> {
        self.0.get(at..at + 4).and_then(<[u8]>::first_chunk).map(|&bytes| u32::from_le_bytes(bytes))
    }

    /// Whether the header is longer than that of OS/2, which has neither compression nor density.
    fn is_long(&self) -> bool {
        self.word(14).is_some_and(|size| size >= 40)
    }

    /// Where samples of this size end that are stored as they are.
    fn end_of_samples(&self, stored: Shape) -> Option<u64> {
        let (bits, compression) = match self.is_long() {
            true => (self.word(28)? & 0xffff, self.word(30)?),
            false => (self.word(24)? & 0xffff, 0),
        };
        // Rows are filled up to words of 32 bits. 3 says which bits are which colour; others are compressed.
        let row = (u64::from(stored.width) * u64::from(bits)).div_ceil(32) * 4;
        let samples = row * u64::from(stored.height);
        matches!(compression, 0 | 3).then_some(u64::from(self.word(10)?) + samples)
    }

    /// Where an ICC profile lies that is in the file, which only the longest header has, and its bytes.
    fn profile(&self) -> Option<(u64, u64)> {
        let embedded = self.word(14)? >= 124 && self.word(14 + 56)? == u32::from_be_bytes(*b"MBED");
        let (at, bytes) = (self.word(14 + 112)?, self.word(14 + 116)?);
        embedded.then_some((14 + u64::from(at), bytes.into()))
    }

    fn density(&self) -> Option<Density> {
        let (x, y) = (self.word(38)?, self.word(42)?);
        (self.is_long() && x > 0 && y > 0).then_some(Density::PerMetre(x, y))
    }
}

/// A profile of so many bytes, unless the file ends before.
fn read_profile(file: &mut (impl BufRead + Seek), at: u64, bytes: u64) -> Result<Option<Vec<u8>>> {
    let mut profile = Vec::new();
    file.seek(SeekFrom::Start(at))?;
    file.by_ref().take(bytes.min(MAX_METADATA as u64)).read_to_end(&mut profile)?;
    Ok((profile.len() as u64 == bytes).then_some(profile))
}

/// One line on what the decoder found wrong.
fn explain(error: ImageError) -> Error {
    match error {
        ImageError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => anyhow!(truncated(Readable::Bmp)),
        ImageError::IoError(e) => anyhow!("{e}"),
        ImageError::Unsupported(e) => anyhow!("is BMP of a kind that is not supported: {e}"),
        other => anyhow!("cannot be decoded as BMP: {other}"),
    }
}
