//! Progress bars.

use anyhow::Result;
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

/// A bar on standard error where that is a terminal, nothing elsewhere; it goes away at the end.
pub(super) fn progress(length: u64, template: &str) -> Result<ProgressBar> {
    let style = ProgressStyle::with_template(template)?;
    Ok(ProgressBar::new(length).with_style(style).with_finish(ProgressFinish::AndClear))
}
