//! A network in ncnn's files is converted or refused.

#![no_main]

libfuzzer_sys::fuzz_target!(|files: (&str, &[u8])| upconv_cli::fuzzing::ncnn(files.0, files.1));
