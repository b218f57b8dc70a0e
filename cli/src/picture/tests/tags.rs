//! What says how the samples look: carried, or its loss told.

use super::support::{Folder, MIB, after_name, profile, read};
use crate::picture::shape::Colour;
use crate::picture::tags::Tags;
use crate::picture::{Source, Target, TargetOptions};
use std::fs;
use std::path::Path;

type Chunk = (png::chunk::ChunkType, Vec<u8>);

/// A PNG file of 3x2 pixels with these chunks before its samples, and with an ICC profile if one is given.
fn with(colour: png::ColorType, icc: Option<Vec<u8>>, chunks: &[Chunk]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut info = png::Info::with_size(3, 2);
    info.color_type = colour;
    info.icc_profile = icc.map(Into::into);
    let mut writer = png::Encoder::with_info(&mut file, info).unwrap().write_header().unwrap();
    for (kind, data) in chunks {
        writer.write_chunk(*kind, data).unwrap();
    }
    writer.write_image_data(&vec![9; 6 * colour.samples()]).unwrap();
    drop(writer);
    file
}

fn numbers(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes()).collect()
}

/// Adobe RGB's primaries.
fn wide() -> Chunk {
    (png::chunk::cHRM, numbers(&[31_270, 32_900, 64_000, 33_000, 21_000, 71_000, 15_000, 6_000]))
}

fn gamma(value: u32) -> Chunk {
    (png::chunk::gAMA, numbers(&[value]))
}

fn srgb() -> Chunk {
    (png::chunk::sRGB, vec![1])
}

fn cicp(primaries: u8, transfer: u8) -> Chunk {
    (png::chunk::cICP, vec![primaries, transfer, 0, 1])
}

fn density(x: u32, y: u32, unit: u8) -> Chunk {
    (png::chunk::pHYs, [numbers(&[x, y]), vec![unit]].concat())
}

/// Writes the picture of `input` to `output` and gives what was said of a loss.
fn carry(input: &Path, output: &Path, options: TargetOptions) -> Option<String> {
    let source = Source::open(input, MIB).unwrap();
    let target = Target::plan(output, input, source.shape(), source.tags(), &options).unwrap();
    let loss = match target.losses() {
        [] => None,
        [line] => Some(line.clone()),
        lines => panic!("{lines:?}"),
    };
    let mut writer = target.start().unwrap();
    writer.rows(source.decode().unwrap().samples.rows()).unwrap();
    writer.finish().unwrap();
    loss
}

/// The data of a chunk of a PNG file, if it has one.
fn chunk(file: &[u8], kind: png::chunk::ChunkType) -> Option<&[u8]> {
    let at = file.windows(4).position(|name| name == kind.0)?;
    let length = u32::from_be_bytes(file[at - 4..at].try_into().unwrap()) as usize;
    Some(&file[at + 4..at + 4 + length])
}

#[test]
fn chunks_are_carried_from_png_to_png() {
    let folder = Folder::new();
    let mastering = (png::chunk::mDCV, [(1..=16).collect(), numbers(&[10_000_000, 50])].concat());
    let level = (png::chunk::cLLI, numbers(&[1000, 400]));
    let sets: [Vec<Chunk>; 5] = [
        vec![gamma(100_000), wide(), density(11_811, 5_906, 1)],
        vec![srgb(), density(2, 1, 0)],
        vec![
            srgb(),
            gamma(45_455),
            (png::chunk::cHRM, numbers(&[31_270, 32_900, 64_000, 33_000, 30_000, 60_000, 15_000, 6_000])),
        ],
        vec![cicp(9, 16), mastering, level],
        vec![cicp(1, 13), gamma(45_455)],
    ];
    for chunks in sets {
        for colour in [png::ColorType::Rgb, png::ColorType::GrayscaleAlpha] {
            let input = folder.with("in.png", with(colour, None, &chunks));
            let output = folder.path("out.png");
            assert_eq!(carry(&input, &output, TargetOptions::default()), None);
            let made = fs::read(&output).unwrap();
            for (kind, data) in &chunks {
                assert_eq!(chunk(&made, *kind), Some(&data[..]), "{kind:?} {colour:?}");
            }
            assert_eq!(chunk(&made, png::chunk::iCCP), None);
        }
    }
}

