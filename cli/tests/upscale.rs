//! `upconv upscale`, run as a program: what it makes, against the `image` crate, and what it refuses.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Folder, difference, samples};
use image::imageops::FilterType;
use image::{DynamicImage, ImageBuffer, Luma, Rgb, RgbImage, Rgba, RgbaImage};
use std::fs;

/// Upscales `in.png` on the CPU.
fn upscale(folder: &Folder, method: &str, scale: u32) -> DynamicImage {
    folder.succeed(&format!("upscale in.png out.png --scale {scale} --method {method} --device cpu"));
    folder.open("out.png")
}

/// The result of the `image` crate.
fn resized(picture: &DynamicImage, scale: u32, filter: FilterType) -> DynamicImage {
    picture.resize_exact(picture.width() * scale, picture.height() * scale, filter)
}

#[test]
fn bilinear_agrees_with_triangle_up_to_the_edges() {
    let folder = Folder::with_astronaut();
    let picture = folder.open("in.png");
    for scale in [2, 3, 4] {
        let expected = resized(&picture, scale, FilterType::Triangle);
        assert!(difference(&upscale(&folder, "bilinear", scale), &expected, 0) <= 1, "{scale}");
    }
}

/// Nearer to a border the `image` crate leaves the missing pixels out and renormalises, where they are replicated here.
#[test]
fn bicubic_and_lanczos3_agree_inside() {
    let folder = Folder::with_astronaut();
    let picture = folder.open("in.png");
    for (method, filter, border) in [("bicubic", FilterType::CatmullRom, 2), ("lanczos3", FilterType::Lanczos3, 3)] {
        for scale in [2, 3, 4] {
            let expected = resized(&picture, scale, filter);
            let made = upscale(&folder, method, scale);
            assert!(difference(&made, &expected, 2 * border * scale) <= 1, "{method} {scale}");
        }
    }
}

#[test]
fn nearest_is_exact() {
    let folder = Folder::with_astronaut();
    let picture = folder.open("in.png");
    for scale in [1, 2, 3] {
        let expected = resized(&picture, scale, FilterType::Nearest);
        assert_eq!(difference(&upscale(&folder, "nearest", scale), &expected, 0), 0, "{scale}");
    }
}

#[test]
fn a_scale_of_one_keeps_every_sample() {
    let folder = Folder::with_astronaut();
    for method in ["nearest", "bilinear", "bicubic", "lanczos3"] {
        assert!(upscale(&folder, method, 1) == folder.open("in.png"), "{method}");
    }
}

#[test]
fn without_a_method_it_is_bicubic() {
    let folder = Folder::with_astronaut();
    let bicubic = upscale(&folder, "bicubic", 2);
    let run = folder.succeed("upscale in.png out.png --scale 2 --device cpu");
    assert!(folder.open("out.png") == bicubic);
    let last = run.stderr.lines().last().unwrap();
    assert!(last.starts_with("out.png: 1024x1024 RGB, 8 bits, bicubic 2x, ") && last.ends_with(" s"), "{last}");
}

/// The committed picture, with which every device is compared.
#[test]
fn the_committed_picture_is_made_again() {
    let folder = Folder::with_astronaut();
    let committed = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/astronaut_2x.png");
    assert!(difference(&upscale(&folder, "bicubic", 2), &image::open(committed).unwrap(), 0) <= 1);
}

/// The eight kinds of picture, without a pattern but for a constant alpha, which hides nothing.
fn kinds() -> [DynamicImage; 8] {
    let noise = |x: u32, y: u32, c: u32| (x * 40_503 + y * 30_011 + c * 20_021 + x * y * 977) % 65_536;
    let deep = move |x, y, c| noise(x, y, c) as u16;
    let flat = move |x, y, c| (noise(x, y, c) >> 8) as u8;
    let (w, h) = (19, 14);
    [
        ImageBuffer::from_fn(w, h, |x, y| Luma([flat(x, y, 0)])).into(),
        ImageBuffer::from_fn(w, h, |x, y| image::LumaA([flat(x, y, 0), 100])).into(),
        ImageBuffer::from_fn(w, h, |x, y| Rgb([0, 1, 2].map(|c| flat(x, y, c)))).into(),
        ImageBuffer::from_fn(w, h, |x, y| Rgba([flat(x, y, 0), flat(x, y, 1), flat(x, y, 2), 100])).into(),
        ImageBuffer::from_fn(w, h, |x, y| Luma([deep(x, y, 0)])).into(),
        ImageBuffer::from_fn(w, h, |x, y| image::LumaA([deep(x, y, 0), 30_000])).into(),
        ImageBuffer::from_fn(w, h, |x, y| Rgb([0, 1, 2].map(|c| deep(x, y, c)))).into(),
        ImageBuffer::from_fn(w, h, |x, y| Rgba([deep(x, y, 0), deep(x, y, 1), deep(x, y, 2), 30_000])).into(),
    ]
}

