//! PNG files with palettes, and grey ones of few bits.

use std::fs;

use super::support::{Folder, plan, read, shape};
use crate::picture::shape::{Colour, Depth};
use crate::picture::{PngEffort, Rgb, Rows, Samples, Shape, Target, TargetOptions};

/// Writes samples as those of a picture without other colours, and gives the file's bits and colour type.
fn written(folder: &Folder, shape: Shape, samples: &Samples, options: TargetOptions) -> (u8, u8) {
    let path = folder.path("a.png");
    let mut target: Target = plan(&path, shape, options).unwrap();
    target.keep_colours(samples);
    let mut writer = target.start().unwrap();
    writer.rows(samples.rows()).unwrap();
    writer.finish().unwrap();
    let file = fs::read(&path).unwrap();
    (file[24], file[25])
}

/// A picture of so many colours.
fn picture(colour: Colour, count: usize) -> (Shape, Samples) {
    let (width, height) = (37, 23);
    let samples = (0..width * height)
        .flat_map(|i: u32| {
            let index = (i * 7 % count as u32) as u8;
            let pixel = [index, index.wrapping_mul(31), 255 - index, if index.is_multiple_of(3) { index } else { 255 }];
            match colour {
                Colour::Grey => pixel[..1].to_vec(),
                Colour::GreyAlpha => vec![pixel[0], pixel[3]],
                Colour::Rgb => pixel[..3].to_vec(),
                Colour::Rgba => pixel.to_vec(),
            }
        })
        .collect();
    (shape(width, height, colour, Depth::Eight), Samples::Eight(samples))
}

#[test]
fn few_colours_take_few_bits_and_stay_the_same() {
    let folder = Folder::new();
    let none = TargetOptions::default();
    for effort in [None, Some(PngEffort::Normal), Some(PngEffort::Best)] {
        for colour in [Colour::Rgb, Colour::Rgba] {
            for (count, bits) in [(1, 1), (2, 1), (3, 2), (4, 2), (5, 4), (16, 4), (17, 8), (256, 8)] {
                let (shape, samples) = picture(colour, count);
                let options = TargetOptions { png_effort: effort, ..none };
                assert_eq!(written(&folder, shape, &samples, options), (bits, 3), "{colour} {count}");
                let seen = read(&folder.path("a.png"));
                assert_eq!((seen.colour, &seen.samples), (colour, &samples), "{colour} {count}");
            }
        }
    }
}

#[test]
fn an_opaque_picture_with_alpha_keeps_it() {
    let folder = Folder::new();
    let samples = Samples::Eight([1, 2, 3, 255].repeat(6));
    let shape = shape(3, 2, Colour::Rgba, Depth::Eight);
    assert_eq!(written(&folder, shape, &samples, TargetOptions::default()), (1, 3));
    let seen = read(&folder.path("a.png"));
    assert_eq!((seen.colour, seen.samples), (Colour::Rgba, samples));
}

#[test]
fn grey_has_its_bits_and_no_palette() {
    let folder = Folder::new();
    let grey = shape(5, 2, Colour::Grey, Depth::Eight);
    for (values, bits) in
        [([0, 255, 255, 0, 0], 1), ([0, 85, 170, 255, 0], 2), ([17, 34, 238, 255, 0], 4), ([0, 1, 2, 3, 4], 8)]
    {
        let samples = Samples::Eight(values.repeat(2));
        assert_eq!(written(&folder, grey, &samples, TargetOptions::default()), (bits, 0));
        let seen = read(&folder.path("a.png"));
        assert_eq!((seen.colour, seen.samples), (Colour::Grey, samples));
    }
}

#[test]
fn others_are_written_as_they_are() {
    let folder = Folder::new();
    let none = TargetOptions::default();
    let rgb = shape(257, 1, Colour::Rgb, Depth::Eight);
    let many = Samples::Eight((0..257_u32).flat_map(|i| [i as u8, (i >> 8) as u8, 0]).collect());
    assert_eq!(written(&folder, rgb, &many, none), (8, 2));
    let (alpha, samples) = picture(Colour::GreyAlpha, 4);
    assert_eq!(written(&folder, alpha, &samples, none), (8, 4));
    let deep = shape(4, 1, Colour::Rgb, Depth::Sixteen);
    let samples = Samples::Sixteen(vec![257; 12]);
    assert_eq!(written(&folder, deep, &samples, none), (16, 2));
    // Rounded to 8 bits, or put over a colour, it is what is written that counts.
    assert_eq!(written(&folder, deep, &samples, TargetOptions { depth_8: true, ..none }), (1, 3));
    assert_eq!(read(&folder.path("a.png")).samples, Samples::Eight(vec![1; 12]));
    let (rgba, samples) = picture(Colour::Rgba, 8);
    let over = TargetOptions { flatten: Some(Rgb([255, 0, 0])), ..none };
    assert_eq!(written(&folder, rgba, &samples, over), (4, 3));
    assert_eq!(read(&folder.path("a.png")).colour, Colour::Rgb);
}

#[test]
fn a_colour_that_was_not_foreseen_is_refused_and_nothing_is_written() {
    let folder = Folder::new();
    let rgb = shape(1, 2, Colour::Rgb, Depth::Eight);
    let mut target = plan(&folder.path("a.png"), rgb, TargetOptions::default()).unwrap();
    target.keep_colours(&Samples::Eight(vec![1, 2, 3]));
    let mut writer = target.start().unwrap();
    writer.rows(Rows::Eight(&[1, 2, 3])).unwrap();
    let refusal = writer.rows(Rows::Eight(&[1, 2, 4])).unwrap_err().to_string();
    assert_eq!(refusal, "a colour came that the picture did not have");
    drop(writer);
    assert_eq!(folder.names(), [""; 0]);
}
