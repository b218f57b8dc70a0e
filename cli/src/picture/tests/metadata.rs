//! EXIF and XMP: kept on request, put right, or left out with a line on why.

use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use image::metadata::Orientation;

use super::support::{Folder, MIB, noise, read, shape, write};
use crate::picture::exif::corrected;
use crate::picture::ifd::Directories;
use crate::picture::metadata::Metadata;
use crate::picture::shape::{Colour, Depth};
use crate::picture::{Source, Target, TargetOptions};

/// Numbers in the order of a file.
struct Order(bool);

impl Order {
    fn short(&self, value: u16) -> [u8; 2] {
        if self.0 { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn long(&self, value: u32) -> [u8; 4] {
        if self.0 { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn entry(&self, tag: u16, kind: u16, count: u32, value: [u8; 4]) -> Vec<u8> {
        [&self.short(tag)[..], &self.short(kind), &self.long(count), &value].concat()
    }

    /// A directory with the place of the next.
    fn directory(&self, entries: &[Vec<u8>], next: u32) -> Vec<u8> {
        [&self.short(entries.len() as u16)[..], &entries.concat(), &self.long(next)].concat()
    }
}

const EXIF_AT: u32 = 80;
const GPS_AT: u32 = 150;
const RELATED_AT: u32 = 170;
const MAKER_AT: u32 = 200;
const DATE_AT: u32 = 220;
const NOTE_AT: u32 = 240;
const SECOND_AT: u32 = 260;
const THUMBNAIL_AT: u32 = 302;
const LENGTH: usize = 311;

/// EXIF data of a picture on its side, with a maker's note and a thumbnail at the end.
fn exif(big_endian: bool) -> Vec<u8> {
    let order = Order(big_endian);
    let half = |value: u16| {
        let [a, b] = order.short(value);
        [a, b, 0, 0]
    };
    let main = order.directory(
        &[
            order.entry(0x0100, 4, 1, order.long(3000)),
            order.entry(0x010f, 2, 13, order.long(MAKER_AT)),
            order.entry(0x0112, 3, 1, half(6)),
            order.entry(0x8769, 4, 1, order.long(EXIF_AT)),
            order.entry(0x8825, 4, 1, order.long(GPS_AT)),
        ],
        SECOND_AT,
    );
    let inner = order.directory(
        &[
            order.entry(0x9003, 2, 20, order.long(DATE_AT)),
            order.entry(0x927c, 7, 16, order.long(NOTE_AT)),
            order.entry(0xa002, 4, 1, order.long(3000)),
            order.entry(0xa003, 3, 1, half(2000)),
            order.entry(0xa005, 4, 1, order.long(RELATED_AT)),
        ],
        0,
    );
    let gps = order.directory(&[order.entry(1, 2, 2, *b"N\0\0\0")], 0);
    let related = order.directory(&[order.entry(1, 2, 4, *b"R98\0"), order.entry(0x1001, 4, 1, order.long(3000))], 0);
    let second = order.directory(
        &[
            order.entry(0x0103, 3, 1, half(6)),
            order.entry(0x0201, 4, 1, order.long(THUMBNAIL_AT)),
            order.entry(0x0202, 4, 1, order.long(9)),
        ],
        0,
    );
    let mut data = [if big_endian { b"MM" } else { b"II" }.as_slice(), &order.short(42), &order.long(8)].concat();
    for (at, part) in [
        (8, &main[..]),
        (EXIF_AT, &inner),
        (GPS_AT, &gps),
        (RELATED_AT, &related),
        (MAKER_AT, b"camera maker\0"),
        (DATE_AT, b"2026:11:28 12:00:00\0"),
        (NOTE_AT, b"a note of maker."),
        (SECOND_AT, &second),
        (THUMBNAIL_AT, b"\xff\xd8THUMB\xff\xd9"),
    ] {
        assert!(data.len() <= at as usize);
        data.resize(at as usize, 0);
        data.extend_from_slice(part);
    }
    assert_eq!(data.len(), LENGTH);
    data
}

const XMP: &str = r#"<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" exif:PixelXDimension="3000"
 dc:title="Über"><xmp:Thumbnails><rdf:Alt>AAAA</rdf:Alt></xmp:Thumbnails></rdf:Description></x:xmpmeta>"#;

/// The numbers of a tag in a directory of EXIF data.
fn number(exif: &[u8], directory: Option<u16>, tag: u16) -> Option<u64> {
    let mut reader = Directories::open(Cursor::new(exif), exif.len() as u64).unwrap();
    let first = reader.first;
    let main = reader.read(first).unwrap();
    let found = match directory {
        Some(pointer) => {
            let at = reader.one(main.get(pointer)?).unwrap();
            reader.read(at).unwrap()
        }
        None => main,
    };
    assert_eq!(found.next, 0);
    let entry = *found.get(tag)?;
    Some(reader.one(&entry).unwrap())
}

#[test]
fn exif_is_put_right_where_it_lies() {
    for big_endian in [false, true] {
        let given = exif(big_endian);
        assert_eq!(Orientation::from_exif_chunk(&given), Some(Orientation::Rotate90));
        for prefix in [&b""[..], b"Exif\0\0"] {
            let made = corrected(&[prefix, &given].concat(), 70_000, 40).unwrap();
            assert_eq!(Orientation::from_exif_chunk(&made), Some(Orientation::NoTransforms));
            assert_eq!(number(&made, None, 0x0100), Some(70_000));
            assert_eq!(number(&made, Some(0x8769), 0xa002), Some(70_000));
            assert_eq!(number(&made, Some(0x8769), 0xa003), Some(40));
            // The thumbnail was at the end.
            assert_eq!(made.len(), NOTE_AT as usize + 16);
            for (at, part) in [(MAKER_AT, &b"camera maker\0"[..]), (DATE_AT, b"2026:11:28"), (NOTE_AT, b"a note")] {
                assert!(made[at as usize..].starts_with(part));
            }
            assert_eq!(corrected(&made, 70_000, 40).unwrap(), made);
        }
    }
}

/// The entries of what is taken out go, and those behind them move up.
#[test]
fn entries_of_samples_are_dropped() {
    let order = Order(true);
    let strips = order.entry(0x0111, 4, 1, order.long(8));
    let orientation = order.entry(0x0112, 3, 1, [0, 6, 0, 0]);
    let lists = order.entry(0x014a, 4, 2, order.long(0));
    let given = [b"MM\0*\0\0\0\x08", &order.directory(&[strips, orientation, lists], 0)[..]].concat();
    let made = corrected(&given, 5, 5).unwrap();
    let left = order.directory(&[order.entry(0x0112, 3, 1, [0, 1, 0, 0])], 0);
    assert_eq!(made, [b"MM\0*\0\0\0\x08", &left[..]].concat());
}

#[test]
fn a_thumbnail_in_the_midst_is_blotted_out() {
    let mut given = exif(true);
    // The note of the maker comes after it.
    let at = given.len() as u32;
    let pointer = given.windows(4).position(|bytes| bytes == NOTE_AT.to_be_bytes()).unwrap();
    given[pointer..pointer + 4].copy_from_slice(&at.to_be_bytes());
    given.extend_from_slice(b"a note of maker.");
    let made = corrected(&given, 5, 5).unwrap();
    assert_eq!(made.len(), given.len());
    assert!(made.ends_with(b"a note of maker."));
    assert!(made[SECOND_AT as usize..LENGTH].iter().all(|&byte| byte == 0));
}

#[test]
fn hostile_exif_is_left_out() {
    let given = exif(true);
    let started = Instant::now();
    let mut kept = 0;
    for at in 0..given.len() {
        // Short of its end nothing is whole.
        assert!(corrected(&given[..at], 5, 5).is_err() || at > NOTE_AT as usize + 16, "{at}");
        for value in [0, 1, 0x7f, 0x80, 0xff, given[at] ^ 1] {
            let mut changed = given.clone();
            changed[at] = value;
            if let Ok(made) = corrected(&changed, 5, 5) {
                kept += 1;
                assert_eq!(corrected(&made, 5, 5).unwrap(), made, "{at} {value}");
            }
        }
    }
    assert!(kept > 1000);
    let refused = |at: usize, value: &[u8], words: &str| {
        let mut changed = given.clone();
        changed[at..at + value.len()].copy_from_slice(value);
        let refusal = corrected(&changed, 5, 5).unwrap_err().to_string();
        assert!(refusal.contains(words), "{refusal}");
    };
    // The fields of the first directory begin at 10, each with 12 bytes, their values at the ninth.
    refused(10 + 3 * 12 + 8, &8_u32.to_be_bytes(), "the directories lie over each other");
    refused(10 + 4 * 12 + 8, &EXIF_AT.to_be_bytes(), "the directories lie over each other");
    refused(10 + 12 + 4, &u32::MAX.to_be_bytes(), "lie outside its 311 bytes");
    refused(10 + 12 + 8, &u32::MAX.to_be_bytes(), "lie outside its 311 bytes");
    refused(10 + 5 * 12, &0_u32.wrapping_sub(1).to_be_bytes(), "lie outside its 311 bytes");
    refused(10 + 5 * 12, &8_u32.to_be_bytes(), "the thumbnail and the rest lie over each other");
    refused(8, &u16::MAX.to_be_bytes(), "lie outside its 311 bytes");
    refused(0, b"II", "its header is none of TIFF");
    refused(0, b"EX", "its header is none of TIFF");
    // Thousands of entries of nothing.
    let many = [&given[..8], &60_000_u16.to_be_bytes(), &vec![0; 60_000 * 12 + 4]].concat();
    assert_eq!(corrected(&many, 5, 5).unwrap_err().to_string(), "the directory at byte 8 has 60000 entries");
    assert!(started.elapsed() < Duration::from_secs(5));
}

/// A picture with these data, written and read again, with what was said of a loss.
fn carried(folder: &Folder, name: &str, metadata: Metadata) -> (Metadata, Vec<String>) {
    let mut picture = noise(shape(32, 20, Colour::Rgb, Depth::Eight));
    picture.tags.metadata = metadata;
    let path = folder.path(name);
    let target =
        Target::plan(&path, Path::new("in"), picture.shape(), picture.tags.clone(), &TargetOptions::default()).unwrap();
    let losses = target.losses().to_vec();
    let mut writer = target.start().unwrap();
    writer.rows(picture.samples.rows()).unwrap();
    writer.finish().unwrap();
    let source = Source::open_with_metadata(&path, MIB).unwrap();
    assert_eq!(source.warnings(), [""; 0]);
    let tags = source.tags();
    // The file is one that is read without them, too.
    let seen = read(&path);
    assert_eq!((seen.width, seen.height, seen.tags.metadata), (32, 20, Metadata::default()), "{name}");
    if name != "a.jpg" {
        assert_eq!(seen.samples, picture.samples, "{name}");
    }
    (tags.metadata, losses)
}

#[test]
fn every_format_keeps_what_it_can() {
    let folder = Folder::new();
    let given = Metadata { exif: Some(exif(false)), xmp: Some(XMP.into()) };
    let exif = corrected(&exif(false), 32, 20).unwrap();
    let xmp = XMP
        .replace("Orientation=\"6", "Orientation=\"1")
        .replace("3000", "32")
        .replace("<xmp:Thumbnails><rdf:Alt>AAAA</rdf:Alt></xmp:Thumbnails>", "")
        .into_bytes();
    for name in ["a.png", "a.jpg", "a.webp"] {
        let (kept, losses) = carried(&folder, name, given.clone());
        assert_eq!(kept, Metadata { exif: Some(exif.clone()), xmp: Some(xmp.clone()) }, "{name}");
        assert_eq!(losses, [""; 0], "{name}");
        let (kept, _) = carried(&folder, name, Metadata { exif: None, ..given.clone() });
        assert_eq!(kept, Metadata { exif: None, xmp: Some(xmp.clone()) }, "{name}");
    }
    let (kept, losses) = carried(&folder, "a.tif", given);
    assert_eq!(kept, Metadata { exif: None, xmp: Some(xmp) });
    assert_eq!(losses, ["EXIF is not written into TIFF; it is left out"]);
}

#[test]
fn what_is_too_long_or_malformed_is_left_out_with_a_line() {
    let folder = Folder::new();
    let long = |bytes: usize| {
        let note = [&exif(true)[..], &vec![b'x'; bytes]].concat();
        // The note reaches to the end, from after the thumbnail.
        let mut note = note;
        let entry = EXIF_AT as usize + 2 + 12;
        note[entry + 4..entry + 8].copy_from_slice(&(bytes as u32).to_be_bytes());
        note[entry + 8..entry + 12].copy_from_slice(&(LENGTH as u32).to_be_bytes());
        note
    };
    for (bytes, fits) in [(65_527 - LENGTH, true), (65_528 - LENGTH, false)] {
        let (kept, losses) = carried(&folder, "a.jpg", Metadata { exif: Some(long(bytes)), xmp: None });
        assert_eq!(kept.exif.is_some(), fits);
        match fits {
            true => assert_eq!(losses, [""; 0]),
            false => assert_eq!(losses, ["JPEG holds at most 65527 bytes of EXIF, not 65528; it is left out"]),
        }
    }
    let (kept, losses) = carried(&folder, "a.jpg", Metadata { exif: None, xmp: Some(vec![b' '; 65_505]) });
    assert_eq!(
        (kept.xmp, &losses[..]),
        (None, &["JPEG holds at most 65504 bytes of XMP, not 65505; it is left out".into()][..])
    );
    let (kept, losses) =
        carried(&folder, "a.png", Metadata { exif: Some(b"MM\0*\0\0\0\x09".to_vec()), xmp: Some(vec![0xff]) });
    assert_eq!(kept, Metadata::default());
    assert_eq!(
        losses,
        [
            "its XMP is malformed (it is no text in UTF-8); it is left out",
            "its EXIF is malformed (2 bytes at 9 lie outside its 8 bytes); it is left out"
        ]
    );
}

/// A PNG file of 2x1 grey pixels with chunks before and behind its samples.
fn with_chunks(before: &[(&[u8; 4], Vec<u8>)], behind: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut writer = png::Encoder::new(&mut file, 2, 1).write_header().unwrap();
    for (kind, data) in before {
        writer.write_chunk(png::chunk::ChunkType(**kind), data).unwrap();
    }
    writer.write_image_data(&[1, 2]).unwrap();
    for (kind, data) in behind {
        writer.write_chunk(png::chunk::ChunkType(**kind), data).unwrap();
    }
    drop(writer);
    file
}

fn text(deflated: u8, data: &[u8]) -> Vec<u8> {
    [b"XML:com.adobe.xmp\0", &[deflated, 0][..], b"en\0XMP\0", data].concat()
}

#[test]
fn png_has_them_before_or_behind_the_samples() {
    let folder = Folder::new();
    let mut deflater = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    deflater.write_all(XMP.as_bytes()).unwrap();
    let deflated = deflater.finish().unwrap();
    let other = (b"iTXt", b"Comment\0\0\0\0\0hello".to_vec());
    for xmp in [text(0, XMP.as_bytes()), text(1, &deflated)] {
        let chunks = [other.clone(), (b"eXIf", exif(true)), (b"iTXt", xmp)];
        for file in [with_chunks(&chunks, &[]), with_chunks(&[], &chunks)] {
            let source = Source::open_with_metadata(&folder.with("a.png", file), MIB).unwrap();
            assert_eq!(source.warnings(), [""; 0]);
            assert_eq!(source.tags().metadata, Metadata { exif: Some(exif(true)), xmp: Some(XMP.into()) });
            // The orientation counts wherever it stands.
            assert_eq!((source.shape().width, source.shape().height), (1, 2));
        }
    }
    let broken = text(1, &deflated[..deflated.len() / 2]);
    let zeros = {
        let mut deflater = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        deflater.write_all(&vec![0; 33 << 20]).unwrap();
        text(1, &deflater.finish().unwrap())
    };
    for bad in [broken, zeros, text(0, b"")[..20].to_vec()] {
        let file = with_chunks(&[(b"iTXt", bad.clone()), (b"iTXt", bad)], &[]);
        let path = folder.with("a.png", file);
        let source = Source::open_with_metadata(&path, MIB).unwrap();
        assert_eq!(source.warnings(), ["its XMP is damaged or takes more than 32 MiB and is left out"]);
        assert_eq!(source.tags().metadata, Metadata::default());
        assert_eq!(Source::open(&path, MIB).unwrap().warnings(), [""; 0]);
    }
}

#[test]
fn the_extended_part_of_xmp_in_jpeg_is_told() {
    let folder = Folder::new();
    let mut picture = noise(shape(8, 8, Colour::Grey, Depth::Eight));
    picture.tags.metadata.xmp = Some(XMP.into());
    write(&picture, &folder.path("a.jpg"), TargetOptions::default());
    let file = fs::read(folder.path("a.jpg")).unwrap();
    let body = [&b"http://ns.adobe.com/xmp/extension/\0"[..], &[b'0'; 40], b"more"].concat();
    let segment = [&[0xff, 0xe1][..], &(body.len() as u16 + 2).to_be_bytes(), &body].concat();
    let path = folder.with("b.jpg", [&file[..2], &segment, &file[2..]].concat());
    let source = Source::open_with_metadata(&path, MIB).unwrap();
    assert_eq!(source.warnings(), ["the extended part of its XMP is left out"]);
    assert!(source.tags().metadata.xmp.is_some());
    assert_eq!(Source::open(&path, MIB).unwrap().warnings(), [""; 0]);
    // Nothing is kept where nobody asks.
    assert_eq!(Source::open(&path, MIB).unwrap().tags().metadata, Metadata::default());
}
