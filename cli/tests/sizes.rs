//! `upconv upscale` to sizes that are no whole factor: against pictures made by Pillow, in pieces, of all kinds, by a
//! network; and what is refused.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Folder, difference, samples};
use image::{DynamicImage, GrayImage, ImageBuffer, Luma, LumaA, Rgb, RgbImage, Rgba, RgbaImage};
use std::fs;
use std::path::{Path, PathBuf};

const METHODS: [&str; 4] = ["nearest", "bilinear", "bicubic", "lanczos3"];

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sizes").join(name)
}

/// A photograph of 67x45 pixels, as `in.png`.
fn folder() -> Folder {
    let folder = Folder::new();
    let photograph = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/network/chelsea_67x45.png");
    fs::copy(photograph, folder.path("in.png")).unwrap();
    folder
}

/// What is made of `in.png` on the CPU.
fn upscale(folder: &Folder, options: &str) -> DynamicImage {
    folder.succeed(&format!("upscale in.png out.png --device cpu {options}"));
    folder.open("out.png")
}

fn sides(picture: &DynamicImage) -> (u32, u32) {
    (picture.width(), picture.height())
}

/// `scripts/check-sizes.py --store` made them, with Pillow 9.4. It rounds 8-bit samples between the two axes.
#[test]
fn sizes_agree_with_pillow_up_to_the_edges() {
    let folder = Folder::new();
    for (kind, sizes) in [
        ("rgb", &["35x26", "52x38", "31x60", "40x9", "9x5", "1x1"][..]),
        ("grey-alpha", &["35x26", "9x5"]),
        ("grey-16", &["35x26", "9x5"]),
    ] {
        fs::copy(data(&format!("{kind}.png")), folder.path("in.png")).unwrap();
        for (size, method) in sizes.iter().flat_map(|size| METHODS.map(|method| (size, method))) {
            let expected = image::open(data(&format!("{kind}-{method}-{size}.png"))).unwrap();
            let made = upscale(&folder, &format!("--size {size} --method {method}"));
            let difference = difference(&made, &expected, 0);
            assert!(difference <= if method == "nearest" { 0 } else { 1 }, "{kind} {size} {method}: {difference}");
        }
    }
    // 23 and 17 times 1.5, and times 2.25, are nearest to these.
    fs::copy(data("rgb.png"), folder.path("in.png")).unwrap();
    for (scale, size) in [("1.5", "35x26"), ("2.25", "52x38")] {
        let made = upscale(&folder, &format!("--scale {scale}"));
        assert!(made == upscale(&folder, &format!("--size {size}")), "{scale}");
    }
}

#[test]
fn one_side_alone_keeps_the_ratio() {
    let folder = folder();
    for (options, expected) in [
        ("--width 100", (100, 67)),
        ("--height 100", (149, 100)),
        ("--width 30", (30, 20)),
        ("--width 1", (1, 1)),
        ("--height 1", (1, 1)),
        ("--width 80 --height 46", (80, 46)),
        ("--size 80X46", (80, 46)),
        ("--size 1x1", (1, 1)),
        ("--scale 1.01", (68, 45)),
        ("--scale 63.7", (4268, 2867)),
    ] {
        assert_eq!(sides(&upscale(&folder, options)), expected, "{options}");
    }
    assert!(upscale(&folder, "--width 80 --height 46") == upscale(&folder, "--size 80x46"));
}

#[test]
fn a_whole_factor_is_the_same_however_it_is_asked_for() {
    let folder = folder();
    for method in METHODS {
        let twice = upscale(&folder, &format!("--scale 2 --method {method}"));
        for options in ["--scale 2.0", "--size 134x90", "--width 134", "--height 90"] {
            assert!(upscale(&folder, &format!("{options} --method {method}")) == twice, "{options} {method}");
        }
    }
    assert!(upscale(&folder, "--size 67x45") == folder.open("in.png"));
}

