//! `upconv upscale --model`, run as a program on the CPU: against pictures made from an f64 evaluation elsewhere, in
//! tiles, of all kinds; and what is refused.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Folder, astronaut, difference, samples};
use image::{DynamicImage, GrayImage, ImageBuffer, Luma, LumaA, Rgb, RgbImage, Rgba, RgbaImage};
use std::fs;
use std::path::{Path, PathBuf};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/network").join(name)
}

/// With a picture of the tests' data in it, as `in.png`.
fn folder_with(name: &str) -> Folder {
    let folder = Folder::new();
    fs::copy(data(name), folder.path("in.png")).unwrap();
    folder
}

fn upscale(folder: &Folder, options: &str) -> DynamicImage {
    let space = if options.is_empty() { "" } else { " " };
    folder.succeed(&format!("upscale in.png out.png --model waifu2x-photo --device cpu{space}{options}"));
    folder.open("out.png")
}

/// The share of samples that differ, which must differ by 1 at most.
fn share_that_differs(a: &DynamicImage, b: &DynamicImage) -> f64 {
    assert!(difference(a, b, 0) <= 1);
    let (a, b) = (samples(a), samples(b));
    let differ = a.iter().zip(&b).filter(|(a, b)| a != b).count();
    eprintln!("{differ} of {} samples differ by 1", a.len());
    differ as f64 / a.len() as f64
}

/// Peak signal-to-noise ratio of two 8-bit pictures.
fn psnr(a: &DynamicImage, b: &DynamicImage) -> f64 {
    let pairs = samples(a).into_iter().zip(samples(b));
    let squares: Vec<f64> = pairs.map(|(a, b)| (f64::from(a) - f64::from(b)).powi(2)).collect();
    10.0 * (255.0_f64.powi(2) * squares.len() as f64 / squares.iter().sum::<f64>()).log10()
}

/// A value nearer than 1e-5 to the middle between two bytes may be rounded to either.
#[test]
fn a_photograph_is_what_is_expected_and_near_the_original() {
    let folder = folder_with("astronaut_256.png");
    let made = upscale(&folder, "");
    let expected = image::open(data("astronaut_256_photo_2x.png")).unwrap();
    assert!(share_that_differs(&made, &expected) <= 1e-4);
    // The input is the original halved.
    let original = image::open(astronaut()).unwrap();
    let network = psnr(&made, &original);
    folder.succeed("upscale in.png bicubic.png --scale 2 --device cpu");
    let bicubic = psnr(&folder.open("bicubic.png"), &original);
    eprintln!("waifu2x-photo {network:.2} dB, bicubic {bicubic:.2} dB");
    assert!(network >= 33.8 && bicubic < 31.0, "{network} {bicubic}");
}

#[test]
fn an_odd_size_is_what_is_expected() {
    let folder = folder_with("chelsea_67x45.png");
    let expected = image::open(data("chelsea_67x45_photo_2x.png")).unwrap();
    assert!(share_that_differs(&upscale(&folder, ""), &expected) <= 3e-4);
    // Ten bits between the layers, eight in the end.
    assert!(difference(&upscale(&folder, "--precision f16"), &expected, 0) <= 2);
}

#[test]
fn tiles_do_not_show() {
    let folder = Folder::new();
    folder.save("in.png", image::open(data("astronaut_256.png")).unwrap().crop_imm(20, 30, 200, 200));
    let whole = upscale(&folder, "--tile 200");
    for options in ["--tile 64", "--tile 100", "", "--memory 24MiB"] {
        assert!(upscale(&folder, options) == whole, "{options}");
    }
}

