//! Running the program in a folder of its own.

#![allow(dead_code, reason = "each test file uses a part of it")]

use image::DynamicImage;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The photograph that comes with the sources.
pub(crate) fn astronaut() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/astronaut.png")
}

/// What a run of the program left.
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A folder that goes away with the test.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With the photograph in it, as `in.png`.
    pub(crate) fn with_astronaut() -> Self {
        let folder = Self::new();
        fs::copy(astronaut(), folder.path("in.png")).unwrap();
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    pub(crate) fn save(&self, name: &str, picture: impl Into<DynamicImage>) {
        picture.into().save(self.path(name)).unwrap();
    }

    pub(crate) fn open(&self, name: &str) -> DynamicImage {
        image::open(self.path(name)).unwrap()
    }

    /// Every file with its contents.
    pub(crate) fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let files = fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap());
        files
            .map(|entry| {
                let contents = if entry.path().is_dir() { Vec::new() } else { fs::read(entry.path()).unwrap() };
                (entry.file_name().into_string().unwrap(), contents)
            })
            .collect()
    }

    /// The names in the folder, those within folders with their paths.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut folders = vec![self.0.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                } else {
                    let path = entry.path();
                    let name = path.strip_prefix(self.0.path()).unwrap();
                    names.push(
                        name.components().map(|part| part.as_os_str().to_str().unwrap()).collect::<Vec<_>>().join("/"),
                    );
                }
            }
        }
        names.sort();
        names
    }

    /// Runs the program in the folder, with the words of `line` as its arguments.
    pub(crate) fn run(&self, line: &str) -> Run {
        self.run_cached(line, Path::new(env!("CARGO_TARGET_TMPDIR")))
    }

    /// [`run`](Self::run) with its own cache folder.
    pub(crate) fn run_cached(&self, line: &str, cache: &Path) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_upconv"));
        self.output(command.args(line.split(' ')), cache)
    }

    /// Runs a script in the folder, in which `$UPCONV` is the program.
    #[cfg(unix)]
    pub(crate) fn shell(&self, script: &str) -> Run {
        let mut command = Command::new("sh");
        command.args(["-c", script]).env("UPCONV", env!("CARGO_BIN_EXE_upconv"));
        self.output(&mut command, Path::new(env!("CARGO_TARGET_TMPDIR")))
    }

    fn output(&self, command: &mut Command, cache: &Path) -> Run {
        let output = command.current_dir(self.0.path()).env("XDG_CACHE_HOME", cache).output().unwrap();
        Run {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs the program, which must succeed and print its results on standard error only.
    pub(crate) fn succeed(&self, line: &str) -> Run {
        let run = self.run(line);
        assert_eq!(run.code, Some(0), "{line}: {}", run.stderr);
        assert_eq!(run.stdout, "", "{line}");
        run
    }

    /// Runs the program, which must refuse: with this exit status, one line that holds all these words and no other
    /// (so no device was opened), and the folder as it was.
    pub(crate) fn refuse(&self, line: &str, code: i32, words: &[&str]) {
        let before = self.contents();
        let run = self.run(line);
        assert_eq!(run.code, Some(code), "{line}: {}", run.stderr);
        assert_eq!(run.stdout, "", "{line}");
        assert_eq!(run.stderr.lines().count(), 1, "{line}: {}", run.stderr);
        assert!(run.stderr.starts_with("upconv: "), "{line}: {}", run.stderr);
        for word in words {
            assert!(run.stderr.contains(word), "{line}: {word:?} is missing in: {}", run.stderr);
        }
        assert!(self.contents() == before, "{line}: the folder changed: {:?}", self.contents().keys());
    }
}

/// The samples of a picture in the order they are stored, whatever their depth.
pub(crate) fn samples(picture: &DynamicImage) -> Vec<u16> {
    match picture.color().bytes_per_pixel() / picture.color().channel_count() {
        1 => picture.as_bytes().iter().map(|&v| v.into()).collect(),
        _ => picture.as_bytes().chunks_exact(2).map(|v| u16::from_ne_bytes([v[0], v[1]])).collect(),
    }
}

/// The largest difference of two pictures of one size and kind, in units of the samples, away from the border.
pub(crate) fn difference(a: &DynamicImage, b: &DynamicImage, border: u32) -> u16 {
    assert_eq!((a.width(), a.height(), a.color()), (b.width(), b.height(), b.color()));
    let channels = u32::from(a.color().channel_count());
    let is_inside = |i: u32, extent: u32| (border..extent - border).contains(&i);
    let (a_samples, b_samples) = (samples(a), samples(b));
    let differences = a_samples.iter().zip(&b_samples).enumerate().filter_map(|(index, (&a_sample, b_sample))| {
        let pixel = index as u32 / channels;
        let inside = is_inside(pixel % a.width(), a.width()) && is_inside(pixel / a.width(), a.height());
        inside.then(|| a_sample.abs_diff(*b_sample))
    });
    differences.max().unwrap()
}

/// Files of ncnn, net.param and net.bin, of a network that doubles pictures, with a skip and with squeeze-and-excitation
/// twice, the second behind the first. Its weights are made up; what it makes lies around what it is given.
pub(crate) fn write_squeezing(folder: &Folder) {
    let param = "7767517
18 22
Input in 0 1 a
Convolution first 1 1 a b 0=8 1=3 4=1 5=1 6=216 9=2 -23310=1,0.2
Split s1 1 3 b b1 b2 b3
Pooling gap1 1 1 b1 g1 0=1 4=1
InnerProduct fc1 1 1 g1 h1 0=8 1=1 2=64 9=4
BinaryOp mul1 2 1 b2 h1 c 0=2
Convolution down 1 1 c d 0=8 1=2 3=2 5=1 6=256 9=1
Split s2 1 2 d d1 d2
Pooling gap2 1 1 d1 g2 0=1 4=1
InnerProduct fc2 1 1 g2 h2 0=8 1=1 2=64 9=4
BinaryOp mul2 2 1 d2 h2 e 0=2
Deconvolution up 1 1 e f 0=8 1=2 3=2 5=1 6=256
BinaryOp skip 2 1 f b3 i 0=0
Convolution last 1 1 i j 0=12 1=3 4=1 5=1 6=864
PixelShuffle shuffle 1 1 j k 0=2
Interp near 1 1 a2 l 0=1 1=2.0 2=2.0
BinaryOp sum 2 1 k l m 0=0
";
    // The picture goes to the first layer and to the enlargement.
    let param = param.replace("Convolution first 1 1 a b", "Split s0 1 2 a a1 a2\nConvolution first 1 1 a1 b");
    folder.write("net.param", param);
    let mut bin = Vec::new();
    let mut state = 1_u32;
    let mut number = |scale: f32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 8) as f32 / 16_777_216.0 - 0.5) * scale
    };
    for (weights, biases, scale) in
        [(216, 8, 0.8), (64, 8, 2.0), (256, 8, 0.6), (64, 8, 2.0), (256, 8, 0.6), (864, 12, 0.1)]
    {
        bin.extend([0; 4]);
        (0..weights).for_each(|_| bin.extend(number(scale).to_le_bytes()));
        (0..biases).for_each(|_| bin.extend(number(0.1).to_le_bytes()));
    }
    folder.write("net.bin", bin);
}