#[test]
fn one_line_tells_what_was_made_and_where() {
    let folder = folder();
    for (options, expected) in [
        ("--scale 1.5", "out.png: 101x68 RGB, 8 bits, bicubic 1.5x on the CPU, "),
        ("--size 80x20", "out.png: 80x20 RGB, 8 bits, bicubic from 67x45 on the CPU, "),
        ("--width 134", "out.png: 134x90 RGB, 8 bits, bicubic 2x, "),
        ("--model waifu2x-photo --size 80x60", "out.png: 80x60 RGB, 8 bits, waifu2x-photo from 67x45, "),
    ] {
        let run = folder.succeed(&format!("upscale in.png out.png --device cpu {options}"));
        let last = run.stderr.lines().last().unwrap();
        assert!(last.starts_with(expected), "{last}");
    }
    // No device is opened for what the CPU does anyway, but one that is named has to be there.
    assert_eq!(folder.succeed("upscale in.png out.png --scale 1.5").stderr.lines().count(), 1);
    let before = folder.names();
    let run = folder.run("upscale in.png other.png --scale 1.5 --adapter no-such-adapter");
    assert!(run.code == Some(1) && run.stderr.contains("no-such-adapter"), "{}", run.stderr);
    assert_eq!(folder.names(), before);
}

/// The eight kinds of picture, without a pattern but for a constant alpha.
fn kinds() -> [DynamicImage; 8] {
    let noise = |x: u32, y: u32, c: u32| (x * 40_503 + y * 30_011 + c * 20_021 + x * y * 977) % 65_536;
    let deep = move |x, y, c| noise(x, y, c) as u16;
    let flat = move |x, y, c| (noise(x, y, c) >> 8) as u8;
    let (w, h) = (19, 14);
    [
        ImageBuffer::from_fn(w, h, |x, y| Luma([flat(x, y, 0)])).into(),
        ImageBuffer::from_fn(w, h, |x, y| LumaA([flat(x, y, 0), 100])).into(),
        ImageBuffer::from_fn(w, h, |x, y| Rgb([0, 1, 2].map(|c| flat(x, y, c)))).into(),
        ImageBuffer::from_fn(w, h, |x, y| Rgba([flat(x, y, 0), flat(x, y, 1), flat(x, y, 2), 100])).into(),
        ImageBuffer::from_fn(w, h, |x, y| Luma([deep(x, y, 0)])).into(),
        ImageBuffer::from_fn(w, h, |x, y| LumaA([deep(x, y, 0), 30_000])).into(),
        ImageBuffer::from_fn(w, h, |x, y| Rgb([0, 1, 2].map(|c| deep(x, y, c)))).into(),
        ImageBuffer::from_fn(w, h, |x, y| Rgba([deep(x, y, 0), deep(x, y, 1), deep(x, y, 2), 30_000])).into(),
    ]
}

/// Every kind keeps its colour and its depth, and each of its channels is what it would be alone.
#[test]
fn colour_and_depth_are_kept() {
    let folder = Folder::new();
    for picture in kinds() {
        let kind = picture.color();
        let channels = usize::from(kind.channel_count());
        let channel = |picture: &DynamicImage, channel: usize| -> Vec<u16> {
            samples(picture).into_iter().skip(channel).step_by(channels).collect()
        };
        for options in ["--size 31x20", "--size 9x50 --method lanczos3", "--width 10 --method bilinear"] {
            folder.save("in.png", picture.clone());
            let made = upscale(&folder, options);
            assert_eq!(made.color(), kind);
            for index in 0..channels {
                if kind.has_alpha() && index + 1 == channels {
                    let alpha = channel(&picture, index)[0];
                    assert!(channel(&made, index).iter().all(|&value| value == alpha), "{kind:?} {options}");
                    continue;
                }
                let alone = channel(&picture, index);
                folder.save(
                    "in.png",
                    match kind.bytes_per_pixel() / kind.channel_count() {
                        1 => GrayImage::from_raw(19, 14, alone.iter().map(|&v| v as u8).collect()).unwrap().into(),
                        _ => DynamicImage::from(ImageBuffer::<Luma<u16>, _>::from_raw(19, 14, alone).unwrap()),
                    },
                );
                let pairs = samples(&upscale(&folder, options)).into_iter().zip(channel(&made, index));
                // What overshoots between the axes is held to the full value, below which premultiplied values are.
                let mut differences: Vec<u16> = pairs.map(|(a, b)| a.abs_diff(b)).collect();
                differences.sort_unstable();
                let (usual, most) = (differences[differences.len() / 2], differences[differences.len() - 1]);
                assert!(usual <= 1 && (kind.has_alpha() || most == 0), "{kind:?} {options}: {usual}, {most}");
            }
        }
    }
}

