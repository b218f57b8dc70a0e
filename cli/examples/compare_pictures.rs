//! Compares pictures with the first of them, sample by sample.
//!
//! ```text
//! cargo run --release --example compare_pictures -- TOLERANCE FIRST OTHER...
//! ```
//!
//! `TOLERANCE` is in units of 1/255, whatever the depth of the samples. The exit status is 1 when a
//! picture has another size or colour type than the first, or a sample differs by more than that.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use image::ColorType;

const USAGE: &str = "usage: compare_pictures TOLERANCE FIRST OTHER...";

struct Picture {
    path: PathBuf,
    width: u32,
    height: u32,
    color: ColorType,
    samples: Vec<u16>,
    /// How many steps of a sample are 1/255.
    steps: u16,
}

impl Picture {
    fn open(path: &Path) -> Result<Self> {
        let image = image::open(path).with_context(|| path.display().to_string())?;
        let color = image.color();
        let bytes = image.as_bytes();
        let (samples, steps) = match color.bytes_per_pixel() / color.channel_count() {
            1 => (bytes.iter().map(|&byte| u16::from(byte)).collect(), 1),
            2 => {
                let pairs = bytes.chunks_exact(2);
                let samples = pairs.map(|pair| u16::from_ne_bytes([pair[0], pair[1]]));
                (samples.collect(), 257)
            }
            _ => bail!("{}: samples of neither 8 nor 16 bits ({color:?})", path.display()),
        };
        Ok(Self { path: path.to_owned(), width: image.width(), height: image.height(), color, samples, steps })
    }

    fn kind(&self) -> String {
        format!("{}x{} {:?}", self.width, self.height, self.color)
    }

    /// Names the place of a sample.
    fn place(&self, index: usize) -> String {
        let channels = usize::from(self.color.channel_count());
        let width = self.width as usize;
        let (pixel, channel) = (index / channels, index % channels);
        format!("x={}, y={}, channel {channel}", pixel % width, pixel / width)
    }
}

/// Prints the difference of two pictures, and fails when it is beyond the tolerance.
fn compare(first: &Picture, other: &Picture, tolerance: f64) -> Result<()> {
    let (a, b) = (first.path.display(), other.path.display());
    ensure!(first.kind() == other.kind(), "{a} is {}, but {b} is {}", first.kind(), other.kind());
    let (mut largest, mut at, mut differing) = (0, 0, 0_usize);
    for (index, (x, y)) in first.samples.iter().zip(&other.samples).enumerate() {
        let difference = x.abs_diff(*y);
        differing += usize::from(difference > 0);
        if difference > largest {
            (largest, at) = (difference, index);
        }
    }
    let largest = f64::from(largest) / f64::from(first.steps);
    let total = first.samples.len();
    println!("{b}: largest difference {largest:.4}/255, {differing} of {total} samples differ");
    ensure!(
        largest <= tolerance,
        "{b} differs from {a} by {largest:.4}/255 at {}, more than {tolerance}/255",
        other.place(at)
    );
    Ok(())
}

fn run(mut arguments: impl Iterator<Item = OsString>) -> Result<()> {
    let tolerance = arguments.next().context(USAGE)?;
    let tolerance: f64 = tolerance
        .to_str()
        .and_then(|text| text.parse().ok())
        .filter(|value| *value >= 0.0)
        .with_context(|| format!("the tolerance {} is not a number of at least 0", tolerance.display()))?;
    let first = PathBuf::from(arguments.next().context(USAGE)?);
    let others: Vec<PathBuf> = arguments.map(PathBuf::from).collect();
    ensure!(!others.is_empty(), USAGE);

    let first = Picture::open(&first)?;
    println!("{}: {}", first.path.display(), first.kind());
    for other in &others {
        compare(&first, &Picture::open(other)?, tolerance)?;
    }
    Ok(())
}

fn main() -> ExitCode {
    match run(env::args_os().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare_pictures: {error:#}");
            ExitCode::FAILURE
        }
    }
}