/// With means over the picture, and with the values between the passes kept or computed again.
#[test]
fn tiles_do_not_show_through_squeeze_and_excitation() {
    let folder = Folder::new();
    common::write_squeezing(&folder);
    folder.save("in.png", image::open(data("astronaut_256.png")).unwrap().crop_imm(20, 30, 111, 75));
    let upscale = |options: &str| {
        folder.succeed(format!("upscale in.png out.png --model net.param --device cpu {options}").trim());
        folder.open("out.png")
    };
    let whole = upscale("--tile 200");
    for options in ["--tile 8", "--tile 32", "--tile 64", "--tile 100", "", "--tile 32 --memory 2MiB"] {
        assert!(upscale(options) == whole, "{options}");
    }
    // Means of the tiles are other means; of one tile they are the same.
    assert!(upscale("--tile 200 --mean tile") == whole);
    assert!(upscale("--tile 32 --mean tile") != whole);
    folder.succeed("upscale in.png out.png --model net.param --device reference");
    assert!(difference(&folder.open("out.png"), &whole, 0) <= 1);
}

/// A small picture without a pattern, and dark enough in places.
fn small() -> RgbImage {
    image::open(data("chelsea_67x45.png")).unwrap().crop_imm(10, 5, 21, 17).into_rgb8()
}

fn deep(v: u8) -> u16 {
    u16::from(v) * 257
}

#[test]
fn colour_and_depth_are_kept() {
    let folder = Folder::new();
    folder.save("in.png", small());
    let rgb = upscale(&folder, "").into_rgb8();

    let picture = small();
    let wide: ImageBuffer<Rgb<u16>, _> = ImageBuffer::from_fn(21, 17, |x, y| Rgb(picture.get_pixel(x, y).0.map(deep)));
    folder.save("in.png", wide);
    let made = upscale(&folder, "");
    assert_eq!(made.color(), image::ColorType::Rgb16);
    assert!(difference(&made.into_rgb8().into(), &rgb.clone().into(), 0) <= 1);

    folder.save(
        "in.png",
        RgbaImage::from_fn(21, 17, |x, y| {
            let [r, g, b] = picture.get_pixel(x, y).0;
            Rgba([r, g, b, 100])
        }),
    );
    let made = upscale(&folder, "").into_rgba8();
    assert!(made.pixels().zip(rgb.pixels()).all(|(a, b)| a.0[..3] == b.0 && a.0[3] == 100));

    // Grey goes through the network as three equal colours, and the mean of what comes back is grey.
    let grey = GrayImage::from_fn(21, 17, |x, y| Luma([picture.get_pixel(x, y)[1]]));
    folder.save("in.png", RgbImage::from_fn(21, 17, |x, y| Rgb([grey.get_pixel(x, y)[0]; 3])));
    let as_rgb = upscale(&folder, "").into_rgb8();
    let means = |x, y| as_rgb.get_pixel(x, y).0.iter().map(|&v| f32::from(v)).sum::<f32>() / 3.0;
    folder.save("in.png", grey.clone());
    let made = upscale(&folder, "");
    assert_eq!(made.color(), image::ColorType::L8);
    let made = made.into_luma8();
    assert!(made.enumerate_pixels().all(|(x, y, v)| (f32::from(v[0]) - means(x, y)).abs() <= 1.0));

    let alpha = ImageBuffer::from_fn(21, 17, |x, y| LumaA([deep(grey.get_pixel(x, y)[0]), 40_000]));
    folder.save("in.png", alpha);
    let deep_made = upscale(&folder, "");
    assert_eq!(deep_made.color(), image::ColorType::La16);
    let DynamicImage::ImageLumaA16(deep_made) = deep_made else { panic!() };
    assert!(deep_made.pixels().zip(made.pixels()).all(|(a, b)| a[1] == 40_000 && a[0].abs_diff(deep(b[0])) <= 257));
}

#[test]
fn what_is_transparent_lends_no_colour() {
    let folder = Folder::new();
    let picture = small();
    let mut made = Vec::new();
    for hidden in [[0, 255, 0], [255, 0, 255]] {
        folder.save(
            "in.png",
            RgbaImage::from_fn(21, 17, |x, y| {
                let [r, g, b] = picture.get_pixel(x, y).0;
                if x < 12 { Rgba([r, g, b, 255]) } else { Rgba([hidden[0], hidden[1], hidden[2], 0]) }
            }),
        );
        made.push(upscale(&folder, "").into_rgba8());
    }
    assert!(made[0] == made[1]);
    assert!(made[0].pixels().any(|pixel| (1..255).contains(&pixel[3])), "no pixel is partly transparent");
    assert!(made[0].pixels().all(|pixel| pixel[3] > 0 || pixel.0 == [0; 4]));
}

