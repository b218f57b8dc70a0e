//! `upconv convert`: a network made by hand in ncnn's format, through the program and back to pixels; `upconv network` and
//! `upconv models`; and what is refused.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::Folder;
use half::f16;
use image::{Rgb, RgbImage};

/// A convolution that moves the picture one pixel to the left and rotates its colours, in f32, with a bias; then a
/// transposed one, in f16, each of whose four phases rotates the colours again, by its number.
const PARAM: &str = "7767517
4 4
Input            in     0 1 a 0=0 1=0 2=3
Convolution      shift  1 1 a b 0=3 1=3 5=1 6=81 9=2 -23310=1,5.000000e-01
Deconvolution    up     1 1 b c 0=3 1=2 3=2 5=0 6=36
ReLU             last   1 1 c d 0=0.250000
";

fn bin() -> Vec<u8> {
    let mut bytes = vec![0; 4];
    for co in 0..3 {
        for ci in 0..3 {
            for tap in 0..9 {
                // The middle row, its right tap: what stands to the right.
                let value: f32 = if ci == (co + 1) % 3 && tap == 5 { 1.0 } else { 0.0 };
                bytes.extend(value.to_le_bytes());
            }
        }
    }
    bytes.extend([0.0_f32, -0.5, 0.25].iter().flat_map(|bias| bias.to_le_bytes()));
    bytes.extend(0x0130_6B47_u32.to_le_bytes());
    for co in 0..3 {
        for ci in 0..3 {
            for phase in 0..4 {
                let value = if ci == (co + phase) % 3 { 1.0 } else { 0.0 };
                bytes.extend(f16::from_f32(value).to_le_bytes());
            }
        }
    }
    bytes
}

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("net.param", PARAM);
    folder.write("net.bin", bin());
    folder
}

#[test]
fn a_network_made_by_hand_does_what_it_says() {
    let folder = folder();
    let run = folder.succeed("convert net.param net.safetensors --note licence=none");
    assert_eq!(run.stderr, "net.safetensors: 5 nodes, 2x, a border of 1 pixels\n");
    let file = std::fs::read(folder.path("net.safetensors")).unwrap();
    assert!(file.windows(16).any(|text| text == b"\"licence\":\"none\""));

    let picture = RgbImage::from_fn(7, 5, |x, y| Rgb([(x * 30) as u8, (y * 50) as u8, (200 - x * y) as u8]));
    folder.save("in.png", picture.clone());
    // From the one file, and from the two.
    for (model, device) in [("net.safetensors", "cpu"), ("net.safetensors", "reference"), ("net.param", "cpu")] {
        folder.succeed(&format!("upscale in.png out.png --model {model} --device {device}"));
        let made = folder.open("out.png").into_rgb8();
        assert_eq!(made.dimensions(), (14, 10));
        for (x, y, pixel) in made.enumerate_pixels() {
            let from = picture.get_pixel((x / 2 + 1).min(6), y / 2);
            let leaky = |value: f32, slope: f32| if value < 0.0 { value * slope } else { value };
            let middle = [0, 1, 2].map(|co| leaky(f32::from(from[(co + 1) % 3]) / 255.0 + [0.0, -0.5, 0.25][co], 0.5));
            let phase = (y % 2 * 2 + x % 2) as usize;
            for co in 0..3 {
                let value = leaky(middle[(co + phase) % 3], 0.25) * 255.0;
                let expected = value.clamp(0.0, 255.0);
                assert!((f32::from(pixel[co]) - expected).abs() <= 0.51, "{device} {x} {y} {co}: {pixel:?} {expected}");
            }
        }
    }
}

