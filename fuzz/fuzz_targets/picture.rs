//! A picture is decoded or refused, within its memory.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

/// Where the program finds the picture.
static PATH: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("upconv-fuzz-{}", std::process::id())));

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    std::fs::write(&*PATH, bytes).unwrap();
    upconv_cli::fuzzing::picture(&PATH);
});
