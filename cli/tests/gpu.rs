//! The program on a GPU.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "../../tests/common/harness.rs"]
mod harness;
#[path = "common/onnx.rs"]
mod onnx;

use common::{Folder, difference, samples};
use std::process::ExitCode;

fn main() -> ExitCode {
    harness::run(&[
        ("the_gpu_and_the_cpu_make_the_same_picture", the_gpu_and_the_cpu_make_the_same_picture),
        ("the_gpu_makes_the_same_picture_in_pieces", the_gpu_makes_the_same_picture_in_pieces),
        ("the_cases_of_onnx", the_cases_of_onnx),
        ("the_cases_of_onnx_by_a_kernel_of_choice", the_cases_of_onnx_by_a_kernel_of_choice),
        ("a_network_makes_what_is_expected", a_network_makes_what_is_expected),
        ("a_network_makes_the_same_picture_in_tiles", a_network_makes_the_same_picture_in_tiles),
        (
            "a_network_that_squeezes_makes_the_same_picture_in_tiles",
            a_network_that_squeezes_makes_the_same_picture_in_tiles,
        ),
        ("the_gpu_and_the_cpu_make_the_same_sizes", the_gpu_and_the_cpu_make_the_same_sizes),
        ("a_damaged_cache_of_pipelines_stops_nothing", a_damaged_cache_of_pipelines_stops_nothing),
        ("what_was_tuned_is_planned_with", what_was_tuned_is_planned_with),
    ])
}

fn the_cases_of_onnx() {
    let said = onnx::check(&["--device", "gpu"]);
    assert!(said.contains("14 cases, 0 refused, "), "{said}");
}

