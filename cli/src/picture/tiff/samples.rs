//! The data of strips and tiles: decompressed, taken apart, and put into their place.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use anyhow::Result;
use flate2::bufread::ZlibDecoder;
use weezl::decode::Configuration;
use weezl::{BitOrder, LzwError};

use super::fields::{Alpha, Compression, Fields, Meaning};
use crate::picture::ifd::{Directories, Place};

/// The strips or tiles of a picture; a strip is as wide as the picture.
#[derive(Clone, Debug)]
pub(super) struct Pieces {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Where each is, row by row, plane by plane.
    pub(super) places: Vec<Place>,
}

/// A sample that is decoded to.
pub(super) trait Sample: Copy + Default {
    /// The largest value.
    const FULL: u32;

    fn of(value: u32) -> Self;

    fn value(self) -> u32;
}

impl Sample for u8 {
    const FULL: u32 = 255;

    fn of(value: u32) -> Self {
        value as Self
    }

    fn value(self) -> u32 {
        self.into()
    }
}

impl Sample for u16 {
    const FULL: u32 = 65_535;

    fn of(value: u32) -> Self {
        value as Self
    }

    fn value(self) -> u32 {
        self.into()
    }
}

/// Decodes all pieces into `samples`, those of the whole picture.
pub(super) fn decode<R: BufRead + Seek, T: Sample>(
    file: &mut Directories<R>,
    fields: &Fields,
    pieces: &Pieces,
    samples: &mut [T],
) -> Result<()> {
    let across = fields.width.div_ceil(pieces.width);
    let down = fields.height.div_ceil(pieces.height);
    let planes = if fields.planar { fields.samples as u32 } else { 1 };
    let big_endian = file.big_endian;
    let mut places = pieces.places.iter();
    let mut row = Row::new(fields, pieces);
    for plane in 0..planes {
        for (y, x) in (0..down).flat_map(|y| (0..across).map(move |x| (y, x))) {
            let Some(&place) = places.next() else { return Ok(()) };
            if plane as usize >= row.used() {
                continue;
            }
            let (top, left) = (y * pieces.height, x * pieces.width);
            file.file().seek(SeekFrom::Start(place.start))?;
            let mut data = reader(file.file().take(place.bytes), fields.compression);
            for y in top..(top.saturating_add(pieces.height)).min(fields.height) {
                row.read(&mut data, big_endian)?;
                row.place(fields, plane as usize, (left, y), samples);
            }
        }
    }
    if fields.alpha == Alpha::Premultiplied {
        for pixel in samples.chunks_exact_mut(fields.shape().colour.channels()) {
            divide(pixel);
        }
    }
    Ok(())
}

/// A row of a piece.
struct Row {
    bits: u32,
    /// Samples of a pixel in it.
    samples: usize,
    differences: bool,
    bytes: Vec<u8>,
    values: Vec<u16>,
    /// The channels of the picture that come straight from samples.
    channels: usize,
}

impl Row {
    fn new(fields: &Fields, pieces: &Pieces) -> Self {
        let samples = if fields.planar { 1 } else { fields.samples as usize };
        let count = pieces.width as usize * samples;
        let channels = match fields.meaning {
            Meaning::Palette(_) => 1,
            _ => fields.shape().colour.channels(),
        };
        Self {
            bits: fields.bits,
            samples,
            differences: fields.differences,
            bytes: vec![0; (count * fields.bits as usize).div_ceil(8)],
            values: vec![0; count],
            channels,
        }
    }

    /// How many samples of a pixel are used.
    fn used(&self) -> usize {
        self.channels
    }

