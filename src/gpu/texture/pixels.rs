//! What the pixels of a texture and the values of planes have to do with each other.

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::gpu::device::context::Context;
use crate::gpu::kernels::header::{body, elem};
use crate::gpu::storage::Storage;

const CURVES: &str = include_str!("../../../shaders/curves.wgsl");

/// How a copy between a texture and planes treats each pixel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pixels {
    /// What the planes hold.
    pub components: Components,
    /// What is done to the colours on their way.
    pub curve: Curve,
    /// Whether the planes hold colours multiplied by alpha, and the texture straight ones: a [`TextureReader`] multiplies,
    /// a [`TextureWriter`] and a [`TextureRenderer`] divide; where alpha is not above 0, the colours are 0. Straight
    /// colours must be multiplied before they are mixed with their neighbours, or those of transparent pixels, which
    /// nobody sees, bleed into the others. The curve belongs to straight colours: it comes first in reading and last in
    /// writing.
    ///
    /// [`TextureReader`]: super::TextureReader
    /// [`TextureWriter`]: super::TextureWriter
    /// [`TextureRenderer`]: super::TextureRenderer
    pub premultiplied: bool,
    /// How the planes are stored.
    pub storage: Storage,
}

/// What planes hold, in their order, and the pixel that is made of them.
///
/// | | planes | pixel |
/// |---|---|---|
/// | `Alpha` | alpha | (0, 0, 0, alpha); a [`TextureRenderer`](super::TextureRenderer) leaves the colours as they are |
/// | `Grey` | red | (red, red, red, 1) |
/// | `GreyAlpha` | red, alpha | (red, red, red, alpha) |
/// | `RedGreen` | red, green | (red, green, 0, 1) |
/// | `Rgb` | red, green, blue | (red, green, blue, 1) |
/// | `Rgba` | red, green, blue, alpha | the same |
///
/// Of a pixel, a texture keeps the components that it has; of those that it lacks it gives 0, and 1 of alpha.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the table says what each is")]
pub enum Components {
    Alpha,
    Grey,
    GreyAlpha,
    RedGreen,
    Rgb,
    #[default]
    Rgba,
}

/// What is done to colours between a texture and planes; alpha is never changed.
///
/// A texture is read as its format says: of a `…Srgb` format a shader sees linear light, of a `…Unorm` format the stored
/// values. Upsampling in linear light keeps the energy of highlights, upsampling the stored values is what picture
/// programs do, and networks are trained on either. The target of a render pass encodes by itself where its format is
/// `…Srgb`; storage textures never do. Hardware decodes and encodes approximately: where each stored value counts, a
/// texture is better [seen](super::TextureRegion::format) without `Srgb`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Curve {
    /// Nothing.
    #[default]
    None,
    /// They are linear light where they come from, and get the curve of sRGB.
    Encode,
    /// They have the curve of sRGB where they come from, and become linear light.
    Decode,
}

/// From a texture to planes, or back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Read,
    Write,
}

impl Components {
    /// The number of planes.
    pub fn count(self) -> usize {
        self.row().0
    }

    /// The number of planes; the planes of a pixel p; the pixel of planes p. In WGSL.
    fn row(self) -> (usize, &'static str, &'static str) {
        match self {
            Components::Alpha => (1, "p.aaaa", "vec4(vec3(0.0), p.x)"),
            Components::Grey => (1, "p", "vec4(p.xxx, 1.0)"),
            Components::GreyAlpha => (2, "p.raaa", "p.xxxy"),
            Components::RedGreen => (2, "p", "vec4(p.xy, 0.0, 1.0)"),
            Components::Rgb => (3, "p", "vec4(p.xyz, 1.0)"),
            Components::Rgba => (4, "p", "p"),
        }
    }

    pub(super) fn have_alpha(self) -> bool {
        matches!(self, Components::Alpha | Components::GreyAlpha | Components::Rgba)
    }
}

impl Pixels {
    /// Refuses planes of f16 on a device without them.
    pub(super) fn check_storage(&self, context: &Context) -> Result<()> {
        if self.storage == Storage::F16 && !context.profile().f16 {
            let expected = "float32: the device lacks SHADER_F16";
            return Err(Error::DType { what: "storage", given: DType::F16, expected });
        }
        Ok(())
    }

    /// Refuses to write premultiplied colours without the alpha that they are multiplied by.
    pub(super) fn check_writable(&self) -> Result<()> {
        if self.premultiplied && !self.components.have_alpha() {
            let problem =
                format!("premultiplied planes {:?} have no alpha by which they could be divided", self.components);
            return Err(Error::Texture { problem });
        }
        Ok(())
    }

    /// The header of a copy's shader.
    pub(super) fn header(&self, way: Way) -> String {
        let (curve, functions) = match self.curve {
            Curve::None => ("colour", ""),
            Curve::Encode => ("encoded(colour)", body(CURVES)),
            Curve::Decode => ("decoded(colour)", body(CURVES)),
        };
        let weighted = match (self.premultiplied, way) {
            (false, _) => "colour",
            (true, Way::Read) => "colour * alpha",
            (true, Way::Write) => "select(vec3(0.0), colour / alpha, alpha > 0.0)",
        };
        let (_, planes, pixel) = self.components.row();
        let arranged = if way == Way::Read { planes } else { pixel };
        format!(
            "{}\n\
             fn curve(colour: vec3<f32>) -> vec3<f32> {{ return {curve}; }}\n\
             fn weighted(colour: vec3<f32>, alpha: f32) -> vec3<f32> {{ return {weighted}; }}\n\
             fn arranged(p: vec4<f32>) -> vec4<f32> {{ return {arranged}; }}\n\
             {functions}",
            elem(self.storage)
        )
    }
}