fn the_cases_of_onnx_by_a_kernel_of_choice() {
    for (kernel, elsewhere) in [("gather", 0), ("direct", 0), ("tiled", 0), ("winograd", 11)] {
        let said = onnx::check(&["--device", "gpu", "--kernel", kernel]);
        let told = format!("14 cases, 0 refused, {elsewhere} that {kernel} cannot compute by the plan's choice, ");
        assert!(said.contains(&told), "{said}");
    }
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

fn what_was_tuned_is_planned_with() {
    let folder = Folder::new();
    folder.write("op.json", r#"{"strides": [2, 2]}"#);
    let shapes = "--input-shape 1,8,32,32 --weight-shape 8,8,2,2";
    let run = |line: &str| {
        let run = folder.run(line);
        assert_eq!(run.code, Some(0), "{line}: {}", run.stderr);
        run.stdout
    };
    let tune = format!("tune op.json {shapes} --candidates 2 --milliseconds 0 --tuning t.json");
    let tuned = run(&tune);
    assert!(tuned.ends_with("1 choices in t.json\n"), "{tuned}");
    let explain = format!("explain op.json {shapes} --device gpu");
    let tuned = run(&format!("{explain} --tuning t.json"));
    assert!(tuned.contains("tuned: the fastest that was measured on this adapter"), "{tuned}");
    let untuned = run(&format!("{explain} --no-tuning"));
    assert!(!untuned.contains("tuned"), "{untuned}");
    // A file that is named must exist and be valid; a file that is not a tuning file is not overwritten.
    folder.refuse(&format!("{explain} --tuning no.json"), 1, &["there is no no.json"]);
    folder.write("t.json", "{}");
    for command in [format!("{explain} --tuning t.json"), tune] {
        folder.refuse(&command, 1, &["t.json: tuning: missing field `upconv`"]);
    }
    assert_eq!(std::fs::read_to_string(folder.path("t.json")).unwrap(), "{}");
}

/// Against a picture made from an f64 evaluation elsewhere.
fn a_network_makes_what_is_expected() {
    let folder = Folder::new();
    let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/network");
    std::fs::copy(data.join("chelsea_67x45.png"), folder.path("in.png")).unwrap();
    folder.succeed("upscale in.png out.png --model waifu2x-photo --device gpu");
    let (made, expected) = (folder.open("out.png"), image::open(data.join("chelsea_67x45_photo_2x.png")).unwrap());
    assert!(difference(&made, &expected, 0) <= 1);
    // A value near the middle between two bytes may be rounded to either.
    let differ = samples(&made).iter().zip(samples(&expected)).filter(|&(&a, b)| a != b).count();
    assert!(differ <= 10, "{differ}");
}

fn a_network_makes_the_same_picture_in_tiles() {
    let folder = Folder::new();
    let astronaut = image::open(common::astronaut()).unwrap();
    folder.save("in.png", astronaut.crop_imm(200, 100, 27, 21));
    folder.succeed("upscale in.png whole.png --model waifu2x-photo --device gpu");
    for tile in [8, 16] {
        folder.succeed(&format!("upscale in.png tiles.png --model waifu2x-photo --device gpu --tile {tile}"));
        assert!(folder.open("whole.png") == folder.open("tiles.png"), "{tile}");
    }
}

/// Also where it takes means over the picture.
fn a_network_that_squeezes_makes_the_same_picture_in_tiles() {
    let folder = Folder::new();
    common::write_squeezing(&folder);
    let astronaut = image::open(common::astronaut()).unwrap();
    folder.save("in.png", astronaut.crop_imm(200, 100, 51, 45));
    folder.succeed("upscale in.png whole.png --model net.param --device gpu");
    for options in ["--tile 16", "--tile 32", "--tile 16 --memory 1MiB"] {
        folder.succeed(&format!("upscale in.png tiles.png --model net.param --device gpu {options}"));
        assert!(folder.open("whole.png") == folder.open("tiles.png"), "{options}");
    }
    folder.succeed("upscale in.png cpu.png --model net.param --device cpu");
    assert!(difference(&folder.open("whole.png"), &folder.open("cpu.png"), 0) <= 1);
}

/// By a network, with alpha by the network and by the filter; a filter alone is computed by the CPU, and says so.
fn the_gpu_and_the_cpu_make_the_same_sizes() {
    let folder = Folder::new();
    let astronaut = image::open(common::astronaut()).unwrap().crop_imm(200, 100, 27, 21).into_rgb8();
    let picture = image::RgbaImage::from_fn(27, 21, |x, y| {
        let [r, g, b] = astronaut.get_pixel(x, y).0;
        image::Rgba([r, g, b, 255 - 9 * x as u8])
    });
    folder.save("in.png", picture);
    for (options, most) in [
        ("--model waifu2x-photo --scale 1.5 --alpha network", 1),
        ("--model waifu2x-photo --size 70x80 --alpha filter", 1),
        ("--scale 1.5", 0),
    ] {
        folder.succeed(&format!("upscale in.png cpu.png --device cpu {options}"));
        let run = folder.succeed(&format!("upscale in.png gpu.png --device gpu {options}"));
        assert!(difference(&folder.open("cpu.png"), &folder.open("gpu.png"), 0) <= most, "{options}");
        assert_eq!(run.stderr.contains("bicubic 1.5x on the CPU"), most == 0, "{}", run.stderr);
    }
}

fn a_damaged_cache_of_pipelines_stops_nothing() {
    let folder = Folder::with_astronaut();
    let kept = Folder::new();
    let cache = kept.path("cache");
    let upscale = |out: &str| {
        let run = folder.run_cached(&format!("upscale in.png {out} --scale 2 --device gpu"), &cache);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        run.stderr.contains("(vulkan")
    };
    let vulkan = upscale("first.png");
    if vulkan && cfg!(target_os = "linux") {
        let files: Vec<_> = std::fs::read_dir(cache.join("upconv")).unwrap().map(|file| file.unwrap().path()).collect();
        assert_eq!(files.len(), 1, "one file is kept, and nothing beside it: {files:?}");
        std::fs::write(&files[0], "damaged").unwrap();
        is_private(&files[0]);
    }
    upscale("second.png");
    assert!(folder.open("first.png") == folder.open("second.png"));
    // A link where a file should be: neither read nor followed.
    #[cfg(unix)]
    if vulkan && cfg!(target_os = "linux") {
        let mut files = std::fs::read_dir(cache.join("upconv")).unwrap();
        let file = files.next().unwrap().unwrap().path();
        kept.write("elsewhere", "not a cache");
        std::fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink(kept.path("elsewhere"), &file).unwrap();
        upscale("third.png");
        assert_eq!(std::fs::read(kept.path("elsewhere")).unwrap(), b"not a cache");
        assert!(std::fs::symlink_metadata(&file).unwrap().is_file());
        is_private(&file);
    }
    // A file where the cache folder should be.
    std::fs::remove_dir_all(&cache).unwrap_or_default();
    std::fs::write(&cache, "").unwrap();
    upscale("third.png");
    assert!(folder.open("first.png") == folder.open("third.png"));
}

/// Only the user can read the file, and look into its folder.
fn is_private(file: &std::path::Path) {
    #[cfg(unix)]
    for (path, mode) in [(file, 0o600), (file.parent().unwrap(), 0o700)] {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, mode, "{}", path.display());
    }
    #[cfg(not(unix))]
    assert!(file.is_file());
}