#[test]
fn four_times_is_twice_twice_and_three_times_lies_between() {
    let folder = Folder::new();
    folder.save("in.png", small());
    let four = upscale(&folder, "--scale 4");
    assert_eq!((four.width(), four.height()), (84, 68));
    let three = upscale(&folder, "--scale 3");
    assert_eq!((three.width(), three.height()), (63, 51));
    let default = upscale(&folder, "");
    assert!(upscale(&folder, "--scale 2") == default);
    // By hand, with 8 bits between the two.
    folder.save("in.png", default);
    let by_hand = upscale(&folder, "");
    assert!(psnr(&by_hand, &four) > 45.0, "{}", psnr(&by_hand, &four));
    let shrunk = four.resize_exact(63, 51, image::imageops::FilterType::CatmullRom);
    assert!(psnr(&three, &shrunk) > 45.0, "{}", psnr(&three, &shrunk));
    // Tiles do not show in any of them.
    folder.save("in.png", small());
    assert!(upscale(&folder, "--scale 3 --tile 16") == three);
    assert!(upscale(&folder, "--scale 4 --tile 24") == four);
}

#[test]
fn a_model_of_ones_own() {
    let folder = folder_with("chelsea_67x45.png");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/waifu2x-photo.safetensors");
    folder.write("own.safetensors", fs::read(shipped).unwrap());
    folder.succeed("upscale in.png own.png --model own.safetensors --device cpu");
    assert!(folder.open("own.png") == upscale(&folder, ""));
}

#[test]
fn models_that_cannot_be_used_are_refused() {
    let folder = folder_with("chelsea_67x45.png");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/waifu2x-photo.safetensors");
    let whole = fs::read(shipped).unwrap();
    folder.write("cut.safetensors", &whole[..whole.len() - 1]);
    folder.write("text.safetensors", "This is no network.\n");
    folder.write("long.safetensors", [&u32::MAX.to_le_bytes()[..], &[0; 100]].concat());
    let mut nan = whole.clone();
    let end = nan.len();
    nan[end - 2..].copy_from_slice(&[0x00, 0x7e]);
    folder.write("nan.safetensors", nan);
    for (model, words) in [
        ("waifu2x", &["model waifu2x", "expected waifu2x-photo, waifu2x-art, which are built in"][..]),
        ("no.safetensors", &["no.safetensors"]),
        ("cut.safetensors", &["cut.safetensors", "of which there are 1106219"]),
        ("text.safetensors", &["text.safetensors", "header's length"]),
        ("long.safetensors", &["length is 4294967295 bytes, expected at most 4194304"]),
        ("nan.safetensors", &["layer 6: weight[12287] of 12288 is NaN"]),
        ("in.png", &["header's length"]),
        (".", &["is a folder"]),
    ] {
        folder.refuse(&format!("upscale in.png out.png --model {model}"), 1, words);
    }
}

#[test]
fn options_that_do_not_fit_are_refused() {
    let folder = folder_with("chelsea_67x45.png");
    for (options, code, words) in [
        (
            "--scale 1",
            1,
            &["--scale 1 is out of reach of waifu2x-photo", "more than 1 and at most 4, the square of its factor 2"][..],
        ),
        ("--scale 5", 1, &["--scale 5 is out of reach"]),
        ("--memory 100KiB", 1, &["MiB allowed; --memory"]),
        ("--format png", 1, &["--format PNG is for folders"]),
    ] {
        folder.refuse(&format!("upscale in.png out.png --model waifu2x-photo {options}"), code, words);
    }
    for options in [
        "--scale 2 --tile 64",
        "--scale 2 --precision f16",
        "--model waifu2x-photo --method bicubic",
        "--model waifu2x-photo --tile 0",
        "",
    ] {
        let line = format!("upscale in.png out.png {options}");
        assert_eq!(folder.run(line.trim_end()).code, Some(2), "{options}");
    }
    assert_eq!(folder.contents().len(), 1);
}

