//! The driver's compiled pipelines, kept in the user's cache folder from one run of the program to the next.
//!
//! They only save time: failing to read or write them is not an error.

use crate::cache;
use anyhow::Result;
use std::ops::Deref;
use std::path::PathBuf;
use upconv::gpu::{Context, Tuning};
use upconv::wgpu;

/// The most that is read, in bytes; drivers keep some MiB.
const MAX_PIPELINES: u64 = 256 << 20;

/// A device whose pipelines are written to the cache folder when it is dropped.
pub(crate) struct CachedContext {
    context: Context,
    path: Option<PathBuf>,
    read: Vec<u8>,
}

impl CachedContext {
    /// The same device, with the pipelines of earlier runs.
    pub(crate) fn new(context: &Context) -> Self {
        let key = wgpu::util::pipeline_cache_key(&context.device().adapter_info());
        let path = key.and_then(|key| cache::path(&key));
        // The first run finds nothing, and what is no file of the user's is as good as nothing.
        let read = path.as_ref().and_then(|path| cache::read(path, MAX_PIPELINES).ok()?).unwrap_or_default();
        #[expect(unsafe_code, reason = "only who keeps such data knows where they come from")]
        // SAFETY: the file lies in the user's own cache folder, where `save` alone puts one of this name. Whoever else can
        // write there acts for the user, and could replace the program as well.
        let context = unsafe { context.with_pipeline_data(&read) };
        Self { context, path, read }
    }

    /// The same device, with plans that use the measured choices.
    pub(crate) fn tune(&mut self, tuning: Tuning) {
        self.context = self.context.tuned(tuning);
    }

    fn save(&self) -> Result<()> {
        let (Some(path), Some(data)) = (&self.path, self.context.pipeline_data()) else { return Ok(()) };
        if data == self.read {
            return Ok(());
        }
        cache::write(path, &data)
    }
}

impl Deref for CachedContext {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.context
    }
}

impl Drop for CachedContext {
    fn drop(&mut self) {
        // The next run compiles again, and that is all.
        let _ = self.save();
    }
}
