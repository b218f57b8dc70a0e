//! The file of measured choices: `tune` writes it, and commands that compute on a GPU plan with it.

use crate::cache;
use anyhow::{Context as _, Result};
use std::io::ErrorKind;
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
        match (&self.tuning, default_path()) {
            _ if self.no_tuning => Ok(Tuning::default()),
            (Some(path), _) => read(path)?.with_context(|| format!("there is no {}", path.display())),
            (None, None) => Ok(Tuning::default()),
            (None, Some(path)) => {
                let ignore = |error: anyhow::Error| {
                    eprintln!("tuning: ignored: {error:#}");
                    None
                };
                Ok(read(&path).unwrap_or_else(ignore).unwrap_or_default())
            }
        }
    }
}

/// Reads a file; `None` where there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Tuning>> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text.with_context(|| format!("cannot read {}", path.display()))?,
    };
    Tuning::from_json(&text).map(Some).with_context(|| path.display().to_string())
}

/// The file in the user's cache folder, where the system has such a folder.
pub(crate) fn default_path() -> Option<PathBuf> {
    cache::folder().map(|folder| folder.join("tuning.json"))
}