#[test]
fn what_is_transparent_lends_no_colour() {
    let folder = Folder::new();
    let green_under_nothing = Rgba([0, 255, 0, 0]);
    folder.save(
        "in.png",
        RgbaImage::from_fn(9, 4, |x, _| if x < 4 { Rgba([255, 0, 0, 255]) } else { green_under_nothing }),
    );
    for (method, size) in ["bilinear", "bicubic", "lanczos3"].into_iter().flat_map(|m| ["31x9", "6x3"].map(|s| (m, s)))
    {
        let made = upscale(&folder, &format!("--size {size} --method {method}")).into_rgba8();
        let mut partly = 0;
        for &Rgba([r, g, b, a]) in made.pixels() {
            assert_eq!((r, g, b), (if a > 0 { 255 } else { 0 }, 0, 0), "{method} {size}");
            partly += u32::from(a > 0 && a < 255);
        }
        assert!(partly > 0, "{method} {size}");
    }
    // Nothing is mixed there, so nothing is lost.
    let nearest = upscale(&folder, "--size 31x9 --method nearest").into_rgba8();
    assert!(nearest.pixels().any(|&pixel| pixel == green_under_nothing));
}

#[test]
fn a_picture_in_pieces_is_the_same_picture() {
    let folder = Folder::with_astronaut();
    for options in
        ["--scale 1.5", "--size 700x1300 --method lanczos3", "--size 300x200", "--width 513 --method nearest"]
    {
        let whole = upscale(&folder, options);
        assert!(upscale(&folder, &format!("{options} --memory 1200KiB")) == whole, "{options}");
    }
}

#[test]
fn formats_and_folders_take_sizes() {
    let folder = Folder::new();
    fs::create_dir(folder.path("in")).unwrap();
    for (name, width, height) in [("a.png", 30, 20), ("b.jpg", 9, 9), ("c.webp", 1, 1), ("d.png", 60, 40)] {
        folder.save(&format!("in/{name}"), RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, 9])));
    }
    for (options, expected) in [
        ("--width 60", [(60, 40), (60, 60), (60, 60), (60, 40)]),
        ("--size 31x17", [(31, 17); 4]),
        ("--scale 1.5", [(45, 30), (14, 14), (2, 2), (90, 60)]),
    ] {
        for jobs in [1, 4] {
            folder.succeed(&format!("upscale in out{jobs} --device cpu {options} --jobs {jobs}"));
        }
        for (name, expected) in ["a.png", "b.jpg", "c.webp", "d.png"].into_iter().zip(expected) {
            let made = folder.open(&format!("out1/{name}"));
            assert_eq!(sides(&made), expected, "{options} {name}");
            assert!(folder.open(&format!("out4/{name}")) == made, "{options} {name}");
        }
    }
    // Each picture is judged by its own size.
    let run = folder.run("upscale in out --device cpu --model waifu2x-photo --size 31x17");
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(run.stderr.contains("2 of 4 pictures failed: in/c.webp, in/d.png"), "{}", run.stderr);
    assert_eq!(sides(&folder.open("out/b.jpg")), (31, 17));
}

