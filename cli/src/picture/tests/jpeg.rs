//! JPEG: every kind against libjpeg-turbo, what is repaired, and what is refused.

use super::support::{Folder, MIB, after_name, decoded, jpeg, noise, read, shape, write};
use crate::picture::shape::{Colour, Depth};
use crate::picture::tags::Density;
use crate::picture::{Samples, Source, TargetOptions};
use image::ExtendedColorType;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A file of `tests/data/jpeg`; `make.sh` there made it.
fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/jpeg").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    fs::read(data(name)).unwrap()
}

/// A smooth picture, as libjpeg-like encoders make it, in rows of blocks of 8 pixel rows.
fn large() -> Vec<u8> {
    let (width, height) = (160, 320);
    let samples: Vec<u8> = (0..height)
        .flat_map(|y| {
            (0..width).map(move |x| (x * y / 40 + x * 3 + if (x / 20 + y / 30) % 2 == 0 { 90 } else { 0 }) as u8)
        })
        .collect();
    jpeg(width, height, ExtendedColorType::L8, &samples)
}

/// The place of a marker.
fn find(file: &[u8], marker: u8) -> usize {
    file.windows(2).position(|pair| pair == [0xff, marker]).unwrap()
}

/// What decoding says: the lines of warnings, or the refusal.
fn said(folder: &Folder, file: &[u8]) -> Result<Vec<String>, String> {
    let path = folder.with("a.jpg", file);
    decoded(&path, 64 * MIB).map_err(|error| after_name(&path, &error.to_string()))
}

fn refusal(folder: &Folder, file: &[u8]) -> String {
    said(folder, file).unwrap_err()
}

#[test]
fn every_kind_is_decoded_as_libjpeg_turbo_decodes_it() {
    for (name, tolerance) in [
        ("444", 0),
        ("422", 0),
        ("420", 0),
        ("440", 0),
        ("411", 0),
        ("luma-lower", 0),
        ("scans", 0),
        ("scans-restarts", 0),
        ("restarts", 0),
        ("progressive", 0),
        ("rgb", 0),
        ("grey", 0),
        // Pillow rounds twice on the way from CMYK to RGB.
        ("cmyk", 2),
        ("ycck", 2),
    ] {
        let picture = read(&data(&format!("{name}.jpg")));
        let expected = read(&data(&format!("{name}.png")));
        assert_eq!(picture.shape(), expected.shape(), "{name}");
        let (Samples::Eight(a), Samples::Eight(b)) = (&picture.samples, &expected.samples) else { panic!("{name}") };
        let difference = a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(difference <= Some(tolerance), "{name}: {difference:?}");
        assert_eq!(picture.repairs, [""; 0], "{name}");
    }
}

#[test]
fn what_is_not_supported_is_named() {
    let folder = Folder::new();
    assert_eq!(
        refusal(&folder, &bytes("arithmetic.jpg")),
        "is arithmetic-coded JPEG, which is not supported; Huffman-coded JPEG is"
    );
    let mut file = bytes("420.jpg");
    let frame = find(&file, 0xc0);
    file[frame + 4] = 12;
    assert_eq!(refusal(&folder, &file), "has 12 bits per sample, which is not supported in JPEG; 8 bits are");
    file[frame + 4] = 8;
    file[frame + 1] = 0xc3;
    assert_eq!(refusal(&folder, &file), "is lossless or hierarchical JPEG, which is not supported");
    file[frame + 1] = 0xc0;
    file[frame + 9] = 2;
    assert_eq!(
        refusal(&folder, &file),
        "has 2 components, which is not supported in JPEG; 1 (grey), 3 (colour) and 4 (CMYK) are"
    );
}

#[test]
fn a_file_without_its_end_marker_opens_with_a_warning() {
    let folder = Folder::new();
    for name in ["420.jpg", "scans.jpg", "progressive.jpg", "restarts.jpg"] {
        let file = bytes(name);
        let path = folder.with("cut.jpg", &file[..file.len() - 2]);
        let picture = read(&path);
        assert_eq!(picture.repairs, ["the JPEG file is not whole: it has no end marker"], "{name}");
        assert_eq!(picture.samples, read(&data(name)).samples, "{name}");
    }
}

#[test]
fn what_is_cut_in_half_is_refused_with_and_without_an_end_marker() {
    let folder = Folder::new();
    for file in [large(), bytes("420.jpg"), bytes("scans.jpg"), bytes("restarts.jpg"), bytes("progressive.jpg")] {
        let start = find(&file, 0xda);
        for part in [2, 5, 7] {
            let cut = &file[..start + (file.len() - start) * part / 10];
            for end in [&[][..], &[0xff, 0xd9]] {
                let refusal = refusal(&folder, &[cut, end].concat());
                // The cut may go through a header.
                let words = ["is largely missing: ", "the JPEG file is truncated"];
                assert!(words.iter().any(|&words| refusal.starts_with(words)), "{part}: {refusal}");
            }
        }
    }
}

