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
fn a_kernel_is_explained_by_its_name() {
    let folder = folder();
    folder.write("op.json", br#"{"strides": [2, 2], "pads": [[1, 1], [1, 1]], "accuracy": "half"}"#);
    let run = folder.run(&format!("{LAYER} --class desktop --f16 --kernel direct"));
    assert!(run.stdout.contains("direct: it was asked for"), "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("channels, products of f16"), "{}", run.stdout);
    let run = folder.run(&format!("{LAYER} --class desktop --kernel gather"));
    assert!(run.stdout.contains("one output element; it was asked for"), "{}{}", run.stdout, run.stderr);
    for (wrong, why) in [
        ("--class desktop --kernel fast", "there is no kernel"),
        ("--class desktop --pass weight-gradient --kernel direct", "kernels of its own"),
        ("--device cpu --kernel direct", "would run on the CPU"),
    ] {
        let run = folder.run(&format!("{LAYER} {wrong}"));
        assert!(run.stdout.is_empty() && run.stderr.contains(why), "{wrong}: {}{}", run.stdout, run.stderr);
    }
}

#[test]
fn a_description_allows_winograds_transforms() {
    let folder = folder();
    folder.write("op.json", br#"{"strides": [2, 2], "pads": [[1, 1], [1, 1]], "accuracy": "normwise"}"#);
    let run = folder.run(&format!("{LAYER} --class software"));
    for word in [
        "winograd: its error is allowed; `direct` is estimated at",
        "tiles          4 x 4 of 8x8 outputs",
        "products       100 matrix products by direct",
    ] {
        assert!(run.stdout.contains(word), "{word:?} is missing in:\n{}{}", run.stdout, run.stderr);
    }
}

#[test]
fn the_cpus_plan_is_the_cpus() {
    let folder = folder();
    let run = folder.run(&format!("{LAYER} --device cpu"));
    for word in ["the CPU", "[16, 128, 16, 16] -> [16, 64, 32, 32]", "products: matrix products", "tasks", "useful of"]
    {
        assert!(run.stdout.contains(word), "{word:?} is missing in:\n{}", run.stdout);
    }
    let json = folder.run(&format!("{LAYER} --device cpu --json"));
    assert!(json.stdout.contains("\"algorithm\": \"products\"") && !json.stdout.contains("kernel"), "{}", json.stdout);
    let refused = folder.run(&format!("{LAYER} --device cpu --wgsl"));
    assert!(refused.code == Some(1) && refused.stderr.contains("would run on the CPU"), "{}", refused.stderr);
    let refused = folder.run(&format!("{LAYER} --device reference"));
    assert!(refused.code == Some(1) && refused.stderr.contains("the reference has no plan"), "{}", refused.stderr);
}

#[test]
fn small_work_is_left_to_gather_where_it_is_done_once() {
    let folder = folder();
    let kernel = |reuse: &str| {
        let layer = "explain op.json --input-shape 1,8,16,16 --weight-shape 8,8,4,4 --class desktop";
        let run = folder.run(&format!("{layer} --reuse {reuse}"));
        run.stdout.lines().find(|line| line.starts_with("kernel")).unwrap().to_string()
    };
    assert!(kernel("once").contains("gather: one invocation for one output element; below 4194304 multiply-adds"));
    assert!(kernel("often").contains("direct: a tile in registers"), "{}", kernel("often"));
    assert!(kernel("any-size").contains("direct: a tile in registers that serves at every size"));
}

#[test]
fn a_class_is_no_device() {
    let folder = folder();
    assert_eq!(folder.run(&format!("{LAYER} --class desktop --device gpu")).code, Some(2));
    assert_eq!(folder.run(&format!("{LAYER} --json --wgsl")).code, Some(2));
}
