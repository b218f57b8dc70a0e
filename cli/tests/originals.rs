//! No input of a run is written to, by whatever path or link it is reached.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::Folder;
use image::GrayImage;
use std::fs;
use std::os::unix::fs::symlink;

/// Three pictures in `a`, and links to them in `b`, to other names than their own.
fn folder() -> Folder {
    let folder = Folder::new();
    fs::create_dir(folder.path("a")).unwrap();
    fs::create_dir(folder.path("b")).unwrap();
    for (index, name) in ["a/1.png", "a/2.png", "a/3.png"].into_iter().enumerate() {
        folder.save(name, GrayImage::from_pixel(4, 3, image::Luma([index as u8 * 50])));
    }
    folder
}

#[test]
fn a_link_in_the_folder_of_results_destroys_no_original() {
    for jobs in [1, 64] {
        let folder = folder();
        let originals = ["a/1.png", "a/2.png", "a/3.png"].map(|name| fs::read(folder.path(name)).unwrap());
        symlink("../a/1.png", folder.path("b/2.png")).unwrap();
        fs::hard_link(folder.path("a/2.png"), folder.path("b/3.png")).unwrap();
        let run = folder.run(&format!("upscale a b --scale 2 --device cpu --jobs {jobs}"));
        assert_eq!(run.code, Some(1), "{}", run.stderr);
        assert!(run.stderr.contains("b/2.png: is the input itself (a/1.png)"), "{}", run.stderr);
        assert!(run.stderr.contains("b/3.png: is the input itself (a/2.png)"), "{}", run.stderr);
        assert!(run.stderr.contains("2 of 3 pictures failed"), "{}", run.stderr);
        assert_eq!(originals, ["a/1.png", "a/2.png", "a/3.png"].map(|name| fs::read(folder.path(name)).unwrap()));
        assert_eq!(folder.open("b/1.png").width(), 8);
    }
}

#[test]
fn a_linked_folder_leads_to_no_original() {
    let folder = folder();
    fs::create_dir(folder.path("a/c")).unwrap();
    fs::rename(folder.path("a/3.png"), folder.path("a/c/3.png")).unwrap();
    symlink("../a/c", folder.path("b/c")).unwrap();
    let run = folder.run("upscale a b --scale 2 --device cpu --recursive");
    assert!(run.stderr.contains("b/c/3.png: is the input itself"), "{}", run.stderr);
    assert_eq!(folder.open("a/c/3.png").width(), 4);
}

/// Two results that are one file: the second would replace the first.
#[test]
fn no_result_replaces_another() {
    let folder = folder();
    folder.write("b/old", "old");
    symlink("old", folder.path("b/1.png")).unwrap();
    symlink("old", folder.path("b/3.png")).unwrap();
    let run = folder.run("upscale a b --scale 2 --device cpu");
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(run.stderr.contains("which this run has just written"), "{}", run.stderr);
    assert!(run.stderr.contains("1 of 3 pictures failed"), "{}", run.stderr);
}

#[test]
fn a_picture_is_no_output_of_itself() {
    let folder = folder();
    let before = fs::read(folder.path("a/1.png")).unwrap();
    symlink("1.png", folder.path("a/link.png")).unwrap();
    fs::hard_link(folder.path("a/1.png"), folder.path("a/hard.png")).unwrap();
    for (input, output) in [("a/1.png", "a/1.png"), ("a/1.png", "a/../a/link.png"), ("a/link.png", "a/hard.png")] {
        let run = folder.run(&format!("upscale {input} {output} --scale 2 --device cpu"));
        assert!(run.code == Some(1) && run.stderr.contains("is the input itself"), "{}", run.stderr);
    }
    let run = folder.shell("$UPCONV upscale - a/link.png --scale 2 --device cpu <a/1.png");
    assert!(run.code == Some(1) && run.stderr.contains("is the input itself (standard input)"), "{}", run.stderr);
    assert_eq!(fs::read(folder.path("a/1.png")).unwrap(), before);
}

fn npy(values: [f32; 4]) -> Vec<u8> {
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 2, 2), }\n";
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

#[test]
fn apply_writes_to_none_of_its_files() {
    let folder = Folder::new();
    folder.write("op.json", "{}");
    folder.write("x.npy", npy([1.0; 4]));
    folder.write("w.npy", npy([2.0; 4]));
    folder.write("t.json", r#"{"upconv": "tuning 1", "choices": []}"#);
    for (link, to) in [("lx.npy", "x.npy"), ("lw.npy", "w.npy"), ("lo.npy", "op.json"), ("lt.npy", "t.json")] {
        symlink(to, folder.path(link)).unwrap();
        let before = fs::read(folder.path(to)).unwrap();
        for output in [to, link] {
            let run = folder.run(&format!("apply op.json -i x.npy -w w.npy -o {output} --device cpu --tuning t.json"));
            assert_eq!(run.code, Some(1), "{output}: {}", run.stderr);
            assert!(to == "t.json" || run.stderr.contains("is the input itself"), "{output}: {}", run.stderr);
            assert_eq!(fs::read(folder.path(to)).unwrap(), before, "{output}");
        }
    }
}

#[test]
fn a_batch_writes_to_no_file_of_any_case() {
    let folder = Folder::new();
    for case in ["one", "two"] {
        fs::create_dir(folder.path(case)).unwrap();
        folder.write(&format!("{case}/case.json"), "{}");
        folder.write(&format!("{case}/x.npy"), npy([1.0; 4]));
        folder.write(&format!("{case}/w.npy"), npy([2.0; 4]));
    }
    symlink("two/w.npy", folder.path("link.npy")).unwrap();
    folder.write("list", "one\ttwo/x.npy\none\tlink.npy\ntwo\ty.npy\n");
    let before = [fs::read(folder.path("two/x.npy")).unwrap(), fs::read(folder.path("two/w.npy")).unwrap()];
    let run = folder.run("apply --batch list --device cpu");
    assert!(run.code == Some(1) && run.stderr.contains("2 of 3 cases were refused"), "{}", run.stderr);
    let told = fs::read_to_string(folder.path("two/x.npy.err")).unwrap();
    assert!(told.contains("two/x.npy: is the input itself"), "{told}");
    assert_eq!([fs::read(folder.path("two/x.npy")).unwrap(), fs::read(folder.path("two/w.npy")).unwrap()], before);
    assert!(folder.path("y.npy").exists());
}

#[test]
fn a_converted_network_replaces_none_of_its_files() {
    let folder = Folder::new();
    folder.write("net.param", "7767517\n2 2\nInput i 0 1 a\nConvolution c 1 1 a b 0=3 1=1 6=9\n");
    folder.write("net.bin", [0; 40]);
    symlink("net.bin", folder.path("link")).unwrap();
    for output in ["net.param", "net.bin", "link"] {
        folder.refuse(&format!("convert net.param {output} --add-picture"), 1, &["is the input itself"]);
    }
}
