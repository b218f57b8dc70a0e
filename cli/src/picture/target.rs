//! Planning of an output.

use std::fs;
use std::path::Path;

use anyhow::{Result, anyhow, bail, ensure};

use super::convert;
use super::encoding::{Encoding, PngEffort};
use super::format::{Format, Readable};
use super::palette::Colours;
use super::rgb::Rgb;
use super::samples::{Rows, Samples};
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
    /// How hard a PNG file is deflated.
    pub(crate) png_effort: Option<PngEffort>,
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
    losses: Vec<String>,
}

impl Target {
    /// Decides how a picture of shape `given`, made from the picture at `source`, is written to `out`.
    ///
    /// The format is that of the extension. What it cannot hold is refused rather than changed,
    /// unless the options allow the change; of metadata it is left out. Grey is stored as RGB in WebP, which has no grey, and
    /// WebP is written without loss. A grey picture flattened over a colour that is not grey
    /// becomes RGB.
    pub(crate) fn plan(out: &Path, source: &Path, given: Shape, tags: Tags, options: &TargetOptions) -> Result<Self> {
        let flatten = options.flatten.filter(|_| given.colour.has_alpha());
        let (encoding, losses) =
            settle(out, source, given, tags, options).map_err(|e| anyhow!("{}: {e}", out.display()))?;
        Ok(Self {
            file: AtomicFile::create_or_standard_output(out, options.no_clobber)?,
            given,
            flatten,
            encoding,
            losses,
        })
    }

    /// The shape of the picture as it is written.
    pub(crate) fn written(&self) -> Shape {
        self.encoding.written
    }

    /// What of the look of the picture and of its metadata the format cannot hold, a line each.
    pub(crate) fn losses(&self) -> &[String] {
        &self.losses
    }

    /// Tells that the picture will have no colours but those of `samples`, which have the depth and the colour that the
    /// target was planned with.
    ///
    /// A PNG file of RGB or RGBA with at most 256 colours is then written with a palette, and one of grey with fewer bits
    /// where its values are those of fewer bits: the same pixels in fewer bytes. A row with another colour is refused.
    pub(crate) fn keep_colours(&mut self, samples: &Samples) {
        let written = self.encoding.written;
        if self.encoding.format != Format::Png || written.depth != Depth::Eight {
            return;
        }
        let pixels = self.given.colour.channels() << 12;
        let mut colours = Colours::new(written.colour);
        let mut add = |rows: Rows<'_>| {
            let bytes = convert::written(rows, self.given.colour, self.flatten, written);
            colours = colours.take()?.add(&bytes);
            Some(())
        };
        let _all = match samples {
            Samples::Eight(samples) => samples.chunks(pixels).try_for_each(|part| add(part.into())),
            Samples::Sixteen(samples) => samples.chunks(pixels).try_for_each(|part| add(part.into())),
        };
        self.encoding.indexed = colours.and_then(Colours::indexed);
    }

    /// The format that is written.
    pub(crate) fn format(&self) -> Format {
        self.encoding.format
    }

    /// The bytes of samples that the writer gathers before it encodes: none for PNG and TIFF, which are
    /// encoded as the rows come. What an encoder needs for itself comes on top.
    pub(crate) fn gathered_bytes(&self) -> u64 {
        if self.encoding.format.is_streamed() { 0 } else { self.encoding.written.bytes() }
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
) -> Result<(Encoding, Vec<String>)> {
    let format = match options.format {
        Some(format) => format,
        None => of_extension(out)?,
    };
    let quality = quality(format, options.quality)?;
    ensure!(options.png_effort.is_none() || format == Format::Png, "--png-effort is for PNG, not for {format}");
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
    let (mut tags, loss) = tags.storable(format, format.stored(written.colour));
    let (metadata, lost) = tags.metadata.storable(format, written.width, written.height);
    tags.metadata = metadata;
    let losses = loss.into_iter().chain(lost).collect();
    let icc_bytes = tags.icc.as_ref().map_or(0, Vec::len);
    ensure!(
        format != Format::Jpeg || icc_bytes <= MAX_JPEG_ICC,
        "JPEG holds an ICC profile of at most {MAX_JPEG_ICC} bytes, not {icc_bytes}"
    );
    ensure!(is_standard(out) || !same_file(source, out), "is the input itself; write to another name");
    let effort = options.png_effort.unwrap_or_default();
    Ok((Encoding { format, written, tags, quality, effort, indexed: None }, losses))
}

/// The format that a name's extension asks for.
fn of_extension(out: &Path) -> Result<Format> {
    let extensions = Format::EXTENSIONS;
    match Readable::of_extension(out).map(|readable| (readable, readable.written())) {
        Some((_, Some(format))) => Ok(format),
        Some((readable, None)) => bail!("{readable} is read, not written; the name must end in {extensions}"),
        None => bail!("the name must end in {extensions}"),
    }
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
    let able = match &able[..] {
        [] => "no format".to_owned(),
        [one] => one.clone(),
        [others @ .., last] => format!("{} or {last}", others.join(", ")),
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