#[test]
fn little_damage_is_a_warning() {
    let folder = Folder::new();
    let file = large();
    // Without its last rows of blocks.
    let cut = &file[..file.len() - 60];
    for (end, words) in [(&[][..], "it has no end marker; "), (&[0xff, 0xd9], "")] {
        let lines = said(&folder, &[cut, end].concat()).unwrap();
        let [line] = &lines[..] else { panic!("{lines:?}") };
        assert!(line.starts_with(&format!("the JPEG file is not whole: {words}")), "{line}");
        assert!(line.ends_with("of its 40 rows of blocks are damaged and were filled in"), "{line}");
    }
    // Bytes that belong to nothing, before the end. The decoder does not miss the last few that it took.
    let lines = said(&folder, &[&file[..file.len() - 2], &[1; 100], &[0xff, 0xd9]].concat()).unwrap();
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert!(line.ends_with(" bytes of its data belong to nothing and were skipped"), "{line}");
}

#[test]
fn codes_that_are_none_are_no_picture() {
    let folder = Folder::new();
    let file = large();
    let start = find(&file, 0xda) + 10;
    // 16 bits of 1 are no code.
    let ones = [0xff, 0].repeat(20);
    let spoilt = |part: usize| {
        let mut file = file.clone();
        let at = start + (file.len() - start) * part / 100;
        file.splice(at..at + 4, ones.iter().copied());
        file
    };
    let refusal = refusal(&folder, &spoilt(30));
    assert!(refusal.starts_with("is largely missing: ") && refusal.contains("of its rows are damaged"), "{refusal}");
    assert!(said(&folder, &spoilt(97)).unwrap()[0].contains("rows of blocks are damaged"));
}

#[test]
fn damage_between_restart_markers_stays_there() {
    let folder = Folder::new();
    let file = bytes("restarts.jpg");
    // Two rows of blocks of 16, with a marker between them: without the first there is half a picture.
    let marker = find(&file, 0xd0);
    let cut = [&file[..marker - 20], &file[marker..]].concat();
    assert!(refusal(&folder, &cut).starts_with("is largely missing: "));
    // Of 20 rows, one is little.
    let rows: Vec<u8> = (0..20).flat_map(|y| (0..64).map(move |x| (x * 7 + y * 40) as u8)).collect();
    let whole = with_restarts(&rows);
    assert_eq!(said(&folder, &whole).unwrap(), [""; 0]);
    let marker = find(&whole, 0xd3);
    let damaged = [&whole[..marker - 2], &whole[marker..]].concat();
    assert_eq!(
        said(&folder, &damaged).unwrap(),
        ["the JPEG file is not whole: 1 of its 20 rows of blocks are damaged and were filled in"]
    );
}

/// A grey picture of 64 flat columns of 8 pixels in 20 rows of blocks, a restart marker after each row: its coded data
/// are put together here, because the encoder at hand has no restarts.
fn with_restarts(values: &[u8]) -> Vec<u8> {
    let plain = jpeg(512, 8, ExtendedColorType::L8, &[128; 512 * 8]);
    let (frame, scan) = (find(&plain, 0xc0), find(&plain, 0xda));
    let mut header = plain[..scan + 10].to_vec();
    header[frame + 5..frame + 7].copy_from_slice(&160_u16.to_be_bytes());
    let mut file = [&header[..scan], &[0xff, 0xdd, 0, 4, 0, 64], &header[scan..]].concat();
    for (row, values) in values.chunks(64).enumerate() {
        let (mut bits, mut before) = (String::new(), 0_i32);
        for &value in values {
            let mean = i32::from(value) / 4 - 32;
            let step = mean - before;
            before = mean;
            let size = (32 - step.unsigned_abs().leading_zeros()) as usize;
            // The usual code of luma's steps, and of the end of a block.
            bits += ["00", "010", "011", "100", "101", "110", "1110", "11110"][size];
            let coded = if step < 0 { step + (1 << size) - 1 } else { step };
            if size > 0 {
                bits += &format!("{coded:0size$b}");
            }
            bits += "1010";
        }
        bits += &"1".repeat(bits.len().next_multiple_of(8) - bits.len());
        for byte in bits.as_bytes().chunks(8) {
            let byte = u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap();
            file.push(byte);
            if byte == 0xff {
                file.push(0);
            }
        }
        file.extend_from_slice(&match row {
            19 => [0xff, 0xd9],
            _ => [0xff, 0xd0 + row as u8 % 8],
        });
    }
    file
}