#[test]
fn colour_and_depth_are_kept() {
    let folder = Folder::new();
    for picture in kinds() {
        let kind = picture.color();
        folder.save("in.png", picture.clone());
        for (method, filter, border) in [
            ("bilinear", FilterType::Triangle, 0),
            ("bicubic", FilterType::CatmullRom, 4),
            ("nearest", FilterType::Nearest, 0),
        ] {
            let made = upscale(&folder, method, 3);
            assert_eq!(made.color(), kind);
            // The `image` crate does not premultiply, which is no matter where alpha is the same everywhere.
            let difference = difference(&made, &resized(&picture, 3, filter), border * 3);
            assert!(difference <= 1, "{kind:?} {method}: {difference}");
        }
    }
}

#[test]
fn what_is_transparent_lends_no_colour() {
    let folder = Folder::new();
    let green_under_nothing = Rgba([0, 255, 0, 0]);
    folder.save(
        "in.png",
        RgbaImage::from_fn(8, 3, |x, _| if x < 4 { Rgba([255, 0, 0, 255]) } else { green_under_nothing }),
    );
    for method in ["bilinear", "bicubic", "lanczos3"] {
        let made = upscale(&folder, method, 4).into_rgba8();
        let mut partly = 0;
        for &Rgba([r, g, b, a]) in made.pixels() {
            assert_eq!((r, g, b), (if a > 0 { 255 } else { 0 }, 0, 0), "{method}");
            partly += u32::from(a > 0 && a < 255);
        }
        assert!(partly > 0, "{method}");
    }
    // Nothing is mixed there, so nothing is lost.
    assert!(upscale(&folder, "nearest", 4).into_rgba8().pixels().any(|&pixel| pixel == green_under_nothing));
}

/// The weights of these two are exact in binary, so that any order of the sums gives the same bits.
#[test]
fn a_picture_in_pieces_is_the_same_picture() {
    let folder = Folder::with_astronaut();
    for scale in [2, 4] {
        let whole = upscale(&folder, "bilinear", scale);
        folder.succeed(&format!(
            "upscale in.png out.png --scale {scale} --method bilinear --device cpu --memory {}",
            if scale == 2 { "2MiB" } else { "1.2MiB" }
        ));
        assert!(folder.open("out.png") == whole, "{scale}");
    }
}

#[test]
fn other_formats_are_written() {
    let folder = Folder::with_astronaut();
    let png = upscale(&folder, "bicubic", 2);
    folder.succeed("upscale in.png out.webp --scale 2 --device cpu");
    assert!(folder.open("out.webp") == png, "without loss");
    folder.succeed("upscale in.png good.jpg --scale 2 --device cpu --quality 95");
    folder.succeed("upscale in.png poor.jpeg --scale 2 --device cpu --quality 20");
    let size = |name: &str| fs::metadata(folder.path(name)).unwrap().len();
    assert!(size("good.jpg") > 2 * size("poor.jpeg"));
    assert_eq!(folder.open("good.jpg").into_rgb8().dimensions(), (1024, 1024));
}

#[test]
fn options_make_a_picture_fit_its_format() {
    let folder = Folder::new();
    let [_, _, _, rgba, .., deep_rgba] = kinds();
    folder.save("in.png", rgba);
    folder.save("deep.png", deep_rgba);
    folder.succeed("upscale in.png out.jpg --scale 2 --device cpu --flatten white");
    folder.succeed("upscale deep.png out.webp --scale 2 --device cpu --depth 8");
    folder.succeed("upscale deep.png deep.jpg --scale 2 --device cpu --depth 8 --flatten #102030");
    assert_eq!(folder.open("out.jpg").color(), image::ColorType::Rgb8);
    assert_eq!(folder.open("out.webp").color(), image::ColorType::Rgba8);
    assert_eq!(folder.open("deep.jpg").color(), image::ColorType::Rgb8);
}

#[test]
fn an_existing_file_is_replaced() {
    let folder = Folder::with_astronaut();
    folder.write("out.png", "old");
    assert_eq!(upscale(&folder, "nearest", 2).width(), 1024);
    assert_eq!(folder.contents().into_keys().collect::<Vec<_>>(), ["in.png", "out.png"]);
}

