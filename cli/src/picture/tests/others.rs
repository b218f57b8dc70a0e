//! BMP, GIF and QOI.

use gif::{Encoder, Frame};
use image::codecs::bmp::BmpEncoder;
use image::{ExtendedColorType, ImageEncoder};
use png::ScaledFloat;

use super::support::{Folder, MIB, after_name, noise, profile, read, shape};
use crate::picture::shape::{Colour, Depth};
use crate::picture::tags::Density;
use crate::picture::{Samples, Source};

const COLOURS: [u8; 12] = [10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120];

/// A GIF file of this screen with these frames and four colours.
fn gif(screen: (u16, u16), frames: &[Frame<'_>]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, screen.0, screen.1, &COLOURS).unwrap();
    for frame in frames {
        encoder.write_frame(frame).unwrap();
    }
    drop(encoder);
    file
}

fn frame(size: (u16, u16), at: (u16, u16), transparent: Option<u8>, indices: &[u8]) -> Frame<'_> {
    let (width, height, left, top) = (size.0, size.1, at.0, at.1);
    Frame { width, height, left, top, transparent, buffer: indices.into(), ..Frame::default() }
}

fn bmp(colour: ExtendedColorType, width: u32, height: u32, samples: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    BmpEncoder::new(&mut file).write_image(samples, width, height, colour).unwrap();
    file
}

/// The channels are told by their number.
fn qoi(width: u32, height: u32, samples: &[u8]) -> Vec<u8> {
    qoi::encode_to_vec(samples, width, height).unwrap()
}

/// A BMP file of two by two pixels by run lengths, in the order from the bottom.
fn rle() -> Vec<u8> {
    let data = [2, 1, 0, 0, 1, 2, 1, 3, 0, 1];
    let mut header = b"BM".to_vec();
    header.extend((54 + 16 + data.len() as u32).to_le_bytes());
    header.extend([0; 4]);
    header.extend(70_u32.to_le_bytes());
    header.extend([40_u32, 2, 2].map(u32::to_le_bytes).concat());
    header.extend([1, 0, 8, 0, 1, 0, 0, 0]);
    header.extend([data.len() as u32, 2835, 5670, 4, 0].map(u32::to_le_bytes).concat());
    header.extend(COLOURS.chunks(3).flat_map(|c| [c[2], c[1], c[0], 0]));
    [header, data.to_vec()].concat()
}

/// One of each kind, for damage.
pub(super) fn all() -> Vec<Vec<u8>> {
    let samples: Vec<u8> = (0..48).map(|i| i * 5).collect();
    vec![
        gif((4, 3), &[frame((3, 2), (1, 1), Some(2), &[0, 1, 2, 3, 0, 1])]),
        gif((2, 2), &[frame((2, 2), (0, 0), None, &[0, 1, 2, 3])]),
        bmp(ExtendedColorType::Rgb8, 4, 4, &samples),
        bmp(ExtendedColorType::Rgba8, 4, 3, &samples),
        bmp(ExtendedColorType::L8, 8, 6, &samples),
        rle(),
        qoi(4, 4, &samples),
        qoi(4, 3, &samples),
    ]
}

fn colour(index: usize) -> [u8; 3] {
    COLOURS[3 * index..][..3].try_into().unwrap()
}

#[test]
fn bmp_and_qoi_are_read() {
    let folder = Folder::new();
    for (kind, extended) in [(Colour::Rgb, ExtendedColorType::Rgb8), (Colour::Rgba, ExtendedColorType::Rgba8)] {
        let picture = noise(shape(37, 23, kind, Depth::Eight));
        let Samples::Eight(samples) = &picture.samples else { panic!("8 bits") };
        for (name, file) in [("a.bmp", bmp(extended, 37, 23, samples)), ("a.qoi", qoi(37, 23, samples))] {
            let seen = read(&folder.with(name, file));
            assert_eq!((seen.colour, &seen.samples), (kind, &picture.samples), "{name}");
        }
    }
    let seen = read(&folder.with("a.bmp", rle()));
    assert_eq!(seen.samples, Samples::Eight([2, 3, 1, 1].map(colour).concat()));
    assert_eq!(seen.tags.density, Some(Density::PerMetre(2835, 5670)));
    // The longest header, with a profile behind the samples, which are of one colour and filled up to words.
    let profile = profile(b"RGB ");
    let with_profile = |length: u32| {
        let mut header = [&b"BM"[..], &[0; 8], &138_u32.to_le_bytes()].concat();
        header.extend([124_u32, 1, 1].map(u32::to_le_bytes).concat());
        header.extend([1, 0, 24, 0]);
        header.resize(14 + 56, 0);
        header.extend(u32::from_be_bytes(*b"MBED").to_le_bytes());
        header.resize(14 + 112, 0);
        header.extend([124 + 4, length, 0].map(u32::to_le_bytes).concat());
        [&header, &[3, 2, 1, 0][..], &profile].concat()
    };
    let source = Source::open(&folder.with("a.bmp", with_profile(200)), MIB).unwrap();
    assert_eq!(source.tags().icc.as_ref(), Some(&profile));
    assert_eq!(source.decode().unwrap().samples, Samples::Eight(vec![1, 2, 3]));
    let source = Source::open(&folder.with("a.bmp", with_profile(201)), MIB).unwrap();
    assert_eq!(source.warnings(), ["its ICC profile lies outside the file and is left out"]);
    let mut linear = qoi(1, 1, &[1, 2, 3]);
    linear[13] = 1;
    let source = Source::open(&folder.with("a.qoi", linear), MIB).unwrap();
    assert_eq!(source.tags().gamma, Some(ScaledFloat::from_scaled(100_000)));
}

