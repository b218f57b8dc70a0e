//! Folders of pictures: what is enlarged, what is left out, and how that is told.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::Folder;
use image::{DynamicImage, GrayImage};
use std::fs;

fn picture() -> DynamicImage {
    GrayImage::from_pixel(3, 2, image::Luma([90])).into()
}

/// A folder `in` with all kinds of things.
fn folder() -> Folder {
    let folder = Folder::new();
    for name in ["in", "in/deep", "in/deep/er", "in/.hidden", "in/deep/__MACOSX"] {
        fs::create_dir(folder.path(name)).unwrap();
    }
    for name in ["in/a.png", "in/b.jpeg", "in/deep/a.png", "in/deep/er/c.webp", "in/.hidden/h.png"] {
        folder.save(name, picture());
    }
    for name in ["in/deep/__MACOSX/m.png", "in/._x.png"] {
        folder.write(name, "no picture");
    }
    folder
}

#[test]
fn all_names_of_jpeg_are_taken() {
    let folder = Folder::new();
    fs::create_dir(folder.path("in")).unwrap();
    folder.save("in/a.jpg", picture());
    for name in ["b.jfif", "c.jpe", "D.JPEG"] {
        fs::copy(folder.path("in/a.jpg"), folder.path(&format!("in/{name}"))).unwrap();
    }
    folder.succeed("upscale in out --scale 2 --device cpu");
    let made: Vec<String> = folder.names().into_iter().filter(|name| name.starts_with("out/")).collect();
    assert_eq!(made, ["out/D.JPEG", "out/a.jpg", "out/b.jfif", "out/c.jpe"]);
    let run = folder.succeed("upscale in/b.jfif out.jpe --scale 2 --device cpu");
    assert!(run.stderr.contains("out.jpe: 6x4 grey"), "{}", run.stderr);
}

#[test]
fn what_is_left_out_is_told_in_one_line() {
    let folder = Folder::new();
    fs::create_dir_all(folder.path("in/within")).unwrap();
    folder.save("in/a.png", picture());
    for name in
        ["b.txt", "c.TXT", "d.tga", "e.svg", "README", "._a.png", ".DS_Store", "Thumbs.db", "desktop.ini", ".h.png"]
    {
        folder.write(&format!("in/{name}"), "no picture");
    }
    let run = folder.succeed("upscale in out --scale 2 --device cpu");
    let left_out: Vec<&str> = run.stderr.lines().filter(|line| line.starts_with("left out")).collect();
    let expected = "left out: 2 .txt, 1 without an extension, 1 .svg, 1 .tga (no pictures by name), 1 folder \
                    (--recursive enters them)";
    assert_eq!(left_out, [expected]);
    assert_eq!(folder.names().into_iter().filter(|name| name.starts_with("out/")).collect::<Vec<_>>(), ["out/a.png"]);
    // Nothing is said where there is nothing to say.
    fs::remove_dir_all(folder.path("in")).unwrap();
    fs::create_dir(folder.path("in")).unwrap();
    folder.save("in/a.png", picture());
    folder.write("in/._a.png", "");
    assert!(!folder.succeed("upscale in out --scale 2 --device cpu").stderr.contains("left out"));
    folder.refuse("upscale in/a.png out.png --scale 2 --recursive", 1, &["--recursive is for folders"]);
    fs::create_dir(folder.path("none")).unwrap();
    folder.write("none/a.svg", "");
    folder.refuse(
        "upscale none out --scale 2",
        1,
        &["folder without pictures", ".tif, .tiff, .bmp, .gif or .qoi; left out: 1 .svg"],
    );
}

#[test]
fn folders_within_are_mirrored() {
    let folder = folder();
    // The results are within the pictures, and were there before.
    for _ in 0..2 {
        let run = folder.succeed("upscale in in/out --scale 2 --device cpu --recursive --format png");
        assert!(!run.stderr.contains("left out"), "{}", run.stderr);
    }
    let made: Vec<String> = folder.names().into_iter().filter(|name| name.starts_with("in/out/")).collect();
    assert_eq!(made, ["in/out/a.png", "in/out/b.png", "in/out/deep/a.png", "in/out/deep/er/c.png"]);
    assert_eq!(folder.open("in/out/deep/er/c.png").width(), 6);
}

#[test]
fn two_pictures_of_one_name_are_refused_where_they_are() {
    let folder = folder();
    folder.save("in/deep/a.webp", picture());
    let before = folder.names();
    let run = folder.run("upscale in out --scale 2 --recursive --format png");
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("a.png and ") && run.stderr.contains("would both become"), "{}", run.stderr);
    assert_eq!(folder.names(), before);
}

#[cfg(unix)]
#[test]
fn links_to_folders_are_not_entered() {
    use std::os::unix::fs::symlink;
    let folder = folder();
    symlink(".", folder.path("in/loop")).unwrap();
    symlink("nowhere.png", folder.path("in/broken.png")).unwrap();
    folder.shell("mkfifo in/pipe.png");
    let run = folder.succeed("upscale in out --scale 2 --device cpu --recursive");
    let expected = "left out: 1 link to a folder, 1 link that leads nowhere, 1 device or pipe";
    assert_eq!(run.stderr.lines().last(), Some(expected), "{}", run.stderr);
}

#[test]
fn formats_that_are_not_written_become_png() {
    let folder = Folder::new();
    fs::create_dir(folder.path("in")).unwrap();
    folder.save("in/a.bmp", GrayImage::from_pixel(3, 2, image::Luma([90])));
    fs::write(folder.path("in/b.GIF"), gif()).unwrap();
    fs::write(folder.path("in/c.qoi"), qoi::encode_to_vec([7; 18], 3, 2).unwrap()).unwrap();
    folder.succeed("upscale in/a.bmp in/d.tiff --scale 1 --device cpu");
    let run = folder.succeed("upscale in out --scale 2 --device cpu");
    assert!(!run.stderr.contains("left out"), "{}", run.stderr);
    let made = |start: &str| folder.names().into_iter().filter(|name| name.starts_with(start)).collect::<Vec<_>>();
    assert_eq!(made("out/"), ["out/a.png", "out/b.png", "out/c.png", "out/d.tiff"]);
    for name in ["a", "b", "c"] {
        assert_eq!(folder.open(&format!("out/{name}.png")).width(), 6);
    }
    folder.succeed("upscale in as-tif --scale 2 --device cpu --format tif");
    assert_eq!(made("as-tif/"), ["as-tif/a.tif", "as-tif/b.tif", "as-tif/c.tif", "as-tif/d.tif"]);
    folder.save("in/a.png", picture());
    let run = folder.run("upscale in other --scale 2 --device cpu");
    assert!(run.code == Some(1) && run.stderr.contains("would both become a.png"), "{}", run.stderr);
}

/// A GIF file of 3x2 pixels.
fn gif() -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = gif::Encoder::new(&mut file, 3, 2, &[1, 2, 3, 4, 5, 6]).unwrap();
    let indices = [0, 1, 0, 1, 0, 1];
    encoder
        .write_frame(&gif::Frame { width: 3, height: 2, buffer: indices[..].into(), ..gif::Frame::default() })
        .unwrap();
    drop(encoder);
    file
}
