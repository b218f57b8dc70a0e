//! Files written and read back, and everything that is refused.

use std::fs;
use std::path::{Path, PathBuf};

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};
use tempfile::TempDir;

use super::*;

const MIB: u64 = 1 << 20;

impl Samples {
    fn rows(&self) -> Rows<'_> {
        match self {
            Self::Eight(samples) => Rows::Eight(samples),
            Self::Sixteen(samples) => Rows::Sixteen(samples),
        }
    }
}

impl Picture {
    fn shape(&self) -> Shape {
        Shape { width: self.width, height: self.height, colour: self.colour, depth: self.samples.rows().depth() }
    }
}

/// A folder that goes away with the test.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn with(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(self.0.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn shape(width: u32, height: u32, colour: Colour, depth: Depth) -> Shape {
    Shape { width, height, colour, depth }
}

/// A picture of samples without a pattern.
fn noise(shape: Shape) -> Picture {
    let mut state = 12_345u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as u16
    };
    let samples: Vec<u16> = std::iter::repeat_with(next).take(shape.row_samples() * shape.height as usize).collect();
    Picture {
        width: shape.width,
        height: shape.height,
        colour: shape.colour,
        samples: match shape.depth {
            Depth::Eight => Samples::Eight(samples.iter().map(|&v| v as u8).collect()),
            Depth::Sixteen => Samples::Sixteen(samples),
        },
        icc: None,
    }
}

/// A profile of which only the colour space means something.
fn profile(space: &[u8; 4]) -> Vec<u8> {
    let mut profile: Vec<u8> = (0..200u8).collect();
    profile[16..20].copy_from_slice(space);
    profile
}

fn plan(out: &Path, shape: Shape, options: TargetOptions) -> anyhow::Result<Target> {
    Target::plan(out, Path::new("no such input"), shape, None, &options)
}

fn write(picture: &Picture, out: &Path, options: TargetOptions) {
    let icc = picture.icc.clone();
    let input = Path::new("no such input");
    let target = Target::plan(out, input, picture.shape(), icc, &options).unwrap();
    let mut writer = target.start().unwrap();
    writer.rows(picture.samples.rows()).unwrap();
    writer.finish().unwrap();
}

fn read(path: &Path) -> Picture {
    Source::open(path, MIB).unwrap().decode().unwrap()
}

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

fn after_name(path: &Path, error: &str) -> String {
    assert_eq!(error.lines().count(), 1, "{error}");
    let name = format!("{}: ", path.display());
    error.strip_prefix(&name).expect(error).to_owned()
}

