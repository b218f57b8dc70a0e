//! TIFF: every kind by hand, the usual ones against the crate `tiff`, and what is refused.

use std::fs;
use std::io::Cursor;

use tiff::decoder::{Decoder, DecodingResult};
use tiff::encoder::{Compression, DeflateLevel, Predictor, TiffEncoder, colortype};

use super::support::{Folder, MIB, after_name, noise, profile, read, shape, write};
use crate::atomic::AtomicFile;
use crate::picture::encoding::Encoding;
use crate::picture::shape::{Colour, Depth};
use crate::picture::tags::{Density, Tags};
use crate::picture::tiff::TiffStream;
use crate::picture::{Format, PngEffort, Samples, Source, TargetOptions};

/// A field: its number, its type and its values.
type Field = (u16, u16, Vec<u64>);

/// A file of one directory for each list of fields, whose places 273 and 324 are those of `data` if they are not given.
struct Builder {
    big_endian: bool,
    wide: bool,
}

const LITTLE: Builder = Builder { big_endian: false, wide: false };
const BIG: Builder = Builder { big_endian: true, wide: false };
const WIDE: Builder = Builder { big_endian: false, wide: true };
const BIG_WIDE: Builder = Builder { big_endian: true, wide: true };

impl Builder {
    fn number(&self, value: u64, bytes: usize) -> Vec<u8> {
        match self.big_endian {
            true => value.to_be_bytes()[8 - bytes..].to_vec(),
            false => value.to_le_bytes()[..bytes].to_vec(),
        }
    }

    fn build(&self, directories: &[Vec<Field>], data: &[&[u8]]) -> Vec<u8> {
        let word = if self.wide { 8 } else { 4 };
        let mut file = if self.big_endian { b"MM".to_vec() } else { b"II".to_vec() };
        file.extend(self.number(if self.wide { 43 } else { 42 }, 2));
        if self.wide {
            file.extend([self.number(8, 2), self.number(0, 2)].concat());
        }
        let mut link = file.len();
        file.extend(self.number(0, word));
        let places: Vec<u64> = data
            .iter()
            .map(|data| {
                let at = file.len() as u64;
                file.extend_from_slice(data);
                at
            })
            .collect();
        let lengths: Vec<u64> = data.iter().map(|data| data.len() as u64).collect();
        for fields in directories {
            let mut fields = fields.clone();
            let tiled = fields.iter().any(|field| field.0 == 322);
            for (tag, values) in [(if tiled { 324 } else { 273 }, &places), (if tiled { 325 } else { 279 }, &lengths)] {
                if !fields.iter().any(|field| field.0 == tag) {
                    fields.push((tag, 4, values.clone()));
                }
            }
            fields.sort_by_key(|field| field.0);
            let mut rows = Vec::new();
            for (tag, kind, values) in &fields {
                let (size, count) = match kind {
                    1 | 2 | 7 => (1, values.len()),
                    3 => (2, values.len()),
                    // Two values are a fraction.
                    5 => (4, values.len() / 2),
                    _ => (4, values.len()),
                };
                let mut bytes: Vec<u8> = values.iter().flat_map(|&value| self.number(value, size)).collect();
                if bytes.len() > word {
                    let at = file.len() as u64;
                    file.extend(bytes);
                    bytes = self.number(at, word);
                }
                bytes.resize(word, 0);
                rows.extend([self.number(*tag as u64, 2), self.number(*kind as u64, 2)].concat());
                rows.extend([self.number(count as u64, word), bytes].concat());
            }
            let at = self.number(file.len() as u64, word);
            file[link..link + word].copy_from_slice(&at);
            file.extend(self.number(fields.len() as u64, if self.wide { 8 } else { 2 }));
            file.extend(rows);
            link = file.len();
            file.extend(self.number(0, word));
        }
        file
    }
}

/// The fields of a picture of this size with samples of so many bits.
fn fields(width: u64, height: u64, photometric: u64, bits: &[u64]) -> Vec<Field> {
    vec![
        (256, 3, vec![width]),
        (257, 3, vec![height]),
        (258, 3, bits.to_vec()),
        (259, 3, vec![1]),
        (262, 3, vec![photometric]),
        (277, 3, vec![bits.len() as u64]),
    ]
}