#[test]
fn inputs_that_are_no_pictures_are_refused() {
    let folder = Folder::with_astronaut();
    let png = fs::read(folder.path("in.png")).unwrap();
    folder.write("half.png", &png[..png.len() / 2]);
    folder.write("text.png", "This is not a picture.\n");
    folder.write("empty.png", "");
    fs::create_dir(folder.path("folder.png")).unwrap();
    for (input, word) in [
        ("no.png", "No such file"),
        ("half.png", "truncated"),
        ("text.png", "not a picture"),
        ("empty.png", "is empty"),
        ("folder.png", "is a folder"),
    ] {
        let words: &[&str] = if cfg!(unix) { &[input, word] } else { &[input] };
        folder.refuse(&format!("upscale {input} out.png --scale 2"), 1, words);
    }
}

#[test]
fn animations_are_refused() {
    let folder = Folder::new();
    let mut encoder = png::Encoder::new(fs::File::create(folder.path("in.png")).unwrap(), 2, 1);
    encoder.set_animated(2, 0).unwrap();
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&[1, 2]).unwrap();
    writer.write_image_data(&[3, 4]).unwrap();
    writer.finish().unwrap();
    folder.refuse("upscale in.png out.png --scale 2", 1, &["in.png", "animation (APNG)", "only still pictures"]);
}

#[test]
fn scales_that_are_no_factor_are_refused() {
    let folder = Folder::with_astronaut();
    let scales =
        ["0", "0.5", "64.5", "65", "1000000", "99999999999999999999", "-2", "-1.5", "2x", "two", "nan", "inf", "1e1"];
    for scale in scales {
        let words = [scale, "--scale", "a factor from 1 to 64, such as 2 or 1.5"];
        folder.refuse(&format!("upscale in.png out.png --scale {scale}"), 2, &words);
    }
}

#[test]
fn outputs_that_cannot_be_written_are_refused() {
    let folder = Folder::with_astronaut();
    fs::create_dir(folder.path("folder.png")).unwrap();
    folder.write("old.png", "old");
    for (output, words) in [
        ("no/out.png", &["there is no folder no"][..]),
        ("folder.png", &["folder.png is a folder"]),
        ("in.png", &["in.png: is the input itself"]),
        ("./in.png", &["is the input itself"]),
        ("out.gif", &["out.gif: GIF is read, not written", "must end in .png, .jpg, .jpeg, .webp, .tif or .tiff"]),
        ("out", &["the name must end in"]),
        ("out.jpg --png-effort best", &["--png-effort is for PNG, not for JPEG"]),
        ("old.png --no-clobber", &["old.png exists", "--no-clobber"]),
        ("out.png --quality 80", &["--quality 80 is for JPEG"]),
    ] {
        folder.refuse(&format!("upscale in.png {output} --scale 2"), 1, words);
    }
    #[cfg(target_os = "linux")]
    folder.refuse("upscale in.png /proc/out.png --scale 2", 1, &["cannot create a file in /proc"]);
}

#[test]
fn what_a_format_cannot_hold_is_refused() {
    let folder = Folder::new();
    folder.save("alpha.png", RgbaImage::new(2, 2));
    folder.save("deep.png", ImageBuffer::<Rgb<u16>, _>::new(2, 2));
    folder.save("wide.png", RgbImage::new(1_024, 1));
    for (line, words) in [
        ("alpha.png out.jpg --scale 2", &["out.jpg: JPEG holds no transparency", "--flatten", "PNG, TIFF or WebP"][..]),
        ("deep.png out.jpg --scale 2", &["JPEG holds 8 bits per sample, not 16", "--depth 8", "PNG or TIFF can hold"]),
        ("deep.png out.webp --scale 2", &["WebP holds 8 bits per sample, not 16", "--depth 8", "PNG or TIFF can hold"]),
        ("wide.png out.webp --scale 16", &["at most 16383 pixels per side, not 16384x16", "PNG, TIFF or JPEG"]),
        ("wide.png out.jpg --scale 64", &["at most 65535 pixels per side, not 65536x64", "PNG or TIFF can hold"]),
    ] {
        folder.refuse(&format!("upscale {line}"), 1, words);
    }
}

#[test]
fn too_little_memory_is_refused() {
    let folder = Folder::with_astronaut();
    folder.refuse("upscale in.png out.png --scale 2 --memory 512KiB", 1, &["in.png", "512x512 RGB", "--memory"]);
    folder.refuse("upscale in.png out.jpg --scale 8 --memory 20MiB", 1, &["out.jpg", "48 buffered for JPEG", "20 MiB"]);
    folder.refuse("upscale in.png out.png --scale 2 --memory lots", 2, &["lots", "4GiB"]);
}

