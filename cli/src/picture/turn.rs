//! The orientation of a picture, applied.

use anyhow::{Context, Result, bail};
use image::metadata::Orientation;
use image::{DynamicImage, ImageBuffer, Pixel};

use super::samples::Samples;
use super::shape::{Colour, Shape};

/// The samples of the upright picture.
pub(super) fn turned(samples: Samples, stored: Shape, orientation: Orientation) -> Result<Samples> {
    if orientation == Orientation::NoTransforms {
        return Ok(samples);
    }
    let mut picture: DynamicImage = match (samples, stored.colour) {
        (Samples::Eight(samples), Colour::Grey) => buffer::<image::Luma<u8>>(samples, stored)?.into(),
        (Samples::Eight(samples), Colour::GreyAlpha) => buffer::<image::LumaA<u8>>(samples, stored)?.into(),
        (Samples::Eight(samples), Colour::Rgb) => buffer::<image::Rgb<u8>>(samples, stored)?.into(),
        (Samples::Eight(samples), Colour::Rgba) => buffer::<image::Rgba<u8>>(samples, stored)?.into(),
        (Samples::Sixteen(samples), Colour::Grey) => buffer::<image::Luma<u16>>(samples, stored)?.into(),
        (Samples::Sixteen(samples), Colour::GreyAlpha) => buffer::<image::LumaA<u16>>(samples, stored)?.into(),
        (Samples::Sixteen(samples), Colour::Rgb) => buffer::<image::Rgb<u16>>(samples, stored)?.into(),
        (Samples::Sixteen(samples), Colour::Rgba) => buffer::<image::Rgba<u16>>(samples, stored)?.into(),
    };
    picture.apply_orientation(orientation);
    Ok(match picture {
        DynamicImage::ImageLuma8(p) => Samples::Eight(p.into_raw()),
        DynamicImage::ImageLumaA8(p) => Samples::Eight(p.into_raw()),
        DynamicImage::ImageRgb8(p) => Samples::Eight(p.into_raw()),
        DynamicImage::ImageRgba8(p) => Samples::Eight(p.into_raw()),
        DynamicImage::ImageLuma16(p) => Samples::Sixteen(p.into_raw()),
        DynamicImage::ImageLumaA16(p) => Samples::Sixteen(p.into_raw()),
        DynamicImage::ImageRgb16(p) => Samples::Sixteen(p.into_raw()),
        DynamicImage::ImageRgba16(p) => Samples::Sixteen(p.into_raw()),
        other => bail!("pixels of type {:?} are not supported", other.color()),
    })
}

fn buffer<P: Pixel>(samples: Vec<P::Subpixel>, shape: Shape) -> Result<ImageBuffer<P, Vec<P::Subpixel>>> {
    ImageBuffer::from_raw(shape.width, shape.height, samples).with_context(|| format!("too few samples for {shape}"))
}