fn with(mut fields: Vec<Field>, more: &[Field]) -> Vec<Field> {
    fields.retain(|field| more.iter().all(|other| other.0 != field.0));
    fields.extend_from_slice(more);
    fields
}

/// Files by hand, with what they hold.
pub(super) fn kinds() -> Vec<(&'static str, Vec<u8>, (Colour, Samples))> {
    let palette: Vec<u64> = [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 255]].concat().iter().map(|v| v * 257).collect();
    let eight = |colour, samples: &[u8]| (colour, Samples::Eight(samples.to_vec()));
    let mut kinds = Vec::new();
    for (name, builder) in [("little", LITTLE), ("big", BIG), ("wide", WIDE), ("big wide", BIG_WIDE)] {
        let sixteen: Vec<u8> = [1_u64, 500, 65_535].iter().flat_map(|&v| builder.number(v, 2)).collect();
        kinds.push((
            name,
            builder.build(&[fields(3, 1, 1, &[16])], &[&sixteen]),
            (Colour::Grey, Samples::Sixteen(vec![1, 500, 65_535])),
        ));
    }
    kinds.extend([
        (
            "1 bit",
            LITTLE.build(&[fields(3, 2, 1, &[1])], &[&[0xa0, 0x40]]),
            eight(Colour::Grey, &[255, 0, 255, 0, 255, 0]),
        ),
        ("white is 0", BIG.build(&[fields(3, 1, 0, &[2])], &[&[0b00_01_11_00]]), eight(Colour::Grey, &[255, 170, 0])),
        ("4 bits", LITTLE.build(&[fields(3, 1, 1, &[4])], &[&[0x5f, 0x10]]), eight(Colour::Grey, &[85, 255, 17])),
        (
            "palette",
            LITTLE.build(&[with(fields(3, 1, 3, &[2]), &[(320, 3, palette.clone())])], &[&[0b11_00_10_00]]),
            eight(Colour::Rgb, &[4, 8, 255, 1, 5, 9, 3, 7, 11]),
        ),
        (
            "alpha",
            BIG.build(&[with(fields(2, 1, 2, &[8; 4]), &[(338, 3, vec![2])])], &[&[1, 2, 3, 4, 5, 6, 7, 8]]),
            eight(Colour::Rgba, &[1, 2, 3, 4, 5, 6, 7, 8]),
        ),
        (
            "premultiplied",
            BIG.build(&[with(fields(3, 1, 1, &[8; 2]), &[(338, 3, vec![1])])], &[&[50, 100, 9, 0, 80, 40]]),
            eight(Colour::GreyAlpha, &[128, 100, 0, 0, 255, 40]),
        ),
        (
            "alpha of old files",
            BIG.build(&[fields(1, 1, 2, &[8; 4])], &[&[1, 2, 3, 4]]),
            eight(Colour::Rgba, &[1, 2, 3, 4]),
        ),
        (
            "channels beyond, as differences",
            LITTLE.build(
                &[with(fields(2, 1, 2, &[8; 5]), &[(338, 3, vec![0, 0]), (259, 3, vec![8]), (317, 3, vec![2])])],
                &[&deflated(&[10, 20, 30, 40, 50, 1, 2, 255, 4, 5])],
            ),
            eight(Colour::Rgb, &[10, 20, 30, 11, 22, 29]),
        ),
        (
            "planes of two strips",
            LITTLE.build(
                &[with(fields(2, 3, 2, &[8; 3]), &[(284, 3, vec![2]), (278, 3, vec![2])])],
                &[&[1, 2, 3, 4], &[5, 6], &[11, 12, 13, 14], &[15, 16], &[21, 22, 23, 24], &[25, 26]],
            ),
            eight(Colour::Rgb, &[1, 11, 21, 2, 12, 22, 3, 13, 23, 4, 14, 24, 5, 15, 25, 6, 16, 26]),
        ),
        (
            "tiles",
            BIG.build(
                &[with(fields(3, 3, 1, &[8]), &[(322, 3, vec![2]), (323, 3, vec![2])])],
                &[&[1, 2, 4, 5], &[3, 99, 6, 99], &[7, 8, 99, 99], &[9, 99, 99, 99]],
            ),
            eight(Colour::Grey, &[1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ),
        (
            "packed",
            LITTLE.build(&[with(fields(7, 1, 1, &[8]), &[(259, 3, vec![32_773])])], &[&[0xfe, 9, 128, 3, 1, 2, 3, 4]]),
            eight(Colour::Grey, &[9, 9, 9, 1, 2, 3, 4]),
        ),
        (
            "without lengths",
            LITTLE.build(&[with(fields(2, 1, 1, &[8]), &[(279, 3, vec![2])])], &[&[7, 8]]),
            eight(Colour::Grey, &[7, 8]),
        ),
        (
            "turned, with a smaller version and a mask",
            LITTLE.build(
                &[
                    with(fields(1, 1, 1, &[8]), &[(254, 4, vec![1]), (273, 4, vec![8]), (279, 4, vec![1])]),
                    with(fields(3, 1, 1, &[8]), &[(274, 3, vec![6]), (254, 4, vec![0])]),
                    with(fields(1, 1, 4, &[1]), &[(254, 4, vec![4]), (273, 4, vec![8]), (279, 4, vec![1])]),
                ],
                &[&[1, 2, 3]],
            ),
            eight(Colour::Grey, &[1, 2, 3]),
        ),
    ]);
    kinds
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn every_kind_is_read() {
    let folder = Folder::new();
    for (name, file, (colour, samples)) in kinds() {
        let picture = read(&folder.with("a.tif", file));
        assert_eq!((picture.colour, picture.samples), (colour, samples), "{name}");
    }
    let picture = read(&folder.with("a.tif", &kinds().last().unwrap().1));
    assert_eq!((picture.width, picture.height), (1, 3));
}

#[test]
fn what_is_left_out_is_told() {
    let folder = Folder::new();
    let warned = |file| Source::open_with_metadata(&folder.with("a.tif", file), MIB).unwrap().warnings().to_vec();
    let dropped = with(fields(1, 1, 2, &[8; 5]), &[(338, 3, vec![2, 0])]);
    assert_eq!(
        warned(LITTLE.build(&[dropped], &[&[1, 2, 3, 4, 5]])),
        ["1 of its 5 channels are neither colour nor alpha and are left out"]
    );
    let icc = with(fields(1, 1, 1, &[8]), &[(34_675, 7, vec![1; 9]), (34_665, 4, vec![8])]);
    let mut file = LITTLE.build(&[icc], &[&[1]]);
    // Its length, which is then beyond the file.
    let at = file.windows(4).position(|bytes| bytes == [115, 135, 7, 0]).unwrap();
    file[at + 6] = 1;
    assert_eq!(
        warned(file),
        [
            "its ICC profile is damaged or takes more than 32 MiB and is left out",
            "EXIF is not taken out of TIFF; it is left out"
        ]
    );
}

/// Why a file is not opened or decoded, after its name.
fn refused(folder: &Folder, file: &[u8], memory: u64) -> String {
    let path = folder.with("a.tif", file);
    after_name(&path, &Source::open(&path, memory).and_then(Source::decode).err().unwrap().to_string())
}

#[test]
fn what_is_not_supported_is_named() {
    let folder = Folder::new();
    let plain = || fields(1, 1, 1, &[8]);
    for (fields, said) in [
        (
            with(fields(1, 1, 1, &[32]), &[(339, 3, vec![3])]),
            "has floating-point samples, which are not supported in TIFF; whole numbers are",
        ),
        (with(plain(), &[(339, 3, vec![2])]), "has signed samples, which are not supported in TIFF; unsigned ones are"),
        (fields(1, 1, 1, &[32]), "has 32 bits per sample, which is not supported in grey TIFF; 1, 2, 4, 8 and 16 are"),
        (
            fields(1, 1, 2, &[5, 6, 5]),
            "has samples of different sizes ([5, 6, 5] bits), which are not supported in TIFF",
        ),
        (fields(1, 1, 5, &[8; 4]), "is CMYK TIFF, which is not supported; grey, RGB and palettes are"),
        (fields(1, 1, 6, &[8; 3]), "is YCbCr TIFF, which is not supported; grey, RGB and palettes are"),
        (
            fields(1, 1, 32_803, &[8]),
            "is a camera's raw picture in TIFF, which is not supported; grey, RGB and palettes are",
        ),
        (
            with(plain(), &[(259, 3, vec![7])]),
            "is TIFF compressed by JPEG, which is not supported; LZW, Deflate, PackBits and none are",
        ),
        (
            with(plain(), &[(259, 3, vec![4])]),
            "is TIFF compressed by fax (CCITT), which is not supported; LZW, Deflate, PackBits and none are",
        ),
        (with(plain(), &[(266, 3, vec![2])]), "has its bits in reverse order, which is not supported in TIFF"),
        (
            with(plain(), &[(259, 3, vec![5]), (317, 3, vec![3])]),
            "has samples predicted by method 3, which is not supported in TIFF of 8 bits",
        ),
        (fields(1, 1, 3, &[8]), "cannot be decoded as TIFF: its palette is missing"),
        (fields(1, 0, 1, &[8]), "cannot be decoded as TIFF: its header gives 1x0 pixels"),
        (fields(1, 1, 2, &[8; 2]), "cannot be decoded as TIFF: 2 samples per pixel are too few for RGB"),
    ] {
        assert_eq!(refused(&folder, &LITTLE.build(&[fields], &[&[0; 4]]), MIB), said);
    }
    let pages = LITTLE.build(&[plain(), plain(), plain()], &[&[1]]);
    assert_eq!(refused(&folder, &pages, MIB), "has 3 pages (TIFF); only files of one picture are supported");
}

#[test]
fn hostile_files_are_refused_at_once() {
    let folder = Folder::new();
    let plain = || fields(1, 1, 1, &[8]);
    // The directory is its own successor.
    let mut circle = LITTLE.build(&[plain()], &[&[1]]);
    let end = circle.len();
    let first = circle[4..8].to_owned();
    circle[end - 4..].copy_from_slice(&first);
    assert_eq!(refused(&folder, &circle, MIB), "cannot be decoded as TIFF: its directories go round in a circle");
    // Directories that lie over each other, each of as many entries as there can be.
    let mut many = [&b"II*\0"[..], &8_u32.to_le_bytes()].concat();
    many.resize(8 + 16 * 200, 0);
    many.resize(1 << 20, 0);
    for index in 0..200 {
        let at = 8 + index * 16;
        many[at..at + 2].copy_from_slice(&u16::MAX.to_le_bytes());
        let link = at + 2 + 12 * 65_535;
        many[link..link + 4].copy_from_slice(&(at as u32 + 16).to_le_bytes());
    }
    assert_eq!(refused(&folder, &many, MIB), "cannot be decoded as TIFF: its pages have more than 1048576 fields");
    let far = [b"II*\0", &9_999_999_u32.to_le_bytes()[..]].concat();
    assert_eq!(refused(&folder, &far, MIB), "the TIFF file is truncated: it has 8 bytes, a page is at 9999999");

    let large = |more: &[Field]| {
        let size = [(256, 4, vec![60_000]), (257, 4, vec![60_000])];
        LITTLE.build(&[with(plain(), &[&size, more].concat())], &[&[0; 100]])
    };
    assert!(refused(&folder, &large(&[]), MIB).starts_with("takes 3434 MiB to decode (60000x60000 grey, 8 bits)"));
    for compression in [1, 5, 8, 32_773] {
        let refusal = refused(&folder, &large(&[(259, 3, vec![compression])]), 1 << 40);
        assert_eq!(refusal, "the TIFF file is truncated: 100 bytes of data cannot hold 60000x60000 pixels");
    }
    // Tiles far larger than the picture, and far more of them than there is room for.
    let tiles = |side: u64, more: &[Field]| {
        let tiled = with(plain(), &[(322, 4, vec![side]), (323, 4, vec![side])]);
        LITTLE.build(&[with(tiled, more)], &[&[0; 100]])
    };
    assert!(refused(&folder, &tiles(0xffff_ffff, &[]), 1 << 32).starts_with("takes 12289 MiB to decode"));
    assert_eq!(refused(&folder, &tiles(0, &[]), MIB), "cannot be decoded as TIFF: its pieces have 0x0 pixels");
    let size = [(256, 4, vec![1000]), (257, 4, vec![1000])];
    assert!(refused(&folder, &tiles(1, &size), 16 * MIB).starts_with("takes 47 MiB to decode"));
    assert_eq!(
        refused(&folder, &tiles(1, &size), 64 * MIB),
        "cannot be decoded as TIFF: its samples are in 1000000 pieces, and it says of 1 where they are"
    );
    let outside = LITTLE.build(&[with(plain(), &[(273, 4, vec![5000])])], &[&[1]]);
    assert!(refused(&folder, &outside, MIB).starts_with("the TIFF file is truncated: its samples end at byte 5001"));
    let short = LITTLE.build(&[with(fields(40, 40, 1, &[8]), &[(259, 3, vec![8])])], &[&deflated(&[1; 1000])]);
    assert_eq!(refused(&folder, &short, MIB), "the TIFF file is truncated");
    let spoilt = LITTLE.build(&[with(fields(40, 40, 1, &[8]), &[(259, 3, vec![8])])], &[&[0xff; 1000]]);
    assert!(refused(&folder, &spoilt, MIB).starts_with("cannot be decoded as TIFF: "));
}

#[test]
fn tiff_round_trips_exactly() {
    let folder = Folder::new();
    for colour in [Colour::Grey, Colour::GreyAlpha, Colour::Rgb, Colour::Rgba] {
        for depth in [Depth::Eight, Depth::Sixteen] {
            // More than a strip, and in odd bands.
            let mut picture = noise(shape(301, 523, colour, depth));
            picture.tags.icc = Some(profile(if colour.channels() < 3 { b"GRAY" } else { b"RGB " }));
            picture.tags.density = Some(Density::PerInch(300, 72));
            let path = folder.path("a.TIFF");
            write(&picture, &path, TargetOptions::default());
            let source = Source::open(&path, 4 * MIB).unwrap();
            assert_eq!((source.shape(), source.warnings().len()), (picture.shape(), 0));
            assert_eq!(source.decode().unwrap(), picture);

            let mut decoder = Decoder::new(fs::File::open(&path).unwrap()).unwrap();
            let seen = match decoder.read_image().unwrap() {
                DecodingResult::U8(samples) => Samples::Eight(samples),
                DecodingResult::U16(samples) => Samples::Sixteen(samples),
                other => panic!("{other:?}"),
            };
            assert!(seen == picture.samples, "{colour} {depth:?}");
        }
    }
}

/// As pictures of more than 4 GiB are written.
#[test]
fn the_wide_kind_round_trips() {
    let folder = Folder::new();
    let mut picture = noise(shape(1000, 700, Colour::Rgb, Depth::Eight));
    picture.tags.icc = Some(profile(b"RGB "));
    let path = folder.path("a.tif");
    let encoding = Encoding {
        format: Format::Tiff,
        written: picture.shape(),
        tags: picture.tags.clone(),
        quality: 0,
        effort: PngEffort::Fast,
        indexed: None,
    };
    let mut stream = TiffStream::start_as(AtomicFile::create(&path, false).unwrap(), encoding, true).unwrap();
    let Samples::Eight(samples) = &picture.samples else { panic!("8 bits") };
    samples.chunks(3000 * 30).for_each(|band| stream.push(band).unwrap());
    stream.finish().unwrap().commit().unwrap();
    assert_eq!(fs::read(&path).unwrap()[..4], *b"MM\0+");
    assert!(Source::open(&path, 4 * MIB).unwrap().decode().unwrap() == picture);
    let mut decoder = Decoder::new(fs::File::open(&path).unwrap()).unwrap();
    let DecodingResult::U8(seen) = decoder.read_image().unwrap() else { panic!("8 bits") };
    assert!(seen == *samples);
}

#[test]
fn what_the_crate_writes_is_read() {
    let folder = Folder::new();
    let (width, height) = (61, 47);
    let compressions = [
        ("none", Compression::Uncompressed),
        ("LZW", Compression::Lzw),
        ("Deflate", Compression::Deflate(DeflateLevel::Best)),
        ("PackBits", Compression::Packbits),
    ];
    for (name, compression) in compressions {
        // Others take differences for those of LZW and Deflate only, and so does this reader.
        let predictors = match name {
            "LZW" | "Deflate" => &[Predictor::None, Predictor::Horizontal][..],
            _ => &[Predictor::None],
        };
        for &predictor in predictors {
            let encoder = |file: &mut Cursor<Vec<u8>>, depth, colour| {
                let picture = noise(shape(width, height, colour, depth));
                let mut encoder =
                    TiffEncoder::new(file).unwrap().with_compression(compression).with_predictor(predictor);
                match (&picture.samples, colour) {
                    (Samples::Eight(s), Colour::Grey) => encoder.write_image::<colortype::Gray8>(width, height, s),
                    (Samples::Eight(s), _) => encoder.write_image::<colortype::RGBA8>(width, height, s),
                    (Samples::Sixteen(s), Colour::Grey) => encoder.write_image::<colortype::Gray16>(width, height, s),
                    (Samples::Sixteen(s), _) => encoder.write_image::<colortype::RGB16>(width, height, s),
                }
                .unwrap();
                picture
            };
            for (depth, colour) in [
                (Depth::Eight, Colour::Grey),
                (Depth::Eight, Colour::Rgba),
                (Depth::Sixteen, Colour::Grey),
                (Depth::Sixteen, Colour::Rgb),
            ] {
                let mut file = Cursor::new(Vec::new());
                let picture = encoder(&mut file, depth, colour);
                let seen = read(&folder.with("a.tif", file.into_inner()));
                assert_eq!(seen.colour, picture.colour);
                assert!(seen.samples == picture.samples, "{name} {predictor:?} {colour} {depth:?}");
            }
        }
    }
}

/// Rows of a byte each: a code stands for many of them.
#[test]
fn narrow_rows_by_lzw_are_read() {
    let folder = Folder::new();
    let mut file = Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut file).unwrap().with_compression(Compression::Lzw);
    encoder.write_image::<colortype::Gray8>(1, 5000, &[7; 5000]).unwrap();
    assert_eq!(read(&folder.with("a.tif", file.into_inner())).samples, Samples::Eight(vec![7; 5000]));
}

#[test]
fn resolutions_are_carried() {
    let folder = Folder::new();
    let read_with = |unit: u64, x: [u64; 2], y: [u64; 2]| {
        let more = [(282, 5, x.to_vec()), (283, 5, y.to_vec()), (296, 3, vec![unit])];
        let path = folder.with("a.tif", BIG.build(&[with(fields(1, 1, 1, &[8]), &more)], &[&[1]]));
        Source::open(&path, MIB).unwrap().tags().density
    };
    assert_eq!(read_with(2, [600, 2], [72, 1]), Some(Density::PerInch(300, 72)));
    assert_eq!(read_with(2, [720_090, 10_000], [72, 1]), Some(Density::PerMetre(2835, 2835)));
    assert_eq!(read_with(3, [40, 1], [50, 1]), Some(Density::PerCentimetre(40, 50)));
    assert_eq!(read_with(1, [4, 1], [3, 1]), Some(Density::Ratio(4, 3)));
    for (unit, x) in [(1, [1, 1]), (2, [1, 0]), (2, [0, 1]), (3, [0, 0]), (9, [5, 1])] {
        assert_eq!(read_with(unit, x, [1, 1]), None);
    }
    let mut picture = noise(shape(2, 2, Colour::Grey, Depth::Eight));
    for (density, expected) in [
        (Density::PerMetre(11_811, 2835), Density::PerInch(300, 72)),
        (Density::PerMetre(10_001, 5), Density::PerMetre(10_001, 5)),
        (Density::PerCentimetre(7, 8), Density::PerCentimetre(7, 8)),
        (Density::Ratio(2, 1), Density::Ratio(2, 1)),
    ] {
        picture.tags = Tags { density: Some(density), ..Tags::default() };
        write(&picture, &folder.path("b.tif"), TargetOptions::default());
        assert_eq!(read(&folder.path("b.tif")).tags.density, Some(expected));
    }
}
