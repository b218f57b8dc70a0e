//! The program's folder in the user's cache folder.

use etcetera::BaseStrategy as _;
use std::path::PathBuf;

/// The folder, where the system says where that is; it need not exist.
pub(crate) fn folder() -> Option<PathBuf> {
    Some(etcetera::base_strategy::choose_native_strategy().ok()?.cache_dir().join("upconv"))
}
