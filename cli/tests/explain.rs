//! `upconv explain`, as a user runs it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::Folder;

/// A layer that `direct` serves on every class of devices.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("op.json", br#"{"strides": [2, 2], "pads": [[1, 1], [1, 1]]}"#);
    folder
}

const LAYER: &str = "explain op.json --input-shape 16,128,16,16 --weight-shape 128,64,4,4";

#[test]
fn the_source_of_a_kernel_is_for_a_class_of_devices() {
    let folder = folder();
    let source = |class: &str| {
        let run = folder.run(&format!("{LAYER} --class {class} --wgsl"));
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
        run.stdout
    };
    let (software, desktop) = (source("software"), source("desktop"));
    for source in [&software, &desktop] {
        assert!(source.contains("fn direct(") && source.trim_end().ends_with('}'), "{source}");
    }
    assert!(software != desktop);
}

#[test]
fn the_plan_says_what_is_done_and_why() {
    let run = folder().run(&format!("{LAYER} --class desktop"));
    for word in [
        "desktop, by WebGPU's default limits",
        "[16, 128, 16, 16] -> [16, 64, 32, 32]",
        "direct: a tile in registers; `gather` is estimated at",
        "sums in registers",
        "useful of",
        "dispatches     1",
        "0 bytes of scratch",
    ] {
        assert!(run.stdout.contains(word), "{word:?} is missing in:\n{}", run.stdout);
    }
}

#[test]
fn a_class_is_no_device() {
    let folder = folder();
    assert_eq!(folder.run(&format!("{LAYER} --class desktop --device gpu")).code, Some(2));
    assert_eq!(folder.run(&format!("{LAYER} --json --wgsl")).code, Some(2));
}
