//! An .npy file is read or refused.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| upconv_cli::fuzzing::npy(bytes));