#[test]
fn a_profile_goes_before_srgb() {
    let folder = Folder::new();
    let icc = profile(b"RGB ");
    let input = folder.with("in.png", with(png::ColorType::Rgb, Some(icc.clone()), &[srgb(), gamma(45_455)]));
    assert_eq!(carry(&input, &folder.path("out.png"), TargetOptions::default()), None);
    let made = fs::read(folder.path("out.png")).unwrap();
    assert_eq!(chunk(&made, png::chunk::sRGB), None);
    assert_eq!(chunk(&made, png::chunk::gAMA), Some(&numbers(&[45_455])[..]));
    assert_eq!(read(&folder.path("out.png")).tags.icc, Some(icc));
}

#[test]
fn a_turned_picture_has_its_density_turned() {
    let folder = Folder::new();
    let exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0".to_vec();
    let file = with(png::ColorType::Rgb, None, &[density(1000, 2000, 1), (png::chunk::eXIf, exif)]);
    carry(&folder.with("in.png", file), &folder.path("out.png"), TargetOptions::default());
    let made = fs::read(folder.path("out.png")).unwrap();
    assert_eq!(chunk(&made, png::chunk::pHYs), Some(&density(2000, 1000, 1).1[..]));
}

#[test]
fn a_loss_of_the_look_is_told() {
    let folder = Folder::new();
    let icc = || Some(profile(b"RGB "));
    let rgb = png::ColorType::Rgb;
    for (file, lost) in [
        (with(rgb, None, &[gamma(100_000)]), Some("gAMA give")),
        (with(rgb, None, &[wide()]), Some("cHRM give")),
        (with(rgb, None, &[gamma(45_455), wide()]), Some("cHRM give")),
        (with(rgb, None, &[gamma(100_000), wide()]), Some("gAMA and cHRM give")),
        (with(rgb, None, &[cicp(9, 16), srgb()]), Some("cICP give")),
        // These say what is assumed of a file that says nothing, or give way to what is carried.
        (with(rgb, None, &[]), None),
        (with(rgb, None, &[gamma(45_455)]), None),
        (with(rgb, None, &[cicp(1, 13), wide()]), None),
        (with(rgb, None, &[srgb(), gamma(100_000), wide()]), None),
        (with(rgb, icc(), &[gamma(100_000), wide()]), None),
        (with(rgb, None, &[density(11_811, 11_811, 1)]), None),
    ] {
        let input = folder.with("in.png", file);
        for name in ["out.jpg", "out.webp", "out.tif"] {
            let loss = carry(&input, &folder.path(name), TargetOptions::default());
            match (loss, lost) {
                (None, None) => {}
                (Some(line), Some(words)) => {
                    assert!(line.contains(words) && line.ends_with("colours will look different; PNG can"), "{line}");
                }
                other => panic!("{name}: {other:?}"),
            }
        }
        assert_eq!(carry(&input, &folder.path("out.png"), TargetOptions::default()), None);
    }
    // WebP has no grey.
    let grey = folder.with("in.png", with(png::ColorType::Grayscale, Some(profile(b"GRAY")), &[]));
    assert_eq!(carry(&grey, &folder.path("out.jpg"), TargetOptions::default()), None);
    assert_eq!(
        carry(&grey, &folder.path("out.webp"), TargetOptions::default()).unwrap(),
        "its ICC profile is not for RGB and is left out: colours may look different"
    );
}

