//! What is written and read back.

use super::support::{Folder, MIB, jpeg, noise, plan, png, profile, read, shape, write};
use crate::picture::samples::Picture;
use crate::picture::shape::{Colour, Depth};
use crate::picture::tags::Tags;
use crate::picture::{Format, Rgb, Samples, Source, TargetOptions, convert};
use image::ExtendedColorType;
use std::fs;

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
fn flattening_happens_on_the_way() {
    let folder = Folder::new();
    let over = |colour| TargetOptions { flatten: Some(Rgb(colour)), ..TargetOptions::default() };
    let picture = Picture {
        width: 2,
        height: 1,
        colour: Colour::GreyAlpha,
        samples: Samples::Eight(vec![128, 128, 7, 0]),
        tags: Tags::default(),
        repairs: Vec::new(),
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
    rgb.tags.icc = Some(profile(b"RGB "));
    write(&rgb, &folder.path("a.png"), TargetOptions::default());
    let source = Source::open(&folder.path("a.png"), MIB).unwrap();
    assert_eq!(source.tags().icc, rgb.tags.icc);
    for name in ["b.png", "b.jpg", "b.webp"] {
        let path = folder.path(name);
        write(&read(&folder.path("a.png")), &path, TargetOptions::default());
        assert_eq!(read(&path).tags.icc, rgb.tags.icc, "{name}");
    }

    let mut grey = noise(shape(9, 8, Colour::Grey, Depth::Eight));
    grey.tags.icc = Some(profile(b"GRAY"));
    for (name, kept) in [("c.png", true), ("c.jpg", true), ("c.webp", false)] {
        let path = folder.path(name);
        write(&grey, &path, TargetOptions::default());
        assert_eq!(read(&path).tags.icc.is_some(), kept, "{name}");
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
fn the_content_tells_the_format() {
    let folder = Folder::new();
    let path = folder.with("a.png", jpeg(8, 8, ExtendedColorType::Rgb8, &[9; 192]));
    assert_eq!(Source::open(&path, MIB).unwrap().shape().colour, Colour::Rgb);
}
