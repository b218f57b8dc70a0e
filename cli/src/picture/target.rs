//! Planning of an output.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::encoding::Encoding;
use super::format::Format;
use super::rgb::Rgb;
use super::shape::{Colour, Depth, Shape};
use super::tags::Tags;
use super::writer::Writer;
use crate::atomic::AtomicFile;
use crate::input::is_standard;

/// The quality of a JPEG file where none is asked for.
const QUALITY: u8 = 90;

/// The longest ICC profile that JPEG's 255 numbered segments hold, as its encoder fills them.
const MAX_JPEG_ICC: usize = 255 * 65_519;

/// What a user can ask of an output.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TargetOptions {
    /// Put a picture with alpha over this colour and write it without. No matter for others.
    pub(crate) flatten: Option<Rgb>,
    /// Round 16-bit samples to 8 bits. No matter for others.
    pub(crate) depth_8: bool,
    /// The JPEG quality, 1 to 100.
    pub(crate) quality: Option<u8>,
    /// Refuse to replace a file.
    pub(crate) no_clobber: bool,
    /// The format, where it is not that of the name's extension.
    pub(crate) format: Option<Format>,
}

/// An output that was found possible, with its temporary file already beside it.
#[derive(Debug)]
pub(crate) struct Target {
    file: AtomicFile,
    given: Shape,
    flatten: Option<Rgb>,
    encoding: Encoding,
    loss: Option<String>,
}

impl Target {
    /// Decides how a picture of shape `given`, made from the picture at `source`, is written to `out`.
    ///
    /// The format is that of the extension. What it cannot hold is refused rather than changed,
    /// unless the options allow the change. Grey is stored as RGB in WebP, which has no grey, and
    /// WebP is written without loss. A grey picture flattened over a colour that is not grey
    /// becomes RGB.
    pub(crate) fn plan(out: &Path, source: &Path, given: Shape, tags: Tags, options: &TargetOptions) -> Result<Self> {
        let flatten = options.flatten.filter(|_| given.colour.has_alpha());
        let (encoding, loss) =
            settle(out, source, given, tags, options).map_err(|e| anyhow!("{}: {e}", out.display()))?;
        Ok(Self {
            file: AtomicFile::create_or_standard_output(out, options.no_clobber)?,
            given,
            flatten,
            encoding,
            loss,
        })
    }

    /// The shape of the picture as it is written.
    pub(crate) fn written(&self) -> Shape {
        self.encoding.written
    }

    /// What of the look of the picture the format cannot hold.
    pub(crate) fn loss(&self) -> Option<&str> {
        self.loss.as_deref()
    }

    /// The format that is written.
    pub(crate) fn format(&self) -> Format {
        self.encoding.format
    }

    /// The bytes of samples that the writer gathers before it encodes: none for PNG, which is encoded
    /// row by row. What an encoder needs for itself comes on top.
    pub(crate) fn gathered_bytes(&self) -> u64 {
        match self.encoding.format {
            Format::Png => 0,
            Format::Jpeg | Format::WebP => self.encoding.written.bytes(),
        }
    }

    /// Starts the encoder.
    pub(crate) fn start(self) -> Result<Writer> {
        Writer::start(self.file, self.given, self.flatten, self.encoding)
    }
}

fn settle(
    out: &Path,
    source: &Path,
    given: Shape,
    tags: Tags,
    options: &TargetOptions,
) -> Result<(Encoding, Option<String>)> {
    let format = options
        .format
        .or_else(|| Format::of_extension(out))
        .context("the name must end in .png, .jpg, .jpeg or .webp")?;
    let quality = quality(format, options.quality)?;
    let written = Shape {
        colour: match options.flatten {
            Some(over) => flattened(given.colour, over),
            None => given.colour,
        },
        depth: match options.depth_8 {
            true => Depth::Eight,
            false => given.depth,
        },
        ..given
    };
    check_holds(format, written)?;
    let (tags, loss) = tags.storable(format, format.stored(written.colour));
    let icc_bytes = tags.icc.as_ref().map_or(0, Vec::len);
    ensure!(
        format != Format::Jpeg || icc_bytes <= MAX_JPEG_ICC,
        "JPEG holds an ICC profile of at most {MAX_JPEG_ICC} bytes, not {icc_bytes}"
    );
    ensure!(is_standard(out) || !same_file(source, out), "is the input itself; write to another name");
    Ok((Encoding { format, written, tags, quality }, loss))
}

fn check_holds(format: Format, shape: Shape) -> Result<()> {
    ensure!(shape.width > 0 && shape.height > 0, "a picture of {}x{} has no pixels", shape.width, shape.height);
    let obstacles = format.obstacles(shape);
    if obstacles.is_empty() {
        return Ok(());
    }
    let able = Format::ALL
        .into_iter()
        .filter(|other| other.obstacles(shape).is_empty())
        .map(|other| other.to_string())
        .collect::<Vec<_>>();
    let able = match able.is_empty() {
        true => "no format".to_owned(),
        false => able.join(" or "),
    };
    bail!("{}; {able} can hold this picture", obstacles.join("; "))
}

/// The colour of a picture put over another, which only matters to one with alpha.
fn flattened(colour: Colour, over: Rgb) -> Colour {
    match colour {
        Colour::GreyAlpha if over.is_grey() => Colour::Grey,
        Colour::GreyAlpha | Colour::Rgba => Colour::Rgb,
        opaque => opaque,
    }
}

fn quality(format: Format, asked: Option<u8>) -> Result<u8> {
    match asked {
        Some(quality) if format != Format::Jpeg => {
            bail!("--quality {quality} is for JPEG; {format} is written without loss")
        }
        Some(quality) if !(1..=100).contains(&quality) => {
            bail!("--quality goes from 1 to 100, not {quality}")
        }
        asked => Ok(asked.unwrap_or(QUALITY)),
    }
}

/// Whether two paths lead to the same file, through links too.
fn same_file(a: &Path, b: &Path) -> bool {
    match (identity(a), identity(b)) {
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

#[cfg(unix)]
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let found = fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn identity(path: &Path) -> Option<std::path::PathBuf> {
    fs::canonicalize(path).ok()
}
