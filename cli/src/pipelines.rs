//! What the driver compiled, kept in the user's cache folder from one run of the program to the next.
//!
//! It saves time and nothing else: what cannot be read or written is done without.

use crate::atomic::AtomicFile;
use anyhow::{Context as _, Result};
use std::env;
use std::fs;
use std::io::Write;
use std::ops::Deref;
use std::path::PathBuf;
use upconv::gpu::{Context, Tuning};
use upconv::wgpu;

/// A device whose pipelines are written to the cache folder when it is dropped.
pub(crate) struct Keeping {
    context: Context,
    path: Option<PathBuf>,
    read: Vec<u8>,
}

impl Keeping {
    /// The same device, with the pipelines of earlier runs.
    pub(crate) fn new(context: &Context) -> Self {
        let key = wgpu::util::pipeline_cache_key(&context.device().adapter_info());
        let path = key.and_then(|key| Some(cache_folder()?.join(key)));
        // The first run finds nothing.
        let read = path.as_ref().and_then(|path| fs::read(path).ok()).unwrap_or_default();
        #[expect(unsafe_code, reason = "only who keeps such data knows where they come from")]
        // SAFETY: the file lies in the user's own cache folder, where `save` alone puts one of this name. Whoever else can
        // write there acts for the user, and could replace the program as well.
        let context = unsafe { context.with_pipeline_data(&read) };
        Self { context, path, read }
    }

    /// The same device, planned for with what was measured.
    pub(crate) fn tune(&mut self, tuning: Tuning) {
        self.context = self.context.tuned(tuning);
    }

    fn save(&self) -> Result<()> {
        let (Some(path), Some(data)) = (&self.path, self.context.pipeline_data()) else { return Ok(()) };
        if data == self.read {
            return Ok(());
        }
        fs::create_dir_all(path.parent().context("a file's path has a parent")?)?;
        let mut file = AtomicFile::create(path, false)?;
        file.write_all(&data)?;
        file.commit()
    }
}

impl Deref for Keeping {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.context
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        // The next run compiles again, and that is all.
        let _ = self.save();
    }
}

/// The variables that lead to a user's cache folder, and the way from there; the first that is set decides.
const FOLDERS: &[(&str, &str)] = if cfg!(windows) {
    &[("LOCALAPPDATA", "upconv")]
} else if cfg!(target_os = "macos") {
    &[("HOME", "Library/Caches/upconv")]
} else {
    &[("XDG_CACHE_HOME", "upconv"), ("HOME", ".cache/upconv")]
};

/// The program's folder in the user's cache folder, where the system says where that is.
pub(crate) fn cache_folder() -> Option<PathBuf> {
    folder(|name| env::var_os(name))
}

/// The same, by the variables that are given. Relative paths do not count.
fn folder(variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> Option<PathBuf> {
    let bases = FOLDERS.iter().filter_map(|(name, way)| Some((PathBuf::from(variable(name)?), way)));
    bases.filter(|(base, _)| base.is_absolute()).map(|(base, way)| base.join(way)).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_cache_folder_is_where_the_system_says() {
        let folder = |xdg: &str, home: &str| {
            folder(|name| Some(if name == "HOME" { home } else { xdg }.into())).map(|path| path.display().to_string())
        };
        assert_eq!(folder("/cache", "/home/a").as_deref(), Some("/cache/upconv"));
        assert_eq!(folder("cache", "/home/a").as_deref(), Some("/home/a/.cache/upconv"));
        assert_eq!(folder("", ""), None);
    }
}