/// A refusal by the device comes late, and still leaves nothing.
#[test]
fn an_unknown_adapter_leaves_nothing() {
    let folder = Folder::with_astronaut();
    let before = samples(&folder.open("in.png"));
    for (options, word) in
        [("--adapter no-such-adapter", "no-such-adapter"), ("--device cpu --adapter any", "--device Cpu is not one")]
    {
        let run = folder.run(&format!("upscale in.png out.png --scale 2 {options}"));
        assert_eq!(run.code, Some(1), "{}", run.stderr);
        assert!(run.stderr.lines().last().is_some_and(|line| line.contains(word)), "{}", run.stderr);
        assert_eq!(folder.contents().into_keys().collect::<Vec<_>>(), ["in.png"]);
    }
    assert!(samples(&folder.open("in.png")) == before);
}

/// Crate png 0.18.1 panics on a palette whose length is no multiple of 3, with transparency.
#[test]
fn a_decoder_that_panics_fails_its_picture_only() {
    let folder = Folder::new();
    fs::create_dir(folder.path("in")).unwrap();
    let mut encoder = png::Encoder::new(fs::File::create(folder.path("in/b.png")).unwrap(), 1, 1);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_palette(vec![1; 7]);
    encoder.set_trns(vec![128; 3]);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&[1]).unwrap();
    writer.finish().unwrap();
    folder.refuse("upscale in/b.png out.png --scale 2", 1, &["in/b.png: cannot be decoded as PNG"]);
    for name in ["in/a.png", "in/c.png"] {
        folder.save(name, RgbImage::new(3, 2));
    }
    for jobs in [1, 3] {
        let run = folder.run(&format!("upscale in out{jobs} --scale 2 --device cpu --jobs {jobs}"));
        assert_eq!(run.code, Some(1), "{}", run.stderr);
        assert!(!run.stderr.contains("thread '"), "{}", run.stderr);
        let last = run.stderr.lines().last().unwrap_or_default();
        assert!(last.contains("1 of 3 pictures failed: ") && last.contains("b.png"), "{}", run.stderr);
        for name in ["a.png", "c.png"] {
            assert_eq!(folder.open(&format!("out{jobs}/{name}")).width(), 6);
        }
    }
}

#[test]
fn what_is_repaired_and_what_is_lost_is_said_in_one_line() {
    let folder = Folder::with_astronaut();
    folder.succeed("upscale in.png whole.jpg --scale 1 --device cpu");
    let whole = fs::read(folder.path("whole.jpg")).unwrap();
    folder.write("cut.jpg", &whole[..whole.len() - 2]);
    let run = folder.succeed("upscale cut.jpg out.png --scale 1 --device cpu");
    let warning = "warning: cut.jpg: the JPEG file is not whole: it has no end marker";
    assert_eq!(run.stderr.lines().filter(|line| line.starts_with("warning: ")).collect::<Vec<_>>(), [warning]);
    folder.succeed("upscale whole.jpg whole.png --scale 1 --device cpu");
    assert!(folder.open("out.png") == folder.open("whole.png"));
    folder.write("half.jpg", [&whole[..whole.len() / 2], &[0xff, 0xd9]].concat());
    folder.refuse("upscale half.jpg out.png --scale 1 --device cpu", 1, &["half.jpg: is largely missing"]);

    let mut info = png::Info::with_size(1, 1);
    info.color_type = png::ColorType::Grayscale;
    info.source_gamma = Some(png::ScaledFloat::from_scaled(100_000));
    let file = fs::File::create(folder.path("linear.png")).unwrap();
    let mut writer = png::Encoder::with_info(file, info).unwrap().write_header().unwrap();
    writer.write_image_data(&[1]).unwrap();
    writer.finish().unwrap();
    let run = folder.succeed("upscale linear.png linear.jpg --scale 2 --device cpu");
    let lines: Vec<_> = run.stderr.lines().filter(|line| line.starts_with("warning: linear.png: ")).collect();
    assert!(lines.len() == 1 && lines[0].contains("gAMA"), "{}", run.stderr);
    let run = folder.succeed("upscale linear.png linear-2.png --scale 2 --device cpu");
    assert!(!run.stderr.contains("warning"), "{}", run.stderr);
}

#[test]
fn tiff_is_written_without_loss_and_read_again() {
    let folder = Folder::new();
    for picture in kinds() {
        folder.save("in.png", picture);
        let png = upscale(&folder, "bicubic", 3);
        let run = folder.succeed("upscale in.png out.tif --scale 3 --method bicubic --device cpu");
        assert!(run.stderr.contains("out.tif: 57x42 "), "{}", run.stderr);
        folder.succeed("upscale out.tif back.png --scale 1 --method nearest --device cpu");
        assert!(folder.open("back.png") == png, "{:?}", png.color());
    }
}

