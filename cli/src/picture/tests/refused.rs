//! What is refused, and the messages.

use super::support::{Folder, MIB, after_name, jpeg, noise, plan, png, profile, shape, write};
use crate::picture::shape::{Colour, Depth};
use crate::picture::tags::Tags;
use crate::picture::{Format, Rgb, Rows, Shape, Source, Target, TargetOptions};
use image::ExtendedColorType;
use std::fs;
use std::path::Path;

/// Why a file is not opened, after its name.
fn refused(path: &Path, memory_budget: u64) -> String {
    let error = Source::open(path, memory_budget).err().unwrap().to_string();
    after_name(path, &error)
}

/// Why an output is not planned, after its name; nothing must be left of the attempt.
fn unplanned(folder: &Folder, name: &str, shape: Shape, options: TargetOptions) -> String {
    let before = folder.names();
    let path = folder.path(name);
    let error = plan(&path, shape, options).unwrap_err().to_string();
    assert_eq!(folder.names(), before);
    after_name(&path, &error)
}

fn riff(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut body = b"WEBP".to_vec();
    for (name, data) in chunks {
        body.extend_from_slice(*name);
        body.extend_from_slice(&(data.len() as u32).to_le_bytes());
        body.extend_from_slice(data);
        body.resize(body.len().next_multiple_of(2), 0);
    }
    let length = (body.len() as u32).to_le_bytes();
    [b"RIFF", &length[..], &body].concat()
}

#[test]
fn wrong_rows_are_refused_and_nothing_is_written() {
    let folder = Folder::new();
    let old = folder.with("a.png", "old");
    let grey = shape(4, 3, Colour::Grey, Depth::Eight);
    let writer = || plan(&old, grey, TargetOptions::default()).unwrap().start().unwrap();
    let refusal = |band: Rows<'_>| writer().rows(band).unwrap_err().to_string();
    assert_eq!(refusal(Rows::Eight(&[0; 5])), "5 samples are no whole number of rows of 4");
    assert_eq!(refusal(Rows::Eight(&[0; 16])), "4 rows were given of a picture of 3");
    assert_eq!(refusal(Rows::Sixteen(&[0; 4])), "the rows have 16 bits per sample, the picture 8");
    let mut short = writer();
    short.rows(Rows::Eight(&[0; 8])).unwrap();
    assert_eq!(short.finish().unwrap_err().to_string(), "2 rows were given of a picture of 3");
    let mut dropped = writer();
    dropped.rows(Rows::Eight(&[0; 12])).unwrap();
    assert_eq!(folder.names().len(), 2);
    drop(dropped);
    assert_eq!(folder.names(), ["a.png"]);
    assert_eq!(fs::read(&old).unwrap(), b"old");
}

#[test]
fn what_is_no_picture_is_refused() {
    let folder = Folder::new();
    assert!(refused(&folder.path("none.png"), MIB).ends_with("(os error 2)"));
    assert_eq!(refused(folder.0.path(), MIB), "is a folder, not a picture");
    assert_eq!(
        refused(&folder.with("text.png", "Hello, world\n"), MIB),
        "is not a picture in a known format; PNG, JPEG, WebP, TIFF, BMP, GIF and QOI are supported"
    );
    assert_eq!(refused(&folder.with("empty.png", ""), MIB), "is empty");
    assert_eq!(
        refused(&folder.with("a.png", "\0\0\x01\0\x01\0\x10\x10"), MIB),
        "looks like ICO, which is not supported; PNG, JPEG, WebP, TIFF, BMP, GIF and QOI are supported"
    );
}

#[test]
fn animations_are_refused() {
    let folder = Folder::new();
    let mut apng = Vec::new();
    let mut encoder = png::Encoder::new(&mut apng, 2, 1);
    encoder.set_animated(2, 0).unwrap();
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&[0, 1]).unwrap();
    writer.write_image_data(&[2, 3]).unwrap();
    drop(writer);
    assert_eq!(refused(&folder.with("a.png", apng), MIB), "is an animation (APNG); only still pictures are supported");

    let still = folder.path("still.webp");
    write(&noise(shape(2, 1, Colour::Rgb, Depth::Eight)), &still, TargetOptions::default());
    // The VP8L chunk of the still picture as the one frame, after 16 bytes on the frame.
    let mut frame = vec![0u8, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 100, 0, 0, 0];
    frame.extend_from_slice(&fs::read(still).unwrap()[12..]);
    let animated = riff(&[(b"VP8X", &[2, 0, 0, 0, 1, 0, 0, 0, 0, 0]), (b"ANIM", &[0; 6]), (b"ANMF", &frame)]);
    assert_eq!(
        refused(&folder.with("a.webp", animated), MIB),
        "is an animation (animated WebP); only still pictures are supported"
    );
}

