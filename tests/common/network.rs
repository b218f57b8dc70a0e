//! The shipped network and what an f64 evaluation of it gives.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::fs;
use std::path::{Path, PathBuf};
use upconv::upscale::Network;
use upconv::{Tensor, upscale::network::CHANNELS};

pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/network").join(name)
}

pub(crate) fn shipped() -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/waifu2x-photo.safetensors")).unwrap()
}

pub(crate) fn network() -> Network {
    Network::from_safetensors(&shipped()).unwrap()
}

/// An RGB picture of 8 bits: its bytes, height and width.
pub(crate) fn pixels(name: &str) -> (Vec<u8>, usize, usize) {
    let decoder = png::Decoder::new(std::io::BufReader::new(fs::File::open(data(name)).unwrap()));
    let mut reader = decoder.read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut bytes).unwrap();
    assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Rgb, png::BitDepth::Eight));
    (bytes, info.height as usize, info.width as usize)
}

/// As planes `[1, 3, h, w]` from 0 to 1.
pub(crate) fn picture(name: &str) -> Tensor {
    let (bytes, h, w) = pixels(name);
    let plane = |channel: usize| bytes[channel..].iter().step_by(CHANNELS).map(|&byte| f32::from(byte) / 255.0);
    let planes: Vec<f32> = (0..CHANNELS).flat_map(plane).collect();
    Tensor::f32([1, CHANNELS, h, w], planes).unwrap()
}

/// The raw values that are expected of the small picture, `[1, 3, 90, 134]`.
pub(crate) fn expected() -> Vec<f32> {
    let file = fs::read(data("chelsea_67x45_photo_2x_raw.safetensors")).unwrap();
    let values = &file[file.len() - 3 * 90 * 134 * 4..];
    values.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

/// Asserts the shape and that no value is further from the expected one; says how far the furthest is.
pub(crate) fn check(output: &Tensor, tolerance: f32) {
    assert_eq!(output.shape(), [1, 3, 90, 134]);
    let pairs = output.to_f32().into_iter().zip(expected());
    let worst = pairs.map(|(given, expected)| (given - expected).abs()).fold(0.0, f32::max);
    eprintln!("largest difference {worst:.2e}");
    assert!(worst <= tolerance, "{worst}");
}