    /// Reads the next row.
    fn read(&mut self, data: &mut impl Read, big_endian: bool) -> Result<()> {
        data.read_exact(&mut self.bytes)?;
        let Self { bits, samples, bytes, values, .. } = self;
        let (bits, samples) = (*bits, *samples);
        match bits {
            16 => {
                for (value, pair) in values.iter_mut().zip(bytes.chunks_exact(2)) {
                    let pair = [pair[0], pair[1]];
                    *value = if big_endian { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) };
                }
            }
            8 => values.iter_mut().zip(bytes).for_each(|(value, &mut byte)| *value = byte.into()),
            // The first sample is in the highest bits.
            bits => {
                let in_byte = 8 / bits as usize;
                for (index, value) in values.iter_mut().enumerate() {
                    let shift = 8 - bits * (index % in_byte + 1) as u32;
                    *value = u16::from(bytes[index / in_byte] >> shift) & ((1 << bits) - 1);
                }
            }
        }
        if self.differences {
            let mask = if bits == 8 { 0xff } else { 0xffff };
            for index in samples..values.len() {
                values[index] = values[index].wrapping_add(values[index - samples]) & mask;
            }
        }
        Ok(())
    }

    /// Puts the values into the picture, from this pixel (x, y) on.
    fn place<T: Sample>(&self, fields: &Fields, plane: usize, (left, y): (u32, u32), samples: &mut [T]) {
        let channels = fields.shape().colour.channels();
        let row = fields.width as usize * channels;
        let row = &mut samples[y as usize * row..][..row];
        let pixels = row.chunks_exact_mut(channels).skip(left as usize).zip(self.values.chunks_exact(self.samples));
        let most = (1_u32 << self.bits) - 1;
        // 1, 2 and 4 bits are spread over 8.
        let scale = T::FULL / most;
        match &fields.meaning {
            Meaning::Palette(palette) => {
                for (pixel, values) in pixels {
                    let colour = palette.get(usize::from(values[0])).copied().unwrap_or_default();
                    for (sample, value) in pixel.iter_mut().zip(colour) {
                        *sample = T::of(value.into());
                    }
                }
            }
            meaning => {
                let inverted = matches!(meaning, Meaning::Grey { white_is_zero: true });
                for (pixel, values) in pixels {
                    for (channel, (sample, &value)) in pixel[plane..].iter_mut().zip(values).enumerate() {
                        let value = u32::from(value);
                        let value = if inverted && plane + channel == 0 { most - value } else { value };
                        *sample = T::of(value * scale);
                    }
                }
            }
        }
    }
}

/// Divides the colour of a pixel by its alpha.
fn divide<T: Sample>(pixel: &mut [T]) {
    let Some((alpha, colour)) = pixel.split_last_mut() else { return };
    let alpha = alpha.value();
    for sample in colour {
        let value = u64::from(sample.value()) * u64::from(T::FULL);
        let value = (value + u64::from(alpha / 2)).checked_div(alpha.into()).unwrap_or(0);
        *sample = T::of(value.min(T::FULL.into()) as u32);
    }
}

/// What the data decompress to.
fn reader<'a>(data: impl BufRead + 'a, compression: Compression) -> Box<dyn Read + 'a> {
    match compression {
        Compression::None => Box::new(data),
        Compression::Deflate => Box::new(ZlibDecoder::new(data)),
        Compression::Lzw => {
            let decoder = Configuration::with_tiff_size_switch(BitOrder::Msb, 8).build();
            Box::new(BufReader::with_capacity(LZW_BUFFER, Lzw { data, decoder, error: None }))
        }
        Compression::PackBits => Box::new(PackBits { data, left: 0, repeated: None }),
    }
}

struct Lzw<R> {
    data: R,
    decoder: weezl::decode::Decoder,
    /// What is wrong with the data behind those that were decoded, which may belong to nothing.
    error: Option<LzwError>,
}

/// Room for the longest code: with less, the decoder of the crate may stop.
const LZW_BUFFER: usize = 1 << 13;

impl<R: BufRead> Read for Lzw<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(error) = self.error.take() {
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
            let data = self.data.fill_buf()?;
            let result = self.decoder.decode_bytes(data, out);
            self.data.consume(result.consumed_in);
            self.error = result.status.err();
            // A reset or a part of a code gives nothing yet.
            if result.consumed_out > 0 || (result.consumed_in == 0 && self.error.is_none()) {
                return Ok(result.consumed_out);
            }
        }
    }
}

struct PackBits<R> {
    data: R,
    /// Bytes that are still to come of the run.
    left: usize,
    /// The byte that it repeats; without one they follow as they are.
    repeated: Option<u8>,
}

impl<R: BufRead> PackBits<R> {
    fn byte(&mut self) -> io::Result<Option<u8>> {
        let byte = self.data.fill_buf()?.first().copied();
        self.data.consume(usize::from(byte.is_some()));
        Ok(byte)
    }
}

impl<R: BufRead> Read for PackBits<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.left == 0 {
            let Some(code) = self.byte()? else { return Ok(0) };
            match code {
                0..=127 => (self.left, self.repeated) = (usize::from(code) + 1, None),
                // Nothing.
                128 => {}
                129.. => {
                    let Some(byte) = self.byte()? else { return Ok(0) };
                    (self.left, self.repeated) = (257 - usize::from(code), Some(byte));
                }
            }
        }
        let most = self.left.min(out.len());
        let count = match self.repeated {
            Some(byte) => {
                out[..most].fill(byte);
                most
            }
            None => self.data.read(&mut out[..most])?,
        };
        self.left -= count;
        Ok(count)
    }
}