#[test]
fn a_profile_that_inflates_without_end_is_left_out() {
    let folder = Folder::new();
    let bomb = with(png::ColorType::Rgb, Some(vec![0; 33 << 20]), &[]);
    assert!(bomb.len() < 1 << 18);
    let source = Source::open(&folder.with("a.png", bomb), 1 << 32).unwrap();
    assert_eq!(source.warnings(), ["its ICC profile is damaged or larger than 32 MiB and is left out"]);
    assert_eq!(source.tags(), Tags::default());
    let mut spoilt = with(png::ColorType::Rgb, Some(profile(b"RGB ")), &[]);
    let at = spoilt.windows(4).position(|name| name == b"iCCP").unwrap();
    spoilt[at + 9] ^= 0xff;
    let length = u32::from_be_bytes(spoilt[at - 4..at].try_into().unwrap()) as usize;
    let mut sum = crc(&spoilt[at..at + 4 + length]).to_be_bytes();
    spoilt[at + 4 + length..at + 8 + length].swap_with_slice(&mut sum);
    assert_eq!(Source::open(&folder.with("b.png", spoilt), MIB).unwrap().warnings().len(), 1);
}

/// The checksum of a PNG chunk.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg()))
    })
}

#[test]
fn sizes_that_no_file_can_fill_are_refused() {
    let folder = Folder::new();
    let refused = |width: u32, height: u32, budget| {
        let mut file = with(png::ColorType::Rgb, None, &[]);
        file[16..20].copy_from_slice(&width.to_be_bytes());
        file[20..24].copy_from_slice(&height.to_be_bytes());
        let sum = crc(&file[12..29]).to_be_bytes();
        file[29..33].copy_from_slice(&sum);
        let path = folder.with("a.png", file);
        after_name(&path, &Source::open(&path, budget).err().unwrap().to_string())
    };
    let most = i32::MAX as u32;
    assert!(
        refused(most, most, 1 << 32).starts_with("takes 13194139521025 MiB to decode"),
        "{}",
        refused(most, most, 1)
    );
    let refusal = refused(30_000, 30_000, 1 << 40);
    assert!(
        refusal.starts_with("the PNG file is truncated: its ") && refusal.ends_with("30000x30000 pixels"),
        "{refusal}"
    );
}

#[test]
fn metadata_of_webp_are_bounded() {
    let folder = Folder::new();
    let still = folder.path("a.webp");
    super::support::write(
        &super::support::noise(super::support::shape(2, 1, Colour::Rgb, crate::picture::shape::Depth::Eight)),
        &still,
        TargetOptions::default(),
    );
    let picture = fs::read(&still).unwrap()[12..].to_vec();
    let long = vec![0; (32 << 20) + 2];
    let chunk = |name: &[u8; 4], data: &[u8]| [&name[..], &(data.len() as u32).to_le_bytes(), data].concat();
    let body = [
        b"WEBP".to_vec(),
        chunk(b"VP8X", &[0x28, 0, 0, 0, 1, 0, 0, 0, 0, 0]),
        chunk(b"ICCP", &long),
        picture,
        chunk(b"EXIF", &long),
    ];
    let body = body.concat();
    let file = [b"RIFF", &(body.len() as u32).to_le_bytes()[..], &body].concat();
    let source = Source::open(&folder.with("b.webp", file), 1 << 32).unwrap();
    assert_eq!(
        source.warnings(),
        [
            "its EXIF segment takes more than 32 MiB and is left out",
            "its ICC profile takes more than 32 MiB and is left out"
        ]
    );
    assert!(source.decode().is_ok());
}

/// Crate png 0.18.1: a palette whose length is no multiple of 3, with transparency, panics.
#[test]
fn a_panic_of_a_decoder_is_an_error() {
    let folder = Folder::new();
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 1, 1);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_palette(vec![1; 7]);
    encoder.set_trns(vec![128; 3]);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&[1]).unwrap();
    drop(writer);
    let path = folder.with("a.png", file);
    let error = Source::open(&path, MIB).and_then(Source::decode).unwrap_err().to_string();
    let refusal = after_name(&path, &error);
    assert!(refusal.starts_with("cannot be decoded as PNG: "), "{refusal}");
}
