//! The program on a GPU.
//!
//! Without a device every test fails. `UPCONV_SKIP_GPU_TESTS=1` is how a person asks for them to be skipped; they then
//! show as ignored.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Folder, difference};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let skip = std::env::var_os("UPCONV_SKIP_GPU_TESTS").is_some_and(|value| value == "1");
    let tests: &[(&str, fn())] = &[
        ("the_gpu_and_the_cpu_make_the_same_picture", the_gpu_and_the_cpu_make_the_same_picture),
        ("the_gpu_makes_the_same_picture_in_pieces", the_gpu_makes_the_same_picture_in_pieces),
    ];
    let mut arguments = Arguments::from_args();
    // A software device is busy with one test.
    arguments.test_threads.get_or_insert(1);
    let trials = tests.iter().map(|&(name, test)| {
        let run = move || std::panic::catch_unwind(test).map_err(|_| Failed::without_message());
        Trial::test(name, run).with_ignored_flag(skip)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

fn the_gpu_and_the_cpu_make_the_same_picture() {
    let folder = Folder::with_astronaut();
    for method in ["nearest", "bilinear", "bicubic", "lanczos3"] {
        folder.succeed(&format!("upscale in.png cpu.png --scale 3 --method {method} --device cpu"));
        let run = folder.succeed(&format!("upscale in.png gpu.png --scale 3 --method {method} --device gpu"));
        eprintln!("{}", run.stderr.trim_end());
        assert!(difference(&folder.open("cpu.png"), &folder.open("gpu.png"), 0) <= 1, "{method}");
    }
}

fn the_gpu_makes_the_same_picture_in_pieces() {
    let folder = Folder::with_astronaut();
    for scale in [2, 4] {
        folder.succeed(&format!("upscale in.png whole.png --scale {scale} --method lanczos3 --device gpu"));
        folder.succeed(&format!(
            "upscale in.png pieces.png --scale {scale} --method lanczos3 --device gpu --memory 2MiB"
        ));
        assert!(folder.open("whole.png") == folder.open("pieces.png"), "{scale}");
    }
}