/// Twenty pictures in a folder, one of them cut short, and a file that is not a picture.
fn twenty() -> Folder {
    let folder = Folder::new();
    fs::create_dir(folder.path("in")).unwrap();
    for number in 0..20 {
        let name = format!("in/{number:02}.{}", ["png", "jpg", "webp"][number % 3]);
        folder
            .save(&name, RgbImage::from_fn(5 + number as u32 % 7, 4, |x, y| Rgb([(x * 40) as u8, (y * 60) as u8, 9])));
    }
    let broken = fs::read(folder.path("in/06.png")).unwrap();
    folder.write("in/06.png", &broken[..broken.len() / 2]);
    folder.write("in/notes.txt", "not a picture");
    folder
}

fn names(folder: &Folder, name: &str) -> Vec<String> {
    let entries = fs::read_dir(folder.path(name)).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_folder_with_a_broken_picture_has_the_others() {
    let folder = twenty();
    for how in ["--model waifu2x-photo --jobs 3", "--method nearest --scale 2"] {
        let run = folder.run(&format!("upscale in out --device cpu {how}"));
        assert_eq!(run.code, Some(1), "{}", run.stderr);
        let lines: Vec<&str> = run.stderr.lines().collect();
        assert!(run.stderr.contains("failed: in/06.png: the PNG file is truncated"), "{}", run.stderr);
        assert_eq!(*lines.last().unwrap(), "upconv: 1 of 20 pictures failed: in/06.png");
        assert_eq!(lines.iter().filter(|line| line.starts_with("device: ")).count(), 1);
        let made = names(&folder, "out");
        assert_eq!(made.len(), 19, "{made:?}");
        assert!(!made.contains(&"06.png".to_owned()));
        assert_eq!(folder.open("out/05.webp").width(), 20);
        fs::remove_dir_all(folder.path("out")).unwrap();
    }
}

#[test]
fn what_exists_is_skipped() {
    let folder = twenty();
    fs::remove_file(folder.path("in/06.png")).unwrap();
    let line = "upscale in new/out --device cpu --method nearest --scale 2 --format png --skip-existing";
    folder.succeed(line);
    assert_eq!(names(&folder, "new/out").len(), 19);
    assert!(names(&folder, "new/out").iter().all(|name| name.ends_with(".png")));
    folder.write("new/out/03.png", "made before");
    fs::remove_file(folder.path("new/out/04.png")).unwrap();
    let run = folder.succeed(line);
    assert_eq!(run.stderr.lines().filter(|line| line.ends_with(": exists")).count(), 18);
    assert_eq!(fs::read(folder.path("new/out/03.png")).unwrap(), b"made before");
    assert_eq!(folder.open("new/out/04.png").width(), 18);
}

#[test]
fn folders_that_cannot_be_used_are_refused() {
    let folder = twenty();
    fs::create_dir(folder.path("empty")).unwrap();
    folder.write("file", "");
    folder.refuse("upscale empty out --scale 2", 1, &["empty is a folder without pictures"]);
    folder.refuse("upscale in in/. --scale 2", 1, &["cannot be written to the folder they are in"]);
    folder.refuse("upscale in file --scale 2", 1, &["cannot create the folder file"]);
    folder.save("in/04.png", RgbImage::new(1, 1));
    folder.refuse("upscale in out --scale 2 --format png", 1, &["in/04.jpg and in/04.png would both become 04.png"]);
}

/// An interruption removes the temporary file.
#[cfg(unix)]
#[test]
fn an_interrupted_run_leaves_nothing() {
    use std::process::Command;
    let folder = Folder::with_astronaut();
    let mut child = Command::new(env!("CARGO_BIN_EXE_upconv"))
        .args(["upscale", "in.png", "out.png", "--model", "waifu2x-photo", "--device", "reference"])
        .current_dir(folder.path("."))
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let is_there = || folder.contents().keys().any(|name| name.ends_with(".part"));
    for _ in 0..600 {
        if is_there() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(is_there());
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(folder.contents().into_keys().collect::<Vec<_>>(), ["in.png"]);
}