fn png(width: u32, height: u32, set: impl Fn(&mut png::Encoder<'_, &mut Vec<u8>>), data: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    set(&mut encoder);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(data).unwrap();
    drop(writer);
    file
}

fn jpeg(width: u32, height: u32, colour: ExtendedColorType, data: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    JpegEncoder::new_with_quality(&mut file, 100).write_image(data, width, height, colour).unwrap();
    file
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

const COLOURS: [Colour; 4] = [Colour::Grey, Colour::GreyAlpha, Colour::Rgb, Colour::Rgba];

#[test]
fn png_round_trips_exactly() {
    let folder = Folder::new();
    for colour in COLOURS {
        for depth in [Depth::Eight, Depth::Sixteen] {
            let picture = noise(shape(37, 23, colour, depth));
            let path = folder.path("a.PNG");
            write(&picture, &path, TargetOptions::default());
            let source = Source::open(&path, MIB).unwrap();
            assert_eq!(source.shape(), picture.shape());
            assert_eq!(source.decode().unwrap(), picture);
        }
    }
}

#[test]
fn webp_round_trips_with_grey_as_rgb() {
    let folder = Folder::new();
    for colour in COLOURS {
        let picture = noise(shape(37, 23, colour, Depth::Eight));
        let path = folder.path("a.webp");
        write(&picture, &path, TargetOptions::default());
        let Samples::Eight(given) = &picture.samples else {
            panic!("8 bits");
        };
        let expected: Vec<u8> = match colour {
            Colour::Grey => given.iter().flat_map(|&v| [v, v, v]).collect(),
            Colour::GreyAlpha => given.chunks(2).flat_map(|p| [p[0], p[0], p[0], p[1]]).collect(),
            _ => given.clone(),
        };
        let read = read(&path);
        assert_eq!(read.colour, Format::WebP.stored(colour));
        assert_eq!(read.samples, Samples::Eight(expected));
    }
}

#[test]
fn jpeg_comes_back_close_and_quality_matters() {
    let folder = Folder::new();
    for colour in [Colour::Grey, Colour::Rgb] {
        let mut picture = noise(shape(40, 30, colour, Depth::Eight));
        let channels = colour.channels();
        let ramp: Vec<u8> =
            (0..30 * 40 * channels).map(|i| (i / channels % 40 * 5 + i / channels / 40) as u8).collect();
        picture.samples = Samples::Eight(ramp.clone());
        let best = TargetOptions { quality: Some(100), ..TargetOptions::default() };
        let size = |name: &str| fs::metadata(folder.path(name)).unwrap().len();
        write(&picture, &folder.path("best.jpeg"), best);
        write(&picture, &folder.path("usual.jpg"), TargetOptions::default());
        assert!(size("usual.jpg") < size("best.jpeg"));
        let back = read(&folder.path("best.jpeg"));
        assert_eq!(back.shape(), picture.shape());
        let Samples::Eight(back) = back.samples else {
            panic!("8 bits");
        };
        assert!(back.iter().zip(&ramp).all(|(a, b)| a.abs_diff(*b) <= 3));
    }
}

#[test]
fn rows_come_in_uneven_bands() {
    let folder = Folder::new();
    let options = TargetOptions { depth_8: true, ..TargetOptions::default() };
    for name in ["a.png", "a.webp"] {
        let picture = noise(shape(7, 10, Colour::Rgb, Depth::Sixteen));
        let Samples::Sixteen(samples) = &picture.samples else {
            panic!("16 bits");
        };
        let path = folder.path(name);
        let target = plan(&path, picture.shape(), options).unwrap();
        assert_eq!(target.written().depth, Depth::Eight);
        assert_eq!(target.gathered_bytes(), if name == "a.png" { 0 } else { 7 * 10 * 3 });
        let mut writer = target.start().unwrap();
        let mut rest = &samples[..];
        for rows in [1, 4, 0, 3, 2] {
            let (band, after) = rest.split_at(rows * 7 * 3);
            writer.rows(band.into()).unwrap();
            rest = after;
        }
        writer.finish().unwrap();
        let expected = samples.iter().map(|&v| convert::narrow(v)).collect();
        assert_eq!(read(&path).samples, Samples::Eight(expected));
    }
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
    assert_eq!(refusal(Rows::Sixteen(&[0; 4])), "the rows have 16 bits a sample, the picture 8");
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
fn flattening_happens_on_the_way() {
    let folder = Folder::new();
    let over = |colour| TargetOptions { flatten: Some(Rgb(colour)), ..TargetOptions::default() };
    let picture = Picture {
        width: 2,
        height: 1,
        colour: Colour::GreyAlpha,
        samples: Samples::Eight(vec![128, 128, 7, 0]),
        icc: None,
    };
    write(&picture, &folder.path("grey.png"), over([255; 3]));
    let grey = read(&folder.path("grey.png"));
    assert_eq!(grey.colour, Colour::Grey);
    assert_eq!(grey.samples, Samples::Eight(vec![191, 255]));
    write(&picture, &folder.path("red.webp"), over([255, 0, 0]));
    let red = read(&folder.path("red.webp"));
    assert_eq!(red.colour, Colour::Rgb);
    assert_eq!(red.samples, Samples::Eight(vec![191, 64, 64, 255, 0, 0]));

    // 16 bits are flattened before they are rounded to 8: 34672 of 65535 is 134.91 of 255.
    let picture = Picture { samples: Samples::Sixteen(vec![40_000, 16_384, 0, 65_535]), ..picture };
    let options = TargetOptions { depth_8: true, ..over([128; 3]) };
    write(&picture, &folder.path("eight.png"), options);
    assert_eq!(read(&folder.path("eight.png")).samples, Samples::Eight(vec![135, 0]));
    // No matter without alpha.
    let opaque = noise(shape(3, 3, Colour::Grey, Depth::Eight));
    write(&opaque, &folder.path("opaque.png"), over([255, 0, 0]));
    assert_eq!(read(&folder.path("opaque.png")), opaque);
}

#[test]
fn profiles_are_carried_where_they_fit() {
    let folder = Folder::new();
    let mut rgb = noise(shape(9, 8, Colour::Rgb, Depth::Eight));
    rgb.icc = Some(profile(b"RGB "));
    write(&rgb, &folder.path("a.png"), TargetOptions::default());
    let source = Source::open(&folder.path("a.png"), MIB).unwrap();
    assert_eq!(source.icc(), rgb.icc.as_deref());
    for name in ["b.png", "b.jpg", "b.webp"] {
        let path = folder.path(name);
        write(&read(&folder.path("a.png")), &path, TargetOptions::default());
        assert_eq!(read(&path).icc, rgb.icc, "{name}");
    }

    let mut grey = noise(shape(9, 8, Colour::Grey, Depth::Eight));
    grey.icc = Some(profile(b"GRAY"));
    for (name, kept) in [("c.png", true), ("c.jpg", true), ("c.webp", false)] {
        let path = folder.path(name);
        write(&grey, &path, TargetOptions::default());
        assert_eq!(read(&path).icc.is_some(), kept, "{name}");
    }
}

#[test]
fn small_samples_palettes_and_transparent_colours_expand() {
    let folder = Folder::new();
    let indexed = png(
        3,
        1,
        |e| {
            e.set_color(png::ColorType::Indexed);
            e.set_depth(png::BitDepth::Two);
            e.set_palette(vec![1, 2, 3, 4, 5, 6, 7, 8, 9]);
        },
        &[0b00_01_10_00],
    );
    let picture = read(&folder.with("indexed.png", indexed));
    assert_eq!(picture.colour, Colour::Rgb);
    assert_eq!(picture.samples, Samples::Eight(vec![1, 2, 3, 4, 5, 6, 7, 8, 9]));

    let four = png(
        2,
        1,
        |e| {
            e.set_color(png::ColorType::Grayscale);
            e.set_depth(png::BitDepth::Four);
            e.set_trns(vec![0, 15]);
        },
        &[0x8f],
    );
    let picture = read(&folder.with("four.png", four));
    assert_eq!(picture.colour, Colour::GreyAlpha);
    assert_eq!(picture.samples, Samples::Eight(vec![0x88, 255, 255, 0]));

    let one = png(
        3,
        1,
        |e| {
            e.set_color(png::ColorType::Grayscale);
            e.set_depth(png::BitDepth::One);
        },
        &[0b1010_0000],
    );
    let picture = read(&folder.with("one.png", one));
    assert_eq!(picture.samples, Samples::Eight(vec![255, 0, 255]));
}

#[test]
fn every_orientation_is_applied() {
    let folder = Folder::new();
    // 16x8 in two blocks, dark left and bright right, in each a ramp downwards.
    let data: Vec<u8> =
        (0..8u8).flat_map(|y| (0..16u8).map(move |x| if x < 8 { y * 10 } else { 170 + y * 10 })).collect();
    let plain = jpeg(16, 8, ExtendedColorType::L8, &data);
    let Samples::Eight(stored) = read(&folder.with("plain.jpg", &plain)).samples else {
        panic!("8 bits");
    };
    for orientation in 1..=8u8 {
        let mut exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
        exif.extend_from_slice(&[orientation, 0, 0, 0, 0, 0, 0]);
        let length = (exif.len() as u16 + 2).to_be_bytes();
        let file = [&plain[..2], &[0xff, 0xe1], &length, &exif, &plain[2..]].concat();
        let source = Source::open(&folder.with("a.jpg", file), MIB).unwrap();
        let (width, height) = if orientation < 5 { (16, 8) } else { (8, 16) };
        assert_eq!(source.shape(), shape(width, height, Colour::Grey, Depth::Eight));
        let picture = source.decode().unwrap();
        assert_eq!((picture.width, picture.height), (width, height));
        // Where each pixel of the upright picture lies in the stored one, by the EXIF standard.
        let expected: Vec<u8> = (0..height as usize)
            .flat_map(|y| (0..width as usize).map(move |x| (x, y)))
            .map(|(x, y)| match orientation {
                1 => (x, y),
                2 => (15 - x, y),
                3 => (15 - x, 7 - y),
                4 => (x, 7 - y),
                5 => (y, x),
                6 => (y, 7 - x),
                7 => (15 - y, 7 - x),
                _ => (15 - y, x),
            })
            .map(|(x, y)| stored[y * 16 + x])
            .collect();
        assert_eq!(picture.samples, Samples::Eight(expected), "{orientation}");
    }
}

#[test]
fn what_is_no_picture_is_refused() {
    let folder = Folder::new();
    assert!(refused(&folder.path("none.png"), MIB).ends_with("(os error 2)"));
    assert_eq!(refused(folder.0.path(), MIB), "is a folder, not a picture");
    assert_eq!(
        refused(&folder.with("text.png", "Hello, world\n"), MIB),
        "is not a picture in a known format; PNG, JPEG and WebP are read"
    );
    assert_eq!(refused(&folder.with("empty.png", ""), MIB), "is empty");
    assert_eq!(
        refused(&folder.with("a.png", "GIF89a\x01\0\x01\0\0\0\0"), MIB),
        "looks like GIF, which is not read; PNG, JPEG and WebP are read"
    );
}

#[test]
fn the_content_tells_the_format() {
    let folder = Folder::new();
    let path = folder.with("a.png", jpeg(8, 8, ExtendedColorType::Rgb8, &[9; 192]));
    assert_eq!(Source::open(&path, MIB).unwrap().shape().colour, Colour::Rgb);
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
    assert_eq!(refused(&folder.with("a.png", apng), MIB), "is an animation (APNG); only still pictures are read");

    let still = folder.path("still.webp");
    write(&noise(shape(2, 1, Colour::Rgb, Depth::Eight)), &still, TargetOptions::default());
    // The VP8L chunk of the still picture as the one frame, after 16 bytes on the frame.
    let mut frame = vec![0u8, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 100, 0, 0, 0];
    frame.extend_from_slice(&fs::read(still).unwrap()[12..]);
    let animated = riff(&[(b"VP8X", &[2, 0, 0, 0, 1, 0, 0, 0, 0, 0]), (b"ANIM", &[0; 6]), (b"ANMF", &frame)]);
    assert_eq!(
        refused(&folder.with("a.webp", animated), MIB),
        "is an animation (animated WebP); only still pictures are read"
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
    assert_eq!(refused(&file("a.jpg", 3000), MIB), "the JPEG file is truncated");
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
         --memory raises them"
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
    // Less than the decoder needs for a row: it refuses by itself.
    assert_eq!(refused(&large, 100), "takes more than the 0 MiB allowed to decode; --memory raises them");
}

#[test]
fn what_a_format_cannot_hold_is_refused() {
    let folder = Folder::new();
    let none = TargetOptions::default();
    let eight = |w, h, colour| shape(w, h, colour, Depth::Eight);
    assert_eq!(
        unplanned(&folder, "a.jpg", eight(5, 5, Colour::Rgba), none),
        "JPEG holds no transparency (--flatten COLOUR puts the picture on a background); \
         PNG or WebP can hold this picture"
    );
    assert_eq!(
        unplanned(&folder, "a.webp", shape(5, 5, Colour::Grey, Depth::Sixteen), none),
        "WebP holds 8 bits a sample, not 16 (--depth 8 rounds them); PNG can hold this picture"
    );
    assert_eq!(
        unplanned(&folder, "a.jpg", shape(5, 5, Colour::GreyAlpha, Depth::Sixteen), none),
        "JPEG holds no transparency (--flatten COLOUR puts the picture on a background); \
         JPEG holds 8 bits a sample, not 16 (--depth 8 rounds them); PNG can hold this picture"
    );
    assert_eq!(
        unplanned(&folder, "a.webp", eight(16_384, 5, Colour::Rgb), none),
        "WebP holds at most 16383 pixels a side, not 16384x5; PNG or JPEG can hold this picture"
    );
    assert_eq!(
        unplanned(&folder, "a.jpeg", eight(5, 65_536, Colour::Rgb), none),
        "JPEG holds at most 65535 pixels a side, not 5x65536; PNG can hold this picture"
    );
    assert_eq!(
        unplanned(&folder, "a.png", eight(1 << 31, 1, Colour::Grey), none),
        "PNG holds at most 2147483647 pixels a side, not 2147483648x1; \
         no format can hold this picture"
    );
    assert_eq!(unplanned(&folder, "a.png", eight(0, 7, Colour::Grey), none), "a picture of 0x7 has no pixels");
    for name in ["a.gif", "a", "png"] {
        assert_eq!(
            unplanned(&folder, name, eight(5, 5, Colour::Rgb), none),
            "the name must end in .png, .jpg, .jpeg or .webp"
        );
    }
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
    let error = Target::plan(&out, Path::new("in"), rgb, Some(icc), &TargetOptions::default());
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
        Target::plan(out, &input, grey, None, &options).unwrap_err().to_string()
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
    // Every prefix and every flipped byte of small files: an error or a picture.
    let folder = Folder::new();
    let picture = noise(shape(6, 5, Colour::Rgb, Depth::Eight));
    for name in ["a.png", "a.jpg", "a.webp"] {
        let path = folder.path(name);
        write(&picture, &path, TargetOptions::default());
        let whole = fs::read(&path).unwrap();
        for i in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[i] ^= 0xff;
            for bytes in [&whole[..i], &flipped[..]] {
                fs::write(&path, bytes).unwrap();
                if let Ok(source) = Source::open(&path, MIB) {
                    let _ = source.decode();
                }
            }
        }
    }
}
