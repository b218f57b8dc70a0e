//! Standard input, output and error that are pipes, closed or full.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::Folder;
use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};
use std::fs;
use std::io::{Cursor, Write};
use std::process::{Command, Stdio};

/// A picture of noise, and what the program makes of it.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.save(
        "in.png",
        RgbImage::from_fn(24, 15, |x, y| image::Rgb([0, 1, 2].map(|c| (x * 7 + y * 31 + c * 5) as u8))),
    );
    folder.succeed("upscale in.png expected.png --scale 2 --device cpu");
    folder
}

/// Runs the program with these bytes on standard input; its status, standard output and standard error.
fn feed(folder: &Folder, line: &str, bytes: &[u8]) -> (Option<i32>, Vec<u8>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_upconv"))
        .args(line.split(' '))
        .current_dir(folder.path(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that refuses reads nothing.
    let _ = child.stdin.take().unwrap().write_all(bytes);
    let output = child.wait_with_output().unwrap();
    (output.status.code(), output.stdout, String::from_utf8(output.stderr).unwrap())
}

const PRINTING: [&str; 6] = [
    "info",
    "info --json",
    "explain op.json --input-shape 1,2,3,3 --weight-shape 2,2,2,2",
    "verify --adapter cpu",
    "--help",
    "--version",
];

#[test]
fn a_closed_standard_output_ends_the_program_quietly() {
    let folder = folder();
    folder.write("op.json", "{}");
    for line in PRINTING {
        // The status of the program, and not that of the reader, which is gone before anything is written.
        let run = folder.shell(&format!("{{ sleep 0.2; $UPCONV {line}; echo $? >status; }} | true"));
        assert_eq!(fs::read_to_string(folder.path("status")).unwrap(), "141\n", "{line}: {}", run.stderr);
        assert_eq!(own_lines(&run.stderr), [""; 0], "{line}");
    }
    let run = folder.shell("$UPCONV info | head -1");
    assert!(run.stdout.starts_with("upconv ") && own_lines(&run.stderr).is_empty(), "{} {}", run.stdout, run.stderr);
}

/// What the program writes on standard error, where drivers write too: refusals, warnings and panics.
fn own_lines(stderr: &str) -> Vec<&str> {
    let own = |line: &&str| ["upconv", "warning", "thread"].iter().any(|start| line.starts_with(start));
    stderr.lines().filter(own).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_standard_output_is_told_in_one_line() {
    let folder = folder();
    folder.write("op.json", "{}");
    let picture = "upscale in.png - --scale 2 --device cpu";
    for line in PRINTING.into_iter().chain(["bench --workloads w10 --device cpu --runs 1", picture]) {
        let run = folder.shell(&format!("exec $UPCONV {line} >/dev/full"));
        assert_eq!(run.code, Some(1), "{line}: {}", run.stderr);
        let own = own_lines(&run.stderr);
        let told = own.iter().filter(|line| line.starts_with("upconv: cannot write to standard output: No space left"));
        assert_eq!((own.len(), told.count()), (1, 1), "{line}: {}", run.stderr);
    }
}

#[test]
fn messages_that_nobody_reads_end_no_work() {
    let folder = folder();
    fs::create_dir(folder.path("many")).unwrap();
    for index in 0..9 {
        fs::copy(folder.path("in.png"), folder.path(&format!("many/{index}.png"))).unwrap();
    }
    let full = if cfg!(target_os = "linux") { "2>/dev/full" } else { "2>/dev/null" };
    for (number, end) in ["2>&1 | true", "2>&1 | head -1", full, "2>&-"].into_iter().enumerate() {
        let run = folder.shell(&format!("$UPCONV upscale many out{number} --scale 2 --device cpu {end}"));
        let made = fs::read_dir(folder.path(&format!("out{number}"))).unwrap().count();
        assert_eq!(made, 9, "{end}: {}", run.stderr);
    }
    // A refusal keeps its status.
    let run = folder.shell(&format!("exec $UPCONV upscale no.png out.png --scale 2 {full}"));
    assert_eq!(run.code, Some(1));
    let run = folder.shell(&format!("exec $UPCONV upscale in.png {full}"));
    assert_eq!(run.code, Some(2));
}

#[test]
fn pictures_come_and_go_through_pipes() {
    let folder = folder();
    let (png, expected) = (fs::read(folder.path("in.png")).unwrap(), folder.open("expected.png"));
    let device = "--scale 2 --device cpu";
    let picture = |bytes: &[u8], format| image::load_from_memory_with_format(bytes, format).unwrap();

    let (code, out, said) = feed(&folder, &format!("upscale - - {device}"), &png);
    assert_eq!(code, Some(0), "{said}");
    assert!(picture(&out, ImageFormat::Png) == expected);
    assert!(said.contains("standard output: 48x30 RGB, 8 bits, bicubic 2x"), "{said}");
    let (_, out, said) = feed(&folder, &format!("upscale - - {device} --format webp"), &png);
    assert!(picture(&out, ImageFormat::WebP) == expected, "{said}");
    let (_, out, said) = feed(&folder, &format!("upscale - - {device} --format jpg --quality 80"), &png);
    assert_eq!(picture(&out, ImageFormat::Jpeg).width(), 48, "{said}");
    let (_, tiff, said) = feed(&folder, &format!("upscale - - {device} --format tif"), &png);
    let (code, out, _) = feed(&folder, "upscale - - --scale 1 --method nearest --device cpu", &tiff);
    assert!(code == Some(0) && picture(&out, ImageFormat::Png) == expected, "{said}");

    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP] {
        let mut bytes = Cursor::new(Vec::new());
        folder.open("in.png").write_to(&mut bytes, format).unwrap();
        let (code, _, said) = feed(&folder, &format!("upscale /dev/stdin out.png {device}"), bytes.get_ref());
        assert_eq!((code, folder.open("out.png").width()), (Some(0), 48), "{format:?}: {said}");
    }
    let script = format!("mkfifo pipe; cat in.png >pipe & $UPCONV upscale pipe out.png {device}");
    assert_eq!(folder.shell(&script).code, Some(0));
    assert!(folder.open("out.png") == expected);
    let run = folder.shell(&format!("$UPCONV upscale - out.webp {device} <in.png"));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(folder.open("out.webp") == expected);
}

#[test]
fn what_comes_through_a_pipe_and_is_no_picture_is_refused() {
    let folder = folder();
    for (bytes, word) in
        [(&b""[..], "is empty"), (b"no picture", "not a picture"), (b"\x89PNG\r\n\x1a\n", "standard input: ")]
    {
        let (code, out, said) = feed(&folder, "upscale - - --scale 2 --device cpu", bytes);
        assert_eq!((code, &out[..], said.lines().count()), (Some(1), &b""[..], 1), "{said}");
        assert!(said.starts_with("upconv: standard input: ") && said.contains(word), "{said}");
    }
    // Nothing is written where the whole cannot be.
    let png = fs::read(folder.path("in.png")).unwrap();
    let (code, out, said) = feed(&folder, "upscale - - --scale 2 --device cpu", &png[..png.len() / 2]);
    assert_eq!((code, &out[..]), (Some(1), &b""[..]), "{said}");
    folder.refuse(
        "upscale in.png out.png --scale 2 --format png",
        1,
        &["--format PNG is for folders and for standard output"],
    );
    let run = folder.run("upscale . - --scale 2");
    assert!(run.code == Some(1) && run.stderr.contains("OUT must be one too"), "{}", run.stderr);
}

#[cfg(target_os = "linux")]
#[test]
fn a_stream_without_an_end_is_refused_by_its_beginning() {
    let folder = folder();
    folder.refuse("upscale /dev/zero out.png --scale 2", 1, &["/dev/zero: is not a picture"]);
    // It begins like a picture.
    let run =
        folder.shell("{ cat in.png; cat /dev/zero; } | $UPCONV upscale - out.png --scale 2 --memory 9MiB --device cpu");
    assert!(run.code == Some(1) && run.stderr.contains("more than 9 MiB come through the pipe"), "{}", run.stderr);
}

#[test]
fn apply_reads_and_writes_pipes() {
    let folder = Folder::new();
    folder.write("op.json", r#"{"strides": [2, 2]}"#);
    folder.write("x.npy", npy("1, 1, 2, 2", &[1.0, 2.0, 3.0, 4.0]));
    folder.write("w.npy", npy("1, 1, 2, 2", &[1.0, 0.0, 0.0, 0.0]));
    let files = "--input x.npy --weight w.npy --device cpu";
    let run = folder.shell(&format!("$UPCONV apply op.json {files} -o expected.npy"));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let expected = fs::read(folder.path("expected.npy")).unwrap();
    for script in [
        format!("cat op.json | $UPCONV apply - {files} -o - | cat >y.npy"),
        format!("cat op.json | $UPCONV apply /dev/stdin {files} -o y.npy"),
        "cat x.npy | $UPCONV apply op.json --input - --weight w.npy --device cpu -o y.npy".into(),
        "mkfifo w; cat w.npy >w & $UPCONV apply op.json --input x.npy --weight w --device cpu -o y.npy".into(),
    ] {
        let run = folder.shell(&script);
        assert!(fs::read(folder.path("y.npy")).unwrap() == expected, "{script}: {}", run.stderr);
        fs::remove_file(folder.path("y.npy")).unwrap();
    }
    let run = folder.shell("$UPCONV apply op.json --input - --weight - --device cpu -o y.npy <x.npy");
    assert!(run.code == Some(1) && run.stderr.contains("standard input can be read only once"), "{}", run.stderr);
}

fn npy(shape: &str, values: &[f32]) -> Vec<u8> {
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

/// `script` gives the program a terminal, where it is installed.
#[cfg(target_os = "linux")]
#[test]
fn a_picture_is_not_written_to_a_terminal() {
    let folder = Folder::new();
    folder.save("in.png", DynamicImage::from(GrayImage::new(3, 3)));
    let terminal = "script -qec '$UPCONV upscale in.png - --scale 2 --device cpu' /dev/null </dev/null";
    let run = folder.shell(&format!("command -v script >/dev/null || exit 77; {terminal}"));
    if run.code != Some(77) {
        assert!(
            run.code == Some(1) && run.stdout.contains("standard output is a terminal"),
            "{} {}",
            run.stdout,
            run.stderr
        );
    }
}