#[test]
fn still_gifs_are_read() {
    let folder = Folder::new();
    let whole = gif((2, 2), &[frame((2, 2), (0, 0), None, &[0, 1, 2, 3])]);
    let seen = read(&folder.with("a.gif", &whole));
    assert_eq!((seen.colour, seen.samples), (Colour::Rgb, Samples::Eight(COLOURS.to_vec())));

    // A frame within the screen, with a transparent pixel.
    let part = gif((3, 2), &[frame((2, 1), (1, 1), Some(3), &[2, 3])]);
    let seen = read(&folder.with("a.gif", part));
    let expected = [[0; 16].to_vec(), colour(2).to_vec(), [255, 0, 0, 0, 0].to_vec()].concat();
    assert_eq!((seen.width, seen.height, seen.colour), (3, 2, Colour::Rgba));
    assert_eq!(seen.samples, Samples::Eight(expected));
    // One that goes beyond the screen.
    let seen = read(&folder.with("a.gif", gif((1, 1), &[frame((2, 2), (0, 0), None, &[0; 4])])));
    assert_eq!((seen.width, seen.height, seen.colour), (2, 2, Colour::Rgb));

    let path = folder.with("a.gif", &whole[..whole.len() - 1]);
    let source = Source::open(&path, MIB).unwrap();
    assert_eq!(source.warnings(), ["the GIF file is not whole: its end is damaged or missing"]);
    assert_eq!(source.decode().unwrap().samples, Samples::Eight(COLOURS.to_vec()));
}

#[test]
fn what_is_no_still_picture_or_cut_is_refused() {
    let folder = Folder::new();
    let refused = |name: &str, file: &[u8], memory| {
        let path = folder.with(name, file);
        after_name(&path, &Source::open(&path, memory).and_then(Source::decode).err().unwrap().to_string())
    };
    let one = || frame((2, 2), (0, 0), None, &[0, 1, 2, 3]);
    assert_eq!(
        refused("a.gif", &gif((2, 2), &[one(), one(), one()]), MIB),
        "is an animation (GIF of 3 frames); only still pictures are supported"
    );
    let whole = gif((2, 2), &[one()]);
    for length in [8, whole.len() - 12] {
        assert_eq!(refused("a.gif", &whole[..length], MIB), "the GIF file is truncated");
    }
    assert!(refused("a.gif", &gif((60_000, 60_000), &[one()]), MIB).starts_with("takes 13733 MiB to decode"));

    let samples = [7; 3 * 20 * 20];
    let whole = bmp(ExtendedColorType::Rgb8, 20, 20, &samples);
    let (length, cut) = (whole.len(), &whole[..whole.len() - 1]);
    assert_eq!(
        refused("a.bmp", cut, MIB),
        format!("the BMP file is truncated: its samples end at byte {length}, the file has {}", length - 1)
    );
    assert!(refused("a.bmp", &whole, 1000).starts_with("takes 1 MiB to decode (20x20 RGB, 8 bits)"));
    let mut jpeg = whole.clone();
    jpeg[30] = 4;
    let refusal = refused("a.bmp", &jpeg, MIB);
    assert!(refusal.starts_with("is BMP of a kind that is not supported: "), "{refusal}");
    let mut huge = whole;
    huge[18..22].copy_from_slice(&40_000_u32.to_le_bytes());
    huge[22..26].copy_from_slice(&40_000_u32.to_le_bytes());
    assert!(refused("a.bmp", &huge, 1 << 40).starts_with("the BMP file is truncated: "));

    let whole = qoi(20, 20, &samples);
    assert_eq!(refused("a.qoi", &whole[..whole.len() - 9], MIB), "the QOI file is truncated");
    let mut huge = whole;
    huge[4..12].copy_from_slice(&[0, 0, 0x40, 0, 0, 0, 0x40, 0]);
    assert!(refused("a.qoi", &huge, MIB).starts_with("takes 768 MiB to decode"));
    assert!(refused("a.qoi", &huge, 1 << 40).ends_with("bytes cannot hold 16384x16384 pixels"));
}
