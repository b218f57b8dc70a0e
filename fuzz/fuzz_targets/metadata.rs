//! EXIF and XMP are put right or refused.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| upconv_cli::fuzzing::metadata(bytes));