/// A colour and its neighbours, of which there are few, enlarged so that nothing new comes.
#[test]
fn pixel_art_is_written_with_a_palette() {
    let folder = Folder::new();
    let picture = RgbaImage::from_fn(40, 30, |x, y| Rgba([(x / 10) as u8, (y / 10) as u8, 7, 255 - (x / 20) as u8]));
    folder.save("in.png", picture.clone());
    let size = |name: &str| fs::metadata(folder.path(name)).unwrap().len();
    for (scale, memory) in [(1, "4GiB"), (8, "4GiB"), (8, "300KiB")] {
        folder.succeed(&format!(
            "upscale in.png out.png --scale {scale} --method nearest --device cpu --memory {memory}"
        ));
        let bytes = fs::read(folder.path("out.png")).unwrap();
        // Twelve colours of four bits each.
        assert_eq!(bytes[24..26], [4, 3]);
        let expected = resized(&picture.clone().into(), scale, FilterType::Nearest);
        assert!(folder.open("out.png") == expected, "{scale}");
    }
    let few = size("out.png");
    folder.succeed("upscale in.png mixed.png --scale 8 --method bicubic --device cpu");
    assert_eq!(fs::read(folder.path("mixed.png")).unwrap()[24..26], [8, 6]);
    assert!(few * 4 < size("mixed.png"), "{few} {}", size("mixed.png"));
}

#[test]
fn effort_makes_png_smaller_and_changes_no_pixel() {
    let folder = Folder::with_astronaut();
    let mut sizes = Vec::new();
    for effort in ["fast", "normal", "best"] {
        folder.succeed(&format!("upscale in.png {effort}.png --scale 4 --device cpu --png-effort {effort}"));
        assert!(folder.open(&format!("{effort}.png")) == folder.open("fast.png"), "{effort}");
        sizes.push(fs::metadata(folder.path(&format!("{effort}.png"))).unwrap().len());
    }
    assert!(sizes[0] > sizes[1] && sizes[1] > sizes[2], "{sizes:?}");
}

#[test]
fn metadata_are_kept_on_request_only() {
    let folder = Folder::new();
    let exif = b"MM\0*\0\0\0\x08\0\x02\x01\x0f\0\x02\0\0\0\x04abc\0\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let write = |name: &str, exif: &[u8]| {
        let mut info = png::Info::with_size(2, 1);
        info.color_type = png::ColorType::Grayscale;
        info.exif_metadata = Some(exif.to_vec().into());
        let file = fs::File::create(folder.path(name)).unwrap();
        let mut writer = png::Encoder::with_info(file, info).unwrap().write_header().unwrap();
        writer.write_image_data(&[1, 2]).unwrap();
        writer.finish().unwrap();
    };
    write("in.png", exif);
    let holds =
        |name: &str, words: &[u8]| fs::read(folder.path(name)).unwrap().windows(words.len()).any(|part| part == words);
    for name in ["out.png", "out.jpg", "out.webp"] {
        folder.succeed(&format!("upscale in.png {name} --scale 2 --device cpu"));
        assert!(!holds(name, b"abc\0"), "{name}");
        let run = folder.succeed(&format!("upscale in.png {name} --scale 2 --device cpu --keep-metadata"));
        assert!(!run.stderr.contains("warning"), "{}", run.stderr);
        assert!(holds(name, b"abc\0\x01\x12\0\x03\0\0\0\x01\0\x01"), "{name}");
        // It was turned once, and is not turned again.
        assert_eq!(folder.open(name).height(), 4);
        folder.succeed(&format!("upscale {name} again.png --scale 1 --device cpu --keep-metadata"));
        assert_eq!(folder.open("again.png").height(), 4);
    }
    write("bad.png", &exif[..20]);
    let warnings = |line: &str| {
        let run = folder.succeed(line);
        run.stderr.lines().filter(|line| line.starts_with("warning: ")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(warnings("upscale bad.png out.png --scale 2 --device cpu"), [""; 0]);
    let said = warnings("upscale bad.png out.png --scale 2 --device cpu --keep-metadata");
    assert!(said.len() == 1 && said[0].starts_with("warning: bad.png: its EXIF is malformed ("), "{said:?}");
    assert_eq!(
        warnings("upscale in.png out.tif --scale 2 --device cpu --keep-metadata"),
        ["warning: in.png: EXIF is not written into TIFF; it is left out"]
    );
}
