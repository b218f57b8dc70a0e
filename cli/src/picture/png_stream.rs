//! PNG, row by row.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use png::{BitDepth, ColorType, Compression, Encoder, Info, StreamWriter};

use super::encoding::Encoding;
use super::shape::{Colour, Depth};
use crate::atomic::AtomicFile;

/// The size of an IDAT chunk.
const CHUNK: usize = 1 << 16;

/// An encoder that holds a few rows and a chunk.
pub(super) struct PngStream {
    stream: StreamWriter<'static, Shared>,
    file: Shared,
}

impl PngStream {
    pub(super) fn start(file: AtomicFile, encoding: Encoding) -> Result<Self> {
        let file = Shared(Arc::new(Mutex::new(file)));
        let shape = encoding.written;
        let mut info = Info::with_size(shape.width, shape.height);
        info.color_type = match shape.colour {
            Colour::Grey => ColorType::Grayscale,
            Colour::GreyAlpha => ColorType::GrayscaleAlpha,
            Colour::Rgb => ColorType::Rgb,
            Colour::Rgba => ColorType::Rgba,
        };
        info.bit_depth = match shape.depth {
            Depth::Eight => BitDepth::Eight,
            Depth::Sixteen => BitDepth::Sixteen,
        };
        info.icc_profile = encoding.icc.map(Into::into);
        let mut encoder = Encoder::with_info(file.clone(), info)?;
        // Several times the speed of zlib's levels, and on pictures about as small as level 3.
        encoder.set_compression(Compression::Fast);
        let stream = encoder.write_header()?.into_stream_writer_with_size(CHUNK)?;
        Ok(Self { stream, file })
    }

    /// Takes rows; 16-bit samples with their high byte first.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Ends the picture and gives the file back.
    ///
    /// The stream writes its last chunks as it is dropped and ignores failures there; the file
    /// remembers them.
    pub(super) fn finish(self) -> Result<AtomicFile> {
        self.stream.finish()?;
        let file = Arc::into_inner(self.file.0).context("the PNG encoder kept the file")?;
        Ok(file.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The file, shared with the stream, which would otherwise not give it back.
#[derive(Clone)]
struct Shared(Arc<Mutex<AtomicFile>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.flush()
    }
}
