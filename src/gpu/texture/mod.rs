//! Textures in and out, for upsampling inside a renderer: a texture becomes the input of a layer, and a layer's output
//! becomes a texture, all in the caller's passes.

mod binding;
mod pixels;
mod planes;
mod reader;
mod region;
mod renderer;
mod writer;

pub use binding::BoundTexture;
pub use pixels::{Components, Curve, Pixels};
pub use planes::Planes;
pub use reader::TextureReader;
pub use region::{Rectangle, TextureRegion};
pub use renderer::{BoundDraw, BoundTarget, TextureRenderer};
pub use writer::TextureWriter;

#[cfg(test)]
pub(crate) mod tests {
    use super::pixels::Way;
    use super::{Components, Curve, Pixels, reader, writer};
    use crate::gpu::kernels::header::body;
    use crate::gpu::storage::Storage;

    /// The shaders of readers, writers and renderers: every way of treating colours, every set of components, every format.
    pub(crate) fn sources(storage: Storage) -> Vec<String> {
        let mut pixels = Vec::new();
        for curve in [Curve::None, Curve::Encode, Curve::Decode] {
            pixels.extend([false, true].map(|premultiplied| (curve, premultiplied, Components::Rgba)));
        }
        let others =
            [Components::Alpha, Components::Grey, Components::GreyAlpha, Components::RedGreen, Components::Rgb];
        pixels.extend(others.map(|components| (Curve::None, false, components)));
        let mut sources = Vec::new();
        for (curve, premultiplied, components) in pixels {
            let pixels = Pixels { components, curve, premultiplied, storage };
            sources.push(format!("{}\n{}", pixels.header(Way::Read), body(reader::SHADER)));
            sources.push(writer::source(pixels, "rgba8unorm"));
        }
        let formats = ["rgba16float", "rgba32float", "r32float"];
        sources.extend(formats.map(|format| writer::source(Pixels { storage, ..Pixels::default() }, format)));
        sources
    }
}