#[test]
fn progressive_scans_that_are_missing_are_told_or_refused() {
    let folder = Folder::new();
    let file = bytes("progressive.jpg");
    let scans: Vec<usize> = (0..file.len() - 1).filter(|&at| file[at..at + 2] == [0xff, 0xda]).collect();
    // The tables before the last scan go with it.
    let table = |scan: usize| (0..scan).rev().find(|&at| file[at..at + 2] == [0xff, 0xc4]).unwrap();
    let end = [0xff, 0xd9];
    let last = [&file[..table(scans[scans.len() - 1])], &end].concat();
    assert_eq!(
        said(&folder, &last).unwrap(),
        ["the JPEG file is not whole: the last bits of component 1 are in no scan"]
    );
    let means = [&file[..table(scans[1])], &end].concat();
    assert_eq!(
        refusal(&folder, &means),
        "is largely missing: its scans leave out 63 of the 64 coefficients of each block"
    );
    // A component without any data.
    let file = bytes("scans.jpg");
    let last = (0..file.len() - 1).rev().find(|&at| file[at..at + 2] == [0xff, 0xda]).unwrap();
    assert_eq!(refusal(&folder, &[&file[..last], &end].concat()), "is largely missing: no data of component 3 of 3");
}

#[test]
fn a_size_that_the_data_cannot_fill_is_refused_at_once() {
    let folder = Folder::new();
    for (name, frame_marker) in [("420.jpg", 0xc0), ("scans.jpg", 0xc0), ("progressive.jpg", 0xc2)] {
        let mut file = bytes(name);
        let frame = find(&file, frame_marker);
        file[frame + 5..frame + 9].copy_from_slice(&[0x4e, 0x20, 0x4e, 0x20]);
        let path = folder.with(name, &file);
        let started = Instant::now();
        let error = Source::open(&path, 1 << 40).err().unwrap().to_string();
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
        let refusal = after_name(&path, &error);
        assert!(refusal.starts_with("is largely missing: ") && refusal.contains("20000x20000"), "{refusal}");
    }
}

#[test]
fn scans_without_end_are_refused() {
    let folder = Folder::new();
    let file = bytes("progressive.jpg");
    let scan = (0..file.len() - 1).rev().find(|&at| file[at..at + 2] == [0xff, 0xda]).unwrap();
    let many = [&file[..scan], &file[scan..file.len() - 2].repeat(300), &[0xff, 0xd9]].concat();
    assert_eq!(refusal(&folder, &many), "cannot be decoded as JPEG: it has more than 200 scans");
}

#[test]
fn the_memory_holds_the_file_and_the_coefficients() {
    let folder = Folder::new();
    let path = folder.with("a.jpg", [&bytes("420.jpg")[..], &[0; 5000]].concat());
    let error = Source::open(&path, 4000).err().unwrap().to_string();
    assert!(after_name(&path, &error).starts_with("is a file of more than the 0 MiB allowed"), "{error}");
    // 41x27 pixels: 6x4 blocks of luma, 3x2 of each chroma, 128 bytes each.
    let needed = 41 * 27 * 3 + (24 + 6 + 6) * 128;
    assert!(Source::open(&data("progressive.jpg"), needed).is_ok());
    let error = Source::open(&data("progressive.jpg"), needed - 1).err().unwrap().to_string();
    assert!(error.contains("to decode (41x27 RGB, 8 bits)"), "{error}");
}

#[test]
fn profiles_with_missing_pieces_and_of_inks_are_left_out() {
    let folder = Folder::new();
    let segment = |number: u8, count: u8| {
        let body = [b"ICC_PROFILE\0", &[number, count][..], &[7; 40]].concat();
        [&[0xff, 0xe2][..], &(body.len() as u16 + 2).to_be_bytes(), &body].concat()
    };
    let file = bytes("420.jpg");
    let path = folder.with("a.jpg", [&file[..2], &segment(1, 2), &file[2..]].concat());
    assert_eq!(Source::open(&path, MIB).unwrap().warnings(), ["pieces of its ICC profile are missing, it is left out"]);
    let file = bytes("cmyk.jpg");
    let path = folder.with("b.jpg", [&file[..2], &segment(1, 1), &file[2..]].concat());
    let source = Source::open(&path, MIB).unwrap();
    assert_eq!(source.tags().icc, None);
    assert_eq!(source.warnings(), ["its CMYK is converted to RGB without its ICC profile: colours may look different"]);
}

#[test]
fn the_density_goes_from_jpeg_to_png_and_back() {
    let folder = Folder::new();
    let mut picture = noise(shape(8, 8, Colour::Grey, Depth::Eight));
    for (density, as_png, as_jpeg) in [
        (Density::PerInch(300, 72), Density::PerMetre(11_811, 2_835), Density::PerInch(300, 72)),
        (Density::PerCentimetre(100, 40), Density::PerMetre(10_000, 4_000), Density::PerInch(254, 102)),
        (Density::Ratio(2, 1), Density::Ratio(2, 1), Density::Ratio(2, 1)),
    ] {
        picture.tags.density = Some(density);
        for (name, expected) in [("a.jpg", density), ("a.png", as_png)] {
            write(&picture, &folder.path(name), TargetOptions::default());
            assert_eq!(read(&folder.path(name)).tags.density, Some(expected), "{name}");
        }
        let again = read(&folder.path("a.png"));
        write(&again, &folder.path("b.jpg"), TargetOptions::default());
        assert_eq!(read(&folder.path("b.jpg")).tags.density, Some(as_jpeg));
    }
}