#[test]
fn sizes_that_are_none_are_refused() {
    let folder = folder();
    let size = ["10", "10x", "x10", "axb", "1e3x5", "1x2x3", "-5x5", "1.5x2", "", "nan", "5x-5", "--width"];
    for text in size {
        let words = [text, "--size <WxH>", "a width and a height in pixels, such as 1920x1080"];
        folder.refuse(&format!("upscale in.png out.png --size {text}"), 2, &words);
    }
    for text in ["0x5", "5x0", "2147483648x1", "1x99999999999999999999"] {
        let words = [text, "--size <WxH>", "expected 1 to 2147483647 pixels per side"];
        folder.refuse(&format!("upscale in.png out.png --size {text}"), 2, &words);
    }
    for (option, text) in
        ["--width", "--height"].iter().flat_map(|o| ["0", "-3", "1.5", "2147483648", "nan", "x"].map(|t| (o, t)))
    {
        let words = [text, option, "expected 1 to 2147483647 pixels per side"];
        folder.refuse(&format!("upscale in.png out.png {option} {text}"), 2, &words);
    }
    for options in [
        "--scale 2 --size 10x10",
        "--scale 2 --width 10",
        "--scale 2 --height 10",
        "--size 10x10 --width 10",
        "--size 10x10 --height 10",
        "--size 10x10 --alpha network",
    ] {
        let run = folder.run(&format!("upscale in.png out.png {options}"));
        assert_eq!(run.code, Some(2), "{options}: {}", run.stderr);
    }
    let run = folder.run("upscale in.png out.png");
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    for option in ["--scale <N>", "--size <WxH>", "--width <PIXELS>", "--height <PIXELS>", "--model"] {
        assert!(run.stderr.contains(option), "{option}: {}", run.stderr);
    }
    assert_eq!(folder.contents().len(), 1);
}

#[test]
fn sizes_that_cannot_be_made_are_refused() {
    let folder = folder();
    folder.save("line.png", GrayImage::new(1, 3));
    for (line, words) in [
        ("in.png out.webp --width 16384", &["at most 16383 pixels per side, not 16384x11004", "PNG"][..]),
        ("in.png out.jpg --size 65536x1", &["at most 65535 pixels per side, not 65536x1"]),
        ("line.png out.png --width 2147483647", &["2147483647x6442450941 pixels are more than any format can hold"]),
        ("in.png out.png --size 2147483647x2147483647", &["needs ", "0 buffered for PNG", "--memory raises the limit"]),
        ("in.png out.png --size 1000000x1 --memory 4MiB", &["needs ", "more than the 4 MiB allowed"]),
        ("in.png out.jpg --size 60000x60000 --memory 1GiB", &["10300 buffered for JPEG", "1024 MiB allowed"]),
    ] {
        folder.refuse(&format!("upscale {line}"), 1, words);
    }
    for (options, words) in [
        ("--size 67x45", &["67x45 is no larger than the picture, 67x45, which waifu2x-photo can only enlarge"][..]),
        (
            "--width 50",
            &["out.png: 50x34 is no larger than the picture, 67x45", "without --model, a filter reduces it"],
        ),
        ("--size 269x45", &["269x45 is out of reach of waifu2x-photo: it enlarges 67x45 to at most 268x180"]),
        ("--height 181", &["269x181 is out of reach", "by the square of its factor 2"]),
        ("--scale 4.01", &["--scale 4.01 is out of reach of waifu2x-photo: expected more than 1 and at most 4"]),
        ("--scale 1", &["--scale 1 is out of reach"]),
        ("--scale 3.5 --memory 100KiB", &["MiB allowed; --memory"]),
    ] {
        folder.refuse(&format!("upscale in.png out.png --model waifu2x-photo {options}"), 1, words);
    }
}

#[test]
fn a_network_is_reduced_by_the_bicubic_filter() {
    let folder = folder();
    let network = "--model waifu2x-photo";
    for (passes, sizes) in [(2, &["101x68", "134x46", "40x90", "68x45"][..]), (4, &["150x100", "135x80", "30x180"])] {
        let made: Vec<DynamicImage> =
            sizes.iter().map(|size| upscale(&folder, &format!("{network} --size {size}"))).collect();
        folder.save("whole.png", upscale(&folder, &format!("{network} --scale {passes}")));
        for (made, size) in made.iter().zip(sizes) {
            folder.succeed(&format!("upscale whole.png by-hand.png --size {size} --device cpu"));
            // 16 bits per sample and not 8 are reduced.
            assert!(difference(made, &folder.open("by-hand.png"), 0) <= 1, "{size}");
            for options in ["--tile 16", "--tile 40 --memory 40MiB"] {
                assert!(upscale(&folder, &format!("{network} --size {size} {options}")) == *made, "{size} {options}");
            }
        }
    }
    let half = upscale(&folder, &format!("{network} --scale 1.5"));
    assert!(half == upscale(&folder, &format!("{network} --size 101x68")));
    assert!(upscale(&folder, network) == upscale(&folder, &format!("{network} --width 134")));
}