#[test]
fn what_cannot_be_converted_is_refused() {
    let folder = folder();
    let whole = bin();
    folder.write("cut.bin", &whole[..whole.len() - 1]);
    folder.write("more.bin", [&whole[..], &[0; 4]].concat());
    let mut tagged = whole.clone();
    tagged[..4].copy_from_slice(&0x000D_4B38_u32.to_le_bytes());
    folder.write("int8.bin", tagged);
    let mut nan = whole.clone();
    nan[4..8].copy_from_slice(&f32::NAN.to_le_bytes());
    folder.write("nan.bin", nan);
    folder.write("no.param", [0xff, 0xfe, 0x00]);
    for (bin, words) in [
        (
            "cut.bin",
            &[
                "net.param, cut.bin",
                "layer \"up\" (Deconvolution)",
                "takes 72 bytes for a weight from byte 344 on, of 415",
            ][..],
        ),
        ("more.bin", &["end at byte 416, but the .bin file has 420"]),
        ("int8.bin", &["layer \"shift\" (Convolution)", "has int8 weights without scales"]),
        ("nan.bin", &["layer \"shift\" (Convolution) has NaN as weight 0 of 81"]),
        ("no.bin", &["no.bin"]),
    ] {
        folder.refuse(&format!("convert net.param out.safetensors --bin {bin}"), 1, words);
    }
    folder.refuse("convert no.param out.safetensors --bin net.bin", 1, &["no.param", "is no text"]);
    folder.refuse("convert net.bin out.safetensors", 1, &["net.bin"]);
    folder.refuse("convert net.param out.safetensors --border 1025", 1, &["border is 1025, expected 0 to 1024"]);
    folder.refuse(
        "convert net.param out.safetensors --border 2 --add-picture",
        1,
        &["without --add-picture it gives the picture"],
    );
    folder.refuse("convert waifu2x-photo out.safetensors --border 2", 1, &["are for files without a description"]);
    folder.refuse("convert net.param net.bin/out.safetensors", 1, &["net.bin is not a folder"]);
    for (from, to, words) in [
        ("ReLU ", "Crop ", &["layer \"last\" (Crop)", "cuts out a fixed size"][..]),
        ("1 1 b c", "1 1 a c", &["[3, 3] of its outputs, expected 2 axes and one picture of 3 channels each"]),
        ("1 1 b c", "1 2 b c e", &["layer \"up\" (Deconvolution) writes 2 blobs, expected 1"]),
        ("6=81", "6=80", &["has 80 weights for 3 channels with a kernel of [3, 3]"]),
        ("0=3 1=3", "0=4611686018427387904 1=3", &["\"shift\"", "has 0=4611686018427387904"]),
        ("3=2 5=0", "3=2 14=1 5=0", &["changed.param", "no border of at most 1024 pixels"]),
        ("3=2 5=0", "3=2 13=3 5=0", &["changed.param", "no border of at most 1024 pixels"]),
        ("9=2 -23310=1,5.000000e-01", "9=2", &["has 0 parameters of its activation"]),
        ("9=2 ", "9=9 ", &["has activation type 9"]),
        ("1 1 b c 0=3", "1 1 b c 0=4", &["has 36 weights for 4 channels with a kernel of [2, 2]"]),
    ] {
        assert!(PARAM.contains(from), "{from}");
        folder.write("changed.param", PARAM.replacen(from, to, 1));
        folder.refuse("convert changed.param out.safetensors --bin net.bin", 1, words);
    }
}

/// A network that gives nothing but what its picture lacks.
#[test]
fn what_is_added_to_the_picture_is_asked_for() {
    let folder = Folder::new();
    folder.write("net.param", "7767517\n2 2\nInput in 0 1 a\nConvolution c 1 1 a b 0=3 1=3 4=1 5=0 6=81\n");
    folder.write("net.bin", vec![0; 4 + 4 * 81]);
    folder.refuse(
        "convert net.param out.safetensors",
        1,
        &["of a grey picture of 0.5 the network makes 0.000", "--add-picture"],
    );
    let run = folder.succeed("convert net.param out.safetensors --add-picture --beyond reflect");
    // Its layer sees zeros beyond what it reads.
    assert_eq!(run.stderr, "out.safetensors: 3 nodes, 1x, a border of 10 pixels\n");
    let picture = RgbImage::from_fn(9, 4, |x, y| Rgb([(x * 30) as u8, (y * 50) as u8, (200 - x * y) as u8]));
    folder.save("in.png", picture.clone());
    folder.succeed("upscale in.png out.png --model out.safetensors --device cpu");
    assert_eq!(folder.open("out.png").into_rgb8(), picture);
}

#[test]
fn networks_are_shown() {
    let folder = folder();
    let shown = folder.run("network net.param --size 100x50").stdout;
    for line in [
        "   0  input: 3 channels",
        "   1  conv 3x3, stride 1x1 of 0: 3 channels",
        "   2  leaky_relu of 1: 3 channels",
        "   3  deconv 2x2, stride 2x2 of 2: 3 channels",
        "   4  leaky_relu of 3: 3 channels",
        "5 nodes, 2 layers, 120 parameters; 2x",
        "border: 1 pixels, Replicate",
        "multiply-adds for each pixel of the picture: 117",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line:?} is missing in\n{shown}");
    }
    let models = folder.run("models").stdout;
    for name in ["waifu2x-photo", "waifu2x-art"] {
        assert!(models.contains(&format!("{name}: doubles ")), "{models}");
        assert!(folder.run(&format!("network {name}")).stdout.contains("8 nodes, 7 layers, 552483 parameters; 2x"));
    }
    folder.refuse("network net.param --size 0x5", 2, &["expected WxH"]);
    folder.refuse("network net.none", 1, &["net.none", "expected waifu2x-photo, waifu2x-art, which are built in"]);
}
