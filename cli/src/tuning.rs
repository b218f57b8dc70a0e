//! The file of measured choices: `tune` writes it, and commands that compute on a GPU plan with it.

use crate::atomic::AtomicFile;
use crate::input::{self, MAX_TEXT};
use crate::output::{note, one_line};
use crate::{cache, originals};
use anyhow::{Context as _, Result};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use upconv::gpu::Tuning;

/// The options that choose the file.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct TuningArgs {
    /// Plan with what `upconv tune` measured and wrote to this file; by default, to the user's cache folder.
    #[arg(long, value_name = "FILE")]
    tuning: Option<PathBuf>,
    /// Plan by estimates alone, without measured choices.
    #[arg(long, conflicts_with = "tuning")]
    no_tuning: bool,
}

impl TuningArgs {
    /// The measured choices. A file that is named must exist and be valid; the one in the cache folder may be missing,
    /// and if it is damaged it is ignored, with a line on standard error.
    pub(crate) fn load(&self) -> Result<Tuning> {
        if self.no_tuning {
            return Ok(Tuning::default());
        }
        if let Some(path) = &self.tuning {
            originals::protect(path);
            return read(path)?.with_context(|| format!("there is no {}", path.display()));
        }
        let kept = Place::cached().map_or(Ok(None), |place| place.read());
        let ignore = |error: anyhow::Error| {
            note!("tuning: ignored: {}", one_line(&error));
            None
        };
        Ok(kept.unwrap_or_else(ignore).unwrap_or_default())
    }
}

/// Where the choices are kept.
pub(crate) enum Place {
    /// The user's own file.
    Named(PathBuf),
    /// In the cache folder.
    Cached(PathBuf),
}

impl Place {
    /// The file in the user's cache folder, where the system has such a folder.
    pub(crate) fn cached() -> Option<Self> {
        cache::path("tuning.json").map(Self::Cached)
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Named(path) | Self::Cached(path) => path,
        }
    }

    /// What is kept there; `None` where there is no file.
    pub(crate) fn read(&self) -> Result<Option<Tuning>> {
        match self {
            Self::Named(path) => read(path),
            Self::Cached(path) => match cache::read(path, MAX_TEXT)? {
                None => Ok(None),
                Some(bytes) => parse(&input::text(bytes)?, path).map(Some),
            },
        }
    }

    /// Keeps the choices, in a folder that is made where there is none.
    pub(crate) fn write(&self, tuning: &Tuning) -> Result<()> {
        let text = tuning.to_json();
        match self {
            Self::Cached(path) => cache::write(path, text.as_bytes()),
            Self::Named(path) => {
                if let Some(folder) = path.parent() {
                    fs::create_dir_all(folder)
                        .with_context(|| format!("cannot create the folder {}", folder.display()))?;
                }
                let mut file = AtomicFile::create(path, false)?;
                file.write_all(text.as_bytes())?;
                file.commit()
            }
        }
    }
}

/// Reads a file; `None` where there is none.
fn read(path: &Path) -> Result<Option<Tuning>> {
    if fs::metadata(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
        return Ok(None);
    }
    parse(&input::read_text(path, MAX_TEXT)?, path).map(Some)
}

fn parse(text: &str, path: &Path) -> Result<Tuning> {
    Tuning::from_json(text).with_context(|| path.display().to_string())
}