#[test]
fn a_network_makes_sizes_of_the_smallest_pictures() {
    let folder = Folder::new();
    for picture in kinds() {
        let kind = picture.color();
        folder.save("in.png", picture.crop_imm(3, 2, 1, 1));
        for (options, expected) in [("--size 1x2", (1, 2)), ("--size 3x4", (3, 4)), ("--scale 1.2", (1, 1))] {
            let made = upscale(&folder, &format!("--model waifu2x-photo --alpha network {options}"));
            assert_eq!((sides(&made), made.color()), (expected, kind), "{options}");
        }
    }
}

/// Alpha that is enlarged by the network is what the network makes of it as a grey picture.
#[test]
fn alpha_goes_through_the_network_on_request() {
    let folder = Folder::new();
    let network = "--model waifu2x-photo";
    let disc = |x: u32, y: u32| {
        let (x, y) = (f64::from(x) - 10.0, f64::from(y) - 8.0);
        ((7.5 - x.hypot(y)).clamp(0.0, 1.0) * 255.0) as u8
    };
    let grey = |x: u32, y: u32| (x * 9 + y * 3) as u8;
    let deep = |value: u8| u16::from(value) * 257;
    let alone: [DynamicImage; 2] = [
        GrayImage::from_fn(21, 17, |x, y| Luma([disc(x, y)])).into(),
        ImageBuffer::from_fn(21, 17, |x, y| Luma([deep(disc(x, y))])).into(),
    ];
    let pictures: [[DynamicImage; 2]; 2] = [
        [
            ImageBuffer::from_fn(21, 17, |x, y| LumaA([grey(x, y), disc(x, y)])).into(),
            RgbaImage::from_fn(21, 17, |x, y| Rgba([grey(x, y), 200, 0, disc(x, y)])).into(),
        ],
        [
            ImageBuffer::from_fn(21, 17, |x, y| LumaA([grey(x, y), disc(x, y)].map(deep))).into(),
            ImageBuffer::from_fn(21, 17, |x, y| Rgba([grey(x, y), 200, 0, disc(x, y)].map(deep))).into(),
        ],
    ];
    for (alone, pictures) in alone.into_iter().zip(pictures) {
        for options in ["", " --scale 4", " --scale 1.5", " --size 70x30"] {
            folder.save("in.png", alone.clone());
            let expected = samples(&upscale(&folder, &format!("{network}{options}")));
            for picture in &pictures {
                let channels = usize::from(picture.color().channel_count());
                let alpha = |picture: &DynamicImage| -> Vec<u16> {
                    samples(picture).into_iter().skip(channels - 1).step_by(channels).collect()
                };
                folder.save("in.png", picture.clone());
                let made = upscale(&folder, &format!("{network} --alpha network{options}"));
                assert!(alpha(&made) == expected, "{options}");
                assert!(
                    samples(&made)
                        .chunks_exact(channels)
                        .all(|pixel| { pixel[channels - 1] > 0 || pixel.iter().all(|&value| value == 0) }),
                    "no colour under nothing"
                );
                let tiles = upscale(&folder, &format!("{network} --alpha network{options} --tile 8 --memory 40MiB"));
                assert!(tiles == made, "{options}");
                // By default it is the filter's, and the colours are the same where both show them.
                let by_filter = upscale(&folder, &format!("{network}{options}"));
                assert!(by_filter == upscale(&folder, &format!("{network} --alpha filter{options}")));
                assert!(alpha(&by_filter) != expected, "{options}");
                let (made, by_filter) = (samples(&made), samples(&by_filter));
                let pairs = made.chunks_exact(channels).zip(by_filter.chunks_exact(channels));
                let seen = pairs.filter(|(a, b)| a[channels - 1] > 0 && b[channels - 1] > 0);
                assert!(seen.into_iter().all(|(a, b)| a[..channels - 1] == b[..channels - 1]), "{options}");
            }
        }
    }
    // Pictures without alpha are what they are.
    folder.save("in.png", RgbImage::from_fn(21, 17, |x, y| Rgb([grey(x, y), 3, 5])));
    assert!(upscale(&folder, &format!("{network} --alpha network")) == upscale(&folder, network));
}
