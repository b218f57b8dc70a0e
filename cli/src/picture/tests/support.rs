//! A folder, pictures of noise, and small files made by hand.

use std::fs;
use std::path::{Path, PathBuf};

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};
use tempfile::TempDir;

use crate::picture::samples::Picture;
use crate::picture::shape::{Colour, Depth};
use crate::picture::tags::Tags;
use crate::picture::{Rows, Samples, Shape, Source, Target, TargetOptions};

pub(super) const MIB: u64 = 1 << 20;

impl Samples {
    pub(super) fn rows(&self) -> Rows<'_> {
        match self {
            Self::Eight(samples) => Rows::Eight(samples),
            Self::Sixteen(samples) => Rows::Sixteen(samples),
        }
    }
}

impl Picture {
    pub(super) fn shape(&self) -> Shape {
        Shape { width: self.width, height: self.height, colour: self.colour, depth: self.samples.rows().depth() }
    }
}

/// A folder that goes away with the test.
pub(super) struct Folder(pub(super) TempDir);

impl Folder {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(super) fn with(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(self.0.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

pub(super) fn shape(width: u32, height: u32, colour: Colour, depth: Depth) -> Shape {
    Shape { width, height, colour, depth }
}

/// A picture of samples without a pattern.
pub(super) fn noise(shape: Shape) -> Picture {
    let mut state = 12_345u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as u16
    };
    let samples: Vec<u16> = std::iter::repeat_with(next).take(shape.row_samples() * shape.height as usize).collect();
    Picture {
        width: shape.width,
        height: shape.height,
        colour: shape.colour,
        samples: match shape.depth {
            Depth::Eight => Samples::Eight(samples.iter().map(|&v| v as u8).collect()),
            Depth::Sixteen => Samples::Sixteen(samples),
        },
        tags: Tags::default(),
        repairs: Vec::new(),
    }
}

/// A profile of which only the colour space means something.
pub(super) fn profile(space: &[u8; 4]) -> Vec<u8> {
    let mut profile: Vec<u8> = (0..200u8).collect();
    profile[16..20].copy_from_slice(space);
    profile
}

pub(super) fn plan(out: &Path, shape: Shape, options: TargetOptions) -> anyhow::Result<Target> {
    Target::plan(out, Path::new("no such input"), shape, Tags::default(), &options)
}

pub(super) fn write(picture: &Picture, out: &Path, options: TargetOptions) {
    let tags = picture.tags.clone();
    let input = Path::new("no such input");
    let target = Target::plan(out, input, picture.shape(), tags, &options).unwrap();
    let mut writer = target.start().unwrap();
    writer.rows(picture.samples.rows()).unwrap();
    writer.finish().unwrap();
}

pub(super) fn read(path: &Path) -> Picture {
    Source::open(path, MIB).unwrap().decode().unwrap()
}

/// What opening and decoding a picture warns of.
pub(super) fn decoded(path: &Path, memory_budget: u64) -> anyhow::Result<Vec<String>> {
    let source = Source::open(path, memory_budget)?;
    let warnings = source.warnings().to_vec();
    Ok([warnings, source.decode()?.repairs].concat())
}

pub(super) fn after_name(path: &Path, error: &str) -> String {
    assert_eq!(error.lines().count(), 1, "{error}");
    let name = format!("{}: ", path.display());
    error.strip_prefix(&name).expect(error).to_owned()
}

pub(super) fn png(width: u32, height: u32, set: impl Fn(&mut png::Encoder<'_, &mut Vec<u8>>), data: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    set(&mut encoder);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(data).unwrap();
    drop(writer);
    file
}

pub(super) fn jpeg(width: u32, height: u32, colour: ExtendedColorType, data: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    JpegEncoder::new_with_quality(&mut file, 100).write_image(data, width, height, colour).unwrap();
    file
}