#[test]
fn truncated_files_are_refused() {
    let folder = Folder::new();
    let picture = noise(shape(60, 50, Colour::Rgb, Depth::Eight));
    let file = |name: &str, keep: usize| {
        let path = folder.path(name);
        write(&picture, &path, TargetOptions::default());
        let bytes = fs::read(&path).unwrap();
        folder.with(name, &bytes[..bytes.len().min(keep)])
    };
    assert_eq!(refused(&file("a.png", 20), MIB), "the PNG file is truncated");
    assert_eq!(refused(&file("a.jpg", 20), MIB), "the JPEG file is truncated");
    // What is missing shows in the decoding.
    let path = file("a.jpg", 3000);
    let error = Source::open(&path, MIB).and_then(Source::decode).unwrap_err();
    assert!(after_name(&path, &error.to_string()).starts_with("is largely missing: "), "{error}");
    let whole = fs::metadata(file("a.webp", usize::MAX)).unwrap().len();
    assert_eq!(
        refused(&file("a.webp", 3000), MIB),
        format!("the WebP file is truncated: its header gives {whole} bytes, the file has 3000")
    );

    // The header of a PNG file does not tell its length: it shows in the decoding.
    let path = file("a.png", 3000);
    let error = Source::open(&path, MIB).unwrap().decode().unwrap_err();
    assert_eq!(after_name(&path, &error.to_string()), "the PNG file is truncated");
    let corrupt = folder.with("b.png", b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDRnonsense.........");
    let refusal = refused(&corrupt, MIB);
    assert!(refusal.starts_with("cannot be decoded as PNG: "), "{refusal}");
}

#[test]
fn the_memory_budget_is_kept() {
    let folder = Folder::new();
    let large = folder.with("a.jpg", jpeg(1024, 1024, ExtendedColorType::Rgb8, &vec![0; 3 << 20]));
    assert!(Source::open(&large, 3 * MIB).is_ok());
    assert_eq!(
        refused(&large, 3 * MIB - 1),
        "takes 3 MiB to decode (1024x1024 RGB, 8 bits), more than the 2 MiB allowed; \
         --memory raises the limit"
    );
    let large = folder.with(
        "a.png",
        png(
            1024,
            1024,
            |e| {
                e.set_color(png::ColorType::Rgba);
                e.set_depth(png::BitDepth::Sixteen);
            },
            &vec![0; 8 << 20],
        ),
    );
    assert!(Source::open(&large, 8 * MIB).is_ok());
    for budget in [MIB, 8 * MIB - 1] {
        let refusal = refused(&large, budget);
        assert!(refusal.starts_with("takes 8 MiB to decode"), "{refusal}");
    }
    assert!(refused(&large, 100).ends_with("more than the 0 MiB allowed; --memory raises the limit"));
}

#[test]
fn what_a_format_cannot_hold_is_refused() {
    let folder = Folder::new();
    let none = TargetOptions::default();
    let eight = |w, h, colour| shape(w, h, colour, Depth::Eight);
    assert_eq!(
        unplanned(&folder, "a.jpg", eight(5, 5, Colour::Rgba), none),
        "JPEG holds no transparency (--flatten COLOUR puts the picture on a background); \
         PNG, TIFF or WebP can hold this picture"
    );
    assert_eq!(
        unplanned(&folder, "a.webp", shape(5, 5, Colour::Grey, Depth::Sixteen), none),
        "WebP holds 8 bits per sample, not 16 (--depth 8 rounds them); PNG or TIFF can hold this picture"
    );
    assert_eq!(
        unplanned(&folder, "a.jpg", shape(5, 5, Colour::GreyAlpha, Depth::Sixteen), none),
        "JPEG holds no transparency (--flatten COLOUR puts the picture on a background); \
         JPEG holds 8 bits per sample, not 16 (--depth 8 rounds them); PNG or TIFF can hold this picture"
    );
    assert_eq!(
        unplanned(&folder, "a.webp", eight(16_384, 5, Colour::Rgb), none),
        "WebP holds at most 16383 pixels per side, not 16384x5; PNG, TIFF or JPEG can hold this picture"
    );
    assert_eq!(
        unplanned(&folder, "a.jpeg", eight(5, 65_536, Colour::Rgb), none),
        "JPEG holds at most 65535 pixels per side, not 5x65536; PNG or TIFF can hold this picture"
    );
    assert_eq!(
        unplanned(&folder, "a.png", eight(1 << 31, 1, Colour::Grey), none),
        "PNG holds at most 2147483647 pixels per side, not 2147483648x1; \
         no format can hold this picture"
    );
    assert_eq!(unplanned(&folder, "a.png", eight(0, 7, Colour::Grey), none), "a picture of 0x7 has no pixels");
    for name in ["a.txt", "a", "png"] {
        assert_eq!(
            unplanned(&folder, name, eight(5, 5, Colour::Rgb), none),
            "the name must end in .png, .jpg, .jpeg, .webp, .tif or .tiff"
        );
    }
    assert_eq!(
        unplanned(&folder, "a.gif", eight(5, 5, Colour::Rgb), none),
        "GIF is read, not written; the name must end in .png, .jpg, .jpeg, .webp, .tif or .tiff"
    );
    let allowed = TargetOptions { flatten: Some(Rgb([255; 3])), depth_8: true, ..none };
    let target = plan(&folder.path("a.jpg"), shape(5, 5, Colour::Rgba, Depth::Sixteen), allowed).unwrap();
    assert_eq!(target.written(), eight(5, 5, Colour::Rgb));
    assert_eq!(target.format(), Format::Jpeg);
}

#[test]
fn quality_is_for_jpeg_from_1_to_100() {
    let folder = Folder::new();
    let refusal = |name, quality| {
        let options = TargetOptions { quality: Some(quality), ..TargetOptions::default() };
        unplanned(&folder, name, shape(5, 5, Colour::Rgb, Depth::Eight), options)
    };
    assert_eq!(refusal("a.png", 80), "--quality 80 is for JPEG; PNG is written without loss");
    assert_eq!(refusal("a.webp", 80), "--quality 80 is for JPEG; WebP is written without loss");
    assert_eq!(refusal("a.jpg", 0), "--quality goes from 1 to 100, not 0");
    assert_eq!(refusal("a.jpg", 101), "--quality goes from 1 to 100, not 101");
}

#[test]
fn a_profile_too_long_for_jpeg_is_refused() {
    let folder = Folder::new();
    let mut icc = profile(b"RGB ");
    icc.resize(16_707_346, 0);
    let out = folder.path("a.jpg");
    let rgb = shape(5, 5, Colour::Rgb, Depth::Eight);
    let error =
        Target::plan(&out, Path::new("in"), rgb, Tags { icc: Some(icc), ..Tags::default() }, &TargetOptions::default());
    assert_eq!(
        after_name(&out, &error.unwrap_err().to_string()),
        "JPEG holds an ICC profile of at most 16707345 bytes, not 16707346"
    );
}

#[test]
fn impossible_outputs_are_refused() {
    let folder = Folder::new();
    let grey = shape(5, 5, Colour::Grey, Depth::Eight);
    let input = folder.with("in.png", "input");
    let refusal = |out: &Path, no_clobber| {
        let options = TargetOptions { no_clobber, ..TargetOptions::default() };
        Target::plan(out, &input, grey, Tags::default(), &options).unwrap_err().to_string()
    };
    let itself = "is the input itself; write to another name";
    assert_eq!(after_name(&input, &refusal(&input, false)), itself);
    let detour = folder.0.path().join("./in.png");
    assert_eq!(after_name(&detour, &refusal(&detour, false)), itself);
    #[cfg(unix)]
    {
        let link = folder.path("link.png");
        std::os::unix::fs::symlink(&input, &link).unwrap();
        assert_eq!(after_name(&link, &refusal(&link, false)), itself);
        let hard = folder.path("hard.png");
        fs::hard_link(&input, &hard).unwrap();
        assert_eq!(after_name(&hard, &refusal(&hard, false)), itself);
    }
    let there = folder.with("there.png", "old");
    assert!(refusal(&there, true).ends_with("there.png exists and --no-clobber is given"));
    fs::create_dir(folder.path("folder.png")).unwrap();
    assert!(refusal(&folder.path("folder.png"), false).ends_with("folder.png is a folder"));
    assert!(refusal(&folder.path("no/a.png"), false).starts_with("there is no folder "));
}

#[test]
fn damaged_files_never_panic() {
    // Every prefix and every flipped byte of small files, every third of some more: an error or a picture.
    let folder = Folder::new();
    let picture = noise(shape(6, 5, Colour::Rgb, Depth::Eight));
    let mut files = Vec::new();
    for name in ["a.png", "a.jpg", "a.webp", "a.tif"] {
        let path = folder.path(name);
        write(&picture, &path, TargetOptions::default());
        files.push((fs::read(path).unwrap(), 1));
    }
    for name in ["scans-restarts.jpg", "progressive.jpg", "luma-lower.jpg", "cmyk.jpg"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/jpeg").join(name);
        files.push((fs::read(path).unwrap(), 3));
    }
    files.extend(super::others::all().into_iter().map(|file| (file, 1)));
    files.extend(super::tiff::kinds().into_iter().map(|(_, file, _)| (file, 1)));
    let path = folder.path("damaged");
    for (whole, step) in files {
        for i in (0..whole.len()).step_by(step) {
            let mut flipped = whole.clone();
            flipped[i] ^= 0xff;
            for bytes in [&whole[..i], &flipped[..]] {
                fs::write(&path, bytes).unwrap();
                if let Err(error) = Source::open_with_metadata(&path, MIB).and_then(Source::decode) {
                    assert!(!error.to_string().contains("panicked"), "{error}");
                }
            }
        }
    }
}
