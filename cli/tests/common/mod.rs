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
