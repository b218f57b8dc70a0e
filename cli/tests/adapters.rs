//! Which adapter is meant, and what the environment says of it; no GPU is needed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::Folder;
use std::process::{Command, Output};

/// Runs the program with this value of `WGPU_BACKEND`.
fn with_backend(value: &str, line: &str) -> Output {
    let folder = Folder::with_astronaut();
    let mut command = Command::new(env!("CARGO_BIN_EXE_upconv"));
    command.args(line.split(' ')).env("WGPU_BACKEND", value).current_dir(folder.path("")).output().unwrap()
}

#[test]
fn a_backend_that_does_not_exist_is_named_with_those_that_do() {
    for line in [
        "info",
        "verify",
        "upscale in.png out.png --scale 2",
        "upscale in.png out.png --scale 2 --device gpu",
        "upscale in.png out.png --scale 2 --adapter 0",
    ] {
        let output = with_backend("vulcan", line);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{line}: {said}");
        for words in [r#"WGPU_BACKEND is "vulcan""#, "vulkan, metal, dx12, gl, webgpu, noop"] {
            assert!(said.contains(words), "{line}: {said}");
        }
    }
    // A device that needs no GPU does not ask.
    assert!(with_backend("vulcan", "upscale in.png out.png --scale 2 --device cpu").status.success());
    // A backend that exists, but has no adapter on any machine.
    let output = with_backend("noop", "upscale in.png out.png --scale 2 --device gpu");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(r#"(WGPU_BACKEND is "noop")"#) && output.status.code() == Some(1), "{said}");
}

#[test]
fn info_numbers_what_adapter_takes() {
    let folder = Folder::with_astronaut();
    let text = folder.run("info").stdout;
    let json: serde_json::Value = serde_json::from_str(&folder.run("info --json").stdout).unwrap();
    let adapters = json["adapters"].as_array().unwrap();
    for (number, adapter) in adapters.iter().enumerate() {
        assert_eq!(adapter["number"], number);
        assert!(text.contains(&format!("adapter {number}: {}", adapter["name"].as_str().unwrap())), "{text}");
        let class = adapter["class"].as_str().unwrap();
        assert_eq!(class == "software", adapter["device_type"] == "Cpu", "{adapter}");
        assert!(text.contains(&format!("planned for as   {class}")), "{text}");
    }
    // Just beyond the last one.
    let count = adapters.len();
    let run = folder.run(&format!("upscale in.png out.png --scale 2 --adapter {count}{count}{count}{count}"));
    assert!(run.code == Some(1) && run.stderr.contains("adapters here: "), "{}", run.stderr);
    let run = folder.run("upscale in.png out.png --scale 2 --device cpu --adapter 0");
    assert!(run.code == Some(1) && run.stderr.contains("names a GPU"), "{}", run.stderr);
}
